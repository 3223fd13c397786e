/*
 * measure.h - the voxels of each component of a slice: their number, their box, and the sums of their coordinates
 */
#ifndef CK_MEASURE_H
#define CK_MEASURE_H

#include "../codec/components.h"
#include "../crackle.h"

/* A component within the window of a slice. */
struct ck_extent {
    u64 voxels, sum_x, sum_y;
    u32 x_start, x_stop;
    u32 y_start, y_stop;
};

/* Columns and rows of a slice, which are not empty. */
struct ck_window {
    u32 x_start, x_end, y_start, y_end;
};

/* Whether all sums of coordinates in the window of the slices [z_start, z_end) fit 64 bits. */
int ck_sums_fit(const struct ck_window *w, u32 z_start, u32 z_end);

/*
 * Measure all components of a slice; 'extents' has an element for each.  With 'only_counts' just 'voxels' is right.
 * Overwrites c->row.
 */
void ck_measure_slice(const struct ck_components *c, const struct ck_window *w, struct ck_extent *extents,
                      int only_counts);

/* Add a component of slice 'z', which has voxels, to the extent of its label.  Slices come in ascending order. */
void ck_add_extent(struct crackle_extent *to, const struct ck_extent *from, u32 z);

#endif /* CK_MEASURE_H */
