/*
 * geodesic.c - the geodesic distance of every voxel of an object from its root
 *
 * A path goes from voxel to voxel among 26 neighbours; its length is the sum of its steps' lengths.  Dijkstra's
 * algorithm with buckets as wide as the shortest step (Dial 1969; Denardo and Fox 1979): no step is shorter, so
 * whatever lies in the current bucket is final, and needs no order within the bucket.  The buckets form a ring, which
 * has to hold no more than the longest step.  Where the longest step is thousands of times the shortest, a heap takes
 * the ring's place.
 *
 * Buckets are also the layers from which tracing takes the farthest voxel that is left.  Most voxels of a layer are
 * invalidated before it is their turn, so layers are sorted only then, and only what is left of them.
 *
 * Cost: linear in the voxels.
 */
#include "neighbours.h"
#include "tracer.h"

/* Voxels in a layer when a heap gives them one by one. */
#define LAYER_OF_HEAP 1024

static int add_layer(struct crackle_tracer *t, u64 begin)
{
    void *layers = t->layers;
    const int ok = ck_reserve(&layers, &t->layers_capacity, (u64)t->num_layers + 2, sizeof(*t->layers));

    t->layers = layers;
    if (ok) {
        t->layers[t->num_layers++] = begin;
        t->layers[t->num_layers] = begin; /* until the next one */
    }
    return ok;
}

/* Where the voxels go that are final. */
struct output {
    u64 count;
    u32 farthest;
    float distance;
    int is_ordered;
};

/* Note that a voxel is final. False if that was known: rounding can repeat a voxel in the middle of a bucket. */
static inline int finish(struct crackle_tracer *t, struct output *out, u32 place, float distance)
{
    struct ck_state *state = &t->fields.states[place];

    if (out->is_ordered) {
        if (state->cost != 0)
            return 0;
        state->cost = 1;
        t->order[out->count] = place;
    }
    out->count++;
    if (distance > out->distance || (distance == out->distance && place < out->farthest)) {
        out->distance = distance;
        out->farthest = place;
    }
    return 1;
}

/* The lengths of steps, by slot. */
struct lengths {
    float of[CK_SLOTS];
    ck_three threes[CK_SLOT_ROWS];
};

static void get_lengths(const struct crackle_tracer *t, struct lengths *l)
{
    for (u32 row = 0; row < CK_SLOT_ROWS; row++) {
        const float *three = t->lengths + 3 * (size_t)ck_row_in_nine(row);

        memcpy(l->of + 3 * row, three, 3 * sizeof(*three));
        l->threes[row] = ck_three_of(three[0], three[1], three[2]);
    }
}

/* The slots of neighbours that are nearer by way of 'from', which has a distance. */
static inline u32 nearer(const struct ck_segment *s, const float *geodesic, u32 from, const struct lengths *l, float distance)
{
#define IS_BETTER(first, row) ck_three_below(ck_three_plus(l->threes[row], distance), geodesic + (first), INFINITY)
    return CK_BETTER(s, from, IS_BETTER);
#undef IS_BETTER
}

/* Step from a place to all its neighbours: 'put' gets the distance and the place of those that come nearer. */
#define SPREAD(t, from, distance, lengths, has_graph, put)                                        \
    do {                                                                                          \
        const struct ck_segment *const s_ = ck_segment_of(&(t)->places, &(t)->fields, (from));    \
        float *const geodesic_ = (t)->fields.geodesic;                                            \
        u32 nearer_ = nearer(s_, geodesic_, (from), (lengths), (distance));                       \
                                                                                                  \
        if (has_graph)                                                                            \
            nearer_ &= ck_slots_of((t)->fields.graph[from]);                                      \
        for (; nearer_; nearer_ &= nearer_ - 1) {                                                 \
            const u32 slot_ = ck_ctz64(nearer_), to_ = ck_neighbour(s_, (from), slot_);           \
            const float to_distance_ = (lengths)->of[slot_] + (distance);                         \
                                                                                                  \
            geodesic_[to_] = to_distance_;                                                        \
            put(to_distance_, to_);                                                               \
        }                                                                                         \
    } while (0)

