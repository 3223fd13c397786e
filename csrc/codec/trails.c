/*
 * trails.c - boundary bitmaps -> chains with few control symbols
 *
 * Half as many control symbols as trace.c writes, for several times its time.  The cracks become a graph in which short
 * edges are doubled (double_edges.c), and trails that cover it (pair_trails.c).  This file writes the trails as chains:
 * one chain for each group of connected cracks.
 *
 * A chain follows its first trail.  At a node with edges that are not walked yet, it writes BRANCH and pushes the node,
 * as trace.c does, and removes the BRANCH if nothing is left there when the node is popped.
 *
 * At the end of a trail, a walk may also take a few cracks again, to a node that has edges left.  This finds the pairs of
 * odd nodes whose path leads over other nodes.  These are not doubled in advance, because it would give nodes six
 * half-edges.
 *
 * The index takes some bytes for every row of vertices in which a chain begins.  Groups are written by their lowest
 * rows, from the top down.  A group begins in a row that has a start already, or else as low as it can.  For outlines,
 * which may begin in every row from their highest to their lowest, this gives the fewest rows.
 *
 * Tried and rejected: walking each trail, and each outline, from the end from which its steps take fewer bits.  Chains
 * that go back to another node than the last pushed are longer: 0.3 % on a segmentation of neurons.
 */
#include "../base/sort.h"
#include "chain_writer.h"
#include "double_edges.h"
#include "pair_trails.h"
#include "trails.h"

/* How far a walk goes over walked cracks to a node that has edges left. */
#define MAX_STEPS_AGAIN 5
#define MAX_TRIED 64

static inline int is_walked(const struct ck_trail_graph *g, u32 half)
{
    return g->is_walked[CK_COPY_OF(half)];
}

/* Whether the cracks of a half-edge have not been walked at all. */
static inline int is_needed(const struct ck_trail_graph *g, u32 half)
{
    return half != CK_NO_HALF && !is_walked(g, half) &&
           !(g->edges[CK_EDGE_OF(half)].is_doubled && is_walked(g, CK_OTHER_COPY(half)));
}

/* Whether leaving by 'half' would turn back to where 'arrived' came from. */
static inline int turns_back(u32 half, u32 arrived)
{
    return arrived != CK_NO_HALF && (half & ~2u) == (arrived & ~2u);
}

/*
 * A half-edge of 'node' that has to be walked, or CK_NO_HALF.  The end of a trail is best.  'arrived' is the half-edge
 * by which the walk arrived, if it may not turn back.
 */
static u32 choose_half(const struct ck_trail_graph *g, const struct ck_node *node, u32 arrived)
{
    u32 best = CK_NO_HALF;

    for (unsigned int i = 0; i < 4; i++) {
        u32 half = node->half[i];

        if (!is_needed(g, half) || turns_back(half, arrived))
            continue;
        if (g->edges[CK_EDGE_OF(half)].is_doubled && g->partner[CK_OTHER_COPY(half)] == CK_NO_HALF)
            half = CK_OTHER_COPY(half);
        if (best == CK_NO_HALF || (g->partner[half] == CK_NO_HALF && g->partner[best] != CK_NO_HALF))
            best = half;
    }
    return best;
}

/* Let a trail end at 'half'. */
static void cut_trail(struct ck_trail_graph *g, u32 half)
{
    if (g->partner[half] != CK_NO_HALF) {
        g->partner[g->partner[half]] = CK_NO_HALF;
        g->partner[half] = CK_NO_HALF;
    }
}

static int put_edge(struct ck_tracer *t, const struct ck_trail_graph *g, u32 half, size_t *size)
{
    const struct ck_edge *e = &g->edges[CK_EDGE_OF(half)];
    const u8 *from = g->headings + e->steps;
    u8 *to;

    /* Room for control symbols, too. */
    if (!ck_grow(&t->headings, &t->headings_capacity, (u64)*size + e->length + 8, 1))
        return 0;
    to = t->headings + *size;
    if (half & 1)
        for (u32 i = e->length; i-- > 0;)
            *to++ = from[i] ^ CK_HEADING(2);
    else
        memcpy(to, from, e->length);
    *size += e->length;
    return 1;
}

/*
 * Walk along walked edges to the nearest node that has edges left.  'arrived' is the half-edge by which the walk arrived,
 * and becomes that by which it arrives there; or CK_NO_HALF if there is no such node.
 */
