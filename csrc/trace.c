/*
 * trace.c - boundary bitmaps <-> chains of codepoints
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
 * For tracing, the planes are spread to one byte per vertex that holds the cracks still to
 * be walked in all four directions.  The byte makes a step one load, one look-up and one
 * store, where the bitmaps would take three loads from different rows and a read
 * and write of the word just written.  Only bytes of vertices with cracks are ever
 * written, and tracing leaves every byte zero, so nothing is cleared between slices.
 *
 * A chain can only begin at a vertex that has neither a crack above nor one to the left:
 * the first vertex, row by row, of any connected group of cracks is of that kind.
 *
 * Walking is the mirror: each codepoint marks one bit and moves the position.
 */
#include "trace.h"
#include "format.h"

/* A codepoint that was written and taken back. */
#define HOLE 0xff

#define UP_BIT (1u << CK_UP)
#define RIGHT_BIT (1u << CK_RIGHT)
#define DOWN_BIT (1u << CK_DOWN)
#define LEFT_BIT (1u << CK_LEFT)

void ck_chains_free(struct ck_chains *chains)
{
    free(chains->starts);
    free(chains->codepoints);
    chains->starts = NULL;
    chains->codepoints = NULL;
}

int ck_tracer_init(struct ck_tracer *t, const struct ck_bitmaps *b)
{
    t->pending = NULL;
    t->pending_capacity = 0;
    t->open_cracks = ck_calloc(((u64)b->sy + 1) * b->stride, 1); /* no walk leaves the grid: no guard */
    return t->open_cracks != NULL;
}

void ck_tracer_free(struct ck_tracer *t)
{
    free(t->open_cracks);
    free(t->pending);
    t->open_cracks = NULL;
    t->pending = NULL;
}

/* --------------------------- Spreading the planes -------------------------- */

/* Word 'w' of the four directions at the vertices of row 'y'. */
struct directions {
    u64 up, right, down, left;
};

static inline struct directions directions_at(const struct ck_bitmaps *b, u64 y, size_t w)
{
    const u64 *h = ck_horizontal(b, y) + w;
    const u64 *v = ck_vertical(b, y) + w;
    struct directions d;

    /* Row 0 finds the clear row between the planes above it, the last row is clear itself. */
    d.up = *(v - b->words);
    d.down = *v;
    d.right = *h;
    d.left = *h << 1 | *(h - 1) >> 63; /* the bit before a row is padding, and clear */
    return d;
}

/* Bit i of a byte to bit 0 of byte i of a word. */
static inline u64 spread(u64 bits, unsigned int shift)
{
    u64 byte = bits >> shift & 0xff;

    return ((byte & 0x7f) * 0x02040810204081u & 0x0101010101010101u) | (byte >> 7) << 56;
}

static void spread_cracks(const struct ck_bitmaps *b, u8 *open_cracks)
{
    for (u64 y = 0; y <= b->sy; y++)
        for (size_t w = 0; w < b->words; w++) {
            struct directions d = directions_at(b, y, w);
            u64 any = d.up | d.right | d.down | d.left;
            u8 *group = open_cracks + y * b->stride + w * 64;

            while (any) {
                unsigned int shift = ck_ctz64(any) & ~7u;

                ck_store64(group + shift, spread(d.up, shift) << CK_UP | spread(d.right, shift) << CK_RIGHT |
                                              spread(d.down, shift) << CK_DOWN |
                                              spread(d.left, shift) << CK_LEFT);
                any &= ~((u64)0xff << shift);
            }
        }
}

/* --------------------------------- Tracing --------------------------------- */

/* The direction of a set with one member; for larger sets the one to be walked first. */
static const u8 first_direction[16] = {
    0xff, CK_UP, CK_RIGHT, CK_RIGHT, CK_DOWN, CK_DOWN, CK_RIGHT, CK_RIGHT,
    CK_LEFT, CK_LEFT, CK_RIGHT, CK_RIGHT, CK_DOWN, CK_DOWN, CK_RIGHT, CK_RIGHT,
};

/* Straight on where possible, for the sake of the Markov model, else the first of the set. */
static inline unsigned int choose(unsigned int open, unsigned int heading)
{
    return open >> heading & 1 ? heading : first_direction[open];
}

