/*
 * cracks.h - random labels of a slice, and random cracks
 */
#ifndef CRACKS_H
#define CRACKS_H

#include "base/bitmaps.h"
#include "codec/boundary.h"
#include "check.h"

/* Labels in blobs: random labels, grown by copying neighbours. */
static inline void random_labels(u64 *labels, u32 sx, u32 sy, unsigned int num_labels, unsigned int change)
{
    for (u64 i = 0; i < (u64)sx * sy; i++) {
        if (i > 0 && random_number(100) >= change)
            labels[i] = i >= sx && random_number(2) ? labels[i - sx] : labels[i - 1];
        else
            labels[i] = random_number(num_labels) * 0x0101010101010101u;
    }
}

static inline int get_bit(const u64 *row, u64 x)
{
    return (int)(row[x / 64] >> x % 64 & 1);
}

/* Random interior cracks, which need not enclose anything. */
static inline void random_cracks(struct ck_bitmaps *b, unsigned int percent)
{
    ck_bitmaps_clear(b);
    for (u64 y = 0; y < b->sy; y++)
        for (u64 x = 0; x < b->sx; x++) {
            if (y > 0 && random_number(100) < percent)
                ck_horizontal(b, y)[x / 64] |= (u64)1 << x % 64;
            if (x > 0 && random_number(100) < percent)
                ck_vertical(b, y)[x / 64] |= (u64)1 << x % 64;
        }
}

/* Test the boundaries of random slices, and random cracks, so many times. */
static inline void for_random_bitmaps(int rounds, void (*test)(struct ck_bitmaps *))
{
    for (int round = 0; round < rounds; round++) {
        u32 sx = (u32)random_number(140) + 1, sy = (u32)random_number(40) + 1;
        u64 *labels = malloc((size_t)sx * sy * sizeof(u64));
        struct ck_bitmaps b;

        CHECK(ck_bitmaps_init(&b, sx, sy));
        random_labels(labels, sx, sy, 4, (unsigned int)random_number(60));
        ck_find_boundaries(labels, 8, &b);
        test(&b);
        random_cracks(&b, (unsigned int)random_number(100));
        test(&b);
        ck_bitmaps_free(&b);
        free(labels);
    }
}

#endif /* CRACKS_H */
