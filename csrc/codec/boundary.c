/*
 * boundary.c - labels of a slice -> boundary bitmaps
 *
 * Of the whole encoder, only this file reads every label.  It compares each label with its left and its upper
 * neighbour; 64 comparisons make one word.  The cost is about that of reading the memory.
 *
 *   SSE2  compares 16 labels at a time. Lanes of ones and zeros are packed to bytes and gathered by movemask.
 *   AVX2  does the same with 32 labels.
 *   AVX-512  transposes the bits of a C-order volume, eight words at a time.
 *   NEON  has no movemask. Each lane keeps one bit, and sums of neighbouring lanes collect the bits.
 *   else  one label at a time gives the same words.
 *
 * unequal_64(a, b) returns the word in which bit i says a[i] != b[i].  There is one function per width;
 * boundary_template.h builds the rows from it.
 */
#include "boundary.h"

/*
 * Prefetch a row when the comparison is this many bytes away.  Processors prefetch by themselves, but less far ahead.
 */
#define FETCH_AHEAD 8192

/*
 * How many columns ahead, along x, the columns of a C-order volume are prefetched.  They often lie a power of two
 * apart, and an L1 cache holds only few such lines: prefetching to it takes twice as long.  Two to six columns ahead take
 * 1.2 times as long as eight.
 */
#define COLUMNS_AHEAD 8

/* In words of 2 * half rows each, exchange the upper right square of bits with the lower left one. */
CK_FORCEINLINE void exchange_squares(u64 words[64], unsigned int half, u64 mask)
{
    for (unsigned int first = 0; first < 64; first += 2 * half)
        for (unsigned int i = first; i < first + half; i++) {
            const u64 differ = (words[i] >> half ^ words[i + half]) & mask;

            words[i] ^= differ << half;
            words[i + half] ^= differ;
        }
}

/* Move bit c of words[i] to bit i of words[c] (Hacker's Delight, 7-3). */
CK_FORCEINLINE void transpose_64(u64 words[64])
{
    exchange_squares(words, 32, 0x00000000ffffffffu);
    exchange_squares(words, 16, 0x0000ffff0000ffffu);
    exchange_squares(words, 8, 0x00ff00ff00ff00ffu);
    exchange_squares(words, 4, 0x0f0f0f0f0f0f0f0fu);
    exchange_squares(words, 2, 0x3333333333333333u);
    exchange_squares(words, 1, 0x5555555555555555u);
}

/* Put the bits of 64 columns, transposed, into word 'w' of row 'y' of each slice. */
CK_FORCEINLINE void put_transposed(const u64 left[64], const u64 up[64], struct ck_bitmaps *slices, u32 count, u64 y,
                                   size_t w)
{
    const u64 vertical = ck_interior_vertical(slices, w);
    const u64 horizontal = y > 0 ? ck_interior_horizontal(slices, w) : 0;

    for (u32 z = 0; z < count; z++) {
        ck_vertical(&slices[z], y)[w] = left[z] & vertical;
        ck_horizontal(&slices[z], y)[w] = up[z] & horizontal;
    }
}

/* put_transposed() of 'left' and 'up', which it transposes. */
CK_FORCEINLINE void put_words(u64 left[64], u64 up[64], struct ck_bitmaps *slices, u32 count, u64 y, size_t w)
{
    transpose_64(left);
    transpose_64(up);
    put_transposed(left, up, slices, count, y, w);
}

#if CK_HAVE_SSE2

#include <emmintrin.h>

static inline __m128i load(const void *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

/* Bit i: whether lane i of sixteen bytes is equal. */
static inline u64 equal_mask(__m128i bytes)
{
    return (u64)(unsigned int)_mm_movemask_epi8(bytes);
}

static inline __m128i equal_8x16(const u8 *a, const u8 *b)
{
    return _mm_cmpeq_epi8(load(a), load(b));
}

static inline __m128i equal_16x16(const u16 *a, const u16 *b)
{
    return _mm_packs_epi16(_mm_cmpeq_epi16(load(a), load(b)), _mm_cmpeq_epi16(load(a + 8), load(b + 8)));
}

static inline __m128i equal_32x4(const u32 *a, const u32 *b)
{
    return _mm_cmpeq_epi32(load(a), load(b));
}

static inline __m128i equal_32x16(const u32 *a, const u32 *b)
{
    return _mm_packs_epi16(_mm_packs_epi32(equal_32x4(a, b), equal_32x4(a + 4, b + 4)),
                           _mm_packs_epi32(equal_32x4(a + 8, b + 8), equal_32x4(a + 12, b + 12)));
}

/* SSE2 cannot compare 64-bit lanes, so compare both halves. */
static inline __m128i equal_64x4(const u64 *a, const u64 *b)
{
    __m128 low = _mm_castsi128_ps(_mm_cmpeq_epi32(load(a), load(b)));
    __m128 high = _mm_castsi128_ps(_mm_cmpeq_epi32(load(a + 2), load(b + 2)));

    return _mm_castps_si128(_mm_and_ps(_mm_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0)),
                                       _mm_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1))));
}

