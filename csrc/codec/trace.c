/*
 * trace.c - boundary bitmaps -> chains of codepoints
 *
 * Tracing.  The cracks of a slice form a graph of vertices with up to four cracks each.
 * ck_trace() covers it with as few stretches as it can, because every stretch costs a
 * BRANCH and a TERMINATE, two codepoints each.  It walks on while the vertex that it
 * reaches has a crack that has not been walked.  Where there is more than one, it writes
 * BRANCH and remembers the vertex; at a dead end it comes back to the vertex remembered
 * last.  Mostly the cracks that were left there have been walked by then, from their
 * other end: the BRANCH was spurious, and is taken out again.  So a closed outline, whose
 * walk ends where it began, costs no BRANCH at all, and a junction of three costs one
 * half of one, which is the least that is possible (two ends of stretches meet there in
 * every covering).
 *
 * For tracing, the planes are spread to one byte per vertex (vertex_steps.h), where the bitmaps would take three
 * loads from different rows and a read and write of the word just written.  Nearly all vertices have two
 * cracks, and who comes by one of them leaves by the other: their byte is how the heading changes, so that a
 * step is a load, an exclusive or, a shift and an addition.  Each waits for the one before: what they take
 * is what tracing takes.  Only bytes of vertices with cracks are ever written, and
 * tracing leaves every byte zero, so nothing is cleared between slices.
 *
 * The first vertex, row by row, of a connected group of cracks has neither a crack above nor
 * one to the left, so only such vertices are looked at.  The chain may begin anywhere in its group,
 * though, and where matters twice.  Beginning at an even vertex when there are odd ones costs
 * one BRANCH and TERMINATE more than need be; and the index has some bytes for every row in
 * which a chain begins, so chains that share rows are cheaper.  choose_start() weighs both along
 * the way to the next junction, which is all of the group where it is a closed outline.
 *
 * walk.c is the mirror.
 */
#include "../base/sort.h"
#include "format.h"
#include "trace.h"
#include "vertex_steps.h"

/* A heading that was written and taken back. */
#define HOLE 0x80

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
    t->vertex_steps = ck_calloc(((u64)b->sy + 1) * b->stride, 1); /* no walk leaves the grid: no guard */
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
    memset(t, 0, sizeof(*t));
}

/* --------------------------------- Tracing --------------------------------- */

/* The direction of a set with one member; for larger sets the one to be walked first. */
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
 * The steps in the four directions.  Those of 16 bits lie in one word, from which a heading shifts its own
 * down: two instructions, where a table takes a load.
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

/* In 't->headings', codepoints are as CK_HEADING() makes them, with any bit 6. */
static inline void put_control(struct ck_tracer *t, size_t *size, unsigned int first)
{
    t->headings[*size] = (u8)CK_HEADING(first);
    t->headings[*size + 1] = (u8)CK_HEADING(CK_OPPOSITE(first));
    *size += 2;
}

/*
 * The two halves of a control symbol are opposite; so must not be the codepoint before it and its first half, or
 * a reader would pair those.  A control that always turns never is, and is more to be expected: nothing but a
 * crack goes straight on.
 */
static inline int is_vertical(const struct ck_tracer *t, size_t size)
{
    return size && !(CK_DIRECTION_OF_HEADING(t->headings[size - 1]) & 1);
}

static inline void put_branch(struct ck_tracer *t, size_t *size)
{
    put_control(t, size, is_vertical(t, *size) ? CK_LEFT : CK_UP);
}

static inline void put_terminate(struct ck_tracer *t, size_t *size)
{
    put_control(t, size, is_vertical(t, *size) ? CK_RIGHT : CK_DOWN);
}

/* Come back to 'vertex' later; its BRANCH stands behind the 'size' codepoints. */
static inline int remember(struct ck_tracer *t, size_t *num_pending, size_t vertex, size_t size)
{
    void *pending = t->pending;
    int ok = ck_reserve(&pending, &t->pending_capacity, *num_pending + 1, sizeof(*t->pending));

    t->pending = pending;
    if (!ok)
        return 0;
    t->pending[*num_pending].vertex = vertex;
    t->pending[*num_pending].symbol = size;
    ++*num_pending;
    return 1;
}

