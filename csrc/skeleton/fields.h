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

/* Scratch of a lower envelope. */
struct ck_envelope {
    double *sites, *heights, *begins;
};

/* For lines of up to 'length' values. False when there is no memory; ck_envelope_free() may be called then too. */
int ck_envelope_init(struct ck_envelope *e, u64 length);
void ck_envelope_free(struct ck_envelope *e);

/*
 * Replace squared distances along a line by the lower envelope of the parabolas over them.  'edge' is the distance of
 * two values.  The value 0 lies 'before' the first value and 'behind' the last, in units of 'edge'; 0: it does not.
 */
void ck_lower_envelope(float *values, u32 length, double edge, double before, double behind,
                       struct ck_envelope *scratch);

/*
 * The distance field of an object in a volume of 'size', into 'radius'.  A face that the graph does not allow to cross is
 * a boundary half a voxel away.  Faces of the volume count as boundaries if
 * 'is_bounded'.  Needs 'link', and uses 'geodesic'.
 */
crackle_status ck_distance_field(const struct ck_places *p, struct ck_fields *f, const u32 *size, int is_bounded,
                                 const double *voxel_size, const volatile int32_t *stop);

#endif /* CK_FIELDS_H */
