/*
 * paths.c - penalties, and the cheapest paths through them
 *
 * Entering a voxel costs its penalty, whatever the length of the step.  The penalty is low where the distance to the
 * boundary is large, so the cheapest path keeps to the middle (Sato, Bitter, Bender, Kaufman, Nakajima: TEASAR, 2000):
 *
 *   penalty = scale * (1 - radius / (1.06 * largest radius)) ** exponent + geodesic distance / largest of it
 *
 * The last term, at most 1, breaks ties in wide spaces.  With 1.06 times the largest radius, not its 1.01-th power as
 * in Kimimaro, the result does not depend on the unit of length.
 *
 * Voxels of paths that were found cost nothing: they are *rails*.  A search from a target ends at the first rail, so
 * later paths are short.  The first path of an object leads through all of it; there both ends are known, and a search
 * from both visits a fraction of the voxels.  It ends when the lowest keys of both sides add up to the best path found.
 *
 * Cost: near-linear in the voxels visited.
 */
#include "neighbours.h"
#include "tracer.h"

/* Powers of two are squared, which is quicker than pow(), and the same on every machine. */
static float power(float base, double exponent, unsigned int squarings)
{
    if (squarings == UINT32_MAX)
        return (float)pow(base, exponent);
    for (; squarings; squarings--)
        base *= base;
    return base;
}

void ck_penalty_field(struct crackle_tracer *t, float radius_max, float geodesic_max, double scale, double exponent)
{
    const float per_radius = (float)(1 / (1.06 * (double)radius_max));
    const float per_geodesic = geodesic_max > 0 ? 1 / geodesic_max : 0;
    unsigned int squarings = UINT32_MAX;

    for (unsigned int i = 0; i < 16; i++)
        if (exponent == (double)(1u << i))
            squarings = i;
    for (u32 i = 0; i < t->places.count; i++) {
        struct ck_state *s = &t->fields.states[i];

        if (s->radius > 0) {
            const float cost = (float)scale * power(1 - s->radius * per_radius, exponent, squarings) +
                               t->fields.geodesic[i] * per_geodesic;

            /* Only rails cost nothing. */
            s->cost = cost > 1e-30f ? cost : 1e-30f;
            s->distance = INFINITY;
        } else {
            s->cost = 0;
            s->distance = -1;
        }
    }
}

/* Take step 'direction' back from 'place', which lies in segment 's'. */
static inline u32 step_back(const struct ck_segment *s, u32 place, u32 direction)
{
    const u32 back = CK_OPPOSITE(direction), row = back / 3;
    const u32 dx = back % 3; /* plus 1 */

    if (row == 4)
        return place + dx - 1;
    return ck_beside(s, row < 4 ? row : row - 1, place) + dx - 1;
}

u32 ck_previous(const struct crackle_tracer *t, u32 place)
{
    const u32 link = t->fields.states[place].link;

    return step_back(&t->places.segments[link >> 5], place, link & 31);
}

static inline void set_direction(struct ck_state *s, u32 direction)
{
    s->link = (s->link & ~(u32)31) | direction;
}

/* Step from an entry that was taken out of the heap to its neighbours. */
CK_FORCEINLINE crackle_status spread_over(struct crackle_tracer *t, const struct ck_entry *e, struct ck_list *touched,
                                          int has_graph)
{
    struct ck_state *const states = t->fields.states;
    const struct ck_segment *s = &t->places.segments[states[e->place].link >> 5];
    u32 cheaper;
    int ok = 1;

#define IS_BETTER(first, row) ck_three_sums_below(states + (first), e->key)
    cheaper = CK_BETTER(s, e->place, IS_BETTER);
#undef IS_BETTER
    if (has_graph)
        cheaper &= ck_slots_of(t->fields.graph[e->place]);
    for (; cheaper; cheaper &= cheaper - 1) {
        const u32 slot = ck_ctz64(cheaper), to = ck_neighbour(s, e->place, slot);
        const float distance = e->key + states[to].cost;

        if (touched && states[to].distance == INFINITY)
            ok &= ck_list_add(touched, to);
        states[to].distance = distance;
        set_direction(&states[to], ck_direction_of(slot));
        ck_heap_put(&t->heap, distance, to, 0);
    }
    return ok ? CRACKLE_OK : CRACKLE_NO_MEMORY;
}

