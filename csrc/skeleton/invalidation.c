/*
 * invalidation.c - the voxels of an object that a path accounts for
 *
 * Every voxel of a path is a seed, and reaches scale * radius + constant.  Seeds claim voxels in the order of distance,
 * all at once: a voxel goes to the seed that comes first, if it is nearer than that seed's reach and touches a voxel
 * that the seed has claimed.  So a claim does not leap over a gap to another branch, and a seed with a short reach can
 * stand in the way of one with a longer.  Seeds that were invalidated before do not spread.
 *
 * Distances are straight, from centre to centre.  Each voxel keeps its best key so far, and an entry that does not
 * improve it is not put into the heap: 1.05 to 1.25 entries for each voxel that is claimed.  What is put in is always
 * claimed, so nothing has to be reset for the next path.
 *
 * The queue is a ring of buckets, in which claims of nearly equal distance have no order; or a heap, where a voxel's edges
 * differ by a factor of a thousand.
 *
 * Cost: linear in the voxels claimed; each is claimed once in all.
 */
#include "neighbours.h"
#include "tracer.h"

struct seed {
    u32 x, y, z;
    float reach;  /* squared */
};

/* The squared distances of a voxel and its neighbours from a seed, along each axis. */
struct squares {
    float x[3], y[3], z[3];
};

/* Of neighbour 'i' from 0 to 2; 1 is the voxel itself. */
static inline float square(u32 at, u32 i, u32 seed, float edge)
{
    const float away = (float)(int32_t)(at + i - 1 - seed) * edge;

    return away * away;
}

static inline struct squares squares_from(const struct seed *seed, const struct ck_segment *s, u32 place, const float *edges)
{
    struct squares squares;

    for (u32 i = 0; i < 3; i++) {
        squares.x[i] = square(s->x + (place - s->place), i, seed->x, edges[0]);
        squares.y[i] = square(s->y, i, seed->y, edges[1]);
        squares.z[i] = square(s->z, i, seed->z, edges[2]);
    }
    return squares;
}

/* The squared distance of a row of slots from a seed, across the row. */
static inline float across(const struct squares *s, u32 row)
{
    return s->y[ck_row_in_nine(row) % 3] + s->z[ck_row_in_nine(row) / 3];
}

/* The slots of neighbours of 'place' that a seed can claim. */
static inline u32 nearer(const struct ck_segment *s, const float *key, u32 place, const struct squares *away, float reach)
{
    const ck_three along = ck_three_of(away->x[0], away->x[1], away->x[2]);

#define IS_BETTER(first, row) ck_three_below(ck_three_plus(along, across(away, row)), key + (first), reach)
    return CK_BETTER(s, place, IS_BETTER);
#undef IS_BETTER
}

/* Half the shortest edge of a voxel: narrower buckets change no result that matters, wider ones lose some ends. */
#define BUCKET 0.5

/* Claim a voxel for its seed, and offer the seed its neighbours: 'put' gets the squared distance and place of each. */
#define CLAIM(t, e, all, edges, has_graph, put)                                                   \
    do {                                                                                          \
        const struct seed *const seed_ = &(all)[(e)->seed];                                       \
        const struct ck_segment *const s_ = ck_segment_of(&(t)->places, &(t)->fields, (e)->place); \
        float *const key_ = (t)->fields.key;                                                      \
        const struct squares away_ = squares_from(seed_, s_, (e)->place, (edges));                \
        u32 nearer_;                                                                              \
                                                                                                  \
        key_[(e)->place] = -1; /* so that it is not offered itself */                             \
        (t)->num_valid--;                                                                         \
        nearer_ = nearer(s_, key_, (e)->place, &away_, seed_->reach);                             \
        if (has_graph)                                                                            \
            nearer_ &= ck_slots_of((t)->fields.graph[(e)->place]);                                \
        for (; nearer_; nearer_ &= nearer_ - 1) {                                                 \
            const u32 slot_ = ck_ctz64(nearer_), to_ = ck_neighbour(s_, (e)->place, slot_);       \
            const float distance2_ = away_.x[slot_ % 3] + across(&away_, slot_ / 3);              \
                                                                                                  \
            key_[to_] = distance2_;                                                               \
            put(distance2_, to_);                                                                 \
        }                                                                                         \
    } while (0)