static inline __m128i equal_64x16(const u64 *a, const u64 *b)
{
    return _mm_packs_epi16(_mm_packs_epi32(equal_64x4(a, b), equal_64x4(a + 4, b + 4)),
                           _mm_packs_epi32(equal_64x4(a + 8, b + 8), equal_64x4(a + 12, b + 12)));
}

#define CK_UNEQUAL_64(type, equal_16)                                                             \
    static inline u64 unequal_64_##type(const type *a, const type *b)                             \
    {                                                                                             \
        return ~(equal_mask(equal_16(a, b)) | equal_mask(equal_16(a + 16, b + 16)) << 16 |        \
                 equal_mask(equal_16(a + 32, b + 32)) << 32 | equal_mask(equal_16(a + 48, b + 48)) << 48); \
    }

CK_UNEQUAL_64(u8, equal_8x16)
CK_UNEQUAL_64(u16, equal_16x16)
CK_UNEQUAL_64(u32, equal_32x16)
CK_UNEQUAL_64(u64, equal_64x16)

#elif CK_HAVE_NEON

#include <arm_neon.h>

/* Narrow lanes by dropping their upper halves. A lane is all ones or all zeros, so its lower half is the same. */
static inline uint8x16_t pack_16(uint16x8_t a, uint16x8_t b)
{
    return vuzp1q_u8(vreinterpretq_u8_u16(a), vreinterpretq_u8_u16(b));
}

static inline uint16x8_t pack_32(uint32x4_t a, uint32x4_t b)
{
    return vuzp1q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b));
}

static inline uint8x16_t equal_8x16(const u8 *a, const u8 *b)
{
    return vceqq_u8(vld1q_u8(a), vld1q_u8(b));
}

static inline uint16x8_t equal_16x8(const u16 *a, const u16 *b)
{
    return vceqq_u16(vld1q_u16(a), vld1q_u16(b));
}

static inline uint8x16_t equal_16x16(const u16 *a, const u16 *b)
{
    return pack_16(equal_16x8(a, b), equal_16x8(a + 8, b + 8));
}

static inline uint32x4_t equal_32x4(const u32 *a, const u32 *b)
{
    return vceqq_u32(vld1q_u32(a), vld1q_u32(b));
}

static inline uint8x16_t equal_32x16(const u32 *a, const u32 *b)
{
    return pack_16(pack_32(equal_32x4(a, b), equal_32x4(a + 4, b + 4)),
                   pack_32(equal_32x4(a + 8, b + 8), equal_32x4(a + 12, b + 12)));
}

static inline uint32x4_t equal_64x2_as_32(const u64 *a, const u64 *b)
{
    return vreinterpretq_u32_u64(vceqq_u64(vld1q_u64(a), vld1q_u64(b)));
}

static inline uint32x4_t equal_64x4(const u64 *a, const u64 *b)
{
    return vuzp1q_u32(equal_64x2_as_32(a, b), equal_64x2_as_32(a + 2, b + 2));
}

static inline uint8x16_t equal_64x16(const u64 *a, const u64 *b)
{
    return pack_16(pack_32(equal_64x4(a, b), equal_64x4(a + 4, b + 4)),
                   pack_32(equal_64x4(a + 8, b + 8), equal_64x4(a + 12, b + 12)));
}

/*
 * Bit i: whether lane i of the 64 differs.  Each lane keeps the bit of its position in its group of eight; three
 * pairwise sums add each group up to a byte.
 */
static inline u64 unequal_mask(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d)
{
    const uint8x16_t bit_of_lane = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u));
    const uint8x16_t ab = vpaddq_u8(vbicq_u8(bit_of_lane, a), vbicq_u8(bit_of_lane, b));
    const uint8x16_t cd = vpaddq_u8(vbicq_u8(bit_of_lane, c), vbicq_u8(bit_of_lane, d));
    const uint8x16_t abcd = vpaddq_u8(ab, cd);

    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(abcd, abcd)), 0);
}

