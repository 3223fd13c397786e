/*
 * join.c - join the components of skeletons that come close
 *
 * The closest two vertices of different components are joined by an edge, again and again, while they are no farther apart
 * than a radius.  That is the minimum spanning tree of the components, which Boruvka's algorithm finds in few rounds: in
 * each, every component is joined to its nearest neighbour.  Pairs are ordered by distance, then by vertices, so that the
 * tree is unique, and the same as joining one pair at a time.
 *
 * A k-d tree finds the nearest vertex of another component (Bentley 1975; March, Ram, Gray: Fast Euclidean minimum spanning
 * tree, 2010).  A node whose vertices all belong to one component is passed over by queries from it.
 *
 * With a restriction by radii, the closest pair of every two components is found first, and only pairs whose balls touch
 * are joined, the closest first.
 *
 * Cost: rounds times n log n, with at most log2(components) rounds.
 */
#include "../base/sets.h"
#include "../crackle.h"
#include "graph.h"

#include <math.h>

#define NONE UINT32_MAX
#define LEAF 8
#define STEPS_AT_ONCE 4096

struct node {
    float low[3], high[3];
    u32 begin, end;         /* places in 'order' */
    u32 left, right;        /* NONE in leaves */
    u32 component;          /* of all its vertices, or NONE */
    float widest;           /* the largest radius */
};

struct pair {
    double distance;
    u32 a, b;               /* vertices, a < b */
};

struct join {
    const float *vertices, *radii;
    u64 num_vertices;
    struct node *nodes;
    u32 num_nodes;
    u32 *order;             /* vertices, by place in the tree */
    u32 *component;         /* per vertex: its set's lowest vertex */
    u32 *set;               /* union-find over vertices */
    struct pair *best;      /* per set's lowest vertex */
};

static int is_before(const struct pair *a, const struct pair *b)
{
    if (a->distance != b->distance)
        return a->distance < b->distance;
    return a->a != b->a ? a->a < b->a : a->b < b->b;
}

/* --------------------------------- The tree -------------------------------- */

static float coordinate(const struct join *j, u32 place, int axis)
{
    return j->vertices[3 * (size_t)j->order[place] + axis];
}

/* Move the vertex that belongs at 'middle' along an axis there, and lower ones before it (Hoare's quickselect). */
static void select_middle(struct join *j, u32 begin, u32 end, u32 middle, int axis)
{
    while (end - begin > 1) {
        const float pivot = coordinate(j, begin + (end - begin - 1) / 2, axis);
        u32 low = begin, high = end - 1;

        for (;; low++, high--) {
            while (coordinate(j, low, axis) < pivot)
                low++;
            while (coordinate(j, high, axis) > pivot)
                high--;
            if (low >= high)
                break;
            {
                const u32 swap = j->order[low];

                j->order[low] = j->order[high];
                j->order[high] = swap;
            }
        }
        /* No vertex up to 'high' is above the pivot, none behind it below. The pivot was not the last: both have some. */
        if (middle <= high)
            end = high + 1;
        else
            begin = high + 1;
    }
}

/* Build the nodes, those above before those below, without recursion. */
static void build(struct join *j)
{
    j->num_nodes = 1;
    j->nodes[0].begin = 0;
    j->nodes[0].end = (u32)j->num_vertices;
    for (u32 i = 0; i < j->num_nodes; i++) {
        struct node *n = &j->nodes[i];
        int axis = 0;
        u32 middle;

        for (int k = 0; k < 3; k++) {
            n->low[k] = INFINITY;
            n->high[k] = -INFINITY;
        }
        n->widest = -1;
        for (u32 place = n->begin; place < n->end; place++) {
            const float radius = j->radii[j->order[place]];

            for (int k = 0; k < 3; k++) {
                const float at = coordinate(j, place, k);

                n->low[k] = at < n->low[k] ? at : n->low[k];
                n->high[k] = at > n->high[k] ? at : n->high[k];
            }
            n->widest = radius > n->widest ? radius : n->widest;
        }
        for (int k = 1; k < 3; k++)
            if (n->high[k] - n->low[k] > n->high[axis] - n->low[axis])
                axis = k;
        n->left = n->right = NONE;
        if (n->end - n->begin <= LEAF || !(n->high[axis] > n->low[axis]))
            continue;
        middle = n->begin + (n->end - n->begin) / 2;
        select_middle(j, n->begin, n->end, middle, axis);
        n->left = j->num_nodes++;
        n->right = j->num_nodes++;
        j->nodes[n->left].begin = n->begin;
        j->nodes[n->left].end = j->nodes[n->right].begin = middle;
        j->nodes[n->right].end = n->end;
    }
}

