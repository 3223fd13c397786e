/*
 * bitmaps.c - the boundary bitmaps of a slice: allocate, count, complement
 *
 * Every function passes over 2 * sx * sy bits word by word.  That is at most a hundredth of the bytes of a slice of
 * 32-bit labels.
 */
#include "bitmaps.h"

int ck_bitmaps_init(struct ck_bitmaps *b, u32 sx, u32 sy)
{
    u64 rows = (u64)sy + 1;
    u64 plane, total;

    b->sx = sx;
    b->sy = sy;
    b->buffer = NULL;
    b->words = (size_t)((u64)sx / 64 + 1);
    b->stride = b->words * 64;
    /* Positions are bit numbers, so the number of bits must fit a size_t. */
    if (!ck_mul(rows, b->words, &plane) || plane > (u64)PTRDIFF_MAX / 512)
        return 0;
    total = 1 + plane + b->words + plane;
    b->buffer = ck_calloc(total, sizeof(u64));
    if (!b->buffer)
        return 0;
    b->buffer_words = (size_t)total;
    b->horizontal = b->buffer + 1;
    b->vertical = b->horizontal + plane + b->words;
    return 1;
}

void ck_bitmaps_free(struct ck_bitmaps *b)
{
    free(b->buffer);
    b->buffer = NULL;
}

void ck_bitmaps_clear(struct ck_bitmaps *b)
{
    memset(b->buffer, 0, b->buffer_words * sizeof(u64));
}

u64 ck_interior_cracks(const struct ck_bitmaps *b)
{
    return (u64)b->sx * (b->sy - 1) + (u64)(b->sx - 1) * b->sy;
}

#if CK_MAYBE_V3

#include <immintrin.h>

CK_TARGET_V3 static u64 count_bits_v3(const u64 *words, size_t count)
{
    u64 bits = 0;

    for (size_t i = 0; i < count; i++)
        bits += (u64)_mm_popcnt_u64(words[i]);
    return bits;
}

#endif

static u64 count_bits(const u64 *words, size_t count)
{
    u64 bits = 0;

#if CK_MAYBE_V3
    if (ck_cpu_has_v3())
        return count_bits_v3(words, count);
#endif
    for (size_t i = 0; i < count; i++)
        bits += ck_popcount64(words[i]);
    return bits;
}

u64 ck_count_horizontal(const struct ck_bitmaps *b)
{
    return count_bits(b->horizontal, ((size_t)b->sy + 1) * b->words);
}

u64 ck_count_vertical(const struct ck_bitmaps *b)
{
    return count_bits(b->vertical, ((size_t)b->sy + 1) * b->words);
}

void ck_complement(struct ck_bitmaps *b)
{
    for (u64 y = 0; y < b->sy; y++)
        for (size_t w = 0; w < b->words; w++) {
            u64 *h = ck_horizontal(b, y) + w;
            u64 *v = ck_vertical(b, y) + w;

            *h = y == 0 ? 0 : ~*h & ck_interior_horizontal(b, w);
            *v = ~*v & ck_interior_vertical(b, w);
        }
}

int ck_only_interior(const struct ck_bitmaps *b)
{
    u64 outside = b->buffer[0];

    for (size_t w = 0; w < b->words; w++) {
        outside |= ck_horizontal(b, 0)[w] | ck_horizontal(b, b->sy)[w] | ck_vertical(b, b->sy)[w];
        outside |= (b->vertical - b->words)[w]; /* the row between the planes */
    }
    for (u64 y = 0; y < b->sy; y++) {
        outside |= ck_vertical(b, y)[0] & 1;
        /* In the words before this one, all bits but that one are interior. */
        for (size_t w = b->sx / 64; w < b->words; w++)
            outside |= (ck_horizontal(b, y)[w] | ck_vertical(b, y)[w]) & ~ck_interior_horizontal(b, w);
    }
    return outside == 0;
}
