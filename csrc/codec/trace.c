/*
 * trace.c - boundary bitmaps -> chains of codepoints
 *
 * The cracks of a slice form a graph whose vertices have up to four cracks each.  ck_trace() covers the graph with as
 * few stretches as it can, because every stretch costs a BRANCH and a TERMINATE of two codepoints each.  It walks on as
 * long as the current vertex has an unwalked crack.  At a vertex with more than one, it writes BRANCH and pushes the
 * vertex.  At a dead end, it continues from the vertex pushed last.  Mostly the cracks left there have since been
 * walked from their other end.  Then the BRANCH was spurious, and is removed.  So a closed outline, whose walk ends
 * where it began, needs no BRANCH.  A junction of three cracks costs half a BRANCH, which is the minimum: in every
 * covering, one stretch ends there.
 *
 * For tracing, the bitmaps are spread to one byte per vertex (vertex_steps.h).  The bitmaps themselves would take three
 * loads from different rows, and a read and a write of the word written just before.  Nearly all vertices have two
 * cracks: a walk arrives by one and leaves by the other.  The byte of such a vertex says how the heading changes, so a
 * step is a load, an exclusive or, a shift and an addition.  Each waits for the previous one, and this latency and the
 * end of a stretch, which no processor predicts, are the cost of tracing.  To walk two slices by turns was tried, and
 * takes as long.  Tracing sets every byte back to zero, so nothing needs clearing between slices.
 *
 * The scan, row by row, meets each connected group of cracks at its first vertex.  The chain may begin at any vertex of
 * the group, and the choice matters twice.  First, beginning at a vertex with an even number of cracks, when there are
 * odd ones, costs an extra BRANCH and TERMINATE.  Second, the index takes some bytes for every row in which a chain
 * begins, so chains should share rows.  choose_start() weighs both on the way to the next junction; for a closed
 * outline that is the whole group.
 *
 * Cost: linear in the cracks, plus a pass over the vertices.  walk.c is the mirror.
 */
#include "../base/sort.h"
#include "chain_writer.h"
#include "format.h"
#include "trace.h"
#include "trail_graph.h"
#include "trails.h"
#include "vertex_steps.h"

void ck_chains_free(struct ck_chains *chains)
{
    free(chains->starts);
    free(chains->codepoints);
    chains->starts = NULL;
    chains->codepoints = NULL;
}

int ck_tracer_init(struct ck_tracer *t, const struct ck_bitmaps *b)
{
    memset(t, 0, sizeof(*t));
    t->vertex_steps = ck_calloc(((u64)b->sy + 1) * b->stride, 1); /* no walk leaves the grid, so there is no guard */
    t->row_has_start = ck_malloc((u64)b->sy + 1, 1);
    return t->vertex_steps && t->row_has_start;
}

void ck_tracer_free(struct ck_tracer *t)
{
    free(t->vertex_steps);
    free(t->row_has_start);
    free(t->headings);
    free(t->chains);
    free(t->pending);
    ck_trail_graph_free(t->graph);
    memset(t, 0, sizeof(*t));
}

/* --------------------------------- Tracing --------------------------------- */

/* The direction of a set with one member. For larger sets, the member to walk first. */
static const u8 first_direction[16] = {
    0xff, CK_UP, CK_RIGHT, CK_RIGHT, CK_DOWN, CK_DOWN, CK_RIGHT, CK_RIGHT,
    CK_LEFT, CK_LEFT, CK_RIGHT, CK_RIGHT, CK_DOWN, CK_DOWN, CK_RIGHT, CK_RIGHT,
};

static inline unsigned int straight_on(unsigned int open, unsigned int heading)
{
    return open >> heading & 1 ? heading : first_direction[open];
}

/* See ck_trace_rule. */
static inline unsigned int choose(unsigned int open, unsigned int heading, enum ck_trace_rule rule)
{
    unsigned int turned = (heading + (rule == CK_LEFT_FIRST ? 3 : 1)) & 3;

    return (rule == CK_LEFT_FIRST || rule == CK_RIGHT_FIRST) && open >> turned & 1
               ? turned
               : straight_on(open, heading);
}

/*
 * The offsets of steps in the four directions.  Offsets of 16 bits are packed into one word.  A heading shifts its
 * offset down with two instructions, where a table takes a load.
 */
struct steps {
    ptrdiff_t of[4];
    u64 packed;
    int are_packed;
};