/* Note the component of every vertex, and of the nodes of one component. */
static void note_components(struct join *j)
{
    for (u64 v = 0; v < j->num_vertices; v++)
        j->component[v] = ck_find_root(j->set, (u32)v);
    for (u32 i = j->num_nodes; i-- > 0;) {
        struct node *n = &j->nodes[i];

        if (n->left != NONE) {
            const u32 left = j->nodes[n->left].component;

            n->component = left == j->nodes[n->right].component ? left : NONE;
            continue;
        }
        n->component = n->begin < n->end ? j->component[j->order[n->begin]] : NONE;
        for (u32 place = n->begin; place < n->end; place++)
            if (j->component[j->order[place]] != n->component)
                n->component = NONE;
    }
}

static double to_box(const struct node *n, const float *point)
{
    double sum = 0;

    for (int k = 0; k < 3; k++) {
        const double below = (double)n->low[k] - point[k], above = (double)point[k] - n->high[k];
        const double away = below > 0 ? below : above > 0 ? above : 0;

        sum += away * away;
    }
    return sqrt(sum);
}

static double apart(const struct join *j, u32 a, u32 b)
{
    double sum = 0;

    for (int axis = 0; axis < 3; axis++) {
        const double away = (double)j->vertices[3 * (size_t)a + axis] - j->vertices[3 * (size_t)b + axis];

        sum += away * away;
    }
    return sqrt(sum);
}

/* ------------------------------ The nearest pair --------------------------- */

/* Nodes halve, so a stack of this size holds the rest of any path down. */
#define MAX_DEPTH 128

/* Make '*best' the closest pair of 'v' and a vertex of another component, if that comes before it. */
static void nearest(const struct join *j, u32 v, struct pair *best)
{
    const float *const point = j->vertices + 3 * (size_t)v;
    u32 stack[MAX_DEPTH], top = 0;

    stack[top++] = 0;
    while (top) {
        const struct node *n = &j->nodes[stack[--top]];

        if (n->component == j->component[v] || to_box(n, point) > best->distance)
            continue;
        if (n->left != NONE) {
            const int is_left_first = to_box(&j->nodes[n->left], point) <= to_box(&j->nodes[n->right], point);

            stack[top++] = is_left_first ? n->right : n->left;
            stack[top++] = is_left_first ? n->left : n->right;
            continue;
        }
        for (u32 place = n->begin; place < n->end; place++) {
            const u32 other = j->order[place];
            struct pair pair;

            if (j->component[other] == j->component[v])
                continue;
            pair.distance = apart(j, v, other);
            pair.a = v < other ? v : other;
            pair.b = v < other ? other : v;
            if (is_before(&pair, best))
                *best = pair;
        }
    }
}

/* ---------------------------------- Joining -------------------------------- */

struct edges {
    u32 *edges;
    size_t count, capacity;
};

static int add_edge(struct edges *e, u32 a, u32 b)
{
    void *edges = e->edges;
    const int ok = ck_reserve(&edges, &e->capacity, 2 * (u64)e->count + 2, sizeof(*e->edges));

    e->edges = edges;
    if (ok) {
        e->edges[2 * e->count] = a;
        e->edges[2 * e->count++ + 1] = b;
    }
    return ok;
}

static crackle_status join_nearest(struct join *j, double radius, const volatile int32_t *stop, struct edges *out)
{
    for (int is_joined = 1; is_joined;) {
        is_joined = 0;
        note_components(j);
        for (u64 v = 0; v < j->num_vertices; v++) {
            j->best[v].distance = radius;
            j->best[v].a = j->best[v].b = NONE; /* of equal distance, every pair comes before */
        }
        for (u64 place = 0; place < j->num_vertices; place++) {
            const u32 v = j->order[place]; /* neighbours, one after the other */

            if (place % STEPS_AT_ONCE == 0 && ck_is_set(stop))
                return CRACKLE_STOPPED;
            nearest(j, v, &j->best[j->component[v]]);
        }
        for (u64 v = 0; v < j->num_vertices; v++) {
            const struct pair *best = &j->best[v];

            if (j->component[v] != v || best->a == NONE || !ck_unite(j->set, best->a, best->b))
                continue;
            if (!add_edge(out, best->a, best->b))
                return CRACKLE_NO_MEMORY;
            is_joined = 1;
        }
    }
    return CRACKLE_OK;
}

/* ------------------------------ Within both radii -------------------------- */

