/*
 * components_x86.c - a row of components.c for x86-64-v3 and v4: eight pieces at once
 *
 * A piece joins only voxels that no patch of its row covers: a voxel with a horizontal crack above belongs to a piece
 * itself, and a vertical crack stands between two pieces.  So all pieces of a row can read the row above before any of
 * them is written.  Eight pieces do so at once: two gathers, a minimum, and a running count of the pieces that join
 * nothing and are new.
 *
 * The number of begins and ends in a word cannot be predicted, and a wrong prediction costs more than handling all of
 * them.  So the code takes a fixed number of bits from each word.  Bits that are not there give garbage, which the next
 * word overwrites.  With VBMI2, one instruction takes all bits of a word.
 */
#include "components.h"

#if CK_MAYBE_V3

#include <immintrin.h>

/* Marks a begin or an end at a vertical crack: the piece joins nothing there. */
#define ALONE 0x80000000u

/* Most words have at most this many pieces. */
#define AT_ONCE 4

/* The begin, the end and the component of each piece of a row. */
struct pieces {
    u32 *begin, *end, *component;
    u32 *number; /* the number of components before the piece */
    size_t count;
    int has_dangling; /* whether vertical cracks of the row above end at this row */
};

CK_TARGET_V3 static inline u32 take_place(u64 *bits, u64 vertical, u32 first)
{
    const unsigned int bit = (unsigned int)_tzcnt_u64(*bits);

    *bits = _blsr_u64(*bits);
    return (first + bit) | (u32)(vertical >> (bit & 63)) << 31;
}

/* In noise, nearly every voxel of a word is a piece. Taking these bit by bit would be slowest. */
CK_TARGET_V3 static inline void take_all_places(u32 first, u32 *begin, u32 *end)
{
    __m256i places = _mm256_add_epi32(_mm256_set1_epi32((int)(first | ALONE)),
                                      _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));

    for (int i = 0; i < 64; i += 8) {
        _mm256_storeu_si256((__m256i *)(begin + i), places);
        _mm256_storeu_si256((__m256i *)(end + i), places);
        places = _mm256_add_epi32(places, _mm256_set1_epi32(8));
    }
}

CK_TARGET_V3 static void find_pieces(const struct ck_bitmaps *b, u64 y, struct pieces *p)
{
    const u64 *v = ck_vertical(b, y);
    const u64 *h = ck_horizontal(b, y);
    /* The clear row between the planes serves as the row above row 0. */
    const u64 *v_above = v - b->words;
    u32 *begin = p->begin, *end = p->end;
    u64 carry = 0; /* the horizontal crack at the last voxel of the word before */
    u64 dangling = 0;

    for (size_t w = 0; w < b->words; w++) {
        const u32 first = (u32)(w * 64);
        const u64 vertical = v[w];
        const u64 cracks = y == 0 ? ck_interior_horizontal(b, w) : h[w];
        const u64 before = cracks << 1 | carry;
        u64 begins = cracks & (~before | vertical);
        u64 ends = before & (~cracks | vertical);

        carry = cracks >> 63;
        dangling |= v_above[w] & ~(vertical | cracks | before);
        if ((begins & ends & vertical) == ~(u64)0) {
            take_all_places(first, begin, end);
            begin += 64;
            end += 64;
        } else if (begins | ends) {
            const u64 num_begins = (u64)_mm_popcnt_u64(begins), num_ends = (u64)_mm_popcnt_u64(ends);

            for (int i = 0; i < AT_ONCE; i++) {
                begin[i] = take_place(&begins, vertical, first);
                end[i] = take_place(&ends, vertical, first);
            }
            for (int i = AT_ONCE; CK_UNLIKELY(begins | ends); i++) {
                begin[i] = take_place(&begins, vertical, first);
                end[i] = take_place(&ends, vertical, first);
            }
            begin += num_begins;
            end += num_ends;
        }
    }
    p->count = (size_t)(begin - p->begin);
    p->has_dangling = dangling != 0;
}