static int walk_again(struct ck_tracer *t, const struct ck_trail_graph *g, u32 *arrived, size_t *size)
{
    struct {
        u32 half;
        u32 length;         /* of the path that ends with 'half' */
        unsigned int from;  /* the index of the half-edge before it */
    } tried[MAX_TRIED];
    unsigned int n = 1, best = 0, path[MAX_STEPS_AGAIN], path_length = 0;

    /* The first is that by which the walk arrived. It is no part of the path. */
    tried[0].half = CK_OTHER_END(*arrived);
    tried[0].length = 0;
    tried[0].from = 0;
    for (unsigned int i = 0; i < n; i++) {
        const u32 at = CK_OTHER_END(tried[i].half);
        const struct ck_node *node = &g->nodes[ck_node_of(g, at)];

        for (unsigned int k = 0; k < 4 && n < MAX_TRIED; k++) {
            const u32 half = node->half[k];
            u32 length;

            if (half == CK_NO_HALF || turns_back(half, at))
                continue;
            length = tried[i].length + g->edges[CK_EDGE_OF(half)].length;
            if (length > MAX_STEPS_AGAIN)
                continue;
            tried[n].half = half;
            tried[n].length = length;
            tried[n].from = i;
            if ((best == 0 || length < tried[best].length) &&
                choose_half(g, &g->nodes[ck_node_of(g, CK_OTHER_END(half))], CK_OTHER_END(half)) != CK_NO_HALF)
                best = n;
            n++;
        }
    }
    *arrived = CK_NO_HALF;
    for (unsigned int i = best; i; i = tried[i].from)
        path[path_length++] = i;
    while (path_length) {
        const u32 half = tried[path[--path_length]].half;

        if (!put_edge(t, g, half, size))
            return 0;
        *arrived = CK_OTHER_END(half);
    }
    return 1;
}

/* Pop nodes until one has an edge left, and leave it by '*half'; CK_NO_HALF at the end of the chain. */
static void go_back(struct ck_tracer *t, const struct ck_trail_graph *g, size_t *num_pending, u32 *half)
{
    while (*num_pending) {
        const struct ck_pending *p = &t->pending[--*num_pending];

        *half = choose_half(g, &g->nodes[p->vertex], CK_NO_HALF);
        if (*half != CK_NO_HALF)
            return;
        t->headings[p->symbol] = t->headings[p->symbol + 1] = CK_HOLE;
    }
    *half = CK_NO_HALF;
}

static int has_edges_left(const struct ck_trail_graph *g, const struct ck_node *node)
{
    return is_needed(g, node->half[0]) || is_needed(g, node->half[1]) || is_needed(g, node->half[2]) ||
           is_needed(g, node->half[3]);
}

/* Append the chain that begins by leaving a node by 'half' to the '*size' headings. */
static crackle_status put_chain(struct ck_tracer *t, struct ck_trail_graph *g, u32 half, size_t *size)
{
    size_t num_pending = 0;

    if (!ck_grow(&t->headings, &t->headings_capacity, (u64)*size + 8, 1))
        return CRACKLE_NO_MEMORY;
    while (half != CK_NO_HALF) {
        const struct ck_node *node = &g->nodes[ck_node_of(g, half)];
        u32 arrived = CK_OTHER_END(half);

        g->is_walked[CK_COPY_OF(half)] = 1;
        if (has_edges_left(g, node)) {
            if (!ck_remember(t, &num_pending, (size_t)(node - g->nodes), *size))
                return CRACKLE_NO_MEMORY;
            ck_put_branch(t, size);
        }
        if (!put_edge(t, g, half, size))
            return CRACKLE_NO_MEMORY;
        half = g->partner[arrived];
        if (half != CK_NO_HALF && !is_walked(g, half))
            continue;
        half = choose_half(g, &g->nodes[ck_node_of(g, arrived)], arrived);
        if (half == CK_NO_HALF) {
            if (!walk_again(t, g, &arrived, size))
                return CRACKLE_NO_MEMORY;
            if (arrived != CK_NO_HALF)
                half = choose_half(g, &g->nodes[ck_node_of(g, arrived)], arrived);
        }
        if (half == CK_NO_HALF) {
            ck_put_terminate(t, size);
            go_back(t, g, &num_pending, &half);
        }
        if (half != CK_NO_HALF)
            cut_trail(g, half);
    }
    return CRACKLE_OK;
}

/* --------------------------------- Starts ---------------------------------- */

static void reverse(u8 *headings, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        const u8 swap = headings[i];

        headings[i] = headings[count - 1 - i];
        headings[count - 1 - i] = swap;
    }
}

/* Let an outline begin in a row that has a start, or else in its lowest row. */
static void turn_outline(const struct ck_tracer *t, struct ck_trail_graph *g, struct ck_node *node, size_t stride)
{
    const struct ck_edge *e = &g->edges[CK_EDGE_OF(node->half[0])];
    u8 *headings = g->headings + e->steps;
    size_t vertex = node->vertex, best = vertex;
    u32 best_step = 0;

    for (u32 i = 0; i < e->length && !t->row_has_start[best / stride]; i++) {
        const ptrdiff_t steps[4] = {-(ptrdiff_t)stride, 1, (ptrdiff_t)stride, -1};

        if (vertex > best || t->row_has_start[vertex / stride]) {
            best = vertex;
            best_step = i;
        }
        vertex += (size_t)steps[CK_DIRECTION_OF_HEADING(headings[i])];
    }
    reverse(headings, best_step);
    reverse(headings + best_step, e->length - best_step);
    reverse(headings, e->length);
    node->vertex = best;
}