#define CK_UNEQUAL_64(type, equal_16)                                                             \
    static inline u64 unequal_64_##type(const type *a, const type *b)                             \
    {                                                                                             \
        return unequal_mask(equal_16(a, b), equal_16(a + 16, b + 16), equal_16(a + 32, b + 32),   \
                            equal_16(a + 48, b + 48));                                            \
    }

CK_UNEQUAL_64(u8, equal_8x16)
CK_UNEQUAL_64(u16, equal_16x16)
CK_UNEQUAL_64(u32, equal_32x16)
CK_UNEQUAL_64(u64, equal_64x16)

#else /* neither */

#define CK_UNEQUAL_64(type)                                                                       \
    static inline u64 unequal_64_##type(const type *a, const type *b)                             \
    {                                                                                             \
        u64 word = 0;                                                                             \
                                                                                                  \
        for (unsigned int i = 0; i < 64; i++)                                                     \
            word |= (u64)(a[i] != b[i]) << i;                                                     \
        return word;                                                                              \
    }

CK_UNEQUAL_64(u8)
CK_UNEQUAL_64(u16)
CK_UNEQUAL_64(u32)
CK_UNEQUAL_64(u64)

#endif /* neither */

#if CK_MAYBE_V3

#include <immintrin.h>

CK_TARGET_V3 static inline __m256i load_v3(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

/* AVX2 packs within halves of 128 bits, which leaves the quarters in the order 0, 2, 1, 3. */
CK_TARGET_V3 static inline __m256i in_order(__m256i quarters)
{
    return _mm256_permute4x64_epi64(quarters, _MM_SHUFFLE(3, 1, 2, 0));
}

CK_TARGET_V3 static inline __m256i equal_8x32_v3(const u8 *a, const u8 *b)
{
    return _mm256_cmpeq_epi8(load_v3(a), load_v3(b));
}

CK_TARGET_V3 static inline __m256i equal_16x32_v3(const u16 *a, const u16 *b)
{
    return in_order(_mm256_packs_epi16(_mm256_cmpeq_epi16(load_v3(a), load_v3(b)),
                                       _mm256_cmpeq_epi16(load_v3(a + 16), load_v3(b + 16))));
}

/*
 * Narrow four times eight lanes to 32 bytes.  Packing twice leaves groups of four bytes in the order 0, 2, 4, 6, 1, 3,
 * 5, 7.
 */
CK_TARGET_V3 static inline __m256i pack_32(__m256i a, __m256i b, __m256i c, __m256i d)
{
    return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d)),
                                       _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

CK_TARGET_V3 static inline __m256i equal_32x8_v3(const u32 *a, const u32 *b)
{
    return _mm256_cmpeq_epi32(load_v3(a), load_v3(b));
}

CK_TARGET_V3 static inline __m256i equal_32x32_v3(const u32 *a, const u32 *b)
{
    return pack_32(equal_32x8_v3(a, b), equal_32x8_v3(a + 8, b + 8), equal_32x8_v3(a + 16, b + 16),
                   equal_32x8_v3(a + 24, b + 24));
}

/* A lane of 64 ones is two lanes of 32 ones: keep the lower. */
CK_TARGET_V3 static inline __m256i equal_64x8_v3(const u64 *a, const u64 *b)
{
    const __m256 low = _mm256_castsi256_ps(_mm256_cmpeq_epi64(load_v3(a), load_v3(b)));
    const __m256 high = _mm256_castsi256_ps(_mm256_cmpeq_epi64(load_v3(a + 4), load_v3(b + 4)));

    return in_order(_mm256_castps_si256(_mm256_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0))));
}

CK_TARGET_V3 static inline __m256i equal_64x32_v3(const u64 *a, const u64 *b)
{
    return pack_32(equal_64x8_v3(a, b), equal_64x8_v3(a + 8, b + 8), equal_64x8_v3(a + 16, b + 16),
                   equal_64x8_v3(a + 24, b + 24));
}

#define CK_UNEQUAL_64_V3(type, equal_32)                                                          \
    CK_TARGET_V3 static inline u64 unequal_64_v3_##type(const type *a, const type *b)             \
    {                                                                                             \
        const u32 low = (u32)_mm256_movemask_epi8(equal_32(a, b));                                \
        const u32 high = (u32)_mm256_movemask_epi8(equal_32(a + 32, b + 32));                     \
                                                                                                  \
        return ~(low | (u64)high << 32);                                                          \
    }

