/*
 * lay.h - writing a patch into a row
 *
 * Most patches are a few voxels long, and how many can not be predicted.  With SSE2 sixteen bytes of the
 * row are read, the voxels of the patch replaced, and all sixteen written back: so a row has
 * CK_ROW_SPARE voxels behind it.  Patches that are longer are written voxel by voxel.
 *
 * But a processor can not read sixteen bytes of which some have just been written until the cache has them.
 * Where patches stand side by side that costs more than it saves: in dense rows, whose patches are nearly
 * all of one voxel, each voxel is written as it is.
 */
#ifndef CK_LAY_H
#define CK_LAY_H

#include "common.h"

/* How many voxels behind a row may be read and written back as they were. */
#define CK_ROW_SPARE 16

/* Whether a row of 'sx' voxels with so many patches is better written voxel by voxel, with CK_LAY_EACH. */
static inline int ck_is_dense(size_t num_patches, u32 sx)
{
    return num_patches > sx / 4;
}

/* ck_lay_TYPE(row, begin, end, value): row[x] = value for begin <= x < end; there is one at least. */
#define CK_LAY_EACH(row, begin, end, value) \
    do {                                    \
        do                                  \
            (row)[begin] = (value);         \
        while (++(begin) < (end));          \
    } while (0)

#if CK_HAVE_SSE2

#include <emmintrin.h>

/* Replace those of the sixteen bytes at 'at' for which 'lanes' are ones. */
static inline void ck_lay_lanes(void *at, __m128i lanes, __m128i values)
{
    const __m128i old = _mm_loadu_si128((const __m128i *)at);

    _mm_storeu_si128((__m128i *)at, _mm_or_si128(_mm_and_si128(lanes, values), _mm_andnot_si128(lanes, old)));
}

/* The first 'count' of four lanes, at most all. */
static inline __m128i ck_first_lanes_32(u32 count)
{
    return _mm_cmpgt_epi32(_mm_set1_epi32((int)count), _mm_setr_epi32(0, 1, 2, 3));
}

static inline void ck_lay_u8(u8 *row, u32 begin, u32 end, u8 value)
{
    if (CK_LIKELY(end - begin <= 16))
        ck_lay_lanes(row + begin,
                     _mm_cmpgt_epi8(_mm_set1_epi8((char)(end - begin)),
                                    _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)),
                     _mm_set1_epi8((char)value));
    else
        CK_LAY_EACH(row, begin, end, value);
}

static inline void ck_lay_u16(u16 *row, u32 begin, u32 end, u16 value)
{
    if (CK_LIKELY(end - begin <= 8))
        ck_lay_lanes(row + begin,
                     _mm_cmpgt_epi16(_mm_set1_epi16((short)(end - begin)), _mm_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7)),
                     _mm_set1_epi16((short)value));
    else
        CK_LAY_EACH(row, begin, end, value);
}

static inline void ck_lay_u32(u32 *row, u32 begin, u32 end, u32 value)
{
    if (CK_LIKELY(end - begin <= 4))
        ck_lay_lanes(row + begin, ck_first_lanes_32(end - begin), _mm_set1_epi32((int)value));
    else
        CK_LAY_EACH(row, begin, end, value);
}

static inline void ck_lay_u64(u64 *row, u32 begin, u32 end, u64 value)
{
    if (CK_LIKELY(end - begin <= 4)) {
        const __m128i lanes = ck_first_lanes_32(end - begin);
        const __m128i values = _mm_set1_epi64x((long long)value);

        ck_lay_lanes(row + begin, _mm_unpacklo_epi32(lanes, lanes), values);
        ck_lay_lanes(row + begin + 2, _mm_unpackhi_epi32(lanes, lanes), values);
    } else {
        CK_LAY_EACH(row, begin, end, value);
    }
}

#else /* !CK_HAVE_SSE2 */

#define CK_LAY(type)                                                               \
    static inline void ck_lay_##type(type *row, u32 begin, u32 end, type value)    \
    {                                                                              \
        CK_LAY_EACH(row, begin, end, value);                                       \
    }

CK_LAY(u8)
CK_LAY(u16)
CK_LAY(u32)
CK_LAY(u64)

#endif /* !CK_HAVE_SSE2 */

#endif /* CK_LAY_H */
