/*
 * bitmaps.h - the boundary bitmaps of one slice: the form on which everything pivots
 *
 * One bit per crack, in two planes:
 *
 *   vertical   row y, bit x: the crack between the voxels (x - 1, y) and (x, y)
 *   horizontal row y, bit x: the crack between the voxels (x, y - 1) and (x, y)
 *
 * which are also the cracks that go down and to the right from the vertex (x, y), the top
 * left corner of voxel (x, y).  A bit is set where there is a boundary.  Rows are
 * padded to whole 64-bit words with at least one bit to spare, so that a vertex has the
 * same number in both planes:  position = y * stride + x,  0 <= x <= sx,  0 <= y <= sy.
 *
 * Both planes lie in one buffer, so that the crack of a step is one addition away:
 * bit = position + offset[direction].  A word before the first plane and a row between
 * the planes take the marks of a step to the left of, or above, the first vertex; such
 * marks are found afterwards (ck_walk), which is cheaper than asking at every step.
 */
#ifndef CK_BITMAPS_H
#define CK_BITMAPS_H

#include "common.h"

struct ck_bitmaps {
    u32 sx, sy;
    size_t words;      /* 64-bit words per row */
    size_t stride;     /* bits per row */
    u64 *buffer;       /* [1 word] [sy + 1 rows: horizontal] [1 row] [sy + 1 rows: vertical] */
    size_t buffer_words;
    u64 *horizontal;   /* row 0 of either plane */
    u64 *vertical;
};

/* All bits clear.  False when there is no memory; ck_bitmaps_free() is harmless then. */
int ck_bitmaps_init(struct ck_bitmaps *b, u32 sx, u32 sy);
void ck_bitmaps_free(struct ck_bitmaps *b);

void ck_bitmaps_clear(struct ck_bitmaps *b);

static inline u64 *ck_horizontal(const struct ck_bitmaps *b, u64 y)
{
    return b->horizontal + y * b->words;
}

static inline u64 *ck_vertical(const struct ck_bitmaps *b, u64 y)
{
    return b->vertical + y * b->words;
}

/*
 * The bits of word 'w' that stand for interior cracks in a row of voxels: for horizontal
 * cracks x = 0 .. sx - 1, for vertical ones x = 1 .. sx - 1, as x = 0 is the rim.
 */
static inline u64 ck_interior_horizontal(const struct ck_bitmaps *b, size_t w)
{
    u64 first = (u64)w * 64;

    return first >= b->sx ? 0 : b->sx - first >= 64 ? ~(u64)0 : ck_low_bits((unsigned int)(b->sx - first));
}

static inline u64 ck_interior_vertical(const struct ck_bitmaps *b, size_t w)
{
    return ck_interior_horizontal(b, w) & (w == 0 ? ~(u64)1 : ~(u64)0);
}

/* The number of cracks that are not on the rim: sx * (sy - 1) + (sx - 1) * sy. */
u64 ck_interior_cracks(const struct ck_bitmaps *b);

/* The bits that are set in either plane. */
u64 ck_count_horizontal(const struct ck_bitmaps *b);
u64 ck_count_vertical(const struct ck_bitmaps *b);

/* Turn boundaries between unequal labels into cracks between equal ones, and back. */
void ck_complement(struct ck_bitmaps *b);

/* Whether every bit that is set is an interior crack. */
int ck_only_interior(const struct ck_bitmaps *b);

#endif /* CK_BITMAPS_H */