struct trail {
    u8 *codepoints;
    size_t size;
};

static inline void put_control(struct trail *out, unsigned int first)
{
    out->codepoints[out->size] = (u8)first;
    out->codepoints[out->size + 1] = (u8)CK_OPPOSITE(first);
    out->size += 2;
}

/*
 * The two halves of a control symbol are opposite; so must not be the codepoint before it
 * and its first half, or a reader would pair those.  'last' is that codepoint, or -1.
 */
static inline void put_branch(struct trail *out, int last)
{
    put_control(out, last == CK_DOWN || last < 0 ? CK_LEFT : CK_UP);
}

static inline void put_terminate(struct trail *out, int last)
{
    put_control(out, last == CK_UP || last < 0 ? CK_RIGHT : CK_DOWN);
}

static inline int last_codepoint(const struct trail *out)
{
    return out->size ? out->codepoints[out->size - 1] : -1;
}

/*
 * One chain from 'vertex', which has an open crack.  There is room in 'out' for every
 * crack of the slice and its controls.
 */
static crackle_status trace_chain(struct ck_tracer *t, size_t vertex, const ptrdiff_t *step, struct trail *out)
{
    u8 *open_cracks = t->open_cracks;
    unsigned int heading = CK_RIGHT;
    size_t num_pending = 0;

    for (;;) {
        unsigned int open = open_cracks[vertex];

        if (open == 0) {
            put_terminate(out, last_codepoint(out));
            /* Back to the last vertex with something left; the others' BRANCH was spurious. */
            for (;;) {
                struct ck_pending *p;

                if (num_pending == 0)
                    return CRACKLE_OK;
                p = &t->pending[--num_pending];
                vertex = p->vertex;
                open = open_cracks[vertex];
                if (open)
                    break;
                out->codepoints[p->symbol] = out->codepoints[p->symbol + 1] = HOLE;
            }
        }
        if (open & (open - 1)) {
            void *pending = t->pending;
            int ok = ck_reserve(&pending, &t->pending_capacity, num_pending + 1, sizeof(*t->pending));

            t->pending = pending;
            if (!ok)
                return CRACKLE_NO_MEMORY;
            t->pending[num_pending].vertex = vertex;
            t->pending[num_pending].symbol = out->size;
            num_pending++;
            put_branch(out, last_codepoint(out));
        }
        heading = choose(open, heading);
        open_cracks[vertex] = (u8)(open & ~(1u << heading));

        /* Along vertices that have one way on. */
        for (;;) {
            unsigned int on;

            out->codepoints[out->size++] = (u8)heading;
            vertex += (size_t)step[heading];
            on = open_cracks[vertex] & ~(1u << CK_OPPOSITE(heading));
            if (on == 0 || (on & (on - 1))) {
                open_cracks[vertex] = (u8)on;
                break;
            }
            open_cracks[vertex] = 0;
            heading = first_direction[on];
        }
    }
}

/* Close the gaps that spurious branches left. */
static size_t remove_holes(u8 *codepoints, size_t size)
{
    size_t from = 0, to = 0;

    for (; from + 8 <= size; from += 8) {
        u64 eight = ck_load64(codepoints + from);

        if (CK_LIKELY(!(eight & 0x8080808080808080u))) {
            ck_store64(codepoints + to, eight);
            to += 8;
            continue;
        }
        for (size_t i = from; i < from + 8; i++) {
            u8 codepoint = (u8)(eight >> 8 * (i - from));

            codepoints[to] = codepoint;
            to += codepoint != HOLE;
        }
    }
    for (; from < size; from++)
        if (codepoints[from] != HOLE)
            codepoints[to++] = codepoints[from];
    return to;
}

