/*
 * oversegment.c - the vertex of a skeleton that every voxel of an object is nearest to
 *
 * Distances are geodesic: the lengths of paths from voxel to voxel among 26 neighbours.  Dijkstra's algorithm from all
 * vertices at once; of two that are equally near, the one with the higher number takes the voxel.
 *
 * Cost: near-linear in the voxels.
 */
#include "../crackle.h"
#include "tracer.h"

/* Seeds begin with distance 0. Of two in one voxel, the one with the higher number counts. */
static void plant(struct crackle_tracer *t, const u32 *seeds, u64 count, u32 *owner)
{
    u32 place;

    ck_heap_clear(&t->heap);
    for (u64 i = 0; i < count; i++) {
        if (!ck_place_of(&t->places, seeds[3 * i], seeds[3 * i + 1], seeds[3 * i + 2], &place))
            continue;
        owner[place] = (u32)i + 1;
        t->fields.geodesic[place] = 0;
        ck_heap_put(&t->heap, 0, place, (u32)i + 1);
    }
}

static crackle_status grow(struct crackle_tracer *t, u32 *owner)
{
    float *const geodesic = t->fields.geodesic;
    struct ck_entry e;
    u64 steps = 0;

    while (ck_heap_take(&t->heap, &e)) {
        const struct ck_segment *s = ck_segment_of(&t->places, &t->fields, e.place);

        if (geodesic[e.place] != e.key || owner[e.place] != e.seed)
            continue;
        if (++steps % CK_STEPS_AT_ONCE == 0 && ck_is_set(t->stop))
            return CRACKLE_STOPPED;
#define VISIT(to, direction)                                                                              \
    do {                                                                                                  \
        const u32 to_ = (to);                                                                             \
        const float distance_ = e.key + t->lengths[direction];                                            \
                                                                                                          \
        if (distance_ < geodesic[to_] || (distance_ == geodesic[to_] && owner[to_] < e.seed)) {           \
            geodesic[to_] = distance_;                                                                    \
            owner[to_] = e.seed;                                                                          \
            ck_heap_put(&t->heap, distance_, to_, e.seed);                                                \
        }                                                                                                 \
    } while (0)
        CK_FOR_NEIGHBOURS(s, e.place, 0, 0, VISIT);
#undef VISIT
    }
    return t->heap.is_out_of_memory ? CRACKLE_NO_MEMORY : CRACKLE_OK;
}

crackle_status crackle_oversegment(crackle_tracer *tracer, const crackle_runs *runs, uint64_t object,
                                   const struct crackle_teasar *parameters, const uint32_t *seeds, uint64_t count,
                                   const volatile int32_t *stop, uint32_t *nearest, uint64_t num_voxels)
{
    const struct ck_places *p = &tracer->places;
    struct ck_job j;
    u32 *owner = NULL;
    u64 next = 0;
    crackle_status status = ck_begin_job(&j, tracer, runs, object, parameters, stop);

    if (status != CRACKLE_OK)
        return status;
    if (count >= UINT32_MAX)
        return CRACKLE_TOO_LARGE;
    if (runs->begin[object] == runs->begin[object + 1])
        return num_voxels == 0 ? CRACKLE_OK : CRACKLE_BAD_ARGUMENT;
    status = ck_number(&j, runs->runs + runs->begin[object], runs->begin[object + 1] - runs->begin[object]);
    if (status == CRACKLE_OK && num_voxels != p->num_voxels)
        status = CRACKLE_BAD_ARGUMENT;
    if (status == CRACKLE_OK) {
        owner = ck_calloc(p->count, sizeof(*owner));
        status = owner ? CRACKLE_OK : CRACKLE_NO_MEMORY;
    }
    if (status == CRACKLE_OK) {
        for (u32 i = 0; i < p->count; i++)
            tracer->fields.geodesic[i] = ck_is_voxel(tracer, i) ? INFINITY : -1;
        plant(tracer, seeds, count, owner);
        status = grow(tracer, owner);
    }
    for (u64 i = 0; status == CRACKLE_OK && i < p->num_runs; i++)
        for (u32 x = p->runs[i].x; x < p->runs[i].end; x++)
            nearest[next++] = owner[p->run_place[i] + (x - p->runs[i].x)];
    free(owner);
    ck_end_job(&j);
    return status;
}
