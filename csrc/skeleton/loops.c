/*
 * loops.c - skeletons without cycles
 *
 * Skeletons are trees, but merging those of neighbouring volumes can close cycles.  A cycle is opened so that what
 * branches off it stays attached.  Let B be its vertices with three edges or more:
 *
 *   no B       the cycle goes
 *   one B      the cycle goes, and an edge from B to the vertex of the cycle that is farthest from it stays for it
 *   two B      the arc between them with fewer vertices goes
 *   more B     if all are within the radius of the vertex of the cycle that is nearest to their mean, they are joined to
 *              that, and the rest of the cycle goes; otherwise the longest edge goes
 *
 * One depth-first search finds all cycles: an edge to a vertex that is on the stack closes one.  When it is opened, the
 * search goes back to the cycle's first vertex and on from there.  Subtrees that were finished stay finished, because
 * only vertices of the cycle get new edges.  Every repair leaves fewer edges than there were, so the search ends.
 *
 * Cost: linear, plus the length of each cycle.
 */
#include "../crackle.h"
#include "graph.h"

#include <math.h>

#define NONE UINT32_MAX
/* Look at 'stop' after this many steps. */
#define STEPS_AT_ONCE 65536

/* A graph that loses and gets edges: lists of half-edges. Edge e has the halves 2e and 2e + 1. */
struct half_edges {
    u32 *head;              /* per vertex: its first half-edge */
    u32 *to, *next, *before;
    u32 *degree;
    u32 unused;             /* the first edge that was removed, chained by 'next' of its first half */
};

struct search {
    struct half_edges g;
    const float *vertices, *radii;
    u32 *stack, *via;       /* per depth: the vertex, and the half-edge that led to it */
    u32 *depth;             /* per vertex: its place in the stack, or NONE */
    u32 *upcoming;          /* per vertex on the stack: the half-edge to try next */
    u32 *parent;            /* per vertex that was visited: the half-edge from its parent; see VISITED */
    u32 *branches;          /* scratch: B, as depths */
};

#define UNVISITED (NONE - 1) /* a parent; NONE itself stands for a root */

static void insert_half(struct half_edges *g, u32 half, u32 from, u32 to)
{
    g->to[half] = to;
    g->before[half] = NONE;
    g->next[half] = g->head[from];
    if (g->head[from] != NONE)
        g->before[g->head[from]] = half;
    g->head[from] = half;
    g->degree[from]++;
}

static void insert_edge(struct half_edges *g, u32 a, u32 b)
{
    const u32 half = g->unused;

    g->unused = g->next[half];
    insert_half(g, half, a, b);
    insert_half(g, half + 1, b, a);
}

static void remove_half(struct half_edges *g, u32 half, u32 from)
{
    if (g->before[half] == NONE)
        g->head[from] = g->next[half];
    else
        g->next[g->before[half]] = g->next[half];
    if (g->next[half] != NONE)
        g->before[g->next[half]] = g->before[half];
    g->degree[from]--;
}

/* Remove the edge of a half-edge that leads from 'from'. */
static void remove_edge(struct half_edges *g, u32 half, u32 from)
{
    const u32 even = half & ~(u32)1;

    remove_half(g, half, from);
    remove_half(g, half ^ 1, g->to[half]);
    g->next[even] = g->unused;
    g->unused = even;
}

static double apart(const struct search *s, u32 a, u32 b)
{
    double sum = 0;

    for (int axis = 0; axis < 3; axis++) {
        const double away = (double)s->vertices[3 * (size_t)a + axis] - s->vertices[3 * (size_t)b + axis];

        sum += away * away;
    }
    return sqrt(sum);
}

/* The half-edge that leads to place i of a cycle from the place before it. The cycle is the stack from 'first' to 'last'. */
static u32 half_to(const struct search *s, u32 first, u32 i, u32 closing)
{
    return i == first ? closing : s->via[i];
}

static u32 place_before(u32 first, u32 last, u32 i)
{
    return i == first ? last : i - 1;
}

