/*
 * places.h - the voxels of an object, numbered so that neighbours are found by adding a constant
 *
 * An array over the bounding box of an object makes neighbours easy to find, but a thin object in a large box then
 * costs what its box costs.  Here every voxel has a *place* instead, a number, and places cost what voxels cost:
 *
 *   - Places ascend along rows.  Runs of a row that are at most CK_PLACES_GAP voxels apart share one *group*: their
 *     gap has places too, which are closed.  Between groups lie CK_PLACES_PAD closed places.  A step past the end of a
 *     group therefore meets a closed place, and no bounds are checked.
 *   - Groups are cut into *segments*, in which each of the 8 rows around has one group, or none.  The neighbours of
 *     place p in row r are then p + step[r] - 1, p + step[r] and p + step[r] + 1.
 *   - Rows are ordered in tiles of 16 by 16, so that rows that are neighbours mostly lie close in memory.
 *
 * "Closed" is up to the field: a value that loses every comparison, such as a negative distance.
 *
 * The rows around are numbered 0 to 7 in the order of dz, then dy.  Directions are numbered 0 to 26, from
 * (dx, dy, dz) = (-1, -1, -1) on, x fastest; the opposite of direction d is 26 - d.
 *
 * Cost: linear in the runs; about 0.07 segments per voxel of a neuron.
 */
#ifndef CK_PLACES_H
#define CK_PLACES_H

#include "runs.h"

#define CK_PLACES_GAP 2
#define CK_PLACES_PAD 4

/* Directions along the place's own row, and the one between them that leads nowhere. */
#define CK_OWN_DIRECTION 13
#define CK_DIRECTION_BEFORE_X 12
#define CK_DIRECTION_AFTER_X 14
#define CK_DIRECTION_BEFORE_Y 10
#define CK_DIRECTION_BEFORE_Z 4
#define CK_OPPOSITE(direction) (26 - (direction))

/* A segment and a direction share 32 bits. */
#define CK_MAX_SEGMENTS ((u32)1 << 27)

struct ck_segment {
    int32_t step[8];  /* per row around: the place in that row at the same x, minus this place; 0: there is no row */
    u32 place;        /* of the first voxel */
    u32 length;
    u32 x, y, z;      /* of the first voxel */
    u32 slots;        /* bits of neighbours in these rows and in its own; see neighbours.h */
    u32 unused[2];    /* a segment fills a cache line */
};

/* The place, in row 'row' around, at the same x as 'place', which lies in segment 's'. The segment must have the row. */
static inline u32 ck_beside(const struct ck_segment *s, u32 row, u32 place)
{
    return (u32)((int32_t)place + s->step[row]);
}

struct ck_places {
    u32 count;                    /* places, closed ones included */
    u32 num_segments;
    u32 num_rows;                 /* rows with voxels */
    u64 num_voxels;
    u32 start[3], stop[3];        /* bounding box */
    const struct ck_run *runs;    /* of the object */
    u64 num_runs;
    u32 *run_place;               /* per run: the place of its first voxel */
    u64 *row_run;                 /* per row in the order z, y: its first run; num_rows + 1 items */
    struct ck_segment *segments;

    /* Scratch. */
    struct ck_group *groups;
    u32 *row_group, *tiled, *counts, *neighbours;
};

/* Number the voxels of an object, which has a run or more.  Call ck_places_free() whatever the status is. */
crackle_status ck_places_init(struct ck_places *p, const struct ck_run *runs, u64 num_runs);
void ck_places_free(struct ck_places *p);

/* The place of a voxel. False if it is not one of the object. */
int ck_place_of(const struct ck_places *p, u32 x, u32 y, u32 z, u32 *place);

#endif /* CK_PLACES_H */