/* In the functions from here on, 'has_graph' is a constant after inlining. */
CK_FORCEINLINE crackle_status with_ring(struct crackle_tracer *t, const struct seed *all, const float *edges, int has_graph)
{
    const float *const key = t->fields.key;
    struct ck_ring *const ring = &t->ring;
    u64 steps = 0;

    while (ring->waiting) {
        const struct ck_bucket *b = ck_ring_next(ring);

        for (size_t i = 0; i < b->count; i++) {
            const struct ck_entry e = b->entries[i];

            ck_fetch_ahead(t, t->fields.key, b, i);
            if (key[e.place] != e.key)
                continue;
            if (++steps % CK_STEPS_AT_ONCE == 0 && ck_is_set(t->stop))
                return CRACKLE_STOPPED;
#define PUT(distance2, place)                                       \
    do {                                                                  \
        if (!ck_ring_put(ring, sqrtf(distance2), distance2, place, e.seed)) \
            return CRACKLE_NO_MEMORY;                                     \
    } while (0)
            CLAIM(t, &e, all, edges, has_graph, PUT);
#undef PUT
        }
        ck_ring_done(ring);
    }
    return CRACKLE_OK;
}

CK_FORCEINLINE crackle_status with_heap(struct crackle_tracer *t, const struct seed *all, const float *edges, int has_graph)
{
    const float *const key = t->fields.key;
    struct ck_entry e;
    u64 steps = 0;

    while (ck_heap_take(&t->heap, &e)) {
        if (key[e.place] != e.key)
            continue;
        if (++steps % CK_STEPS_AT_ONCE == 0 && ck_is_set(t->stop))
            return CRACKLE_STOPPED;
#define PUT(distance2, place) ck_heap_put(&t->heap, distance2, place, e.seed)
        CLAIM(t, &e, all, edges, has_graph, PUT);
#undef PUT
    }
    return t->heap.is_out_of_memory ? CRACKLE_NO_MEMORY : CRACKLE_OK;
}

static crackle_status spread(struct crackle_tracer *t, const struct seed *all, const float *edges, int has_ring)
{
    if (t->fields.graph)
        return has_ring ? with_ring(t, all, edges, 1) : with_heap(t, all, edges, 1);
    return has_ring ? with_ring(t, all, edges, 0) : with_heap(t, all, edges, 0);
}

crackle_status ck_invalidate(struct crackle_tracer *t, const u32 *seeds, size_t count, double scale, double constant)
{
    const float edges[3] = {(float)t->voxel_size[0], (float)t->voxel_size[1], (float)t->voxel_size[2]};
    float *const key = t->fields.key;
    struct seed *all = ck_malloc(count, sizeof(*all));
    const double width = BUCKET * t->shortest;
    const int has_ring = ck_ring_fits(t->longest, width);
    crackle_status status = CRACKLE_OK;

    if (!all)
        return CRACKLE_NO_MEMORY;
    if (has_ring && !ck_ring_reset(&t->ring, t->longest, width))
        status = CRACKLE_NO_MEMORY;
    ck_heap_clear(&t->heap);
    for (size_t i = 0; status == CRACKLE_OK && i < count; i++) {
        const u32 place = seeds[i];
        const struct ck_segment *s = ck_segment_of(&t->places, &t->fields, place);
        const double reach = scale * t->fields.states[place].radius + constant;

        if (key[place] < 0)
            continue;
        all[i].x = s->x + (place - s->place);
        all[i].y = s->y;
        all[i].z = s->z;
        all[i].reach = (float)(reach * reach);
        key[place] = 0;
        if (!has_ring)
            ck_heap_put(&t->heap, 0, place, (u32)i);
        else if (!ck_ring_put(&t->ring, 0, 0, place, (u32)i))
            status = CRACKLE_NO_MEMORY;
    }
    if (status == CRACKLE_OK)
        status = spread(t, all, edges, has_ring);
    free(all);
    return status;
}
