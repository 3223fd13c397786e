/*
 * teasar.c - the skeleton of an object: targets, paths and invalidation in turn
 *
 * TEASAR (Sato, Bitter, Bender, Kaufman, Nakajima, 2000), as Kimimaro has it for dense segmentations:
 *
 *   1. the distance field; a soma is an object with a voxel that is very far from the boundary
 *   2. the root: the soma's centre, a border target, or the voxel farthest from an arbitrary one
 *   3. the geodesic field from the root, and penalties
 *   4. until all voxels are invalidated: the farthest voxel that is left is the target; the cheapest path leads from it
 *      to the root or to a former path; the path invalidates what lies around it
 *
 * Targets that the caller or the borders force come first.  In an object with a soma, paths end at the ball of the soma
 * and are tied to its centre by one edge.
 *
 * Equal numbers are told apart by the order of places, so an object has one skeleton.
 *
 * Cost: near-linear in the voxels of the object.
 */
#include "../base/sort.h"
#include "../crackle.h"
#include "border_targets.h"
#include "tracer.h"
#include "voids.h"

/* The squared distance of two voxels. */
static double apart(const struct crackle_tracer *t, u32 a, u32 b)
{
    u32 one[3], other[3];
    double sum = 0;

    ck_locate(t, a, one);
    ck_locate(t, b, other);
    for (int axis = 0; axis < 3; axis++) {
        const double away = ((double)one[axis] - other[axis]) * t->voxel_size[axis];

        sum += away * away;
    }
    return sum;
}

/* ---------------------------------- Root ----------------------------------- */

/* The voxel of the largest radius that is nearest to the centroid of all of that radius. */
static u32 centre_of_soma(const struct ck_job *j)
{
    const struct ck_places *p = &j->t->places;
    double sum[3] = {0, 0, 0}, count = 0, least = INFINITY;
    u32 centre = 0;

    for (int pass = 0; pass < 2; pass++) {
        for (u64 i = 0; i < p->num_runs; i++) {
            for (u32 x = p->runs[i].x; x < p->runs[i].end; x++) {
                const u32 place = p->run_place[i] + (x - p->runs[i].x);
                const double point[3] = {x, p->runs[i].y, p->runs[i].z};
                double away = 0;

                if (j->t->fields.states[place].radius != j->radius_max)
                    continue;
                for (int axis = 0; axis < 3; axis++) {
                    sum[axis] += pass == 0 ? point[axis] : 0;
                    away += (point[axis] - sum[axis] / count) * (point[axis] - sum[axis] / count);
                }
                count += pass == 0;
                if (pass == 1 && away < least) {
                    least = away;
                    centre = place;
                }
            }
        }
    }
    return centre;
}

static crackle_status add_points(struct ck_job *j, const u32 *points, u64 count, struct ck_list *to)
{
    u32 place;

    for (u64 i = 0; i < count; i++)
        if (ck_place_of(&j->t->places, points[3 * i], points[3 * i + 1], points[3 * i + 2], &place) &&
            !ck_list_add(to, place))
            return CRACKLE_NO_MEMORY;
    return CRACKLE_OK;
}

/* Choose the root, and fill the geodesic field. Border targets that are not the root become targets. */
static crackle_status choose_root(struct ck_job *j, const u32 *borders, u64 num_borders)
{
    struct crackle_tracer *t = j->t;
    crackle_status status;

    if (j->has_soma) {
        j->root = centre_of_soma(j);
        status = add_points(j, borders, num_borders, &j->before);
    } else if (num_borders) {
        (void)ck_place_of(&t->places, borders[0], borders[1], borders[2], &j->root);
        status = add_points(j, borders + 3, num_borders - 1, &j->before);
    } else {
        status = ck_geodesic_field(t, t->places.run_place[0], 0, &j->root);
    }
    if (status == CRACKLE_OK)
        status = ck_geodesic_field(t, j->root, 1, &j->farthest);
    return status;
}

/* --------------------------------- Targets --------------------------------- */

