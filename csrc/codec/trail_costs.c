/*
 * trail_costs.c - the bits of a walk at a node
 *
 * A Markov model codes a step by the steps before it.  So what a walk costs depends on the way by which it arrives at a
 * node, and by which it leaves.  Nobody knows yet in which direction a trail will be walked; therefore both are counted.
 * Beyond the next node the walk is unknown, and a history begins as if it went straight on.
 */
#include "format.h"
#include "trail_costs.h"

/* The longest history, and a step; twice that, around a doubled edge. */
#define MAX_STEPS (2 * (CRACKLE_MAX_MARKOV_ORDER + 1) + CK_MAX_DOUBLED_LENGTH)

static u32 num_counted(const struct ck_step_costs *costs, const struct ck_trail_graph *g, u32 half)
{
    const u32 length = g->edges[CK_EDGE_OF(half)].length;

    return length <= costs->order ? length : costs->order + 1;
}

/*
 * The bits of the first steps of a walk that arrives from 'from', or begins at the node if that is CK_NO_HALF, and leaves
 * by 'to'.  'over' is the doubled edge between, or CK_NO_HALF.  All three are half-edges that leave their node, 'to' that
 * behind 'over'.
 */
static unsigned int bits_one_way(const struct ck_step_costs *costs, const struct ck_trail_graph *g, u32 from, u32 over,
                                 u32 to)
{
    const u32 before = from == CK_NO_HALF ? 0 : num_counted(costs, g, from), behind = num_counted(costs, g, to);
    unsigned int steps[MAX_STEPS], n = 0, first, bits = 0;
    size_t history = 0;

    for (u32 k = before; k-- > 0;)
        steps[n++] = CK_OPPOSITE(ck_step_of_half(g, from, k));
    first = n;
    if (over != CK_NO_HALF)
        for (u32 k = 0; k < g->edges[CK_EDGE_OF(over)].length; k++)
            steps[n++] = ck_step_of_half(g, over, k);
    for (u32 k = 0; k < behind; k++)
        steps[n++] = ck_step_of_half(g, to, k);
    for (unsigned int i = 1; i < n; i++) {
        const unsigned int cost = ck_step_cost(costs, &history, (steps[i] - steps[i - 1]) & 3);

        bits += i >= first ? cost : 0;
    }
    return bits;
}

unsigned int ck_pair_bits(const struct ck_step_costs *costs, const struct ck_trail_graph *g, u32 a, u32 b)
{
    return bits_one_way(costs, g, a, CK_NO_HALF, b) + bits_one_way(costs, g, b, CK_NO_HALF, a);
}

unsigned int ck_pair_bits_over(const struct ck_step_costs *costs, const struct ck_trail_graph *g, u32 a, u32 over,
                               u32 b)
{
    return bits_one_way(costs, g, a, over, b) + bits_one_way(costs, g, b, CK_OTHER_END(over), a);
}

unsigned int ck_end_bits(const struct ck_step_costs *costs, const struct ck_trail_graph *g, u32 half)
{
    return bits_one_way(costs, g, CK_NO_HALF, CK_NO_HALF, half);
}
