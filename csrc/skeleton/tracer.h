/*
 * tracer.h - what the steps of tracing one object share
 *
 *   runs -> places -> distance field -> root -> geodesic field -> penalties -> { target -> path -> invalidation } ...
 */
#ifndef CK_TRACER_H
#define CK_TRACER_H

#include "fields.h"
#include "ring.h"

/* Places, in order. */
struct ck_list {
    u32 *places;
    size_t count, capacity;
};

int ck_list_add(struct ck_list *l, u32 place);

struct crackle_tracer {
    struct ck_places places;
    struct ck_fields fields;
    size_t capacity;            /* of the fields, in places */
    struct ck_heap heap, heap_back;
    struct ck_ring ring;
    struct ck_list path;        /* of the current target, from the target on */
    struct ck_list touched;     /* by the current search */
    struct ck_list touched_back;

    /* The voxels by rising geodesic distance, in layers that are not sorted themselves until they are needed. */
    u32 *order;
    size_t order_capacity;
    u64 *layers;                /* where each layer begins; num_layers + 1 items */
    size_t num_layers, layers_capacity;

    double voxel_size[3];
    double shortest, longest;   /* steps: the shortest edge of a voxel, and its diagonal */
    float lengths[27];          /* of a step, by direction */
    u64 num_valid;              /* voxels that no path has invalidated */
    const volatile int32_t *stop;
};

/* Look at 'stop' when this many places were taken out of a queue. */
#define CK_STEPS_AT_ONCE 65536

/* One object on its way to a skeleton. */
struct ck_job {
    struct crackle_tracer *t;
    const struct crackle_teasar *parameters;
    u32 size[3];
    struct ck_run *filled;       /* the runs with voids filled, if there were any */
    struct ck_list vertices;     /* of the skeleton */
    struct ck_list edges;        /* pairs of places */
    struct ck_list before, after;
    u32 root;
    u32 farthest;                /* from the root */
    float radius_max;
    int has_soma;
    int has_root;                /* the root is a vertex */
    double soma_radius;
    size_t layer;                /* targets: the current layer, and the next voxel in it */
    u64 next, layer_end;
    u64 num_paths;
};

/* ---- tracer.c ---- */

/* Check the parameters, and begin with an object. Call ck_end_job() whatever the status is. */
crackle_status ck_begin_job(struct ck_job *j, struct crackle_tracer *t, const crackle_runs *runs, u64 object,
                            const struct crackle_teasar *p, const volatile int32_t *stop);
void ck_end_job(struct ck_job *j);

/* Number the voxels of an object. Until it has a distance field, all radii are 1. */
crackle_status ck_number(struct ck_job *j, const struct ck_run *runs, u64 num_runs);

/* The same, and find its distance field; see ck_distance_field(). */
crackle_status ck_measure(struct ck_job *j, const struct ck_run *runs, u64 num_runs, int is_bounded);

/* The voxel at a place, as x, y and z. */
void ck_locate(const struct crackle_tracer *t, u32 place, u32 *point);

/* ---- skeleton.c ---- */

/*
 * Add t->path to the skeleton: all its places are new vertices, but for the last, if that is one already.  Vertices cost
 * nothing from then on.
 */
crackle_status ck_add_path(struct ck_job *j);

/* The skeleton as the caller gets it; 'is_sorted' sorts the vertices. On failure 'out' has no vertices. */
crackle_status ck_put_skeleton(struct ck_job *j, int is_sorted, struct crackle_skeleton *out);

/* ---- geodesic.c ---- */

/*
 * Fill fields.geodesic with the geodesic distance from 'root', and get the farthest place; of equal ones the first.  With
 * 'is_ordered' the voxels are also listed by distance in 'order' and 'layers'.
 */
crackle_status ck_geodesic_field(struct crackle_tracer *t, u32 root, int is_ordered, u32 *farthest);

/* ---- paths.c ---- */

/* Set the penalty of every voxel; see there. */
void ck_penalty_field(struct crackle_tracer *t, float radius_max, float geodesic_max, double scale, double exponent);

/* The cheapest path from 'target' to a voxel of cost 0, into t->path. */
crackle_status ck_path_to_rail(struct crackle_tracer *t, u32 target);

/* The same where the only voxel of cost 0 is 'root'. Needs keys that are all INFINITY. */
crackle_status ck_path_to_root(struct crackle_tracer *t, u32 target, u32 root);

/* The cheapest paths from 'root' to all voxels, as directions in the links of states. */
crackle_status ck_tree_of_paths(struct crackle_tracer *t, u32 root);

/* The place from which a search stepped to 'place'. */
u32 ck_previous(const struct crackle_tracer *t, u32 place);

/* ---- invalidation.c ---- */

/* Invalidate the voxels within reach of 'seeds', each of which reaches scale * radius + constant. */
crackle_status ck_invalidate(struct crackle_tracer *t, const u32 *seeds, size_t count, double scale, double constant);

/*
 * Fetch what stepping from the next entries of a bucket needs: their links, then their segments, then the rows around them
 * in 'field'.
 */
#define CK_AHEAD 5

static inline void ck_fetch_ahead(const struct crackle_tracer *t, const float *field, const struct ck_bucket *b, size_t i)
{
    if (i + 3 * CK_AHEAD < b->count)
        CK_PREFETCH(&t->fields.states[b->entries[i + 3 * CK_AHEAD].place]);
    if (i + 2 * CK_AHEAD < b->count)
        CK_PREFETCH(ck_segment_of(&t->places, &t->fields, b->entries[i + 2 * CK_AHEAD].place));
    if (i + CK_AHEAD < b->count) {
        const u32 place = b->entries[i + CK_AHEAD].place;
        const struct ck_segment *s = ck_segment_of(&t->places, &t->fields, place);

        for (u32 row = 0; row < 8; row++)
            CK_PREFETCH(&field[ck_beside(s, row, place)]);
    }
}

static inline int ck_is_voxel(const struct crackle_tracer *t, u32 place)
{
    return t->fields.states[place].radius > 0;
}

#endif /* CK_TRACER_H */
