/*
 * tracer.c - the memory of a tracer, and the first steps with an object: its places and its distance field
 *
 * The fields of the largest object so far are kept for the next one.
 */
#include "tracer.h"
#include "voxel_graph.h"

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
    free(tracer->fields.graph);
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
        /* Three neighbours are read as four; see three.h. */
        t->fields.geodesic = ck_malloc((u64)count + 1, sizeof(*t->fields.geodesic));
        t->fields.key = ck_malloc((u64)count + 1, sizeof(*t->fields.key));
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

/* Take the steps out of each voxel from the caller's graph, if there is one. */
static crackle_status take_graph(struct ck_job *j)
{
    struct crackle_tracer *t = j->t;
    const struct ck_places *p = &t->places;
    const u32 *graph = j->parameters->graph;

    free(t->fields.graph);
    t->fields.graph = NULL;
    if (!graph)
        return CRACKLE_OK;
    t->fields.graph = ck_calloc(p->count, sizeof(*t->fields.graph));
    if (!t->fields.graph)
        return CRACKLE_NO_MEMORY;
    for (u64 i = 0; i < p->num_runs; i++) {
        const struct ck_run *r = &p->runs[i];

        for (u32 x = r->x; x < r->end; x++)
            t->fields.graph[p->run_place[i] + (x - r->x)] = ck_allowed_steps(graph, j->size, x, r->y, r->z);
    }
    return CRACKLE_OK;
}

crackle_status ck_number(struct ck_job *j, const struct ck_run *runs, u64 num_runs)
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
    for (u64 i = 0; i < num_runs; i++)
        for (u32 k = 0, length = runs[i].end - runs[i].x; k < length; k++)
            t->fields.states[t->places.run_place[i] + k].radius = 1;
    return take_graph(j);
}

crackle_status ck_measure(struct ck_job *j, const struct ck_run *runs, u64 num_runs, int is_bounded)
{
    struct crackle_tracer *t = j->t;
    crackle_status status = ck_number(j, runs, num_runs);

    if (status != CRACKLE_OK)
        return status;
    /* An object that fills the volume has no voxel outside. */
    is_bounded |= t->places.num_voxels == (u64)j->size[0] * j->size[1] * j->size[2];
    return ck_distance_field(&t->places, &t->fields, j->size, is_bounded, t->voxel_size, t->stop, &j->radius_max);
}

void ck_locate(const struct crackle_tracer *t, u32 place, u32 *point)
{
    const struct ck_segment *s = ck_segment_of(&t->places, &t->fields, place);

    point[0] = s->x + (place - s->place);
    point[1] = s->y;
    point[2] = s->z;
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

crackle_status ck_begin_job(struct ck_job *j, struct crackle_tracer *t, const crackle_runs *runs, u64 object,
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
    for (int d = 0; d < 27; d++) {
        const int steps[3] = {d % 3 - 1, d / 3 % 3 - 1, d / 9 - 1};
        const double dx = steps[0] * p->voxel_size[0], dy = steps[1] * p->voxel_size[1];
        const double dz = steps[2] * p->voxel_size[2];

        t->lengths[d] = (float)sqrt(dx * dx + dy * dy + dz * dz);
    }
    return CRACKLE_OK;
}

void ck_end_job(struct ck_job *j)
{
    free(j->filled);
    free(j->vertices.places);
    free(j->edges.places);
    free(j->before.places);
    free(j->after.places);
    ck_places_free(&j->t->places);
    memset(&j->t->places, 0, sizeof(j->t->places));
}

crackle_status crackle_widest(crackle_tracer *tracer, const crackle_runs *runs, uint64_t object,
                              const struct crackle_teasar *parameters, const volatile int32_t *stop,
                              float *radius_ret, uint32_t *point_ret)
{
    struct ck_job j;
    crackle_status status = ck_begin_job(&j, tracer, runs, object, parameters, stop);
    const struct ck_places *p = &tracer->places;
    int is_found = 0;

    *radius_ret = 0;
    if (status != CRACKLE_OK || runs->begin[object] == runs->begin[object + 1])
        return status;
    status = ck_measure(&j, runs->runs + runs->begin[object], runs->begin[object + 1] - runs->begin[object], 0);
    for (u64 i = 0; status == CRACKLE_OK && !is_found && i < p->num_runs; i++) {
        for (u32 x = p->runs[i].x; x < p->runs[i].end; x++) {
            if (tracer->fields.states[p->run_place[i] + (x - p->runs[i].x)].radius == j.radius_max) {
                point_ret[0] = x;
                point_ret[1] = p->runs[i].y;
                point_ret[2] = p->runs[i].z;
                is_found = 1;
                break;
            }
        }
    }
    *radius_ret = j.radius_max;
    ck_end_job(&j);
    return status;
}