/* Sort what is left of a layer: the farthest first, and of equal ones the first place. */
static crackle_status sort_layer(struct ck_job *j, u64 begin, u64 end)
{
    struct crackle_tracer *t = j->t;
    u64 count = 0;

    for (u64 i = begin; i < end; i++)
        if (t->fields.key[t->order[i]] >= 0)
            t->order[begin + count++] = t->order[i];
    j->next = begin;
    j->layer_end = begin + count;
    if (count < 2)
        return CRACKLE_OK;
    {
        struct ck_pair *pairs = ck_malloc(count, 2 * sizeof(*pairs));

        if (!pairs)
            return CRACKLE_NO_MEMORY;
        for (u64 i = 0; i < count; i++) {
            const u32 place = t->order[begin + i];

            pairs[i].key = (u64)(UINT32_MAX - ck_float_bits(t->fields.geodesic[place])) << 32 | place;
            pairs[i].value = place;
        }
        ck_sort_pairs(pairs, pairs + count, (size_t)count);
        for (u64 i = 0; i < count; i++)
            t->order[begin + i] = (u32)pairs[i].value;
        free(pairs);
    }
    return CRACKLE_OK;
}

/* The farthest voxel that is not invalidated. There must be one. */
static crackle_status farthest_valid(struct ck_job *j, u32 *target)
{
    struct crackle_tracer *t = j->t;

    for (;;) {
        for (; j->next < j->layer_end; j->next++) {
            if (t->fields.key[t->order[j->next]] >= 0) {
                *target = t->order[j->next];
                return CRACKLE_OK;
            }
        }
        if (j->layer == 0)
            return CRACKLE_BAD_ARGUMENT; /* the object is not connected */
        j->layer--;
        {
            const crackle_status status = sort_layer(j, t->layers[j->layer], t->layers[j->layer + 1]);

            if (status != CRACKLE_OK)
                return status;
        }
    }
}

/* ---------------------------------- Paths ---------------------------------- */

/* From a place to the root, or to the first vertex of the skeleton, along the tree of cheapest paths. */
static crackle_status path_in_tree(struct ck_job *j, u32 target)
{
    struct crackle_tracer *t = j->t;

    if (t->fields.states[target].distance == INFINITY)
        return CRACKLE_BAD_ARGUMENT; /* the object is not connected */
    t->path.count = 0;
    for (u32 place = target;; place = ck_previous(t, place)) {
        if (!ck_list_add(&t->path, place))
            return CRACKLE_NO_MEMORY;
        if (place == j->root || t->fields.states[place].cost == 0)
            return CRACKLE_OK;
    }
}

static crackle_status find_path(struct ck_job *j, u32 target)
{
    if (!j->parameters->fix_branching)
        return path_in_tree(j, target);
    if (j->num_paths == 0 && !j->has_soma)
        return ck_path_to_root(j->t, target, j->root);
    return ck_path_to_rail(j->t, target);
}

/*
 * Keep of a path what comes before the ball of the soma, and tie it to the root.  The part beyond leads to the root or to
 * a vertex that is tied to it already.
 */
static void clip_to_soma(struct ck_job *j)
{
    struct ck_list *path = &j->t->path;
    const double reach = j->soma_radius * j->soma_radius;

    for (size_t i = 0; i < path->count; i++) {
        if (apart(j->t, path->places[i], j->root) <= reach) {
            path->places[i] = j->root;
            path->count = i + 1;
            return;
        }
    }
}

static crackle_status next_target(struct ck_job *j, u32 *target)
{
    if (j->before.count) {
        *target = j->before.places[--j->before.count];
        return CRACKLE_OK;
    }
    if (j->t->num_valid == 0) {
        *target = j->after.places[--j->after.count];
        return CRACKLE_OK;
    }
    return farthest_valid(j, target);
}

static crackle_status trace_path(struct ck_job *j)
{
    const struct crackle_teasar *p = j->parameters;
    u32 target;
    crackle_status status = next_target(j, &target);

    if (status == CRACKLE_OK)
        status = find_path(j, target);
    if (status != CRACKLE_OK)
        return status;
    j->num_paths++;
    if (j->has_soma)
        clip_to_soma(j);
    status = ck_add_path(j);
    if (status == CRACKLE_OK && j->t->num_valid)
        status = ck_invalidate(j->t, j->t->path.places, j->t->path.count, p->scale, p->constant);
    /* A target within the ball of the soma that the soma did not invalidate: it would be the target for ever. */
    if (status == CRACKLE_OK && j->t->num_valid && j->t->fields.key[target] >= 0)
        status = ck_invalidate(j->t, &target, 1, p->scale, p->constant);
    return status;
}

