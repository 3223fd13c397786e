/* pair_trails.h - which way a walk goes at a node: the trails that cover a graph */
#ifndef CK_PAIR_TRAILS_H
#define CK_PAIR_TRAILS_H

#include "trail_graph.h"

/* Set 'partner', so that no closed trail is left beside another trail of its group. 'costs' may be NULL. */
int ck_pair_trails(struct ck_trail_graph *g, const struct ck_step_costs *costs);

#endif /* CK_PAIR_TRAILS_H */