static struct steps make_steps(size_t stride)
{
    struct steps steps = {{-(ptrdiff_t)stride, 1, (ptrdiff_t)stride, -1}, 0, stride <= INT16_MAX};

    for (unsigned int d = 0; d < 4; d++)
        steps.packed |= (u64)(u16)steps.of[d] << CK_HEADING(d);
    return steps;
}

CK_FORCEINLINE ptrdiff_t step_of(const struct steps *steps, unsigned int heading, int are_packed)
{
    return are_packed ? (ptrdiff_t)(int16_t)(u16)(steps->packed >> (heading & 63))
                      : steps->of[CK_DIRECTION_OF_HEADING(heading)];
}

/*
 * Trace one chain from 'vertex', whose byte lists its unwalked cracks.  Append it to the '*size_ret' codepoints.  There
 * is room for every crack of the slice and its control symbols.
 */
CK_FORCEINLINE crackle_status trace_chain(struct ck_tracer *t, size_t vertex, const struct steps *steps,
                                          int are_packed, size_t *size_ret)
{
    u8 *const vertex_steps = t->vertex_steps;
    unsigned int open = vertex_steps[vertex] & CK_STEPS_SET;
    unsigned int direction = t->rule == CK_STRAIGHT_FIRST ? CK_RIGHT : CK_DOWN;
    size_t num_pending = 0;
    size_t size = *size_ret;

    for (;;) {
        unsigned int heading;

        if (open == 0) {
            vertex_steps[vertex] = 0;
            ck_put_terminate(t, &size);
            /* Go back to the last pushed vertex that has unwalked cracks. The BRANCH of the others was spurious. */
            for (;;) {
                struct ck_pending *p;

                if (num_pending == 0) {
                    *size_ret = size;
                    return CRACKLE_OK;
                }
                p = &t->pending[--num_pending];
                vertex = p->vertex;
                open = vertex_steps[vertex] & CK_STEPS_SET;
                if (open)
                    break;
                t->headings[p->symbol] = t->headings[p->symbol + 1] = CK_HOLE;
            }
        }
        if (open & (open - 1)) {
            if (!ck_remember(t, &num_pending, vertex, size))
                return CRACKLE_NO_MEMORY;
            ck_put_branch(t, &size);
        }
        direction = choose(open, direction, t->rule);
        open &= ~(1u << direction);
        vertex_steps[vertex] = (u8)(open ? CK_STEPS_LISTED | open : 0);

        /* Walk along vertices with one way on. */
        heading = CK_HEADING(direction);
        {
            u8 *out = t->headings + size;
            u8 *at = vertex_steps + vertex;
            unsigned int turn;

            for (;;) {
                *out++ = (u8)heading;
                at += step_of(steps, heading, are_packed);
                turn = *at;
                if (!(turn & CK_STEPS_TURN))
                    break;
                *at = 0;
                heading ^= turn;
            }
            size = (size_t)(out - t->headings);
            vertex = (size_t)(at - vertex_steps);
            direction = CK_DIRECTION_OF_HEADING(heading);
            open = turn & CK_STEPS_SET & ~(1u << CK_OPPOSITE(direction));
        }
    }
}

/* ------------------------- Where a chain should begin ---------------------- */

/* The cost of beginning at a vertex, in bytes. */
struct start {
    size_t vertex;
    unsigned int cost;
};

struct outline {
    const struct ck_tracer *tracer;
    const struct ck_bitmaps *bitmaps;
    const struct steps *steps;
    unsigned int row_cost; /* bytes of the index for a row */
};

static inline int is_odd(unsigned int set)
{
    return 0x6996 >> set & 1;
}

static void consider(const struct outline *o, size_t vertex, size_t row, unsigned int extra, struct start *best)
{
    unsigned int cost = extra + (o->tracer->row_has_start[row] ? 0 : o->row_cost);

    if (cost < best->cost) {
        best->cost = cost;
        best->vertex = vertex;
    }
}

/*
 * Follow the cracks from 'vertex' to the next odd vertex, or back to 'vertex'.  Goes straight on at crossings; that
 * makes the path reversible, so it ends.  Updates the best odd and even vertices so far.
 */
static void explore(const struct outline *o, size_t vertex, unsigned int direction, struct start *odd,
                    struct start *even, size_t *lowest)
{
    size_t at = vertex, row = vertex / o->bitmaps->stride;