CK_UNEQUAL_64_V3(u8, equal_8x32_v3)
CK_UNEQUAL_64_V3(u16, equal_16x32_v3)
CK_UNEQUAL_64_V3(u32, equal_32x32_v3)
CK_UNEQUAL_64_V3(u64, equal_64x32_v3)

#if CK_MAYBE_V4

/* In 'a' and 'b', exchange the bits 'upper' of 'a' with those that are 'half' lower in 'b'. */
CK_TARGET_V4 static inline void exchange_vectors(__m512i *a, __m512i *b, unsigned int half, __m512i upper)
{
    const __m512i old = *a;

    /* 0xca chooses, bit by bit: the second where the first is set, else the third. */
    *a = _mm512_ternarylogic_epi64(upper, _mm512_slli_epi64(*b, half), old, 0xca);
    *b = _mm512_ternarylogic_epi64(_mm512_srli_epi64(upper, half), _mm512_srli_epi64(old, half), *b, 0xca);
}

/*
 * The same for words of one vector: 'first' are those in the place of 'a', and 'other' has their partners in their
 * places.
 */
CK_TARGET_V4 static inline __m512i exchange_words(__m512i words, __m512i other, __mmask8 first, unsigned int half,
                                                  __m512i upper)
{
    const __m512i shifted = _mm512_mask_slli_epi64(_mm512_srli_epi64(other, half), first, other, half);
    const __m512i from_other = _mm512_mask_blend_epi64(first, _mm512_srli_epi64(upper, half), upper);

    return _mm512_ternarylogic_epi64(from_other, shifted, words, 0xca);
}

/* transpose_64(), eight words at a time. */
CK_TARGET_V4 static void transpose_64_v4(u64 words[64])
{
    __m512i v[8];

    for (int i = 0; i < 8; i++)
        v[i] = _mm512_loadu_si512(words + 8 * i);
    for (int i = 0; i < 4; i++)
        exchange_vectors(&v[i], &v[i + 4], 32, _mm512_set1_epi64((long long)0xffffffff00000000u));
    for (int i = 0; i < 2; i++) {
        exchange_vectors(&v[i], &v[i + 2], 16, _mm512_set1_epi64((long long)0xffff0000ffff0000u));
        exchange_vectors(&v[i + 4], &v[i + 6], 16, _mm512_set1_epi64((long long)0xffff0000ffff0000u));
    }
    for (int i = 0; i < 8; i += 2)
        exchange_vectors(&v[i], &v[i + 1], 8, _mm512_set1_epi64((long long)0xff00ff00ff00ff00u));
    for (int i = 0; i < 8; i++) {
        v[i] = exchange_words(v[i], _mm512_shuffle_i64x2(v[i], v[i], 0x4e), 0x0f, 4,
                              _mm512_set1_epi8((char)0xf0));
        v[i] = exchange_words(v[i], _mm512_permutex_epi64(v[i], 0x4e), 0x33, 2, _mm512_set1_epi8((char)0xcc));
        v[i] = exchange_words(v[i], _mm512_permutex_epi64(v[i], 0xb1), 0x55, 1, _mm512_set1_epi8((char)0xaa));
        _mm512_storeu_si512(words + 8 * i, v[i]);
    }
}

CK_TARGET_V4 static void put_words_v4(u64 left[64], u64 up[64], struct ck_bitmaps *slices, u32 count, u64 y, size_t w)
{
    transpose_64_v4(left);
    transpose_64_v4(up);
    put_transposed(left, up, slices, count, y, w);
}

#endif /* CK_MAYBE_V4 */

CK_TARGET_V3 static void put_words_v3(u64 left[64], u64 up[64], struct ck_bitmaps *slices, u32 count, u64 y, size_t w)
{
#if CK_MAYBE_V4
    if (ck_cpu_has_v4()) {
        put_words_v4(left, up, slices, count, y, w);
        return;
    }
#endif
    put_words(left, up, slices, count, y, w);
}

#define CK_LABEL u8
#define CK_NAME(name) name##_v3_u8
#define CK_UNEQUAL unequal_64_v3_u8
#define CK_TARGET CK_TARGET_V3
#define CK_PUT_WORDS put_words_v3
#include "boundary_template.h"

#define CK_LABEL u16
#define CK_NAME(name) name##_v3_u16
#define CK_UNEQUAL unequal_64_v3_u16
#define CK_TARGET CK_TARGET_V3
#define CK_PUT_WORDS put_words_v3
#include "boundary_template.h"