crackle_status ck_trace(struct ck_tracer *t, const struct ck_bitmaps *b, struct ck_chains *chains)
{
    const ptrdiff_t step[4] = {-(ptrdiff_t)b->stride, 1, (ptrdiff_t)b->stride, -1};
    void *codepoints = chains->codepoints;
    void *starts = chains->starts;
    crackle_status status = CRACKLE_OK;
    struct trail out;
    u64 num_cracks = ck_count_cracks(b);
    int ok;

    /*
     * A crack is one codepoint.  Every BRANCH takes a crack more away from its vertex than
     * a mere passage, and every TERMINATE ends a stretch of at least one crack.
     */
    if (num_cracks > (u64)PTRDIFF_MAX / 8)
        return CRACKLE_NO_MEMORY;
    ok = ck_reserve(&codepoints, &chains->codepoints_capacity, 5 * num_cracks + 8, 1);
    chains->codepoints = codepoints;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    chains->num_starts = 0;
    out.codepoints = chains->codepoints;
    out.size = 0;

    spread_cracks(b, t->open_cracks);
    for (u64 y = 0; y <= b->sy; y++)
        for (size_t w = 0; w < b->words; w++) {
            struct directions d = directions_at(b, y, w);
            u64 corners = (d.right | d.down) & ~d.up & ~d.left;

            for (; corners; corners &= corners - 1) {
                size_t vertex = (size_t)y * b->stride + w * 64 + ck_ctz64(corners);

                if (!t->open_cracks[vertex])
                    continue;
                ok = ck_reserve(&starts, &chains->starts_capacity, chains->num_starts + 1,
                                sizeof(*chains->starts));
                chains->starts = starts;
                status = ok ? trace_chain(t, vertex, step, &out) : CRACKLE_NO_MEMORY;
                if (status != CRACKLE_OK)
                    return status;
                chains->starts[chains->num_starts++] = vertex;
            }
        }
    chains->num_codepoints = remove_holes(out.codepoints, out.size);
    return CRACKLE_OK;
}

/* --------------------------------- Walking --------------------------------- */

struct stack {
    size_t *vertices;
    size_t size;
    size_t capacity;
};

static int push(struct stack *s, size_t vertex)
{
    void *vertices = s->vertices;
    int ok = ck_reserve(&vertices, &s->capacity, s->size + 1, sizeof(*s->vertices));

    s->vertices = vertices;
    if (ok)
        s->vertices[s->size++] = vertex;
    return ok;
}

crackle_status ck_walk(const struct ck_chains *chains, struct ck_bitmaps *b)
{
    const ptrdiff_t step[4] = {-(ptrdiff_t)b->stride, 1, (ptrdiff_t)b->stride, -1};
    /* From a vertex to the bit of the crack in each direction, in 'buffer'. */
    const size_t right = (size_t)(b->horizontal - b->buffer) * 64;
    const size_t down = (size_t)(b->vertical - b->buffer) * 64;
    const size_t offset[4] = {down - b->stride, right, down, right - 1};
    const size_t num_vertices = ((size_t)b->sy + 1) * b->stride;
    const u8 *next = chains->codepoints;
    const u8 *const end = next + chains->num_codepoints;
    struct stack stack = {NULL, 0, 0};
    crackle_status status = CRACKLE_CORRUPT;

    ck_bitmaps_clear(b);
    for (size_t i = 0; i < chains->num_starts; i++) {
        size_t vertex = chains->starts[i];
        u64 open = 1;

        stack.size = 0;
        while (open) {
            unsigned int codepoint;

            /* Steps, up to the first half of a control symbol. */
            for (;;) {
                if (CK_UNLIKELY(end - next < 2))
                    goto out; /* a chain ends with two codepoints */
                codepoint = *next++;
                if (codepoint == CK_OPPOSITE(*next))
                    break;
                {
                    size_t bit = vertex + offset[codepoint];

                    b->buffer[bit / 64] |= (u64)1 << bit % 64;
                }
                vertex += (size_t)step[codepoint];
                if (CK_UNLIKELY(vertex >= num_vertices))
                    goto out;
            }
            next++;
            if (CK_IS_BRANCH(codepoint)) {
                open++;
                if (!push(&stack, vertex)) {
                    status = CRACKLE_NO_MEMORY;
                    goto out;
                }
            } else {
                open--;
                if (stack.size)
                    vertex = stack.vertices[--stack.size];
            }
        }
    }
    if (ck_only_interior(b))
        status = CRACKLE_OK;
out:
    free(stack.vertices);
    return status;
}
