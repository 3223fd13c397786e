/*
 * boundary.c - labels of a slice -> boundary bitmaps
 *
 * The encoder looks at every label here and nowhere else: each is compared with
 * its left and its upper neighbour, and 64 comparisons become one word.  With SSE2 a
 * comparison yields lanes of ones and zeros, which are packed to bytes and
 * gathered by movemask, 16 labels at a time; the cost is about that of reading the
 * memory.  Without SSE2 the same words are made one label at a time.
 *
 * "unequal_64(a, b)" gives the word whose bit i says a[i] != b[i].  There is one for
 * every width; boundary_template.h builds the rows from it.
 */
#include "boundary.h"

#if CK_HAVE_SSE2

#include <emmintrin.h>

static inline __m128i load(const void *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

/* Bit i: lane i of sixteen bytes is equal. */
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

/* SSE2 has no comparison of 64-bit lanes: both halves must be equal. */
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

#else /* !CK_HAVE_SSE2 */

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

#endif /* !CK_HAVE_SSE2 */

#define CK_LABEL u8
#define CK_NAME(name) name##_u8
#define CK_UNEQUAL unequal_64_u8
#include "boundary_template.h"

#define CK_LABEL u16
#define CK_NAME(name) name##_u16
#define CK_UNEQUAL unequal_64_u16
#include "boundary_template.h"

#define CK_LABEL u32
#define CK_NAME(name) name##_u32
#define CK_UNEQUAL unequal_64_u32
#include "boundary_template.h"

#define CK_LABEL u64
#define CK_NAME(name) name##_u64
#define CK_UNEQUAL unequal_64_u64
#include "boundary_template.h"

void ck_find_boundaries(const void *slice, unsigned int width, struct ck_bitmaps *b)
{
    switch (width) {
    case 1:
        find_boundaries_u8(slice, b);
        break;
    case 2:
        find_boundaries_u16(slice, b);
        break;
    case 4:
        find_boundaries_u32(slice, b);
        break;
    default:
        find_boundaries_u64(slice, b);
        break;
    }
}
