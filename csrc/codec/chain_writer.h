/*
 * chain_writer.h - the headings and control symbols of a chain while it is traced
 */
#ifndef CK_CHAIN_WRITER_H
#define CK_CHAIN_WRITER_H

#include "format.h"
#include "tracer.h"
#include "vertex_steps.h"

/* Marks a heading that was removed again. */
#define CK_HOLE 0x80

/* In 't->headings', codepoints are as CK_HEADING() makes them, with any bit 6. */
static inline void put_control(struct ck_tracer *t, size_t *size, unsigned int first)
{
    t->headings[*size] = (u8)CK_HEADING(first);
    t->headings[*size + 1] = (u8)CK_HEADING(CK_OPPOSITE(first));
    *size += 2;
}

/*
 * The codepoint before a control symbol must not be opposite to its first half, or a reader would pair these two.  A
 * control symbol whose first half turns is never opposite.  It is also easier to predict, because only cracks go
 * straight on.
 */
static inline int is_vertical(const struct ck_tracer *t, size_t size)
{
    return size && !(CK_DIRECTION_OF_HEADING(t->headings[size - 1]) & 1);
}

static inline void ck_put_branch(struct ck_tracer *t, size_t *size)
{
    put_control(t, size, is_vertical(t, *size) ? CK_LEFT : CK_UP);
}

static inline void ck_put_terminate(struct ck_tracer *t, size_t *size)
{
    put_control(t, size, is_vertical(t, *size) ? CK_RIGHT : CK_DOWN);
}

/* Push 'vertex', to continue from it later. Its BRANCH stands behind the 'size' codepoints. */
static inline int ck_remember(struct ck_tracer *t, size_t *num_pending, size_t vertex, size_t size)
{
    if (!ck_grow(&t->pending, &t->pending_capacity, *num_pending + 1, sizeof(*t->pending)))
        return 0;
    t->pending[*num_pending].vertex = vertex;
    t->pending[*num_pending].symbol = size;
    ++*num_pending;
    return 1;
}

#endif /* CK_CHAIN_WRITER_H */