/* Remove the edges that lead to the places from, from + 1, ..., to of a cycle, which may go round its end. */
static void remove_arc(struct search *s, u32 first, u32 last, u32 closing, u32 from, u32 count)
{
    for (u32 k = 0, i = from; k < count; k++, i = i == last ? first : i + 1)
        remove_edge(&s->g, half_to(s, first, i, closing), s->stack[place_before(first, last, i)]);
}

/* The place of the cycle that is nearest to the mean of its branches. */
static u32 centre(const struct search *s, u32 first, u32 last, u32 num_branches)
{
    double mean[3] = {0, 0, 0}, least = INFINITY;
    u32 nearest = first;

    for (u32 k = 0; k < num_branches; k++)
        for (int axis = 0; axis < 3; axis++)
            mean[axis] += (double)s->vertices[3 * (size_t)s->stack[s->branches[k]] + axis] / num_branches;
    for (u32 i = first; i <= last; i++) {
        double sum = 0;

        for (int axis = 0; axis < 3; axis++) {
            const double away = s->vertices[3 * (size_t)s->stack[i] + axis] - mean[axis];

            sum += away * away;
        }
        if (sum < least) {
            least = sum;
            nearest = i;
        }
    }
    return nearest;
}

static void cut_longest(struct search *s, u32 first, u32 last, u32 closing)
{
    double longest = -1;
    u32 at = first;

    for (u32 i = first; i <= last; i++) {
        const double length = apart(s, s->stack[i], s->stack[place_before(first, last, i)]);

        if (length > longest) {
            longest = length;
            at = i;
        }
    }
    remove_arc(s, first, last, closing, at, 1);
}

/* Open the cycle of the vertices on the stack from 'first' to 'last', and back by the half-edge 'closing'. */
static void open_cycle(struct search *s, u32 first, u32 last, u32 closing)
{
    const u32 length = last - first + 1;
    u32 num_branches = 0;

    for (u32 i = first; i <= last; i++)
        if (s->g.degree[s->stack[i]] >= 3)
            s->branches[num_branches++] = i;
    if (num_branches <= 1) {
        remove_arc(s, first, last, closing, first, length);
        if (num_branches == 1) {
            const u32 base = s->stack[s->branches[0]];
            double most = 0;
            u32 tip = base;

            for (u32 i = first; i <= last; i++) {
                const double away = apart(s, s->stack[i], base);

                if (away > most) {
                    most = away;
                    tip = s->stack[i];
                }
            }
            if (tip != base)
                insert_edge(&s->g, base, tip);
        }
    } else if (num_branches == 2) {
        const u32 between = s->branches[1] - s->branches[0];

        if (between <= length - between)
            remove_arc(s, first, last, closing, s->branches[0] + 1, between);
        else
            remove_arc(s, first, last, closing, s->branches[1] == last ? first : s->branches[1] + 1, length - between);
    } else {
        const u32 hub = s->stack[centre(s, first, last, num_branches)];
        int is_near = 1;

        for (u32 k = 0; k < num_branches; k++)
            is_near &= apart(s, s->stack[s->branches[k]], hub) <= s->radii[hub];
        if (!is_near) {
            cut_longest(s, first, last, closing);
            return;
        }
        remove_arc(s, first, last, closing, first, length);
        for (u32 k = 0; k < num_branches; k++)
            if (s->stack[s->branches[k]] != hub)
                insert_edge(&s->g, s->stack[s->branches[k]], hub);
    }
}