/*
 * One chain from 'vertex', whose byte lists its open cracks, behind the '*size_ret' codepoints that there are.
 * There is room for every crack of the slice and its controls.
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
            put_terminate(t, &size);
            /* Back to the last vertex with something left; the others' BRANCH was spurious. */
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
                t->headings[p->symbol] = t->headings[p->symbol + 1] = HOLE;
            }
        }
        if (open & (open - 1)) {
            if (!remember(t, &num_pending, vertex, size))
                return CRACKLE_NO_MEMORY;
            put_branch(t, &size);
        }
        direction = choose(open, direction, t->rule);
        open &= ~(1u << direction);
        vertex_steps[vertex] = (u8)(open ? CK_STEPS_LISTED | open : 0);

        /* Along vertices that have one way on. */
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

/* What beginning at a vertex costs in bytes. */
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
 * Follow the cracks from 'vertex' to the next odd vertex or back to 'vertex', straight on at
 * crossings, which makes the way reversible, so that it comes to an end.  'odd' and 'even'
 * are the best vertices of either kind so far.
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
        /* All four are open at a crossing: straight on. */
    }
}

/* The vertex at which the group that is first met at 'vertex' is to begin. */
static size_t choose_start(const struct outline *o, size_t vertex)
{
    const unsigned int open = ck_cracks_at(o->bitmaps, vertex);
    const size_t row = vertex / o->bitmaps->stride;
    struct start odd = {0, UINT_MAX}, even = {0, UINT_MAX};
    size_t lowest = vertex;

    consider(o, vertex, row, 0, is_odd(open) ? &odd : &even);
    explore(o, vertex, first_direction[open], &odd, &even, &lowest);
    if (odd.cost == UINT_MAX) {
        /* A closed outline.  Its lowest row may serve for more of the chains to come. */
        return even.cost == 0 ? even.vertex : lowest;
    }
    if (open & (open - 1))
        explore(o, vertex, first_direction[open & (open - 1)], &odd, &even, &lowest);
    /* An even start costs a BRANCH and a TERMINATE more: four codepoints, one byte. */
    return even.cost < UINT_MAX && even.cost + 1 < odd.cost ? even.vertex : odd.vertex;
}

/* ----------------------------- Slices to chains ---------------------------- */

/* Headings to codepoints, without the gaps that spurious branches left; up to 7 bytes behind are spoilt. */
static size_t copy_codepoints(const u8 *from, size_t size, u8 *to)
{
    const u8 *const begin = to;

    for (; size >= 8; from += 8, size -= 8) {
        u64 eight = ck_load64(from);

        if (CK_LIKELY(!(eight & HOLE * 0x0101010101010101u))) {
            ck_store64(to, eight >> 4 & 0x0303030303030303u);
            to += 8;
            continue;
        }
        for (size_t i = 0; i < 8; i++) {
            *to = CK_DIRECTION_OF_HEADING(from[i]);
            to += from[i] != HOLE;
        }
    }
    for (; size; from++, size--) {
        *to = CK_DIRECTION_OF_HEADING(*from);
        to += *from != HOLE;
    }
    return (size_t)(to - begin);
}

/* Put the chains that were found in the order of their starts. */
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
    /* A BRANCH that nothing stands before is spelled LEFT, RIGHT. */
    if (size >= 2 && chains->codepoints[0] == CK_UP && chains->codepoints[1] == CK_DOWN) {
        chains->codepoints[0] = CK_LEFT;
        chains->codepoints[1] = CK_RIGHT;
    }
    chains->num_starts = t->num_chains;
    chains->num_codepoints = size;
    return CRACKLE_OK;
}

/* The chain of the group of cracks that is first met at 'vertex'. */
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
     * A crack is one codepoint.  Every BRANCH is followed by a crack, and every TERMINATE follows
     * one; each is two codepoints.
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
    for (size_t vertex = 0; (vertex = ck_next_vertex_with_steps(t->vertex_steps, vertex, num_vertices)) < num_vertices;) {
        crackle_status status = add_chain(t, &outline, vertex, &size);

        if (status != CRACKLE_OK)
            return status;
    }
    return order_chains(t, chains);
}
