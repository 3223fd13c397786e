/*
 * oversegment.c - the nearest of some voxels of an object, for all its voxels
 *
 * Distances are those of paths through the object, over 26 neighbours.  Dijkstra's algorithm starts from all seeds at
 * once.  Where two are equally near, the later one wins; so that it always does, distances are whole multiples of a
 * small length, which add up to the same in any order.
 *
 * Cost: near-linear in the voxels.  Memory: some 20 bytes for each.
 */
#include <math.h>

#include "../crackle.h"
#include "heap.h"
#include "neighbours.h"

/* The longest step is below two to this, in units of distance: 2^31 of them still fit 64 bits. */
#define LONGEST 31
#define STOP_EVERY ((u32)1 << 16)
#define NO_SEED UINT32_MAX

struct flood {
    struct ck_places places;
    struct ck_heap heap;
    u64 step[27];    /* lengths of steps, by direction */
    u64 *distance;   /* per place; 0 where it is closed, or a seed */
    u32 *seed;
    u32 *segment;
};

/* Whether the lengths of steps are sound. */
static int set_steps(struct flood *f, const double *voxel_size)
{
    double squares[3];
    int exponent;

    for (int axis = 0; axis < 3; axis++) {
        if (!(voxel_size[axis] >= 1e-9 && voxel_size[axis] <= 1e9))
            return 0;
        squares[axis] = voxel_size[axis] * voxel_size[axis];
    }
    /* The unit is a power of two: steps that are whole numbers, as those of most voxels along axes, stay exact. */
    frexp(sqrt(squares[0] + squares[1] + squares[2]), &exponent);
    for (int d = 0; d < 27; d++) {
        const double length = sqrt((d % 3 != 1) * squares[0] + (d / 3 % 3 != 1) * squares[1] + (d / 9 != 1) * squares[2]);

        f->step[d] = (u64)floor(ldexp(length, LONGEST - exponent) + 0.5);
        if (f->step[d] == 0)
            f->step[d] = 1;
    }
    return 1;
}

static crackle_status open_fields(struct flood *f)
{
    const struct ck_places *p = &f->places;

    f->distance = ck_calloc(p->count, sizeof(*f->distance));
    f->seed = ck_malloc(p->count, sizeof(*f->seed));
    f->segment = ck_malloc(p->count, sizeof(*f->segment));
    if (!f->distance || !f->seed || !f->segment)
        return CRACKLE_NO_MEMORY;
    for (u32 i = 0; i < p->count; i++)
        f->seed[i] = NO_SEED;
    for (u64 i = 0; i < p->num_runs; i++)
        for (u32 k = 0; k < p->runs[i].end - p->runs[i].x; k++)
            f->distance[p->run_place[i] + k] = UINT64_MAX;
    for (u32 s = 0; s < p->num_segments; s++)
        for (u32 k = 0; k < p->segments[s].length; k++)
            f->segment[p->segments[s].place + k] = s;
    return CRACKLE_OK;
}

static void put_seeds(struct flood *f, const u32 *seeds, u64 count)
{
    for (u64 i = 0; i < count; i++) {
        u32 place;

        if (!ck_place_of(&f->places, seeds[3 * i], seeds[3 * i + 1], seeds[3 * i + 2], &place))
            continue;
        f->distance[place] = 0;
        f->seed[place] = (u32)i;
        ck_heap_put(&f->heap, 0, place, 0);
    }
}

static inline void visit(struct flood *f, u32 to, u64 distance, u32 seed)
{
    if (distance > f->distance[to])
        return;
    if (distance == f->distance[to] && seed <= f->seed[to])
        return;
    f->distance[to] = distance;
    f->seed[to] = seed;
    ck_heap_put(&f->heap, (float)distance, to, 0);
}

static crackle_status spread(struct flood *f, const volatile int32_t *stop)
{
    struct ck_entry e;
    u32 until_look = STOP_EVERY;

    while (ck_heap_take(&f->heap, &e)) {
        const struct ck_segment *s = &f->places.segments[f->segment[e.place]];
        const u64 distance = f->distance[e.place];
        const u32 seed = f->seed[e.place];

        if (--until_look == 0) {
            if (ck_is_set(stop))
                return CRACKLE_STOPPED;
            until_look = STOP_EVERY;
        }
        if ((float)distance < e.key)
            continue; /* a nearer seed was found since */
        for (u32 slots = s->slots & ~CK_OWN_SLOT; slots; slots &= slots - 1) {
            const u32 slot = ck_ctz64(slots);

            visit(f, ck_neighbour(s, e.place, slot), distance + f->step[ck_direction_of(slot)], seed);
        }
        if (f->heap.is_out_of_memory)
            return CRACKLE_NO_MEMORY;
    }
    return CRACKLE_OK;
}

static void put_nearest(const struct flood *f, u32 *nearest)
{
    const struct ck_places *p = &f->places;
    u64 count = 0;

    for (u64 i = 0; i < p->num_runs; i++)
        for (u32 k = 0; k < p->runs[i].end - p->runs[i].x; k++)
            nearest[count++] = f->seed[p->run_place[i] + k];
}

crackle_status crackle_nearest_seeds(const crackle_runs *runs, uint64_t object, const double *voxel_size,
                                     const uint32_t *seeds, uint64_t num_seeds, const volatile int32_t *stop,
                                     uint32_t *nearest, uint64_t count)
{
    struct flood f;
    crackle_status status;
    u64 num_runs;

    if (object >= runs->count)
        return CRACKLE_BAD_ARGUMENT;
    num_runs = runs->begin[object + 1] - runs->begin[object];
    memset(&f, 0, sizeof(f));
    if (!set_steps(&f, voxel_size))
        return CRACKLE_BAD_ARGUMENT;
    if (num_seeds >= NO_SEED)
        return CRACKLE_TOO_LARGE;
    if (num_runs == 0)
        return count == 0 ? CRACKLE_OK : CRACKLE_BAD_ARGUMENT;
    status = ck_places_init(&f.places, runs->runs + runs->begin[object], num_runs);
    if (status == CRACKLE_OK && f.places.num_voxels != count)
        status = CRACKLE_BAD_ARGUMENT;
    if (status == CRACKLE_OK)
        status = open_fields(&f);
    if (status == CRACKLE_OK) {
        put_seeds(&f, seeds, num_seeds);
        status = f.heap.is_out_of_memory ? CRACKLE_NO_MEMORY : spread(&f, stop);
    }
    if (status == CRACKLE_OK)
        put_nearest(&f, nearest);
    free(f.distance);
    free(f.seed);
    free(f.segment);
    ck_heap_free(&f.heap);
    ck_places_free(&f.places);
    return status;
}