static crackle_status trace_paths(struct ck_job *j)
{
    const struct crackle_teasar *p = j->parameters;
    struct crackle_tracer *t = j->t;
    crackle_status status = CRACKLE_OK;

    ck_penalty_field(t, j->radius_max, t->fields.geodesic[j->farthest], p->pdrf_scale, p->pdrf_exponent);
    for (u32 i = 0; i < t->places.count; i++)
        t->fields.key[i] = ck_is_voxel(t, i) ? INFINITY : -1;
    t->num_valid = t->places.num_voxels;
    j->layer = t->num_layers;
    j->next = j->layer_end = 0;
    if (j->has_soma) {
        if (!ck_list_add(&j->vertices, j->root))
            return CRACKLE_NO_MEMORY;
        j->has_root = 1;
        status = ck_invalidate(t, &j->root, 1, p->soma_scale, p->soma_constant);
    } else if (j->before.count == 0 && !ck_list_add(&j->before, j->farthest)) {
        status = CRACKLE_NO_MEMORY;
    }
    if (status == CRACKLE_OK && !p->fix_branching)
        status = ck_tree_of_paths(t, j->root);
    if (p->fix_branching || j->has_soma)
        t->fields.states[j->root].cost = 0;
    while (status == CRACKLE_OK && (t->num_valid || j->before.count || j->after.count) && j->num_paths < p->max_paths)
        status = trace_path(j);
    return status;
}

/* --------------------------------- Objects --------------------------------- */

/* The distance field, and again with voids filled if there may be a soma. */
static crackle_status measure_soma(struct ck_job *j, const struct ck_run *runs, u64 num_runs)
{
    const struct crackle_teasar *p = j->parameters;
    crackle_status status = ck_measure(j, runs, num_runs, 0);

    /* A graph says nothing about the voxels of voids. */
    if (status == CRACKLE_OK && j->radius_max > p->soma_detection && !p->graph) {
        u64 num_filled;

        status = ck_fill_voids(runs, num_runs, 0, &j->filled, &num_filled);
        if (status == CRACKLE_OK && j->filled)
            status = ck_measure(j, j->filled, num_filled, 0);
    }
    j->has_soma = j->radius_max > p->soma_acceptance && j->radius_max > p->soma_detection;
    j->soma_radius = p->soma_scale * j->radius_max + p->soma_constant;
    return status;
}

crackle_status crackle_trace(crackle_tracer *tracer, const crackle_runs *runs, uint64_t object,
                             const struct crackle_teasar *parameters, const uint32_t *before, uint64_t num_before,
                             const uint32_t *after, uint64_t num_after, const volatile int32_t *stop,
                             struct crackle_skeleton *skeleton_ret)
{
    struct ck_job j;
    const struct ck_run *own;
    u32 *borders = NULL;
    u64 num_runs, num_borders = 0;
    crackle_status status = ck_begin_job(&j, tracer, runs, object, parameters, stop);

    memset(skeleton_ret, 0, sizeof(*skeleton_ret));
    skeleton_ret->root = UINT32_MAX;
    if (status != CRACKLE_OK)
        return status;
    own = runs->runs + runs->begin[object];
    num_runs = runs->begin[object + 1] - runs->begin[object];
    if (num_runs == 0 || (num_runs == 1 && own->end - own->x == 1))
        return CRACKLE_OK;
    if (parameters->border_faces)
        status = ck_border_targets(own, num_runs, j.size, parameters->voxel_size, parameters->border_faces, &borders,
                                   &num_borders);
    if (status == CRACKLE_OK)
        status = measure_soma(&j, own, num_runs);
    if (status == CRACKLE_OK)
        status = choose_root(&j, borders, num_borders);
    if (status == CRACKLE_OK)
        status = add_points(&j, before, num_before, &j.before);
    if (status == CRACKLE_OK)
        status = add_points(&j, after, num_after, &j.after);
    if (status == CRACKLE_OK)
        status = trace_paths(&j);
    if (status == CRACKLE_OK)
        status = ck_put_skeleton(&j, 1, skeleton_ret);
    free(borders);
    ck_end_job(&j);
    return status;
}
