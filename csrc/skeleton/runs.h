/* runs.h - the voxels of objects, as runs along x */
#ifndef CK_RUNS_H
#define CK_RUNS_H

#include "../base/common.h"
#include "../crackle.h"

/* The voxels [x, end) of row (y, z). */
struct ck_run {
    u32 x, end;
    u32 y, z;
};

struct crackle_runs {
    u32 sx, sy, sz;       /* of the volume */
    u64 count;            /* objects */
    u64 *begin;           /* the runs of object i are runs[begin[i]] to runs[begin[i + 1] - 1] */
    struct ck_run *runs;  /* of each object in the order z, y, x; runs of a row do not touch */
};

/* Whether runs lie in a volume of this size, are sorted by z, y and x, not empty, and those of a row do not touch. */
int ck_are_runs(const struct ck_run *runs, u64 count, u32 sx, u32 sy, u32 sz);

#endif /* CK_RUNS_H */
