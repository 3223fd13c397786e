/*
 * double_edges.c - which edges of a graph are walked twice
 *
 * In every covering of the cracks by stretches, a stretch ends at each vertex with an odd number of cracks.  A stretch
 * costs a BRANCH and a TERMINATE, about ten bits with a Markov model; a step costs about 1.4.  The format lets a walk
 * take a crack twice.  If two odd vertices are a few steps apart, walking these steps twice makes both vertices even,
 * and costs less than a stretch.  This is the problem of the Chinese postman, with a limit on the length of a detour.
 *
 * A node has at most one doubled edge, so it has at most four half-edges, as a crossing has.  Doubled edges are thus a
 * matching of the nodes with three cracks, and the best is that which saves most bits.  A step costs more where the walk
 * turns unexpectedly, so with a model the bits around both nodes are counted, with the edge doubled and without.
 *
 * The matching begins with the edges that save most.  Then paths improve it: from a node that has no doubled edge, along
 * an edge that becomes doubled, one that no longer is, one that becomes doubled, and so on.  In a segmentation of neurons
 * the first part doubles an edge at 70 of 100 nodes, and the second makes it 75.
 *
 * Tried and rejected: paths of several edges between two odd nodes, which leave some nodes with two or three doubled
 * edges.  Walks find most of these on their own (trails.c), and chains became 0.4 % longer.  Longer improving paths, and
 * a second turn of them, find one hundredth more.
 */
#include "../base/sort.h"
#include "double_edges.h"
#include "trail_costs.h"

/* An improving path takes back at most this many edges. */
#define MAX_TAKEN_BACK 5

/*
 * What a stretch takes, in both directions, as other costs are counted: bits with a model.  Compressors behind the codec
 * shorten steps more than control symbols, so it is a little more than would make the stream itself shortest.
 */
#define STRETCH_BITS 24
/* Without a model: a stretch is as long as six and a half steps. */
#define STRETCH_HALF_STEPS 13

/* The two other half-edges of the node with three cracks that 'half' leaves. */
static void other_halves(const struct ck_trail_graph *g, u32 half, u32 others[2])
{
    const struct ck_node *node = &g->nodes[ck_node_of(g, half)];
    unsigned int n = 0;

    for (unsigned int i = 0; i < 4; i++)
        if (node->half[i] != CK_NO_HALF && node->half[i] != half)
            others[n++] = node->half[i];
}

/* Choose by which of its half-edges a trail ends at a node with three, if none is doubled. */
static void choose_end(const struct ck_trail_graph *g, const struct ck_step_costs *costs, struct ck_node *node)
{
    node->bits = UINT_MAX;
    for (unsigned int i = 0; i < 4; i++) {
        const u32 half = node->half[i];
        unsigned int bits;
        u32 others[2];

        if (half == CK_NO_HALF || (!costs && node->half[i ^ 2] != CK_NO_HALF)) /* without costs, others go straight on */
            continue;
        other_halves(g, half, others);
        bits = costs ? ck_end_bits(costs, g, half) + ck_pair_bits(costs, g, others[0], others[1]) : 0;
        if (bits < node->bits) {
            node->bits = bits;
            node->end = half;
        }
    }
}

/* The bits around both nodes of an edge, if it is doubled. */
static unsigned int doubled_bits(const struct ck_trail_graph *g, const struct ck_step_costs *costs, u32 half)
{
    u32 here[2], there[2];
    unsigned int same, crossed;

    other_halves(g, half, here);
    other_halves(g, CK_OTHER_END(half), there);
    same = ck_pair_bits_over(costs, g, here[0], half, there[0]) + ck_pair_bits_over(costs, g, here[1], half, there[1]);
    crossed = ck_pair_bits_over(costs, g, here[0], half, there[1]) + ck_pair_bits_over(costs, g, here[1], half, there[0]);
    return same < crossed ? same : crossed;
}

/*
 * What doubling an edge saves.  Of an edge longer than the model's history and one more, some steps are counted with the
 * edge doubled alone: at the low orders where that can be, few moves are traced again.
 */
static int saved_by(const struct ck_trail_graph *g, const struct ck_step_costs *costs, const struct ck_edge *e)
{
    const struct ck_node *a = &g->nodes[e->node[0]], *b = &g->nodes[e->node[1]];

    if (e->length > CK_MAX_DOUBLED_LENGTH || a == b || !ck_is_junction(a) || !ck_is_junction(b))
        return 0;
    if (!costs)
        return STRETCH_HALF_STEPS - 2 * (int)e->length;
    return STRETCH_BITS + (int)(a->bits + b->bits) - (int)doubled_bits(g, costs, CK_HALF(e - g->edges));
}

