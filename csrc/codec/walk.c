/*
 * walk.c - chains of codepoints -> boundary bitmaps
 *
 * The mirror of trace.c: each codepoint sets one bit and moves the position.  Each step tests only for a control symbol
 * and for the end of the grid.  Bits on the rim are found at the end.
 *
 * Taking eight steps at a time, as running sums in a vector, was tried and is no faster: eight words must still be read
 * and written, and a control symbol comes after eleven steps on average.
 */
#include "format.h"
#include "trace.h"

struct walk {
    const struct ck_bitmaps *bitmaps;
    const u8 *next, *end;       /* codepoints */
    size_t vertex, num_vertices;
    ptrdiff_t step[4];
    size_t offset[4];           /* per direction: from a vertex to the bit of its crack in 'buffer' */
    size_t *stack;              /* vertices that BRANCH pushed */
    size_t stack_size, stack_capacity;
};

static int push(struct walk *w)
{
    void *stack = w->stack;
    int ok = ck_reserve(&stack, &w->stack_capacity, (u64)w->stack_size + 1, sizeof(*w->stack));

    w->stack = stack;
    if (ok)
        w->stack[w->stack_size++] = w->vertex;
    return ok;
}

/* Walk up to a control symbol, and get its first half. False at the end of the codepoints or of the grid. */
static inline int walk_steps(struct walk *w, unsigned int *control_ret)
{
    size_t vertex = w->vertex;
    const u8 *next = w->next;

    for (;;) {
        unsigned int codepoint;
        size_t bit;

        if (CK_UNLIKELY(w->end - next < 2))
            return 0; /* a chain ends with two codepoints */
        codepoint = *next++;
        if (codepoint == CK_OPPOSITE(*next)) {
            w->next = next + 1;
            w->vertex = vertex;
            *control_ret = codepoint;
            return 1;
        }
        bit = vertex + w->offset[codepoint];
        w->bitmaps->buffer[bit / 64] |= (u64)1 << bit % 64;
        vertex += (size_t)w->step[codepoint];
        if (CK_UNLIKELY(vertex >= w->num_vertices))
            return 0;
    }
}

static crackle_status walk_chains(struct walk *w, const struct ck_chains *chains)
{
    for (size_t i = 0; i < chains->num_starts; i++) {
        u64 open = 1;

        w->vertex = chains->starts[i];
        w->stack_size = 0;
        while (open) {
            unsigned int control;

            if (!walk_steps(w, &control))
                return CRACKLE_CORRUPT;
            if (CK_IS_BRANCH(control)) {
                open++;
                if (!push(w))
                    return CRACKLE_NO_MEMORY;
            } else {
                open--;
                if (w->stack_size)
                    w->vertex = w->stack[--w->stack_size];
            }
        }
    }
    return CRACKLE_OK;
}

crackle_status ck_walk(const struct ck_chains *chains, struct ck_bitmaps *b)
{
    const size_t right = (size_t)(b->horizontal - b->buffer) * 64;
    const size_t down = (size_t)(b->vertical - b->buffer) * 64;
    struct walk w = {0};
    crackle_status status;

    w.bitmaps = b;
    w.next = chains->codepoints;
    w.end = w.next + chains->num_codepoints;
    w.num_vertices = ((size_t)b->sy + 1) * b->stride;
    w.step[CK_UP] = -(ptrdiff_t)b->stride;
    w.step[CK_RIGHT] = 1;
    w.step[CK_DOWN] = (ptrdiff_t)b->stride;
    w.step[CK_LEFT] = -1;
    w.offset[CK_UP] = down - b->stride;
    w.offset[CK_RIGHT] = right;
    w.offset[CK_DOWN] = down;
    w.offset[CK_LEFT] = right - 1;

    ck_bitmaps_clear(b);
    status = walk_chains(&w, chains);
    free(w.stack);
    return status == CRACKLE_OK && !ck_only_interior(b) ? CRACKLE_CORRUPT : status;
}
