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

int ck_list_add(struct ck_list *l, u32 place)
{
    void *places = l->places;

    if (CK_UNLIKELY(l->count == l->capacity)) {
        if (!ck_reserve(&places, &l->capacity, (u64)l->count + 1, sizeof(*l->places)))
            return 0;
        l->places = places;
    }
    l->places[l->count++] = place;
    return 1;
}

/* One object on its way to a skeleton. */
struct job {
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

/* --------------------------------- Fields ---------------------------------- */

static crackle_status reserve_fields(struct crackle_tracer *t)
{
    const size_t count = t->places.count;
    size_t voxels = t->order_capacity;

    if (count > t->capacity) {
        /* Not realloc(): nothing needs to be copied. */
        free(t->fields.states);
        free(t->fields.geodesic);
        free(t->fields.key);
        free(t->fields.direction_back);
        t->capacity = 0;
        t->fields.states = ck_malloc(count, sizeof(*t->fields.states));
        t->fields.geodesic = ck_malloc(count, sizeof(*t->fields.geodesic));
        t->fields.key = ck_malloc(count, sizeof(*t->fields.key));
        t->fields.direction_back = ck_malloc(count, 1);
        if (!t->fields.states || !t->fields.geodesic || !t->fields.key || !t->fields.direction_back)
            return CRACKLE_NO_MEMORY;
        t->capacity = count;
    }
    if (t->places.num_voxels > voxels) {
        free(t->order);
        t->order_capacity = 0;
        t->order = ck_malloc(t->places.num_voxels, sizeof(*t->order));
        if (!t->order)
            return CRACKLE_NO_MEMORY;
        t->order_capacity = (size_t)t->places.num_voxels;
    }
    return CRACKLE_OK;
}

/* Number the voxels of an object, and find its distance field. */
static crackle_status measure(struct job *j, const struct ck_run *runs, u64 num_runs, int is_bounded)
{
    struct crackle_tracer *t = j->t;
    crackle_status status;

    ck_places_free(&t->places);
    status = ck_places_init(&t->places, runs, num_runs);
    if (status == CRACKLE_OK)
        status = reserve_fields(t);
    if (status != CRACKLE_OK)
        return status;
    for (u32 i = 0; i < t->places.count; i++) {
        t->fields.states[i].link = 0;
        t->fields.states[i].radius = 0;
    }
    for (u32 i = 0; i < t->places.num_segments; i++) {
        const struct ck_segment *s = &t->places.segments[i];

        for (u32 k = 0; k < s->length; k++)
            t->fields.states[s->place + k].link = i << 5;
    }
    /* An object that fills the volume has no voxel outside. */
    is_bounded |= t->places.num_voxels == (u64)j->size[0] * j->size[1] * j->size[2];
    status = ck_distance_field(&t->places, &t->fields, j->size, is_bounded, t->voxel_size, t->stop);
    j->radius_max = 0;
    for (u32 i = 0; status == CRACKLE_OK && i < t->places.count; i++) {
        const float radius = t->fields.states[i].radius;

        j->radius_max = radius > j->radius_max ? radius : j->radius_max;
    }
    return status;
}

static void locate(const struct crackle_tracer *t, u32 place, u32 *point)
{
    const struct ck_segment *s = ck_segment_of(&t->places, &t->fields, place);

    point[0] = s->x + (place - s->place);
    point[1] = s->y;
    point[2] = s->z;
}

/* The squared distance of two voxels. */
static double apart(const struct crackle_tracer *t, u32 a, u32 b)
{
    u32 one[3], other[3];
    double sum = 0;

    locate(t, a, one);
    locate(t, b, other);
    for (int axis = 0; axis < 3; axis++) {
        const double away = ((double)one[axis] - other[axis]) * t->voxel_size[axis];

        sum += away * away;
    }
    return sum;
}

/* ---------------------------------- Root ----------------------------------- */

/* The voxel of the largest radius that is nearest to the centroid of all of that radius. */
static u32 centre_of_soma(const struct job *j)
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

static crackle_status add_points(struct job *j, const u32 *points, u64 count, struct ck_list *to)
{
    u32 place;

    for (u64 i = 0; i < count; i++)
        if (ck_place_of(&j->t->places, points[3 * i], points[3 * i + 1], points[3 * i + 2], &place) &&
            !ck_list_add(to, place))
            return CRACKLE_NO_MEMORY;
    return CRACKLE_OK;
}

/* Choose the root, and fill the geodesic field. Border targets that are not the root become targets. */
static crackle_status choose_root(struct job *j, const u32 *borders, u64 num_borders)
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
static crackle_status sort_layer(struct job *j, u64 begin, u64 end)
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
static crackle_status farthest_valid(struct job *j, u32 *target)
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
static crackle_status path_in_tree(struct job *j, u32 target)
{
    struct crackle_tracer *t = j->t;

    t->path.count = 0;
    for (u32 place = target;; place = ck_previous(t, place)) {
        if (!ck_list_add(&t->path, place))
            return CRACKLE_NO_MEMORY;
        if (place == j->root || t->fields.states[place].cost == 0)
            return CRACKLE_OK;
    }
}

static crackle_status find_path(struct job *j, u32 target)
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
static void clip_to_soma(struct job *j)
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

/* Add a path to the skeleton: all its voxels are new vertices, but for the last, if that is a vertex already. */
static crackle_status add_path(struct job *j)
{
    const struct ck_list *path = &j->t->path;
    struct ck_state *states = j->t->fields.states;

    for (size_t i = 0; i < path->count; i++) {
        const u32 place = path->places[i];
        const int is_new = place == j->root ? !j->has_root : states[place].cost != 0;

        if (is_new && !ck_list_add(&j->vertices, place))
            return CRACKLE_NO_MEMORY;
        if (i > 0 && !(ck_list_add(&j->edges, path->places[i - 1]) && ck_list_add(&j->edges, place)))
            return CRACKLE_NO_MEMORY;
        states[place].cost = 0;
        j->has_root |= place == j->root;
    }
    return CRACKLE_OK;
}

static crackle_status next_target(struct job *j, u32 *target)
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

static crackle_status trace_path(struct job *j)
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
    status = add_path(j);
    if (status == CRACKLE_OK && j->t->num_valid)
        status = ck_invalidate(j->t, j->t->path.places, j->t->path.count, p->scale, p->constant);
    /* A target within the ball of the soma that the soma did not invalidate: it would be the target for ever. */
    if (status == CRACKLE_OK && j->t->num_valid && j->t->fields.key[target] >= 0)
        status = ck_invalidate(j->t, &target, 1, p->scale, p->constant);
    return status;
}