static crackle_status spread(struct crackle_tracer *t, const struct ck_entry *e, struct ck_list *touched)
{
    return t->fields.graph ? spread_over(t, e, touched, 1) : spread_over(t, e, touched, 0);
}

/* Begin a search at 'from'. */
static crackle_status begin_search(struct crackle_tracer *t, u32 from)
{
    t->path.count = t->touched.count = 0;
    ck_heap_clear(&t->heap);
    ck_heap_put(&t->heap, 0, from, 0);
    t->fields.states[from].distance = 0;
    return ck_list_add(&t->touched, from) ? CRACKLE_OK : CRACKLE_NO_MEMORY;
}

static void forget_search(struct crackle_tracer *t)
{
    for (size_t i = 0; i < t->touched.count; i++)
        t->fields.states[t->touched.places[i]].distance = INFINITY;
}

/* The path from 'target' to 'end', along the directions of the search from 'target'. */
static crackle_status walk_back(struct crackle_tracer *t, u32 target, u32 end)
{
    for (u32 place = end;; place = ck_previous(t, place)) {
        if (!ck_list_add(&t->path, place))
            return CRACKLE_NO_MEMORY;
        if (place == target)
            break;
    }
    for (size_t i = 0, k = t->path.count - 1; i < k; i++, k--) {
        const u32 swap = t->path.places[i];

        t->path.places[i] = t->path.places[k];
        t->path.places[k] = swap;
    }
    return CRACKLE_OK;
}

crackle_status ck_path_to_rail(struct crackle_tracer *t, u32 target)
{
    struct ck_state *const states = t->fields.states;
    crackle_status status = begin_search(t, target);
    struct ck_entry e;
    u64 steps = 0;

    while (status == CRACKLE_OK) {
        if (!ck_heap_take(&t->heap, &e)) {
            status = t->heap.is_out_of_memory ? CRACKLE_NO_MEMORY : CRACKLE_BAD_ARGUMENT; /* objects are connected */
            break;
        }
        if (states[e.place].distance != e.key)
            continue;
        if (states[e.place].cost == 0) {
            status = walk_back(t, target, e.place);
            break;
        }
        if (++steps % CK_STEPS_AT_ONCE == 0 && ck_is_set(t->stop))
            status = CRACKLE_STOPPED;
        else
            status = spread(t, &e, &t->touched);
    }
    if (t->heap.is_out_of_memory)
        status = CRACKLE_NO_MEMORY;
    forget_search(t);
    return status;
}

/* ------------------------- A search from both ends ------------------------- */

/*
 * The other side's distances are in 'key': of a voxel, the cost of all voxels behind it on the way to the root.  So
 * distance + key is the cost of a whole path.
 */
CK_FORCEINLINE crackle_status spread_back_over(struct crackle_tracer *t, const struct ck_entry *e, int has_graph)
{
    float *const key = t->fields.key;
    const struct ck_segment *s = ck_segment_of(&t->places, &t->fields, e->place);
    const float distance = e->key + t->fields.states[e->place].cost;
    const ck_three all = ck_three_of(distance, distance, distance);
    int ok = 1;
    u32 nearer;

#define IS_BETTER(first, row) ck_three_below(all, key + (first), INFINITY)
    nearer = CK_BETTER(s, e->place, IS_BETTER);
#undef IS_BETTER
    if (has_graph)
        nearer &= ck_slots_of(t->fields.graph[e->place]);
    for (; nearer; nearer &= nearer - 1) {
        const u32 slot = ck_ctz64(nearer), to = ck_neighbour(s, e->place, slot);

        if (key[to] == INFINITY)
            ok &= ck_list_add(&t->touched_back, to);
        key[to] = distance;
        t->fields.direction_back[to] = (u8)ck_direction_of(slot);
        ck_heap_put(&t->heap_back, distance, to, 0);
    }
    return ok ? CRACKLE_OK : CRACKLE_NO_MEMORY;
}