/* The closest pair of every two components that come within reach: a hash table by the two components. */
struct closest {
    struct pair *pairs;
    u64 *keys;
    u32 *slots;             /* 1 + the number of a pair, or 0 */
    size_t count, num_slots, pairs_capacity, keys_capacity;
    u64 multiplier;
};

static u32 *slot_of(struct closest *c, u64 key)
{
    size_t i = (size_t)(key * c->multiplier >> 32) & (c->num_slots - 1);

    while (c->slots[i] && c->keys[c->slots[i] - 1] != key)
        i = (i + 1) & (c->num_slots - 1);
    return &c->slots[i];
}

/* The closest pair so far of two components. NULL when there is no memory for it, or, unless 'is_new_fine', no pair. */
static struct pair *pair_of(struct closest *c, u32 one, u32 other, int is_new_fine)
{
    const u64 key = one < other ? (u64)one << 32 | other : (u64)other << 32 | one;
    u32 *slot;

    if (!is_new_fine && c->count == 0)
        return NULL;
    if (is_new_fine && 2 * c->count >= c->num_slots) {
        const size_t num_slots = c->num_slots ? 2 * c->num_slots : 1024;
        u32 *slots = ck_calloc(num_slots, sizeof(*slots));

        if (!slots)
            return NULL;
        free(c->slots);
        c->slots = slots;
        c->num_slots = num_slots;
        c->multiplier = ck_multiplier(slots);
        for (size_t i = 0; i < c->count; i++)
            *slot_of(c, c->keys[i]) = (u32)i + 1;
    }
    slot = slot_of(c, key);
    if (*slot == 0 && !is_new_fine)
        return NULL;
    if (*slot == 0) {
        void *pairs = c->pairs, *keys = c->keys;
        int ok = c->count < NONE - 1 && ck_reserve(&pairs, &c->pairs_capacity, (u64)c->count + 1, sizeof(*c->pairs));

        ok = ck_reserve(&keys, &c->keys_capacity, (u64)c->count + 1, sizeof(*c->keys)) && ok;
        c->pairs = pairs;
        c->keys = keys;
        if (!ok)
            return NULL;
        c->keys[c->count] = key;
        c->pairs[c->count].distance = INFINITY;
        c->pairs[c->count].a = c->pairs[c->count].b = NONE;
        *slot = (u32)++c->count;
    }
    return &c->pairs[*slot - 1];
}

/*
 * Note the closest pairs of 'v' and vertices of other components.  In the first pass, 'reach' is NULL, and pairs are noted
 * whose balls could touch.  In the second, only components that have a pair are looked at, up to the reach of v's.
 */
static int note_pairs(const struct join *j, u32 v, struct closest *c, const double *reach)
{
    const float *const point = j->vertices + 3 * (size_t)v;
    u32 stack[MAX_DEPTH], top = 0;

    stack[top++] = 0;
    while (top) {
        const struct node *n = &j->nodes[stack[--top]];
        const double away = to_box(n, point);

        if (n->component == j->component[v] ||
            away > (reach ? reach[j->component[v]] : (double)j->radii[v] + n->widest))
            continue;
        if (n->component != NONE) {
            const struct pair *best = pair_of(c, j->component[v], n->component, !reach);

            if (!best && !reach)
                return 0;
            if (!best || away > best->distance)
                continue;
        }
        if (n->left != NONE) {
            stack[top++] = n->right;
            stack[top++] = n->left;
            continue;
        }
        for (u32 place = n->begin; place < n->end; place++) {
            const u32 other = j->order[place];
            struct pair pair, *best;

            if (j->component[other] == j->component[v])
                continue;
            pair.distance = apart(j, v, other);
            if (pair.distance > (reach ? reach[j->component[v]] : (double)j->radii[v] + j->radii[other]))
                continue;
            best = pair_of(c, j->component[v], j->component[other], !reach);
            if (!best && !reach)
                return 0;
            pair.a = v < other ? v : other;
            pair.b = v < other ? other : v;
            if (best && is_before(&pair, best))
                *best = pair;
        }
    }
    return 1;
}

/* One pass over all vertices; see note_pairs(). */
static crackle_status note_all(const struct join *j, struct closest *c, const double *reach, const volatile int32_t *stop)
{
    for (u64 place = 0; place < j->num_vertices; place++) {
        const u32 v = j->order[place];

        if (place % STEPS_AT_ONCE == 0 && ck_is_set(stop))
            return CRACKLE_STOPPED;
        if ((reach ? reach[j->component[v]] >= 0 : j->radii[v] >= 0) && !note_pairs(j, v, c, reach))
            return CRACKLE_NO_MEMORY;
    }
    return CRACKLE_OK;
}

