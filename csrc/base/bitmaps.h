/*
 * bitmaps.h - the boundary bitmaps of one slice: the form on which everything pivots
 *
 * There is one bit per crack, in two planes:
 *
 *   vertical   row y, bit x: the crack between the voxels (x - 1, y) and (x, y)
 *   horizontal row y, bit x: the crack between the voxels (x, y - 1) and (x, y)
 *
 * These are also the cracks that lead down and right from the vertex (x, y), the top left corner of voxel (x, y).  A
 * bit is set where there is a boundary.
 *
 * Rows are padded to whole 64-bit words, with at least one spare bit.  A vertex therefore has the same number in both
 * planes:
 *
 *   position = y * stride + x,  0 <= x <= sx,  0 <= y <= sy
 *
 * Both planes lie in one buffer, so finding the crack of a step takes one addition: bit = position + offset[direction].
 * A damaged stream may step left of the first vertex, or above it.  A spare word before the first plane and a spare row
 * between the planes receive the bits of such steps. ck_walk() looks for these bits once at the end, which is cheaper
 * than a test at every step.
 *
 * Time and memory: linear in the voxels, a quarter of a byte for each.
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

/* Clears all bits. False when there is no memory; ck_bitmaps_free() may be called then too. */
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
 * The bits of word 'w' in a row of voxels that stand for interior cracks.  These are x = 0 .. sx - 1 for horizontal
 * cracks.  They are x = 1 .. sx - 1 for vertical cracks, because x = 0 is the rim.
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

/* The number of set bits in each plane. */
u64 ck_count_horizontal(const struct ck_bitmaps *b);
u64 ck_count_vertical(const struct ck_bitmaps *b);

/* Turn the boundaries between different labels into the cracks between equal labels, and back. */
void ck_complement(struct ck_bitmaps *b);

/* Whether all set bits are interior cracks. */
int ck_only_interior(const struct ck_bitmaps *b);

#endif /* CK_BITMAPS_H */
