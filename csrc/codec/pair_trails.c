/*
 * pair_trails.c - which way a walk goes at a node: the trails that cover a graph
 *
 * At every node, half-edges are paired: a walk that arrives by one leaves by the other.  Pairs make trails of edges.
 * A node with an odd number of half-edges leaves one unpaired, and a trail ends there.
 *
 * With a cost of steps, the pairs are those that make the steps around the node cheapest, in both directions.  Without,
 * trails go straight on.  A walk must not turn back, so the two copies of a doubled edge are never a pair.  This leaves
 * two ways to pass a doubled edge.
 *
 * Pairs may make a closed trail.  As long as it is not all of its group, it meets another trail at a node, and changing
 * the pairs there merges the two.  A closed trail of its own would cost a BRANCH and a TERMINATE.
 */
#include "../base/sets.h"
#include "pair_trails.h"
#include "trail_costs.h"

static void pair(struct ck_trail_graph *g, u32 a, u32 b)
{
    g->partner[a] = b;
    g->partner[b] = a;
}

/* Pair the two other half-edges of a node with the copies of its doubled edge. */
static void pair_doubled(struct ck_trail_graph *g, const struct ck_step_costs *costs, u32 doubled, u32 a, u32 b)
{
    const u32 there = CK_OTHER_END(doubled);
    const u32 x = g->partner[there], y = g->partner[CK_OTHER_COPY(there)];

    /* The second of the two nodes has the choice. */
    if (costs && x != CK_NO_HALF &&
        ck_pair_bits_over(costs, g, x, there, b) + ck_pair_bits_over(costs, g, y, there, a) <
            ck_pair_bits_over(costs, g, x, there, a) + ck_pair_bits_over(costs, g, y, there, b)) {
        pair(g, b, doubled);
        pair(g, a, CK_OTHER_COPY(doubled));
        return;
    }
    pair(g, a, doubled);
    pair(g, b, CK_OTHER_COPY(doubled));
}

static void pair_crossing(struct ck_trail_graph *g, const struct ck_step_costs *costs, const u32 half[4])
{
    static const u8 orders[3][4] = {{0, 2, 1, 3}, {0, 1, 2, 3}, {0, 3, 1, 2}}; /* straight on first */
    unsigned int best = 0, least = UINT_MAX;

    for (unsigned int i = 0; costs && i < 3; i++) {
        const u8 *o = orders[i];
        const unsigned int bits = ck_pair_bits(costs, g, half[o[0]], half[o[1]]) +
                                  ck_pair_bits(costs, g, half[o[2]], half[o[3]]);

        if (bits < least) {
            least = bits;
            best = i;
        }
    }
    pair(g, half[orders[best][0]], half[orders[best][1]]);
    pair(g, half[orders[best][2]], half[orders[best][3]]);
}

static void pair_at(struct ck_trail_graph *g, const struct ck_step_costs *costs, const struct ck_node *node)
{
    const u32 alone = node->doubled != CK_NO_HALF ? node->doubled : node->end;
    u32 others[4] = {CK_NO_HALF, CK_NO_HALF, CK_NO_HALF, CK_NO_HALF};
    unsigned int n = 0;

    for (unsigned int i = 0; i < 4; i++)
        if (node->half[i] != CK_NO_HALF && node->half[i] != alone)
            others[n++] = node->half[i];
    if (node->doubled != CK_NO_HALF)
        pair_doubled(g, costs, node->doubled, others[0], others[1]);
    else if (n == 4)
        pair_crossing(g, costs, node->half);
    else if (n == 2)
        pair(g, others[0], others[1]);
}

/* ------------------------------ Closed trails ------------------------------ */

static void join(struct ck_trail_graph *g, u32 a, u32 b)
{
    const u8 has_end = g->has_end[ck_find_root(g->trail, a)] | g->has_end[ck_find_root(g->trail, b)];

    ck_unite(g->trail, a, b);
    g->has_end[ck_find_root(g->trail, a)] = has_end;
}

/* If two pairs belong to two trails, and one of these is closed: exchange partners, so that one trail results. */
static void merge_pairs(struct ck_trail_graph *g, u32 a, u32 b)
{
    const u32 x = ck_find_root(g->trail, CK_COPY_OF(a)), y = ck_find_root(g->trail, CK_COPY_OF(b));
    const u32 partner_of_a = g->partner[a], partner_of_b = g->partner[b];

    if (x == y || (g->has_end[x] && g->has_end[y]))
        return;
    pair(g, a, partner_of_b);
    pair(g, b, partner_of_a);
    join(g, x, y);
}

static void merge_at(struct ck_trail_graph *g, const struct ck_node *node)
{
    u32 end = CK_NO_HALF, passing = CK_NO_HALF, crossing = CK_NO_HALF;

    if (node->doubled != CK_NO_HALF) {
        merge_pairs(g, node->doubled, CK_OTHER_COPY(node->doubled));
        return;
    }
    for (unsigned int i = 0; i < 4; i++) {
        const u32 half = node->half[i];

        if (half == CK_NO_HALF)
            continue;
        if (g->partner[half] == CK_NO_HALF)
            end = half;
        else if (passing == CK_NO_HALF)
            passing = half;
        else if (half != g->partner[passing])
            crossing = half;
    }
    if (crossing != CK_NO_HALF) {
        merge_pairs(g, passing, crossing);
    } else if (end != CK_NO_HALF && passing != CK_NO_HALF &&
               !g->has_end[ck_find_root(g->trail, CK_COPY_OF(passing))]) {
        g->partner[g->partner[passing]] = CK_NO_HALF;
        pair(g, passing, end);
        join(g, CK_COPY_OF(passing), CK_COPY_OF(end));
    }
}

int ck_pair_trails(struct ck_trail_graph *g, const struct ck_step_costs *costs)
{
    const size_t num_copies = 2 * g->num_edges;

    if (!ck_grow(&g->partner, &g->partner_capacity, 2 * (u64)num_copies, sizeof(*g->partner)) ||
        !ck_grow(&g->trail, &g->trail_capacity, num_copies, sizeof(*g->trail)) ||
        !ck_grow(&g->has_end, &g->has_end_capacity, num_copies, 1) ||
        !ck_grow(&g->is_walked, &g->is_walked_capacity, num_copies, 1))
        return 0;
    memset(g->partner, 0xff, 2 * num_copies * sizeof(*g->partner)); /* CK_NO_HALF */
    for (size_t n = 0; n < g->num_nodes; n++)
        pair_at(g, costs, &g->nodes[n]);
    for (u32 copy = 0; copy < num_copies; copy++) {
        g->trail[copy] = copy;
        g->has_end[copy] = g->partner[2 * copy] == CK_NO_HALF || g->partner[2 * copy + 1] == CK_NO_HALF;
        g->is_walked[copy] = 0;
    }
    for (u32 half = 0; half < 2 * num_copies; half++)
        if (g->partner[half] != CK_NO_HALF)
            join(g, CK_COPY_OF(half), CK_COPY_OF(g->partner[half]));
    for (size_t n = 0; n < g->num_nodes; n++)
        merge_at(g, &g->nodes[n]);
    return 1;
}
