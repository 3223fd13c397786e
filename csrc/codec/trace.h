/*
 * trace.h - boundary bitmaps <-> codepoints: the starts of chains, and their steps
 *
 * A chain is a walk along the cracks of a slice from vertex to vertex (docs/format.md, section 3).  Its steps are
 * codepoints, one byte each: CK_UP .. CK_LEFT.  BRANCH and TERMINATE are spelled as two opposite codepoints (format.h).
 * Chains are sorted by the position of the vertex where they begin, and their codepoints follow each other without a
 * gap.
 */
#ifndef CK_TRACE_H
#define CK_TRACE_H

#include "../base/bitmaps.h"
#include "../crackle.h"
#include "tracer.h"

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

int ck_tracer_init(struct ck_tracer *t, const struct ck_bitmaps *b);
void ck_tracer_free(struct ck_tracer *t);

/* Trace every crack of 'b': once, or with CK_FEW_CONTROLS some more than once. 'num_cracks' is their number. */
crackle_status ck_trace(struct ck_tracer *t, const struct ck_bitmaps *b, u64 num_cracks, struct ck_chains *chains);

/*
 * Set the bits of the cracks that the chains walk, after clearing 'b'.  CRACKLE_CORRUPT if a chain leaves the slice,
 * walks along its rim, or does not end.  Codepoints behind the end of the last chain are ignored.
 */
crackle_status ck_walk(const struct ck_chains *chains, struct ck_bitmaps *b);

#endif /* CK_TRACE_H */