    for (;;) {
        unsigned int steps;

        at += (size_t)o->steps->of[direction];
        row += (size_t)((direction == CK_DOWN) - (direction == CK_UP));
        steps = o->tracer->vertex_steps[at];
        if (!(steps & CK_STEPS_TURN) && is_odd(steps & CK_STEPS_SET)) {
            consider(o, at, row, 0, odd);
            return;
        }
        consider(o, at, row, 0, even);
        if (at > *lowest)
            *lowest = at;
        if (at == vertex)
            return;
        if (steps & CK_STEPS_TURN)
            direction = CK_DIRECTION_OF_HEADING(CK_HEADING(direction) ^ steps);
        /* At a crossing all four cracks are unwalked: go straight on. */
    }
}

/* Choose the start of the group of cracks whose first vertex is 'vertex'. */
static size_t choose_start(const struct outline *o, size_t vertex)
{
    const unsigned int open = ck_cracks_at(o->bitmaps, vertex);
    const size_t row = vertex / o->bitmaps->stride;
    struct start odd = {0, UINT_MAX}, even = {0, UINT_MAX};
    size_t lowest = vertex;

    consider(o, vertex, row, 0, is_odd(open) ? &odd : &even);
    explore(o, vertex, first_direction[open], &odd, &even, &lowest);
    if (odd.cost == UINT_MAX) {
        /* A closed outline. Later chains are more likely to share its lowest row. */
        return even.cost == 0 ? even.vertex : lowest;
    }
    if (open & (open - 1))
        explore(o, vertex, first_direction[open & (open - 1)], &odd, &even, &lowest);
    /* An even start costs an extra BRANCH and TERMINATE: four codepoints, one byte. */
    return even.cost < UINT_MAX && even.cost + 1 < odd.cost ? even.vertex : odd.vertex;
}

/* ----------------------------- Slices to chains ---------------------------- */

#if CK_MAYBE_V4

#include <immintrin.h>

/* copy_codepoints() for 64 at once. */
CK_TARGET_V4 static size_t copy_codepoints_v4(const u8 *from, size_t size, u8 *to)
{
    const u8 *const begin = to;

    while (size) {
        const size_t count = size < 64 ? size : 64;
        const __m512i headings = _mm512_maskz_loadu_epi8(ck_low_bits((unsigned int)count), from);
        const u64 kept = ck_low_bits((unsigned int)count) & ~(u64)_mm512_movepi8_mask(headings); /* CK_HOLE is the sign */
        const __m512i directions = _mm512_and_si512(_mm512_srli_epi16(headings, 4), _mm512_set1_epi8(3));
        const unsigned int num_kept = (unsigned int)_mm_popcnt_u64(kept);

        /* Not a store that compresses: some processors take a hundred times as long for it. */
        _mm512_mask_storeu_epi8(to, ck_low_bits(num_kept), _mm512_maskz_compress_epi8(kept, directions));
        to += num_kept;
        from += count;
        size -= count;
    }
    return (size_t)(to - begin);
}

#endif /* CK_MAYBE_V4 */

/* Convert headings to codepoints, and drop the holes of spurious branches. May overwrite 7 bytes behind the last. */
static size_t copy_codepoints(const u8 *from, size_t size, u8 *to)
{
    const u8 *const begin = to;

#if CK_MAYBE_V4
    if (ck_cpu_has_v4())
        return copy_codepoints_v4(from, size, to);
#endif
    for (; size >= 8; from += 8, size -= 8) {
        u64 eight = ck_load64(from);

        if (CK_LIKELY(!(eight & CK_HOLE * 0x0101010101010101u))) {
            ck_store64(to, eight >> 4 & 0x0303030303030303u);
            to += 8;
            continue;
        }
        for (size_t i = 0; i < 8; i++) {
            *to = CK_DIRECTION_OF_HEADING(from[i]);
            to += from[i] != CK_HOLE;
        }
    }
    for (; size; from++, size--) {
        *to = CK_DIRECTION_OF_HEADING(*from);
        to += *from != CK_HOLE;
    }
    return (size_t)(to - begin);
}

