/* trails.h - boundary bitmaps -> chains with few control symbols */
#ifndef CK_TRAILS_H
#define CK_TRAILS_H

#include "../base/bitmaps.h"
#include "../crackle.h"
#include "tracer.h"

/*
 * Trace all cracks that 't->vertex_steps' lists, and clear them there.  Adds chains to 't'.  'num_cracks' is at most
 * CK_MAX_GRAPH_CRACKS.
 */
crackle_status ck_trace_trails(struct ck_tracer *t, const struct ck_bitmaps *b, u64 num_cracks);

#endif /* CK_TRAILS_H */
