/*
 * boundary.h - labels of a slice -> boundary bitmaps
 */
#ifndef CK_BOUNDARY_H
#define CK_BOUNDARY_H

#include "../base/bitmaps.h"
#include "../crackle.h"

/*
 * Set the bitmaps to the boundaries of a slice of sx * sy labels of 'width' bytes, x fastest.  The spare word and row
 * of the bitmaps stay clear.
 */
void ck_find_boundaries(const void *slice, unsigned int width, struct ck_bitmaps *b);

/*
 * The same for the rows [y, y_end), which begin at 'rows'.  Unless 'y' is 0, the row above precedes them in memory.
 */
void ck_find_boundaries_of_rows(const void *rows, unsigned int width, struct ck_bitmaps *b, u64 y, u64 y_end);

/*
 * How many slices of a C-order volume are compared at once.  A column should have a few cache lines of them: reading a
 * line here and a line there takes several times as long as reading lines in a row.
 */
#define CK_COLUMN_SLICES 128

/* Scratch memory for that: the bits of a block of columns, 64 in a word. */
#define CK_COLUMNS_X 512
#define CK_COLUMNS_Y 8
struct ck_column_bits {
    u64 left[CK_COLUMN_SLICES / 64][CK_COLUMNS_Y][CK_COLUMNS_X];
    u64 up[CK_COLUMN_SLICES / 64][CK_COLUMNS_Y][CK_COLUMNS_X];
};

/*
 * The same for the slices [z, z + count) of a C-order volume, at most CK_COLUMN_SLICES.  In such a volume the labels of
 * these slices lie next to each other, so they are compared as they lie, and only the bits are transposed.
 */
void ck_find_boundaries_of_columns(const struct crackle_volume *v, u32 z, u32 count, struct ck_bitmaps *slices,
                                   struct ck_column_bits *bits);

#endif /* CK_BOUNDARY_H */
