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

/* How many slices of a C-order volume are compared at once. */
#define CK_COLUMN_SLICES 64

/* Scratch memory for that: two rows of columns, and one column before them. */
#define CK_COLUMNS_AT_ONCE 512
#define CK_COLUMNS_SCRATCH_NBYTES (2 * (CK_COLUMNS_AT_ONCE + 1) * CK_COLUMN_SLICES * sizeof(u64))

/*
 * The same for the slices [z, z + count) of a C-order volume, at most CK_COLUMN_SLICES.  In such a volume the labels of
 * these slices lie next to each other, so they are compared as they lie, without a transpose.
 */
void ck_find_boundaries_of_columns(const struct crackle_volume *v, u32 z, u32 count, struct ck_bitmaps *slices,
                                   void *scratch);

#endif /* CK_BOUNDARY_H */