static crackle_status trace_paths(struct job *j)
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

/* --------------------------------- Results --------------------------------- */

/* Sort the vertices by x, y and z. */
static crackle_status sort_vertices(struct job *j)
{
    const size_t count = j->vertices.count;
    struct ck_pair *pairs = ck_malloc(count, 2 * sizeof(*pairs));
    u32 point[3];

    if (!pairs)
        return CRACKLE_NO_MEMORY;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < count; i++) {
            pairs[i].value = j->vertices.places[i];
            locate(j->t, j->vertices.places[i], point);
            pairs[i].key = pass == 0 ? (u64)point[1] << 32 | point[2] : point[0];
        }
        ck_sort_pairs(pairs, pairs + count, count);
        for (size_t i = 0; i < count; i++)
            j->vertices.places[i] = (u32)pairs[i].value;
    }
    free(pairs);
    return CRACKLE_OK;
}

/* Put the edges, sorted. The links of the vertices have become their numbers. */
static crackle_status put_edges(struct job *j, struct crackle_skeleton *out)
{
    const struct ck_state *states = j->t->fields.states;
    const size_t count = j->edges.count / 2;
    struct ck_pair *pairs = ck_malloc(count, 2 * sizeof(*pairs));

    if (!pairs)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const u64 a = states[j->edges.places[2 * i]].link, b = states[j->edges.places[2 * i + 1]].link;

        pairs[i].key = a < b ? a << 32 | b : b << 32 | a;
        pairs[i].value = 0;
    }
    ck_sort_pairs(pairs, pairs + count, count);
    for (size_t i = 0; i < count; i++) {
        out->edges[2 * i] = (u32)(pairs[i].key >> 32);
        out->edges[2 * i + 1] = (u32)pairs[i].key;
    }
    out->num_edges = count;
    free(pairs);
    return CRACKLE_OK;
}

