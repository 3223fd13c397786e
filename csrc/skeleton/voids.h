/* voids.h - fill the holes of an object */
#ifndef CK_VOIDS_H
#define CK_VOIDS_H

#include "runs.h"

/*
 * Fill the voids of an object.  '*filled' receives its runs with the voids, in the same order, and '*count' their
 * number; or NULL and 0 if there are none.  With 'is_planar' each slice is filled for itself.
 */
crackle_status ck_fill_voids(const struct ck_run *runs, u64 num_runs, int is_planar, struct ck_run **filled, u64 *count);

#endif /* CK_VOIDS_H */
