/*
 * graph.c - skeletons as graphs: components, paths, trees, and graphs without duplicates
 *
 * Neighbours are kept in one array, sorted by vertex (compressed rows), which one pass counts and another fills.
 *
 * Cost: linear in vertices and edges, but for sorting vertices by place, and for the paths to roots, whose common parts
 * are repeated.  No function recurses.
 */
#include "graph.h"

#include "../base/sets.h"
#include "../base/sort.h"

/* ------------------------------ Neighbourhoods ----------------------------- */

static crackle_status check_edges(u64 num_vertices, const u32 *edges, u64 num_edges)
{
    if (num_vertices >= UINT32_MAX || num_edges >= UINT32_MAX)
        return CRACKLE_TOO_LARGE;
    for (u64 i = 0; i < 2 * num_edges; i++)
        if (edges[i] >= num_vertices)
            return CRACKLE_BAD_ARGUMENT;
    return CRACKLE_OK;
}

crackle_status ck_adjacency_init(struct ck_adjacency *a, u64 num_vertices, const u32 *edges, u64 num_edges)
{
    const crackle_status status = check_edges(num_vertices, edges, num_edges);

    memset(a, 0, sizeof(*a));
    if (status != CRACKLE_OK)
        return status;
    a->begin = ck_calloc(num_vertices + 2, sizeof(*a->begin));
    a->neighbours = ck_malloc(2 * num_edges, sizeof(*a->neighbours));
    a->edges = ck_malloc(2 * num_edges, sizeof(*a->edges));
    if (!a->begin || !a->neighbours || !a->edges)
        return CRACKLE_NO_MEMORY;
    for (u64 i = 0; i < num_edges; i++) {
        if (edges[2 * i] == edges[2 * i + 1])
            continue;
        a->begin[edges[2 * i] + 2]++;
        a->begin[edges[2 * i + 1] + 2]++;
    }
    for (u64 v = 2; v < num_vertices + 2; v++)
        a->begin[v] += a->begin[v - 1];
    for (u64 i = 0; i < num_edges; i++) {
        const u32 one = edges[2 * i], other = edges[2 * i + 1];

        if (one == other)
            continue;
        a->edges[a->begin[one + 1]] = a->edges[a->begin[other + 1]] = (u32)i;
        a->neighbours[a->begin[one + 1]++] = other;
        a->neighbours[a->begin[other + 1]++] = one;
    }
    return CRACKLE_OK;
}

void ck_adjacency_free(struct ck_adjacency *a)
{
    free(a->begin);
    free(a->neighbours);
    free(a->edges);
}

/* -------------------------------- Components ------------------------------- */

crackle_status crackle_graph_components(uint64_t num_vertices, const uint32_t *edges, uint64_t num_edges,
                                        uint32_t *numbers, uint64_t *count_ret)
{
    const crackle_status status = check_edges(num_vertices, edges, num_edges);
    u32 count = 0;

    if (status != CRACKLE_OK)
        return status;
    for (u64 v = 0; v < num_vertices; v++)
        numbers[v] = (u32)v;
    for (u64 i = 0; i < num_edges; i++)
        ck_unite(numbers, edges[2 * i], edges[2 * i + 1]);
    for (u64 v = 0; v < num_vertices; v++) /* a parent is lower, and has its number already */
        numbers[v] = numbers[v] == v ? count++ : numbers[numbers[v]];
    *count_ret = count;
    return CRACKLE_OK;
}

/* ------------------------------- Duplicates -------------------------------- */

