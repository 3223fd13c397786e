/*
 * vertex_steps.c - boundary bitmaps -> a byte per vertex: its cracks that tracing has not walked yet
 *
 * At a vertex with two cracks, a and b, a walk arrives by one and leaves by the other.  A heading h arrives by the
 * crack in the opposite direction, h ^ 2, and so leaves by a ^ b ^ h ^ 2.  The byte of the vertex is a ^ b ^ 2.
 */
#include "format.h"
#include "vertex_steps.h"

#define TURN(a, b) (CK_STEPS_TURN | CK_HEADING((a) ^ (b) ^ 2))
#define LISTED(set) (CK_STEPS_LISTED | (set))

/* Indexed by the set of directions: bit d for direction d. */
static const u8 byte_of_set[16] = {
    0,                         LISTED(1),                LISTED(2),                   TURN(CK_UP, CK_RIGHT),
    LISTED(4),                 TURN(CK_UP, CK_DOWN),     TURN(CK_RIGHT, CK_DOWN),     LISTED(7),
    LISTED(8),                 TURN(CK_UP, CK_LEFT),     TURN(CK_RIGHT, CK_LEFT),     LISTED(11),
    TURN(CK_DOWN, CK_LEFT),    LISTED(13),               LISTED(14),                  LISTED(15),
};

/* The cracks in the four directions from 64 vertices: those of word 'w' in row 'y'. */
struct directions {
    u64 up, right, down, left;
};

static inline struct directions directions_at(const struct ck_bitmaps *b, u64 y, size_t w)
{
    const u64 *h = ck_horizontal(b, y) + w;
    const u64 *v = ck_vertical(b, y) + w;
    struct directions d;

    /* Above row 0 lies the clear row between the planes. The last row has no vertical cracks. */
    d.up = *(v - b->words);
    d.down = *v;
    d.right = *h;
    d.left = *h << 1 | *(h - 1) >> 63; /* the bit before a row is padding, and clear */
    return d;
}

static inline unsigned int set_at(const struct directions *d, unsigned int bit)
{
    return (unsigned int)((d->up >> bit & 1) << CK_UP | (d->right >> bit & 1) << CK_RIGHT |
                          (d->down >> bit & 1) << CK_DOWN | (d->left >> bit & 1) << CK_LEFT);
}

static void spread_steps(const struct ck_bitmaps *b, u8 *vertex_steps)
{
    for (u64 y = 0; y <= b->sy; y++)
        for (size_t w = 0; w < b->words; w++, vertex_steps += 64) {
            const struct directions d = directions_at(b, y, w);

            for (u64 any = d.up | d.right | d.down | d.left; any; any &= any - 1)
                vertex_steps[ck_ctz64(any)] = byte_of_set[set_at(&d, ck_ctz64(any))];
        }
}

#if CK_MAYBE_V3

#include <immintrin.h>

/* Put 'value' into the bytes whose bits are set. */
CK_TARGET_V3 static inline __m256i spread_bits(u32 bits, unsigned int value)
{
    const __m256i byte_of_bits = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, /* the lower half */
                                                  2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit_of_byte = _mm256_set1_epi64x((long long)0x8040201008040201u);
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), byte_of_bits);

    return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit_of_byte), bit_of_byte),
                            _mm256_set1_epi8((char)value));
}

/* Handles 32 vertices at once: spreads bits to bytes, and looks up the table by a shuffle. */
CK_TARGET_V3 static void spread_steps_v3(const struct ck_bitmaps *b, u8 *vertex_steps)
{
    const __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)byte_of_set));

    for (u64 y = 0; y <= b->sy; y++)
        for (size_t w = 0; w < b->words; w++, vertex_steps += 64) {
            const struct directions d = directions_at(b, y, w);
            const u64 any = d.up | d.right | d.down | d.left;

            for (unsigned int half = 0; half < 64; half += 32) {
                __m256i sets;

                if (!(u32)(any >> half))
                    continue;
                sets = _mm256_or_si256(_mm256_or_si256(spread_bits((u32)(d.up >> half), 1u << CK_UP),
                                                       spread_bits((u32)(d.right >> half), 1u << CK_RIGHT)),
                                       _mm256_or_si256(spread_bits((u32)(d.down >> half), 1u << CK_DOWN),
                                                       spread_bits((u32)(d.left >> half), 1u << CK_LEFT)));
                _mm256_storeu_si256((__m256i *)(vertex_steps + half), _mm256_shuffle_epi8(table, sets));
            }
        }
}

#endif /* CK_MAYBE_V3 */

#if CK_MAYBE_V4

/* Handles 64 vertices at once: the bits are masks of bytes. */
CK_TARGET_V4 static void spread_steps_v4(const struct ck_bitmaps *b, u8 *vertex_steps)
{
    const __m512i table = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)byte_of_set));
    const __m512i right = _mm512_set1_epi8(1 << CK_RIGHT), down = _mm512_set1_epi8(1 << CK_DOWN);
    const __m512i left = _mm512_set1_epi8(1 << CK_LEFT);

    for (u64 y = 0; y <= b->sy; y++)
        for (size_t w = 0; w < b->words; w++, vertex_steps += 64) {
            const struct directions d = directions_at(b, y, w);
            __m512i sets;

            if (!(d.up | d.right | d.down | d.left))
                continue;
            sets = _mm512_maskz_set1_epi8(d.up, 1 << CK_UP);
            sets = _mm512_mask_add_epi8(sets, d.right, sets, right);
            sets = _mm512_mask_add_epi8(sets, d.down, sets, down);
            sets = _mm512_mask_add_epi8(sets, d.left, sets, left);
            _mm512_storeu_si512(vertex_steps, _mm512_shuffle_epi8(table, sets));
        }
}

#endif /* CK_MAYBE_V4 */

void ck_spread_steps(const struct ck_bitmaps *b, u8 *vertex_steps)
{
#if CK_MAYBE_V4
    if (ck_cpu_has_v4()) {
        spread_steps_v4(b, vertex_steps);
        return;
    }
#endif
#if CK_MAYBE_V3
    if (ck_cpu_has_v3()) {
        spread_steps_v3(b, vertex_steps);
        return;
    }
#endif
    spread_steps(b, vertex_steps);
}

unsigned int ck_cracks_at(const struct ck_bitmaps *b, size_t vertex)
{
    const struct directions d = directions_at(b, vertex / b->stride, vertex % b->stride / 64);

    return set_at(&d, vertex % 64);
}

size_t ck_next_vertex_with_steps(const u8 *vertex_steps, size_t vertex, size_t end)
{
    for (; vertex % 64; vertex++)
        if (vertex_steps[vertex])
            return vertex;
    for (; vertex < end; vertex += 64) {
        u64 any = 0;

        for (unsigned int i = 0; i < 64; i += 8)
            any |= ck_load64(vertex_steps + vertex + i);
        if (any)
            break;
    }
    while (vertex < end && !vertex_steps[vertex])
        vertex++;
    return vertex;
}