/* In the functions from here on, 'has_graph' is a constant after inlining. */
CK_FORCEINLINE crackle_status with_ring(struct crackle_tracer *t, u32 root, struct output *out, int has_graph)
{
    const float *const geodesic = t->fields.geodesic;
    struct ck_ring *const ring = &t->ring;
    struct lengths lengths;
    u64 steps = 0;

    get_lengths(t, &lengths);
    if (!ck_ring_reset(ring, t->longest, t->shortest) || !ck_ring_put(ring, 0, 0, root, 0))
        return CRACKLE_NO_MEMORY;
    while (ring->waiting) {
        const struct ck_bucket *b = ck_ring_next(ring);

        if (out->is_ordered && !add_layer(t, out->count))
            return CRACKLE_NO_MEMORY;
        for (size_t i = 0; i < b->count; i++) {
            const u32 from = b->entries[i].place;
            const float distance = b->entries[i].key;

            ck_fetch_ahead(t, t->fields.geodesic, b, i);
            if (geodesic[from] != distance || !finish(t, out, from, distance))
                continue;
            if (++steps % CK_STEPS_AT_ONCE == 0 && ck_is_set(t->stop))
                return CRACKLE_STOPPED;
#define PUT(to_distance, place)                                            \
    do {                                                                   \
        if (!ck_ring_put(ring, to_distance, to_distance, place, 0))        \
            return CRACKLE_NO_MEMORY;                                      \
    } while (0)
            SPREAD(t, from, distance, &lengths, has_graph, PUT);
#undef PUT
        }
        ck_ring_done(ring);
    }
    return CRACKLE_OK;
}

CK_FORCEINLINE crackle_status with_heap(struct crackle_tracer *t, u32 root, struct output *out, int has_graph)
{
    const float *const geodesic = t->fields.geodesic;
    struct ck_heap *const h = &t->heap;
    struct lengths lengths;
    struct ck_entry e;
    u64 steps = 0;

    get_lengths(t, &lengths);
    ck_heap_clear(h);
    ck_heap_put(h, 0, root, 0);
    while (ck_heap_take(h, &e)) {
        if (geodesic[e.place] != e.key || !finish(t, out, e.place, e.key))
            continue;
        if (out->is_ordered && (out->count - 1) % LAYER_OF_HEAP == 0 && !add_layer(t, out->count - 1))
            return CRACKLE_NO_MEMORY;
        if (++steps % CK_STEPS_AT_ONCE == 0 && ck_is_set(t->stop))
            return CRACKLE_STOPPED;
#define PUT(to_distance, place) ck_heap_put(h, to_distance, place, 0)
        SPREAD(t, e.place, e.key, &lengths, has_graph, PUT);
#undef PUT
    }
    return h->is_out_of_memory ? CRACKLE_NO_MEMORY : CRACKLE_OK;
}

static crackle_status fill(struct crackle_tracer *t, u32 root, struct output *out)
{
    const int has_ring = ck_ring_fits(t->longest, t->shortest);

    if (t->fields.graph)
        return has_ring ? with_ring(t, root, out, 1) : with_heap(t, root, out, 1);
    return has_ring ? with_ring(t, root, out, 0) : with_heap(t, root, out, 0);
}

crackle_status ck_geodesic_field(struct crackle_tracer *t, u32 root, int is_ordered, u32 *farthest)
{
    struct output out = {0, UINT32_MAX, -1, 0};
    crackle_status status;

    out.is_ordered = is_ordered;
    t->num_layers = 0;
    for (u32 i = 0; i < t->places.count; i++) {
        const int is_open = t->fields.states[i].radius > 0;

        t->fields.geodesic[i] = is_open ? INFINITY : -1;
        t->fields.states[i].cost = 0;
    }
    t->fields.geodesic[root] = 0;
    status = fill(t, root, &out);
    if (is_ordered && t->num_layers)
        t->layers[t->num_layers] = out.count;
    *farthest = out.farthest;
    return status;
}
