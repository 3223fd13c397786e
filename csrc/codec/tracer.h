/*
 * tracer.h - the rules of tracing, and its scratch memory, which trace.c and trails.c share
 */
#ifndef CK_TRACER_H
#define CK_TRACER_H

#include "../base/common.h"

struct ck_step_costs;
struct ck_trail_graph;

/*
 * Where a walk begins, and which way it turns first.  Every rule gives a valid stream; they differ in how well a Markov
 * model predicts the walk.
 */
enum ck_trace_rule {
    CK_STRAIGHT_FIRST,  /* the default: leaves the fewest stretches */
    CK_LEFT_FIRST,  /* follows outlines in one direction: with a model, 1 % shorter for many moves */
    CK_RIGHT_FIRST,
    CK_STRAIGHT_FROM_TOP, /* straight on, from the first vertex of each group */
    CK_FEW_CONTROLS, /* trails.c: takes short lines of cracks twice, to write half as many control symbols */
    CK_NUM_TRACE_RULES
};

/* Scratch memory of tracing. Kept between slices, because 'vertex_steps' stays clear. */
struct ck_tracer {
    enum ck_trace_rule rule;
    u8 *vertex_steps;               /* per vertex: its unwalked cracks, see vertex_steps.h */
    u8 *row_has_start;      /* per row of vertices: whether a chain of this slice begins there */
    u8 *headings;           /* of the slice, chain by chain as they were traced, with holes */
    size_t headings_capacity;
    struct ck_found_chain {
        size_t start;
        size_t end;         /* of its headings, which begin where the previous chain ends */
    } *chains;
    size_t num_chains, chains_capacity;
    struct ck_pending {
        size_t vertex;
        size_t symbol;
    } *pending;             /* a stack of vertices, and where their BRANCH stands */
    size_t pending_capacity;
    /* For CK_FEW_CONTROLS only. */
    const struct ck_step_costs *costs; /* or NULL; not freed with the tracer */
    struct ck_trail_graph *graph;      /* see trail_graph.h */
};

#endif /* CK_TRACER_H */