static int by_distance(const void *a, const void *b)
{
    const struct pair *one = a, *other = b;

    return is_before(one, other) ? -1 : is_before(other, one);
}

static crackle_status join_touching(struct join *j, double radius, const volatile int32_t *stop, struct edges *out)
{
    struct closest c = {NULL, NULL, NULL, 0, 0, 0, 0, 0};

    double *reach = ck_malloc(j->num_vertices, sizeof(*reach));
    crackle_status status;

    if (!reach)
        return CRACKLE_NO_MEMORY;
    note_components(j);
    status = note_all(j, &c, NULL, stop);
    /* A closer pair of the same components may have balls that do not touch: it decides. */
    for (u64 v = 0; v < j->num_vertices; v++)
        reach[v] = -1;
    for (size_t i = 0; i < c.count; i++) {
        for (int k = 0; k < 2 && c.pairs[i].a != NONE; k++) {
            const u32 component = j->component[k ? c.pairs[i].b : c.pairs[i].a];

            reach[component] = c.pairs[i].distance > reach[component] ? c.pairs[i].distance : reach[component];
        }
    }
    if (status == CRACKLE_OK)
        status = note_all(j, &c, reach, stop);
    free(reach);
    if (status == CRACKLE_OK && c.count)
        qsort(c.pairs, c.count, sizeof(*c.pairs), by_distance);
    for (size_t i = 0; status == CRACKLE_OK && i < c.count; i++) {
        const struct pair *p = &c.pairs[i];

        if (p->a == NONE || p->distance > radius || j->radii[p->a] < 0 || j->radii[p->b] < 0 ||
            p->distance > (double)j->radii[p->a] + j->radii[p->b] || !ck_unite(j->set, p->a, p->b))
            continue;
        if (!add_edge(out, p->a, p->b))
            status = CRACKLE_NO_MEMORY;
    }
    free(c.pairs);
    free(c.keys);
    free(c.slots);
    return status;
}

/* --------------------------------- The whole ------------------------------- */

static crackle_status prepare(struct join *j, const u32 *edges, u64 num_edges)
{
    const u64 n = j->num_vertices;

    if (n >= NONE / 2)
        return CRACKLE_TOO_LARGE;
    j->nodes = ck_malloc(2 * n + 1, sizeof(*j->nodes));
    j->order = ck_malloc(n, 3 * sizeof(*j->order));
    j->best = ck_malloc(n, sizeof(*j->best));
    if (!j->nodes || !j->order || !j->best)
        return CRACKLE_NO_MEMORY;
    j->component = j->order + n;
    j->set = j->order + 2 * n;
    for (u64 i = 0; i < 3 * n; i++)
        if (!(j->vertices[i] > -INFINITY && j->vertices[i] < INFINITY))
            return CRACKLE_BAD_ARGUMENT;
    for (u64 v = 0; v < n; v++)
        j->order[v] = j->set[v] = (u32)v;
    for (u64 i = 0; i < num_edges; i++) {
        if (edges[2 * i] >= n || edges[2 * i + 1] >= n)
            return CRACKLE_BAD_ARGUMENT;
        ck_unite(j->set, edges[2 * i], edges[2 * i + 1]);
    }
    build(j);
    return CRACKLE_OK;
}

crackle_status crackle_graph_join(const float *vertices, const float *radii, uint64_t num_vertices,
                                  const uint32_t *edges, uint64_t num_edges, double radius, int restrict_by_radius,
                                  const volatile int32_t *stop, uint32_t **joins_ret, uint64_t *count_ret)
{
    struct edges out = {NULL, 0, 0};
    struct join j;
    crackle_status status;

    memset(&j, 0, sizeof(j));
    j.vertices = vertices;
    j.radii = radii;
    j.num_vertices = num_vertices;
    *joins_ret = NULL;
    *count_ret = 0;
    if (num_vertices == 0)
        return num_edges == 0 ? CRACKLE_OK : CRACKLE_BAD_ARGUMENT;
    status = prepare(&j, edges, num_edges);
    if (status == CRACKLE_OK)
        status = restrict_by_radius ? join_touching(&j, radius, stop, &out) : join_nearest(&j, radius, stop, &out);
    free(j.nodes);
    free(j.order);
    free(j.best);
    if (status == CRACKLE_OK) {
        *joins_ret = out.edges;
        *count_ret = out.count;
    } else {
        free(out.edges);
    }
    return status;
}
