/*
 * fields.h - the numbers that belong to the places of an object
 *
 * Fields that one step reads together lie together.  A place is closed, that is no voxel, where 'distance' and 'key'
 * are negative: both then lose every comparison.
 */
#ifndef CK_FIELDS_H
#define CK_FIELDS_H

#include "places.h"

#include <math.h>

struct ck_state {
    /* neighbours.h relies on the order of the first two, and on 16 bytes in all. */
    float cost;      /* the penalty of entering the voxel; 0 on paths */
    float distance;  /* of a search; INFINITY where it did not come */
    u32 link;        /* segment << 5 | direction of the step that a search took to this place */
    float radius;    /* the distance field */
};

struct ck_fields {
    struct ck_state *states;
    float *geodesic;  /* from the root */
    float *key;       /* of invalidation: negative where invalidated, INFINITY where not */
    u8 *direction_back; /* of the step by which a search from the root came; see paths.c */
    u32 *graph;       /* NULL, or bit d: the step in direction d is allowed */
};

static inline const struct ck_segment *ck_segment_of(const struct ck_places *p, const struct ck_fields *f, u32 place)
{
    return &p->segments[f->states[place].link >> 5];
}

/*
 * The distance field of an object in a volume of 'size', into 'radius'.  A face that the graph does not allow to cross is
 * a boundary half a voxel away.  Faces of the volume count as boundaries if
 * 'is_bounded'.  The largest distance goes to 'largest'.  Closed places keep the radius that they have; uses 'geodesic'.
 */
crackle_status ck_distance_field(const struct ck_places *p, struct ck_fields *f, const u32 *size, int is_bounded,
                                 const double *voxel_size, const volatile int32_t *stop, float *largest);

#endif /* CK_FIELDS_H */