static crackle_status put_skeleton(struct job *j, int is_sorted, struct crackle_skeleton *out)
{
    struct ck_state *states = j->t->fields.states;
    const size_t count = j->vertices.count;
    crackle_status status = is_sorted ? sort_vertices(j) : CRACKLE_OK;

    if (status != CRACKLE_OK)
        return status;
    out->vertices = ck_malloc(count, 3 * sizeof(*out->vertices));
    out->radii = ck_malloc(count, sizeof(*out->radii));
    out->edges = ck_malloc(j->edges.count, sizeof(*out->edges));
    if (!out->vertices || !out->radii || !out->edges)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        locate(j->t, j->vertices.places[i], out->vertices + 3 * i);
        out->radii[i] = states[j->vertices.places[i]].radius;
        out->root = j->vertices.places[i] == j->root ? (u32)i : out->root;
    }
    for (size_t i = 0; i < count; i++)
        states[j->vertices.places[i]].link = (u32)i;
    out->num_vertices = count;
    out->num_paths = j->num_paths;
    out->soma_radius = j->has_soma ? (float)j->soma_radius : 0;
    return put_edges(j, out);
}

/* --------------------------------- Objects --------------------------------- */

static int is_length(double value)
{
    return value >= 0 && value < INFINITY;
}

static int are_valid(const struct crackle_teasar *p)
{
    for (int axis = 0; axis < 3; axis++)
        if (!(p->voxel_size[axis] >= 1e-9 && p->voxel_size[axis] <= 1e9))
            return 0;
    return is_length(p->scale) && is_length(p->constant) && is_length(p->pdrf_scale) && is_length(p->pdrf_exponent) &&
           p->soma_detection >= 0 && p->soma_acceptance >= 0 && is_length(p->soma_scale) && is_length(p->soma_constant);
}

static crackle_status begin_job(struct job *j, struct crackle_tracer *t, const crackle_runs *runs, u64 object,
                                const struct crackle_teasar *p, const volatile int32_t *stop)
{
    memset(j, 0, sizeof(*j));
    j->t = t;
    j->parameters = p;
    j->size[0] = runs->sx;
    j->size[1] = runs->sy;
    j->size[2] = runs->sz;
    if (object >= runs->count || !are_valid(p))
        return CRACKLE_BAD_ARGUMENT;
    t->stop = stop;
    memcpy(t->voxel_size, p->voxel_size, sizeof(t->voxel_size));
    t->shortest = INFINITY;
    t->longest = 0;
    for (int axis = 0; axis < 3; axis++) {
        const double edge = p->voxel_size[axis];

        t->shortest = edge < t->shortest ? edge : t->shortest;
        t->longest = sqrt(t->longest * t->longest + edge * edge);
    }
    for (u32 row = 0; row < 8; row++) {
        const u32 in_nine = row < 4 ? row : row + 1;
        const double dx = p->voxel_size[0], dy = in_nine % 3 == 1 ? 0 : p->voxel_size[1];
        const double dz = in_nine / 3 == 1 ? 0 : p->voxel_size[2];

        t->straight[row] = (float)sqrt(dy * dy + dz * dz);
        t->diagonal[row] = (float)sqrt(dx * dx + dy * dy + dz * dz);
    }
    return CRACKLE_OK;
}

static void end_job(struct job *j, crackle_status status, struct crackle_skeleton *out)
{
    free(j->filled);
    free(j->vertices.places);
    free(j->edges.places);
    free(j->before.places);
    free(j->after.places);
    ck_places_free(&j->t->places);
    memset(&j->t->places, 0, sizeof(j->t->places));
    if (status == CRACKLE_OK)
        return;
    free(out->vertices);
    free(out->radii);
    free(out->edges);
    out->vertices = NULL;
    out->radii = NULL;
    out->edges = NULL;
    out->num_vertices = out->num_edges = 0;
}

