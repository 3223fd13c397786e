/*
 * paint.h - components and their labels -> voxels
 */
#ifndef CK_PAINT_H
#define CK_PAINT_H

#include "components.h"

/* The destination of painted voxels. */
enum ck_paint_to {
    CK_TO_CACHE, /* the caller reads them soon */
    CK_TO_MEMORY /* they are more than a cache holds */
};

/* How many 64-bit numbers of scratch memory painting 'count' rows at once needs. ck_paint() paints one. */
static inline u64 ck_paint_scratch(u32 sx, u32 count)
{
    return ((u64)sx + CK_ROW_SPARE) * count;
}

/*
 * Give every voxel of a slice the label of its component.  'labels' has one label per component; 'slice' receives sx *
 * sy labels of 'width' bytes, x fastest.
 */
void ck_paint(const struct ck_components *c, const u64 *labels, void *slice, unsigned int width,
              enum ck_paint_to to, u64 *scratch);

/* A slice to paint: its components, and one label for each. */
struct ck_slice_to_paint {
    const struct ck_components *components;
    const u64 *labels;
};

/*
 * How many rows of each of 'count' slices are painted at once.  More than one if the slices are few and a volume of
 * their own: the columns of one row then begin where those of the row before end.
 */
#define CK_FEW_COLUMNS 16
static inline u32 ck_rows_at_once(const struct crackle_volume *out, u32 count)
{
    return count == out->sz && count <= CK_FEW_COLUMNS ? 2 * CK_FEW_COLUMNS / count : 1;
}

/*
 * Paint the slices [z, z + count) of the C-order volume 'out', at most CK_MAX_COLUMNS.  Works row by row, because
 * voxels of these slices are adjacent in memory.  The scratch memory is for ck_rows_at_once() rows of each.
 */
#define CK_MAX_COLUMNS 128
void ck_paint_columns(const struct ck_slice_to_paint *slices, u32 count, const struct crackle_volume *out, u32 z,
                      u64 *scratch);

#endif /* CK_PAINT_H */