#define CK_LABEL u32
#define CK_NAME(name) name##_v3_u32
#define CK_UNEQUAL unequal_64_v3_u32
#define CK_TARGET CK_TARGET_V3
#define CK_PUT_WORDS put_words_v3
#include "boundary_template.h"

#define CK_LABEL u64
#define CK_NAME(name) name##_v3_u64
#define CK_UNEQUAL unequal_64_v3_u64
#define CK_TARGET CK_TARGET_V3
#define CK_PUT_WORDS put_words_v3
#include "boundary_template.h"

static void find_boundaries_v3(const void *rows, unsigned int width, struct ck_bitmaps *b, u64 y, u64 y_end)
{
    switch (width) {
    case 1:
        find_boundaries_v3_u8(rows, b, y, y_end);
        break;
    case 2:
        find_boundaries_v3_u16(rows, b, y, y_end);
        break;
    case 4:
        find_boundaries_v3_u32(rows, b, y, y_end);
        break;
    default:
        find_boundaries_v3_u64(rows, b, y, y_end);
        break;
    }
}

static void find_boundaries_of_columns_v3(const struct crackle_volume *v, u32 z, u32 count,
                                          struct ck_bitmaps *slices, struct ck_column_bits *bits)
{
    switch (v->width) {
    case 1:
        find_boundaries_of_columns_v3_u8(v, z, count, slices, bits);
        break;
    case 2:
        find_boundaries_of_columns_v3_u16(v, z, count, slices, bits);
        break;
    case 4:
        find_boundaries_of_columns_v3_u32(v, z, count, slices, bits);
        break;
    default:
        find_boundaries_of_columns_v3_u64(v, z, count, slices, bits);
        break;
    }
}

#endif /* CK_MAYBE_V3 */

static void put_words_plain(u64 left[64], u64 up[64], struct ck_bitmaps *slices, u32 count, u64 y, size_t w)
{
    put_words(left, up, slices, count, y, w);
}

#define CK_LABEL u8
#define CK_NAME(name) name##_u8
#define CK_UNEQUAL unequal_64_u8
#define CK_TARGET
#define CK_PUT_WORDS put_words_plain
#include "boundary_template.h"

#define CK_LABEL u16
#define CK_NAME(name) name##_u16
#define CK_UNEQUAL unequal_64_u16
#define CK_TARGET
#define CK_PUT_WORDS put_words_plain
#include "boundary_template.h"

#define CK_LABEL u32
#define CK_NAME(name) name##_u32
#define CK_UNEQUAL unequal_64_u32
#define CK_TARGET
#define CK_PUT_WORDS put_words_plain
#include "boundary_template.h"

#define CK_LABEL u64
#define CK_NAME(name) name##_u64
#define CK_UNEQUAL unequal_64_u64
#define CK_TARGET
#define CK_PUT_WORDS put_words_plain
#include "boundary_template.h"

void ck_find_boundaries(const void *slice, unsigned int width, struct ck_bitmaps *b)
{
    ck_find_boundaries_of_rows(slice, width, b, 0, b->sy);
}

void ck_find_boundaries_of_rows(const void *rows, unsigned int width, struct ck_bitmaps *b, u64 y, u64 y_end)
{
#if CK_MAYBE_V3
    if (ck_cpu_has_v3()) {
        find_boundaries_v3(rows, width, b, y, y_end);
        return;
    }
#endif
    switch (width) {
    case 1:
        find_boundaries_u8(rows, b, y, y_end);
        break;
    case 2:
        find_boundaries_u16(rows, b, y, y_end);
        break;
    case 4:
        find_boundaries_u32(rows, b, y, y_end);
        break;
    default:
        find_boundaries_u64(rows, b, y, y_end);
        break;
    }
}

void ck_find_boundaries_of_columns(const struct crackle_volume *v, u32 z, u32 count, struct ck_bitmaps *slices,
                                   struct ck_column_bits *bits)
{
#if CK_MAYBE_V3
    if (ck_cpu_has_v3()) {
        find_boundaries_of_columns_v3(v, z, count, slices, bits);
        return;
    }
#endif
    switch (v->width) {
    case 1:
        find_boundaries_of_columns_u8(v, z, count, slices, bits);
        break;
    case 2:
        find_boundaries_of_columns_u16(v, z, count, slices, bits);
        break;
    case 4:
        find_boundaries_of_columns_u32(v, z, count, slices, bits);
        break;
    default:
        find_boundaries_of_columns_u64(v, z, count, slices, bits);
        break;
    }
}