/* Where the chain of a group begins: at the end of a trail, if there is one. */
static u32 choose_start(const struct ck_tracer *t, const struct ck_trail_graph *g, u32 group, size_t stride)
{
    u32 best = CK_NO_HALF, n = group;
    int best_is_end = 0, best_has_row = 0;

    do {
        const struct ck_node *node = &g->nodes[n];
        const u32 half = choose_half(g, node, CK_NO_HALF);
        const int is_end = g->partner[half] == CK_NO_HALF;
        const int has_row = t->row_has_start[node->vertex / stride];

        if (best == CK_NO_HALF || is_end > best_is_end ||
            (is_end == best_is_end &&
             (has_row > best_has_row ||
              (has_row == best_has_row && node->vertex > g->nodes[ck_node_of(g, best)].vertex)))) {
            best = half;
            best_is_end = is_end;
            best_has_row = has_row;
        }
        n = node->next;
    } while (n != CK_NO_HALF);
    return best;
}

static int is_outline(const struct ck_trail_graph *g, const struct ck_node *node)
{
    return node->half[0] != CK_NO_HALF && node->half[1] == CK_OTHER_END(node->half[0]) &&
           node->half[2] == CK_NO_HALF && node->half[3] == CK_NO_HALF && g->partner[node->half[0]] == node->half[1];
}

static size_t lowest_vertex(const struct ck_trail_graph *g, u32 group, size_t stride)
{
    size_t lowest = 0;

    for (u32 n = group; n != CK_NO_HALF; n = g->nodes[n].next)
        lowest = g->nodes[n].vertex > lowest ? g->nodes[n].vertex : lowest;
    if (is_outline(g, &g->nodes[group])) {
        const struct ck_edge *e = &g->edges[CK_EDGE_OF(g->nodes[group].half[0])];
        const ptrdiff_t steps[4] = {-(ptrdiff_t)stride, 1, (ptrdiff_t)stride, -1};
        size_t vertex = g->nodes[group].vertex;

        for (u32 i = 0; i < e->length; i++) {
            vertex += (size_t)steps[CK_DIRECTION_OF_HEADING(g->headings[e->steps + i])];
            lowest = vertex > lowest ? vertex : lowest;
        }
    }
    return lowest;
}

static crackle_status put_group(struct ck_tracer *t, struct ck_trail_graph *g, u32 group, size_t stride, size_t *size)
{
    struct ck_found_chain *chain;
    crackle_status status;
    u32 half;

    if (!ck_grow(&t->chains, &t->chains_capacity, (u64)t->num_chains + 1, sizeof(*t->chains)))
        return CRACKLE_NO_MEMORY;
    chain = &t->chains[t->num_chains++];
    if (is_outline(g, &g->nodes[group])) {
        turn_outline(t, g, &g->nodes[group], stride);
        half = g->nodes[group].half[0];
    } else {
        half = choose_start(t, g, group, stride);
    }
    cut_trail(g, half);
    chain->start = g->nodes[ck_node_of(g, half)].vertex;
    t->row_has_start[chain->start / stride] = 1;
    status = put_chain(t, g, half, size);
    chain->end = *size;
    return status;
}

crackle_status ck_trace_trails(struct ck_tracer *t, const struct ck_bitmaps *b, u64 num_cracks)
{
    struct ck_trail_graph *g = t->graph;
    struct ck_pair *groups;
    crackle_status status = CRACKLE_OK;
    size_t size = 0, num_groups = 0;

    if (!g)
        g = t->graph = ck_calloc(1, sizeof(*g));
    if (!g || !ck_make_trail_graph(g, t, b, num_cracks))
        return CRACKLE_NO_MEMORY;
    if (g->num_nodes == 0)
        return CRACKLE_OK;
    if (!ck_double_edges(g, t->costs) || !ck_pair_trails(g, t->costs))
        return CRACKLE_NO_MEMORY;
    groups = ck_malloc(g->num_nodes, 2 * sizeof(*groups));
    if (!groups)
        return CRACKLE_NO_MEMORY;
    for (u32 n = 0; n < g->num_nodes; n++)
        if (g->group[n] == n) {
            groups[num_groups].key = lowest_vertex(g, n, b->stride);
            groups[num_groups++].value = n;
        }
    ck_sort_pairs(groups, groups + g->num_nodes, num_groups);
    for (size_t i = 0; i < num_groups && status == CRACKLE_OK; i++)
        status = put_group(t, g, (u32)groups[i].value, b->stride, &size);
    free(groups);
    return status;
}
