/*
 * trace.h - boundary bitmaps <-> codepoints: where chains begin, and the steps they take
 *
 * A chain is a walk along the cracks of a slice from vertex to vertex.  Its steps are
 * codepoints, one byte each: CK_UP .. CK_LEFT, with BRANCH and TERMINATE spelled as two
 * opposite codepoints (format.h).  Chains are ordered by the position of the vertex
 * where they begin, and their codepoints follow each other without a gap.
 */
#ifndef CK_TRACE_H
#define CK_TRACE_H

#include "../base/bitmaps.h"
#include "../crackle.h"

/* The chains of a slice. */
struct ck_chains {
    size_t *starts;         /* positions of the vertices where chains begin, ascending */
    size_t num_starts;
    size_t starts_capacity;
    u8 *codepoints;
    size_t num_codepoints;
    size_t codepoints_capacity;
};

void ck_chains_free(struct ck_chains *chains);

/*
 * Where a walk begins and which way it goes first where there is a choice.  Any will do; they differ in
 * what a Markov model makes of them.
 */
enum ck_trace_rule {
    CK_STRAIGHT_FIRST,  /* leaves the fewest stretches: what is done where nothing else is tried */
    CK_LEFT_FIRST,  /* goes around things one way: a hundredth less of many moves with a model */
    CK_RIGHT_FIRST,
    CK_STRAIGHT_FROM_TOP, /* straight on, from the first vertex of each group */
    CK_NUM_TRACE_RULES
};

/* What tracing a slice needs besides: kept between slices, as it stays clear. */
struct ck_tracer {
    enum ck_trace_rule rule;
    u8 *vertex_steps;               /* per vertex, see vertex_steps.h: the cracks that are not yet walked */
    u8 *row_has_start;      /* per row of vertices, whether a chain of this slice begins there */
    u8 *headings;           /* of the slice, chain by chain as they were found, with gaps */
    size_t headings_capacity;
    struct ck_found_chain {
        size_t start;
        size_t end;         /* of its codepoints; they begin where the chain before ends */
    } *chains;
    size_t num_chains, chains_capacity;
    struct ck_pending {
        size_t vertex;
        size_t symbol;
    } *pending;             /* vertices to come back to, and where their BRANCH stands */
    size_t pending_capacity;
};

int ck_tracer_init(struct ck_tracer *t, const struct ck_bitmaps *b);
void ck_tracer_free(struct ck_tracer *t);

/* Walk every crack of 'b', of which there are 'num_cracks', once. */
crackle_status ck_trace(struct ck_tracer *t, const struct ck_bitmaps *b, u64 num_cracks, struct ck_chains *chains);

/*
 * Set the bits of the cracks that the chains walk.  'b' is cleared first.  CRACKLE_CORRUPT
 * where a chain leaves the slice, walks along its rim, or does not end; codepoints
 * after the end of the last chain are ignored.
 */
crackle_status ck_walk(const struct ck_chains *chains, struct ck_bitmaps *b);

#endif /* CK_TRACE_H */