/* Bits that sort as the numbers do. The two zeros are one. */
static u32 sortable(float number)
{
    u32 bits;

    if (number == 0)
        number = 0;
    memcpy(&bits, &number, sizeof(bits));
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

static void sort_by_place(const float *vertices, u64 count, struct ck_pair *pairs)
{
    for (u64 i = 0; i < count; i++) {
        pairs[i].key = (u64)sortable(vertices[3 * i + 1]) << 32 | sortable(vertices[3 * i + 2]);
        pairs[i].value = i;
    }
    ck_sort_pairs(pairs, pairs + count, (size_t)count);
    for (u64 i = 0; i < count; i++)
        pairs[i].key = sortable(vertices[3 * pairs[i].value]);
    ck_sort_pairs(pairs, pairs + count, (size_t)count);
}

static int same_place(const float *a, const float *b)
{
    return a[0] == b[0] && a[1] == b[1] && a[2] == b[2];
}

/* Sort edges, the lower vertex first, and drop what repeats. */
static void unique_edges(struct ck_pair *pairs, u64 count, u32 *edges, u64 *count_ret)
{
    u64 kept = 0;

    ck_sort_pairs(pairs, pairs + count, (size_t)count);
    for (u64 i = 0; i < count; i++) {
        if (i > 0 && pairs[i].key == pairs[i - 1].key)
            continue;
        edges[2 * kept] = (u32)(pairs[i].key >> 32);
        edges[2 * kept++ + 1] = (u32)pairs[i].key;
    }
    *count_ret = kept;
}

crackle_status crackle_graph_consolidate(const float *vertices, uint64_t num_vertices, const uint32_t *edges,
                                         uint64_t num_edges, int keep_isolated, uint32_t *kept, uint64_t *num_kept_ret,
                                         uint32_t *new_edges, uint64_t *num_new_ret)
{
    const u64 most = num_vertices > num_edges ? num_vertices : num_edges;
    crackle_status status = check_edges(num_vertices, edges, num_edges);
    struct ck_pair *pairs;
    u64 num_pairs = 0, num_places = 0, num_kept = 0;
    u32 *number;

    if (status != CRACKLE_OK)
        return status;
    for (u64 i = 0; i < 3 * num_vertices; i++)
        if (vertices[i] != vertices[i])
            return CRACKLE_BAD_ARGUMENT;
    pairs = ck_malloc(most, 2 * sizeof(*pairs));
    number = ck_malloc(num_vertices, 2 * sizeof(*number));
    if (!pairs || !number) {
        free(pairs);
        free(number);
        return CRACKLE_NO_MEMORY;
    }
    /* number: per vertex, its place among all different ones; kept: per place, its first vertex. */
    sort_by_place(vertices, num_vertices, pairs);
    for (u64 i = 0; i < num_vertices; i++) {
        const u32 v = (u32)pairs[i].value;

        if (i == 0 || !same_place(vertices + 3 * (size_t)v, vertices + 3 * (size_t)kept[num_places - 1]))
            kept[num_places++] = v;
        number[v] = (u32)num_places - 1;
    }
    for (u64 i = 0; i < num_edges; i++) {
        const u64 a = number[edges[2 * i]], b = number[edges[2 * i + 1]];

        if (a != b)
            pairs[num_pairs++].key = a < b ? a << 32 | b : b << 32 | a;
    }
    if (!keep_isolated && num_places > 1) {
        u32 *const is_used = number + num_vertices;

        memset(is_used, 0, (size_t)num_places * sizeof(*is_used));
        for (u64 i = 0; i < num_pairs; i++)
            is_used[pairs[i].key >> 32] = is_used[(u32)pairs[i].key] = 1;
        for (u64 i = 0; i < num_places; i++) {
            number[i] = (u32)num_kept; /* from here on per place */
            if (is_used[i])
                kept[num_kept++] = kept[i];
        }
        for (u64 i = 0; i < num_pairs; i++)
            pairs[i].key = (u64)number[pairs[i].key >> 32] << 32 | number[(u32)pairs[i].key];
    } else {
        num_kept = num_places;
    }
    for (u64 i = 0; i < num_pairs; i++)
        pairs[i].value = 0;
    unique_edges(pairs, num_pairs, new_edges, num_new_ret);
    *num_kept_ret = num_kept;
    free(pairs);
    free(number);
    return CRACKLE_OK;
}

/* ---------------------------------- Paths ---------------------------------- */

/* Lists of vertices, one behind the other. */
struct paths {
    u32 *vertices;
    u64 *ends;
    size_t num_vertices, vertices_capacity, num_paths, ends_capacity;
};

static int add_vertex(struct paths *p, u32 vertex)
{
    void *vertices = p->vertices;
    const int ok = ck_reserve(&vertices, &p->vertices_capacity, (u64)p->num_vertices + 1, sizeof(*p->vertices));

    p->vertices = vertices;
    if (ok)
        p->vertices[p->num_vertices++] = vertex;
    return ok;
}

static int end_path(struct paths *p)
{
    void *ends = p->ends;
    const int ok = ck_reserve(&ends, &p->ends_capacity, (u64)p->num_paths + 1, sizeof(*p->ends));

    p->ends = ends;
    if (ok)
        p->ends[p->num_paths++] = p->num_vertices;
    return ok;
}

/* Follow the edge at 'index' of vertex 'from', and on through vertices of degree 2, up to the next that is critical. */
static int follow(const struct ck_adjacency *a, u32 from, u64 index, u8 *is_done, struct paths *out)
{
    u32 at = a->neighbours[index], edge = a->edges[index];
    int ok = add_vertex(out, from) && add_vertex(out, at);

    is_done[edge] = 1;
    while (ok && ck_degree(a, at) == 2 && at != from) {
        u64 next = a->begin[at];

        if (a->edges[next] == edge)
            next++;
        if (is_done[a->edges[next]])
            break;
        edge = a->edges[next];
        at = a->neighbours[next];
        is_done[edge] = 1;
        ok = add_vertex(out, at);
    }
    return ok && end_path(out);
}

static crackle_status put_paths(struct paths *p, crackle_status status, u32 **vertices, u64 *num_vertices, u64 **ends,
                                u64 *num_paths)
{
    if (status != CRACKLE_OK) {
        free(p->vertices);
        free(p->ends);
        return status;
    }
    *vertices = p->vertices;
    *num_vertices = p->num_vertices;
    *ends = p->ends;
    *num_paths = p->num_paths;
    return CRACKLE_OK;
}

crackle_status crackle_graph_segments(uint64_t num_vertices, const uint32_t *edges, uint64_t num_edges,
                                      uint32_t **vertices_ret, uint64_t *num_vertices_ret, uint64_t **ends_ret,
                                      uint64_t *num_paths_ret)
{
    struct ck_adjacency a;
    struct paths out = {NULL, NULL, 0, 0, 0, 0};
    crackle_status status = ck_adjacency_init(&a, num_vertices, edges, num_edges);
    u8 *is_done = status == CRACKLE_OK ? ck_calloc(num_edges, 1) : NULL;

    if (status == CRACKLE_OK && !is_done)
        status = CRACKLE_NO_MEMORY;
    /* First from critical vertices; what is left then are cycles. */
    for (int pass = 0; status == CRACKLE_OK && pass < 2; pass++)
        for (u64 v = 0; status == CRACKLE_OK && v < num_vertices; v++)
            if (pass == 1 || ck_degree(&a, v) != 2)
                for (u64 i = a.begin[v]; status == CRACKLE_OK && i < a.begin[v + 1]; i++)
                    if (!is_done[a.edges[i]] && !follow(&a, (u32)v, i, is_done, &out))
                        status = CRACKLE_NO_MEMORY;
    free(is_done);
    ck_adjacency_free(&a);
    return put_paths(&out, status, vertices_ret, num_vertices_ret, ends_ret, num_paths_ret);
}

/* ---------------------------------- Trees ---------------------------------- */

#define NONE UINT32_MAX

/*
 * The tree of first visits from 'root', breadth first: the parent of each vertex, which is NONE at the root, and the
 * order of visits in 'queue'.  Parents must be 'unvisited' before.  Returns the number of vertices.
 */
static u64 breadth_first(const struct ck_adjacency *a, u32 root, u32 *parent, u32 *queue, u32 unvisited)
{
    u64 count = 1;

    parent[root] = NONE;
    queue[0] = root;
    for (u64 next = 0; next < count; next++) {
        const u32 v = queue[next];

        for (u64 i = a->begin[v]; i < a->begin[v + 1]; i++) {
            const u32 to = a->neighbours[i];

            if (parent[to] != unvisited)
                continue;
            parent[to] = v;
            queue[count++] = to;
        }
    }
    return count;
}

/* The paths of one component to its root: one from each leaf of the tree of first visits. */
static int put_component(u64 count, u32 *parent, const u32 *queue, u8 *has_child, struct paths *out)
{
    int ok = 1;

    for (u64 i = 1; i < count; i++)
        has_child[parent[queue[i]]] = 1;
    for (u64 i = 1; ok && i < count; i++) {
        if (has_child[queue[i]])
            continue;
        for (u32 v = queue[i]; ok && v != NONE; v = parent[v])
            ok = add_vertex(out, v);
        ok = ok && end_path(out);
    }
    return ok;
}

crackle_status crackle_graph_root_paths(uint64_t num_vertices, const uint32_t *edges, uint64_t num_edges,
                                        uint32_t **vertices_ret, uint64_t *num_vertices_ret, uint64_t **ends_ret,
                                        uint64_t *num_paths_ret)
{
    const u32 unvisited = NONE - 1;
    struct ck_adjacency a;
    struct paths out = {NULL, NULL, 0, 0, 0, 0};
    crackle_status status = ck_adjacency_init(&a, num_vertices, edges, num_edges);
    u32 *parent = status == CRACKLE_OK ? ck_malloc(num_vertices, 2 * sizeof(*parent)) : NULL;
    u8 *has_child = status == CRACKLE_OK ? ck_calloc(num_vertices, 1) : NULL;

    if (status == CRACKLE_OK && (!parent || !has_child))
        status = CRACKLE_NO_MEMORY;
    for (u64 v = 0; status == CRACKLE_OK && v < num_vertices; v++)
        parent[v] = unvisited;
    for (u64 v = 0; status == CRACKLE_OK && v < num_vertices; v++) {
        u32 *const queue = parent + num_vertices;
        u64 count;
        u32 root;

        if (parent[v] != unvisited || ck_degree(&a, v) == 0)
            continue;
        count = breadth_first(&a, (u32)v, parent, queue, unvisited);
        root = queue[count - 1]; /* the farthest from the lowest vertex, in steps */
        for (u64 i = 0; i < count; i++)
            parent[queue[i]] = unvisited;
        count = breadth_first(&a, root, parent, queue, unvisited);
        if (!put_component(count, parent, queue, has_child, &out))
            status = CRACKLE_NO_MEMORY;
    }
    free(parent);
    free(has_child);
    ck_adjacency_free(&a);
    return put_paths(&out, status, vertices_ret, num_vertices_ret, ends_ret, num_paths_ret);
}

/* Visit a component depth first; 'stack' has room for all vertices, 'next' the next neighbour to try of each. */
static u64 depth_first(const struct ck_adjacency *a, u32 root, u32 *parent, u32 unvisited, u32 *stack, u64 *next,
                       u32 *order)
{
    u64 depth = 1, count = 0;

    parent[root] = NONE;
    order[count++] = root;
    stack[0] = root;
    next[root] = a->begin[root];
    while (depth) {
        const u32 v = stack[depth - 1];

        if (next[v] == a->begin[v + 1]) {
            depth--;
        } else {
            const u32 to = a->neighbours[next[v]++];

            if (parent[to] != unvisited)
                continue;
            parent[to] = v;
            next[to] = a->begin[to];
            order[count++] = to;
            stack[depth++] = to;
        }
    }
    return count;
}

crackle_status crackle_graph_orient(uint64_t num_vertices, const uint32_t *edges, uint64_t num_edges,
                                    const uint32_t *roots, uint64_t num_roots, uint32_t *parent, uint32_t *order)
{
    const u32 unvisited = NONE - 1;
    struct ck_adjacency a;
    crackle_status status = ck_adjacency_init(&a, num_vertices, edges, num_edges);
    u32 *stack = status == CRACKLE_OK ? ck_malloc(num_vertices, sizeof(*stack)) : NULL;
    u64 *next = status == CRACKLE_OK ? ck_malloc(num_vertices, sizeof(*next)) : NULL;
    u64 count = 0;

    if (status == CRACKLE_OK && (!stack || !next))
        status = CRACKLE_NO_MEMORY;
    for (u64 i = 0; status == CRACKLE_OK && i < num_roots; i++)
        if (roots[i] >= num_vertices)
            status = CRACKLE_BAD_ARGUMENT;
    if (status == CRACKLE_OK) {
        for (u64 v = 0; v < num_vertices; v++)
            parent[v] = unvisited;
        for (u64 i = 0; i < num_roots + num_vertices; i++) {
            const u32 root = i < num_roots ? roots[i] : (u32)(i - num_roots);

            if (parent[root] == unvisited)
                count += depth_first(&a, root, parent, unvisited, stack, next, order + count);
        }
    }
    free(stack);
    free(next);
    ck_adjacency_free(&a);
    return status;
}
