/* border_targets.h - where an object leaves the volume */
#ifndef CK_BORDER_TARGETS_H
#define CK_BORDER_TARGETS_H

#include "runs.h"

/*
 * Find the border targets of an object in a volume of 'size', sorted by z, then y, then x, each once, on the faces that
 * 'faces' has bits for: see struct crackle_teasar.  '*targets' has x, y and z of each; free() it whatever the status is.
 */
crackle_status ck_border_targets(const struct ck_run *runs, u64 num_runs, const u32 *size, const double *voxel_size,
                                 unsigned int faces, u32 **targets, u64 *count);

#endif /* CK_BORDER_TARGETS_H */
