/* double_edges.h - which edges of a graph are walked twice, and where trails end */
#ifndef CK_DOUBLE_EDGES_H
#define CK_DOUBLE_EDGES_H

#include "trail_graph.h"

/*
 * Set 'is_doubled' and 'doubled', and 'end' of all nodes with three cracks.  'costs' may be NULL.  False when there is no
 * memory.
 */
int ck_double_edges(struct ck_trail_graph *g, const struct ck_step_costs *costs);

#endif /* CK_DOUBLE_EDGES_H */