/* Sort the chains by their starts. */
static crackle_status order_chains(const struct ck_tracer *t, struct ck_chains *chains)
{
    struct ck_pair *order = ck_malloc(t->num_chains, 2 * sizeof(*order));
    void *starts = chains->starts, *codepoints = chains->codepoints;
    size_t size = 0;
    int ok;

    if (!order)
        return CRACKLE_NO_MEMORY;
    ok = ck_reserve(&starts, &chains->starts_capacity, t->num_chains, sizeof(*chains->starts));
    chains->starts = starts;
    ok = ok && ck_reserve(&codepoints, &chains->codepoints_capacity,
                          t->num_chains ? (u64)t->chains[t->num_chains - 1].end + 8 : 0, 1);
    chains->codepoints = codepoints;
    if (!ok) {
        free(order);
        return CRACKLE_NO_MEMORY;
    }
    for (size_t i = 0; i < t->num_chains; i++) {
        order[i].key = t->chains[i].start;
        order[i].value = i;
    }
    ck_sort_pairs(order, order + t->num_chains, t->num_chains);
    for (size_t i = 0; i < t->num_chains; i++) {
        size_t found = (size_t)order[i].value;
        size_t begin = found ? t->chains[found - 1].end : 0;

        chains->starts[i] = t->chains[found].start;
        size += copy_codepoints(t->headings + begin, t->chains[found].end - begin, chains->codepoints + size);
    }
    free(order);
    /* A BRANCH with nothing before it is spelled LEFT, RIGHT. */
    if (size >= 2 && chains->codepoints[0] == CK_UP && chains->codepoints[1] == CK_DOWN) {
        chains->codepoints[0] = CK_LEFT;
        chains->codepoints[1] = CK_RIGHT;
    }
    chains->num_starts = t->num_chains;
    chains->num_codepoints = size;
    return CRACKLE_OK;
}

/* Trace the group of cracks whose first vertex is 'vertex'. */
static crackle_status add_chain(struct ck_tracer *t, const struct outline *outline, size_t vertex, size_t *size)
{
    size_t start = t->rule == CK_STRAIGHT_FROM_TOP ? vertex : choose_start(outline, vertex);
    void *chains = t->chains;
    int ok = ck_reserve(&chains, &t->chains_capacity, (u64)t->num_chains + 1, sizeof(*t->chains));
    crackle_status status;

    t->chains = chains;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    t->vertex_steps[start] = (u8)(CK_STEPS_LISTED | ck_cracks_at(outline->bitmaps, start));
    status = outline->steps->are_packed ? trace_chain(t, start, outline->steps, 1, size)
                                        : trace_chain(t, start, outline->steps, 0, size);
    t->row_has_start[start / outline->bitmaps->stride] = 1;
    t->chains[t->num_chains].start = start;
    t->chains[t->num_chains].end = *size;
    t->num_chains++;
    return status;
}

crackle_status ck_trace(struct ck_tracer *t, const struct ck_bitmaps *b, u64 num_cracks, struct ck_chains *chains)
{
    const struct steps steps = make_steps(b->stride);
    const size_t num_vertices = ((size_t)b->sy + 1) * b->stride;
    struct outline outline;
    void *headings = t->headings;
    size_t size = 0;
    int ok;

    /*
     * A crack is one codepoint.  A crack follows every BRANCH, and precedes every TERMINATE; each of these is two
     * codepoints.
     */
    if (num_cracks > (u64)PTRDIFF_MAX / 8)
        return CRACKLE_NO_MEMORY;
    ok = ck_reserve(&headings, &t->headings_capacity, 5 * num_cracks, 1);
    t->headings = headings;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    t->num_chains = 0;
    memset(t->row_has_start, 0, (size_t)b->sy + 1);
    outline.tracer = t;
    outline.bitmaps = b;
    outline.steps = &steps;
    outline.row_cost = ck_width((u64)b->sx + 1) + ck_width((u64)b->sy + 1);

    ck_spread_steps(b, t->vertex_steps);
    if (t->rule == CK_FEW_CONTROLS && num_cracks <= CK_MAX_GRAPH_CRACKS) {
        crackle_status status = ck_trace_trails(t, b, num_cracks);

        return status == CRACKLE_OK ? order_chains(t, chains) : status;
    }
    for (size_t vertex = 0;;) {
        crackle_status status;

        vertex = ck_next_vertex_with_steps(t->vertex_steps, vertex, num_vertices);
        if (vertex == num_vertices)
            break;
        status = add_chain(t, &outline, vertex, &size);
        if (status != CRACKLE_OK)
            return status;
    }
    return order_chains(t, chains);
}
