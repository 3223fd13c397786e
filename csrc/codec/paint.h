/*
 * paint.h - components and their labels -> voxels
 */
#ifndef CK_PAINT_H
#define CK_PAINT_H

#include "components.h"

/* Where the painted voxels go. */
enum ck_paint_to {
    CK_TO_CACHE, /* somebody will read them soon */
    CK_TO_MEMORY /* there are more of them than a cache holds */
};

/* How many numbers of 64 bits are worked in for 'count' slices at once: ck_paint() takes one. */
static inline u64 ck_paint_scratch(u32 sx, u32 count)
{
    return ((u64)sx + CK_ROW_SPARE) * count;
}

/*
 * Give every voxel of a slice the label of its component.  'labels' are one per
 * component; 'slice' receives sx * sy labels of 'width' bytes, x fastest.
 */
void ck_paint(const struct ck_components *c, const u64 *labels, void *slice, unsigned int width,
              enum ck_paint_to to, u64 *scratch);

/* A slice that is to be painted: its components, and one label each. */
struct ck_slice_to_paint {
    const struct ck_components *components;
    const u64 *labels;
};

/*
 * The same for the slices [z, z + count) of the C-order volume 'out', at most CK_MAX_COLUMNS: row by row, so that what
 * belongs side by side there is written at once.
 */
#define CK_MAX_COLUMNS 64
void ck_paint_columns(const struct ck_slice_to_paint *slices, u32 count, const struct crackle_volume *out, u32 z,
                      u64 *scratch);

#endif /* CK_PAINT_H */