static void set_doubled(struct ck_trail_graph *g, u32 half, int is_doubled)
{
    g->edges[CK_EDGE_OF(half)].is_doubled = is_doubled;
    g->nodes[ck_node_of(g, half)].doubled = is_doubled ? half : CK_NO_HALF;
    g->nodes[ck_node_of(g, CK_OTHER_END(half))].doubled = is_doubled ? CK_OTHER_END(half) : CK_NO_HALF;
}

/* Double the edges that save most, as long as there are any between nodes without one. */
static int double_greedily(struct ck_trail_graph *g)
{
    struct ck_pair *edges = ck_malloc(g->num_edges, 2 * sizeof(*edges));
    size_t n = 0;

    if (!edges)
        return 0;
    for (u32 i = 0; i < g->num_edges; i++)
        if (g->edges[i].saved > 0) {
            edges[n].key = (u64)(INT_MAX - g->edges[i].saved);
            edges[n++].value = i;
        }
    ck_sort_pairs(edges, edges + g->num_edges, n);
    for (size_t i = 0; i < n; i++) {
        const struct ck_edge *e = &g->edges[edges[i].value];

        if (g->nodes[e->node[0]].doubled == CK_NO_HALF && g->nodes[e->node[1]].doubled == CK_NO_HALF)
            set_doubled(g, CK_HALF(edges[i].value), 1);
    }
    free(edges);
    return 1;
}

/* ----------------------------- Improving paths ----------------------------- */

/* The edges of a path, by the half-edges along it. Those at odd places are doubled, and will not be. */
struct path {
    u32 half[2 * MAX_TAKEN_BACK + 1];
    unsigned int length;
    int saved;
};

static int has_node(const struct ck_trail_graph *g, const struct path *p, u32 node)
{
    for (unsigned int i = 0; i < p->length; i++)
        if (ck_node_of(g, p->half[i]) == node)
            return 1;
    return 0;
}

/* Go on from 'node', to which 'path' leads, in all ways, and keep the path that saves most in 'best'. */
static void look_further(const struct ck_trail_graph *g, u32 node, struct path *path, struct path *best)
{
    const struct path before = *path;

    for (unsigned int i = 0; i < 4; i++) {
        const u32 half = g->nodes[node].half[i];
        u32 end, doubled;

        if (half == CK_NO_HALF || g->edges[CK_EDGE_OF(half)].saved <= 0 || g->edges[CK_EDGE_OF(half)].is_doubled)
            continue;
        end = ck_node_of(g, CK_OTHER_END(half));
        doubled = g->nodes[end].doubled;
        if (has_node(g, path, end) || (doubled != CK_NO_HALF && path->length >= 2 * MAX_TAKEN_BACK))
            continue;
        path->half[path->length++] = half;
        path->saved += g->edges[CK_EDGE_OF(half)].saved;
        if (doubled != CK_NO_HALF) {
            path->half[path->length++] = doubled;
            path->saved -= g->edges[CK_EDGE_OF(doubled)].saved;
        }
        if (path->saved > best->saved)
            *best = *path;
        if (doubled != CK_NO_HALF)
            look_further(g, ck_node_of(g, CK_OTHER_END(doubled)), path, best);
        *path = before;
    }
}

static void improve_from(struct ck_trail_graph *g, u32 node)
{
    struct path path = {{0}, 0, 0}, best = {{0}, 0, 0};

    look_further(g, node, &path, &best);
    for (unsigned int i = 1; i < best.length; i += 2)
        set_doubled(g, best.half[i], 0);
    for (unsigned int i = 0; i < best.length; i += 2)
        set_doubled(g, best.half[i], 1);
}

int ck_double_edges(struct ck_trail_graph *g, const struct ck_step_costs *costs)
{
    for (size_t n = 0; n < g->num_nodes; n++)
        if (ck_is_junction(&g->nodes[n]))
            choose_end(g, costs, &g->nodes[n]);
    for (size_t i = 0; i < g->num_edges; i++)
        g->edges[i].saved = saved_by(g, costs, &g->edges[i]);
    if (!double_greedily(g))
        return 0;
    for (u32 n = 0; n < g->num_nodes; n++)
        if (g->nodes[n].doubled == CK_NO_HALF && ck_is_junction(&g->nodes[n]))
            improve_from(g, n);
    return 1;
}