/* Search from 'root', and open every cycle. */
static crackle_status search_from(struct search *s, u32 root, u64 *steps, const volatile int32_t *stop)
{
    u32 top = 0;

    s->stack[0] = root;
    s->via[0] = NONE;
    s->depth[root] = 0;
    s->parent[root] = NONE;
    s->upcoming[root] = s->g.head[root];
    for (;;) {
        const u32 v = s->stack[top], half = s->upcoming[v];
        u32 to;

        if (++*steps % STEPS_AT_ONCE == 0 && ck_is_set(stop))
            return CRACKLE_STOPPED;
        if (half == NONE) {
            s->depth[v] = NONE;
            if (top-- == 0)
                return CRACKLE_OK;
            continue;
        }
        s->upcoming[v] = s->g.next[half];
        to = s->g.to[half];
        if (half == (s->via[top] ^ 1) || s->parent[to] == half)
            continue; /* the way back, or a subtree that is finished */
        if (s->parent[to] == UNVISITED) {
            s->parent[to] = half;
            s->stack[++top] = to;
            s->via[top] = half;
            s->depth[to] = top;
            s->upcoming[to] = s->g.head[to];
        } else if (s->depth[to] != NONE) {
            const u32 first = s->depth[to];

            open_cycle(s, first, top, half);
            for (; top > first; top--) {
                s->depth[s->stack[top]] = NONE;
                s->parent[s->stack[top]] = UNVISITED;
            }
            s->upcoming[to] = s->g.head[to];
        }
    }
}

static int init_search(struct search *s, u64 num_vertices, u64 num_edges)
{
    u32 *memory = ck_malloc(num_vertices, 8 * sizeof(u32)), *halves = ck_malloc(2 * num_edges + 2, 3 * sizeof(u32));

    if (!memory || !halves) {
        free(memory);
        free(halves);
        return 0;
    }
    s->g.head = memory;
    s->g.degree = memory + num_vertices;
    s->stack = memory + 2 * num_vertices;
    s->via = memory + 3 * num_vertices;
    s->depth = memory + 4 * num_vertices;
    s->upcoming = memory + 5 * num_vertices;
    s->parent = memory + 6 * num_vertices;
    s->branches = memory + 7 * num_vertices;
    s->g.to = halves;
    s->g.next = halves + 2 * num_edges + 2;
    s->g.before = halves + 4 * num_edges + 4;
    return 1;
}

crackle_status crackle_graph_remove_loops(const float *vertices, const float *radii, uint64_t num_vertices,
                                          uint32_t *edges, uint64_t num_edges, const volatile int32_t *stop,
                                          uint64_t *num_left_ret)
{
    crackle_status status = CRACKLE_OK;
    struct search s;
    u64 left = 0, steps = 0;

    if (num_vertices >= UNVISITED || num_edges >= UINT32_MAX / 2 - 2)
        return CRACKLE_TOO_LARGE;
    for (u64 i = 0; i < 2 * num_edges; i++)
        if (edges[i] >= num_vertices || edges[i] == edges[i ^ 1])
            return CRACKLE_BAD_ARGUMENT;
    if (!init_search(&s, num_vertices, num_edges))
        return CRACKLE_NO_MEMORY;
    s.vertices = vertices;
    s.radii = radii;
    s.g.unused = (u32)(2 * num_edges); /* a spare edge, so that the list is never empty */
    s.g.next[s.g.unused] = NONE;
    for (u64 v = 0; v < num_vertices; v++) {
        s.g.head[v] = NONE;
        s.g.degree[v] = 0;
        s.depth[v] = NONE;
        s.parent[v] = UNVISITED;
    }
    for (u64 i = num_edges; i-- > 0;) { /* backwards: lists then begin with the first edge */
        insert_half(&s.g, (u32)(2 * i), edges[2 * i], edges[2 * i + 1]);
        insert_half(&s.g, (u32)(2 * i + 1), edges[2 * i + 1], edges[2 * i]);
    }
    for (u64 v = 0; status == CRACKLE_OK && v < num_vertices; v++)
        if (s.parent[v] == UNVISITED)
            status = search_from(&s, (u32)v, &steps, stop);
    for (u64 v = 0; status == CRACKLE_OK && v < num_vertices; v++) {
        for (u32 half = s.g.head[v]; half != NONE; half = s.g.next[half]) {
            if (s.g.to[half] < v)
                continue;
            edges[2 * left] = (u32)v;
            edges[2 * left++ + 1] = s.g.to[half];
        }
    }
    *num_left_ret = left;
    free(s.g.head);
    free(s.g.to);
    return status;
}