static crackle_status spread_back(struct crackle_tracer *t, const struct ck_entry *e)
{
    return t->fields.graph ? spread_back_over(t, e, 1) : spread_back_over(t, e, 0);
}

/* From 'place' on, go to the root, against the steps of the search from there. */
static crackle_status walk_to_root(struct crackle_tracer *t, u32 place, u32 root)
{
    while (place != root) {
        place = step_back(ck_segment_of(&t->places, &t->fields, place), place, t->fields.direction_back[place]);
        if (!ck_list_add(&t->path, place))
            return CRACKLE_NO_MEMORY;
    }
    return CRACKLE_OK;
}

crackle_status ck_path_to_root(struct crackle_tracer *t, u32 target, u32 root)
{
    struct ck_state *const states = t->fields.states;
    float *const key = t->fields.key;
    crackle_status status = begin_search(t, target);
    float best = INFINITY;
    u32 meeting = root;
    u64 steps = 0;

    t->touched_back.count = 0;
    ck_heap_clear(&t->heap_back);
    ck_heap_put(&t->heap_back, 0, root, 0);
    key[root] = 0;
    if (!ck_list_add(&t->touched_back, root))
        status = CRACKLE_NO_MEMORY;
    if (target == root)
        best = 0;
    while (status == CRACKLE_OK && t->heap.count && t->heap_back.count &&
           ck_heap_lowest(&t->heap) + ck_heap_lowest(&t->heap_back) < best) {
        const int is_back = t->heap_back.count < t->heap.count;
        struct ck_entry e;
        float sum;

        ck_heap_take(is_back ? &t->heap_back : &t->heap, &e);
        if ((is_back ? key[e.place] : states[e.place].distance) != e.key)
            continue;
        sum = states[e.place].distance + key[e.place];
        if (sum < best || (sum == best && e.place < meeting)) {
            best = sum;
            meeting = e.place;
        }
        if (++steps % CK_STEPS_AT_ONCE == 0 && ck_is_set(t->stop))
            status = CRACKLE_STOPPED;
        else
            status = is_back ? spread_back(t, &e) : spread(t, &e, &t->touched);
    }
    if (t->heap.is_out_of_memory || t->heap_back.is_out_of_memory)
        status = CRACKLE_NO_MEMORY;
    if (status == CRACKLE_OK)
        status = best < INFINITY ? walk_back(t, target, meeting) : CRACKLE_BAD_ARGUMENT;
    if (status == CRACKLE_OK)
        status = walk_to_root(t, meeting, root);
    forget_search(t);
    for (size_t i = 0; i < t->touched_back.count; i++)
        key[t->touched_back.places[i]] = INFINITY;
    return status;
}

/* -------------------------------- All paths -------------------------------- */

crackle_status ck_tree_of_paths(struct crackle_tracer *t, u32 root)
{
    struct ck_state *const states = t->fields.states;
    crackle_status status = CRACKLE_OK;
    struct ck_entry e;
    u64 steps = 0;

    ck_heap_clear(&t->heap);
    ck_heap_put(&t->heap, 0, root, 0);
    states[root].distance = 0;
    while (status == CRACKLE_OK && ck_heap_take(&t->heap, &e)) {
        if (states[e.place].distance != e.key)
            continue;
        if (++steps % CK_STEPS_AT_ONCE == 0 && ck_is_set(t->stop))
            status = CRACKLE_STOPPED;
        else
            status = spread(t, &e, NULL);
    }
    return t->heap.is_out_of_memory ? CRACKLE_NO_MEMORY : status;
}