/* look_up() for eight pieces from 'i' on, which begin and end at these places. Some of them may join nothing. */
CK_TARGET_V3 static inline void join_above(struct ck_components *c, struct pieces *p, size_t i, __m256i begin,
                                           __m256i begin_place, __m256i end, __m256i end_place)
{
    const __m256i none = _mm256_set1_epi32((int)CK_NO_COMPONENT);
    const int *row = (const int *)c->row;
    /* The ALONE bit, spread over all bits, turns the component of a side that does not join into CK_NO_COMPONENT. */
    const __m256i left = _mm256_or_si256(_mm256_srai_epi32(begin, 31),
                                         _mm256_i32gather_epi32(row - 1, begin_place, 4));
    const __m256i right = _mm256_or_si256(_mm256_srai_epi32(end, 31), _mm256_i32gather_epi32(row, end_place, 4));
    const __m256i joined = _mm256_min_epu32(left, right);
    const __m256i other = _mm256_max_epu32(left, right);
    const __m256i is_new = _mm256_cmpeq_epi32(joined, none);
    const __m256i is_one = _mm256_or_si256(_mm256_cmpeq_epi32(other, none), _mm256_cmpeq_epi32(other, joined));
    const unsigned int two = ~(unsigned int)_mm256_movemask_ps(_mm256_castsi256_ps(is_one)) & 0xff;
    const __m256i ones = _mm256_srli_epi32(is_new, 31);
    __m256i sums, lower, number;

    /* Running sums within each half; then add the total of the lower half to the upper. */
    sums = _mm256_add_epi32(ones, _mm256_slli_si256(ones, 4));
    sums = _mm256_add_epi32(sums, _mm256_slli_si256(sums, 8));
    lower = _mm256_permutevar8x32_epi32(sums, _mm256_set1_epi32(3));
    sums = _mm256_add_epi32(sums, _mm256_blend_epi32(_mm256_setzero_si256(), lower, 0xf0));
    number = _mm256_add_epi32(_mm256_set1_epi32((int)c->count), _mm256_sub_epi32(sums, ones));
    _mm256_storeu_si256((__m256i *)(p->number + i), number);
    _mm256_storeu_si256((__m256i *)(p->component + i), _mm256_blendv_epi8(joined, number, is_new));
    c->count += (size_t)_mm_popcnt_u32((unsigned int)_mm256_movemask_ps(_mm256_castsi256_ps(is_new)));
    if (CK_UNLIKELY(two)) {
        u32 a[8], b[8];

        c->are_united = 1;
        _mm256_storeu_si256((__m256i *)a, joined);
        _mm256_storeu_si256((__m256i *)b, other);
        for (unsigned int lane = 0; lane < 8; lane++)
            if (two >> lane & 1)
                ck_unite(c->parent, a[lane], b[lane]);
    }
}

/* Look up the components of the pieces in the row above. New pieces are counted and get a parent. */
CK_TARGET_V3 static void look_up(struct ck_components *c, struct pieces *p)
{
    const __m256i place_bits = _mm256_set1_epi32((int)~ALONE);
    const __m256i eight = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

    /* Padding pieces join voxel 0, so they are not new. */
    for (size_t i = p->count; i < p->count + 8; i++) {
        p->begin[i] = 1;
        p->end[i] = ALONE;
    }
    for (size_t i = 0; i < p->count; i += 8) {
        const __m256i begin = _mm256_loadu_si256((const __m256i *)(p->begin + i));
        const __m256i end = _mm256_loadu_si256((const __m256i *)(p->end + i));
        const __m256i begin_place = _mm256_and_si256(begin, place_bits);
        const __m256i end_place = _mm256_and_si256(end, place_bits);
        const __m256i numbers = _mm256_add_epi32(_mm256_set1_epi32((int)c->count), eight);

        _mm256_storeu_si256((__m256i *)(c->parent + c->count), numbers);
        _mm256_storeu_si256((__m256i *)(p->begin + i), begin_place);
        _mm256_storeu_si256((__m256i *)(p->end + i), end_place);
        if (_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_and_si256(begin, end))) != 0xff) {
            join_above(c, p, i, begin, begin_place, end, end_place);
        } else { /* as in noise: all are alone */
            _mm256_storeu_si256((__m256i *)(p->number + i), numbers);
            _mm256_storeu_si256((__m256i *)(p->component + i), numbers);
            c->count += 8;
        }
    }
}

/* Add the patches of the pieces, whose components are known, and return the new number of patches. */
CK_TARGET_V3 static inline size_t add_patches(struct ck_components *c, u64 y, const struct pieces *p,
                                              size_t num_patches)
{
    const u64 row_first = y * c->sx;
    struct ck_patch *patch = c->patches + num_patches;

    for (size_t i = 0; i < p->count; i++) {
        /* A piece that is not new writes where the next new one will write. */
        c->first[p->number[i]] = row_first + p->begin[i];
        patch[i].begin = p->begin[i];
        patch[i].end = p->end[i];
        patch[i].component = p->component[i];
    }
    return num_patches + p->count;
}

