/* trail_costs.h - the bits of a walk at a node */
#ifndef CK_TRAIL_COSTS_H
#define CK_TRAIL_COSTS_H

#include "trail_graph.h"

/*
 * The first steps of a walk that leaves a node by 'b', given the steps by which it arrives, and those of the walk in the
 * other direction: so many steps as the model's history and one more, or to the next node.  'a' and 'b' are half-edges
 * that leave the node.
 */
unsigned int ck_pair_bits(const struct ck_step_costs *costs, const struct ck_trail_graph *g, u32 a, u32 b);

/* The same for a walk over a doubled edge. 'over' leaves the node of 'a', and leads to the node of 'b'. */
unsigned int ck_pair_bits_over(const struct ck_step_costs *costs, const struct ck_trail_graph *g, u32 a, u32 over,
                               u32 b);

/* The bits of the first steps of a walk that begins with 'half'. */
unsigned int ck_end_bits(const struct ck_step_costs *costs, const struct ck_trail_graph *g, u32 half);

#endif /* CK_TRAIL_COSTS_H */