/* The distance field, and again with voids filled if there may be a soma. */
static crackle_status measure_soma(struct job *j, const struct ck_run *runs, u64 num_runs)
{
    const struct crackle_teasar *p = j->parameters;
    crackle_status status = measure(j, runs, num_runs, 0);

    if (status == CRACKLE_OK && j->radius_max > p->soma_detection) {
        u64 num_filled;

        status = ck_fill_voids(runs, num_runs, &j->filled, &num_filled);
        if (status == CRACKLE_OK && j->filled)
            status = measure(j, j->filled, num_filled, 0);
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
    struct job j;
    const struct ck_run *own;
    u32 *borders = NULL;
    u64 num_runs, num_borders = 0;
    crackle_status status = begin_job(&j, tracer, runs, object, parameters, stop);

    memset(skeleton_ret, 0, sizeof(*skeleton_ret));
    skeleton_ret->root = UINT32_MAX;
    if (status != CRACKLE_OK)
        return status;
    own = runs->runs + runs->begin[object];
    num_runs = runs->begin[object + 1] - runs->begin[object];
    if (num_runs == 0 || (num_runs == 1 && own->end - own->x == 1))
        return CRACKLE_OK;
    if (parameters->fix_borders)
        status = ck_border_targets(own, num_runs, j.size, parameters->voxel_size, &borders, &num_borders);
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
        status = put_skeleton(&j, 1, skeleton_ret);
    free(borders);
    end_job(&j, status, skeleton_ret);
    return status;
}

crackle_status crackle_connect(crackle_tracer *tracer, const crackle_runs *runs, uint64_t object,
                               const struct crackle_teasar *parameters, const uint32_t *start, const uint32_t *end,
                               const volatile int32_t *stop, struct crackle_skeleton *skeleton_ret)
{
    struct job j;
    u32 target;
    crackle_status status = begin_job(&j, tracer, runs, object, parameters, stop);

    memset(skeleton_ret, 0, sizeof(*skeleton_ret));
    skeleton_ret->root = UINT32_MAX;
    if (status != CRACKLE_OK)
        return status;
    if (runs->begin[object] == runs->begin[object + 1])
        return CRACKLE_BAD_ARGUMENT;
    status = measure(&j, runs->runs + runs->begin[object], runs->begin[object + 1] - runs->begin[object], 1);
    if (status == CRACKLE_OK && !(ck_place_of(&tracer->places, start[0], start[1], start[2], &j.root) &&
                                  ck_place_of(&tracer->places, end[0], end[1], end[2], &target)))
        status = CRACKLE_BAD_ARGUMENT;
    if (status == CRACKLE_OK)
        status = ck_geodesic_field(tracer, j.root, 1, &j.farthest);
    if (status == CRACKLE_OK) {
        ck_penalty_field(tracer, j.radius_max, tracer->fields.geodesic[j.farthest], parameters->pdrf_scale,
                         parameters->pdrf_exponent);
        for (u32 i = 0; i < tracer->places.count; i++)
            tracer->fields.key[i] = ck_is_voxel(tracer, i) ? INFINITY : -1;
        status = ck_path_to_root(tracer, target, j.root);
    }
    if (status == CRACKLE_OK)
        status = add_path(&j);
    if (status == CRACKLE_OK)
        status = put_skeleton(&j, 0, skeleton_ret);
    end_job(&j, status, skeleton_ret);
    return status;
}

crackle_tracer *crackle_tracer_new(void)
{
    return ck_calloc(1, sizeof(crackle_tracer));
}

void crackle_tracer_free(crackle_tracer *tracer)
{
    if (!tracer)
        return;
    ck_places_free(&tracer->places);
    free(tracer->fields.states);
    free(tracer->fields.geodesic);
    free(tracer->fields.key);
    free(tracer->fields.direction_back);
    ck_heap_free(&tracer->heap);
    ck_heap_free(&tracer->heap_back);
    free(tracer->path.places);
    free(tracer->touched.places);
    free(tracer->touched_back.places);
    free(tracer->order);
    free(tracer->layers);
    ck_ring_free(&tracer->ring);
    free(tracer);
}