static inline struct pieces no_pieces(const struct ck_components *c)
{
    const size_t capacity = (size_t)c->sx + CK_PIECES_SPARE;
    struct pieces p = {0};

    p.begin = c->pieces;
    p.end = p.begin + capacity;
    p.component = p.end + capacity;
    p.number = p.component + capacity;
    return p;
}

/* What follows finding the pieces of row 'y': get their components. False if there is no piece. */
CK_TARGET_V3 static inline int join_pieces(struct ck_components *c, const struct ck_bitmaps *b, u64 y, struct pieces *p)
{
    if (CK_UNLIKELY(p->has_dangling))
        ck_unite_dangling(c, b, y);
    if (p->count == 0)
        return 0;
    look_up(c, p);
    return 1;
}

CK_TARGET_V3 size_t ck_find_row_v3(struct ck_components *c, const struct ck_bitmaps *b, u64 y, size_t num_patches)
{
    const struct ck_patch *patch = c->patches + num_patches;
    struct pieces p = no_pieces(c);

    find_pieces(b, y, &p);
    if (!join_pieces(c, b, y, &p))
        return num_patches;
    num_patches = add_patches(c, y, &p, num_patches);
    ck_put_row_patches(c->row, patch, patch + p.count, c->sx);
    return num_patches;
}

#if CK_MAYBE_V4

/* Write sixteen places. Those whose bits in 'alone' are set join nothing. */
CK_TARGET_V4 static inline void put_places(u32 *out, __m128i places, u64 alone, u32 first)
{
    const __m512i wide = _mm512_add_epi32(_mm512_cvtepu8_epi32(places), _mm512_set1_epi32((int)first));

    _mm512_storeu_si512(out, _mm512_mask_or_epi32(wide, (__mmask16)alone, wide, _mm512_set1_epi32((int)ALONE)));
}

/* Write the places of the bits, and garbage behind them, 16 or 64 numbers in all; returns the end of the places. */
CK_TARGET_V4 static inline u32 *take_places(u32 *out, u64 bits, u64 vertical, u32 first)
{
    const __m512i every_place = _mm512_set_epi8(
        63, 62, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41, 40, 39, 38, 37, 36,
        35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7,
        6, 5, 4, 3, 2, 1, 0);
    const __m512i places = _mm512_maskz_compress_epi8(bits, every_place);
    const u64 alone = _pext_u64(vertical, bits);
    const unsigned int count = (unsigned int)_mm_popcnt_u64(bits);

    put_places(out, _mm512_castsi512_si128(places), alone, first);
    if (CK_UNLIKELY(count > 16)) {
        put_places(out + 16, _mm512_extracti32x4_epi32(places, 1), alone >> 16, first);
        put_places(out + 32, _mm512_extracti32x4_epi32(places, 2), alone >> 32, first);
        put_places(out + 48, _mm512_extracti32x4_epi32(places, 3), alone >> 48, first);
    }
    return out + count;
}

CK_TARGET_V4 static void find_pieces_v4(const struct ck_bitmaps *b, u64 y, struct pieces *p)
{
    const u64 *v = ck_vertical(b, y);
    const u64 *h = ck_horizontal(b, y);
    const u64 *v_above = v - b->words; /* as in find_pieces() */
    u32 *begin = p->begin, *end = p->end;
    u64 carry = 0;
    u64 dangling = 0;

    for (size_t w = 0; w < b->words; w++) {
        const u32 first = (u32)(w * 64);
        const u64 vertical = v[w];
        const u64 cracks = y == 0 ? ck_interior_horizontal(b, w) : h[w];
        const u64 before = cracks << 1 | carry;

        carry = cracks >> 63;
        dangling |= v_above[w] & ~(vertical | cracks | before);
        begin = take_places(begin, cracks & (~before | vertical), vertical, first);
        end = take_places(end, before & (~cracks | vertical), vertical, first);
    }
    p->count = (size_t)(begin - p->begin);
    p->has_dangling = dangling != 0;
}

CK_TARGET_V4 size_t ck_find_row_v4(struct ck_components *c, const struct ck_bitmaps *b, u64 y, size_t num_patches)
{
    struct pieces p = no_pieces(c);

    find_pieces_v4(b, y, &p);
    if (!join_pieces(c, b, y, &p))
        return num_patches;
    for (size_t i = 0; i < p.count; i++)
        ck_put_patch_v4_u32(c->row, p.begin[i], p.end[i], p.component[i]);
    return add_patches(c, y, &p, num_patches);
}

#endif /* CK_MAYBE_V4 */

#endif /* CK_MAYBE_V3 */
