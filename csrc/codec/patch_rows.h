/*
 * patch_rows.h - write a patch into a row
 *
 * Most patches are a few voxels long, and the length cannot be predicted.  With vector instructions, one load reads
 * sixteen bytes of the row, the voxels of the patch are replaced, and one store writes all sixteen back.  A row therefore has
 * CK_ROW_SPARE voxels behind it.  Longer patches are written voxel by voxel.
 *
 * A processor stalls when it loads sixteen bytes of which some were stored just before, until the store has reached the
 * cache.  For patches side by side, that costs more than it saves.  In dense rows, nearly all patches are one voxel
 * long, so each voxel is stored on its own.
 */
#ifndef CK_PATCH_ROWS_H
#define CK_PATCH_ROWS_H

#include "../base/common.h"

/* How many voxels behind a row may be read, and written back unchanged. */
#define CK_ROW_SPARE 16

/* Whether ck_put_patch_scalar_TYPE() is faster for a row of 'sx' voxels with this many patches. */
static inline int ck_is_dense(size_t num_patches, u32 sx)
{
    return num_patches > sx / 4;
}

/*
 * ck_put_patch_TYPE() and ck_put_patch_scalar_TYPE(): row[x] = value for begin <= x < end.  The patch is not empty.
 */
#define CK_PUT_PATCH_SCALAR(type)                                                            \
    static inline void ck_put_patch_scalar_##type(type *row, u32 begin, u32 end, type value) \
    {                                                                                \
        do                                                                           \
            row[begin] = value;                                                      \
        while (++begin < end);                                                       \
    }

CK_PUT_PATCH_SCALAR(u8)
CK_PUT_PATCH_SCALAR(u16)
CK_PUT_PATCH_SCALAR(u32)
CK_PUT_PATCH_SCALAR(u64)

#if CK_HAVE_SSE2

#include <emmintrin.h>

/* Replace the bytes at 'at' whose lanes are ones. */
static inline void ck_put_lanes(void *at, __m128i lanes, __m128i values)
{
    const __m128i old = _mm_loadu_si128((const __m128i *)at);

    _mm_storeu_si128((__m128i *)at, _mm_or_si128(_mm_and_si128(lanes, values), _mm_andnot_si128(lanes, old)));
}

/* Set the first 'count' of four lanes. 'count' may exceed four. */
static inline __m128i ck_first_lanes_32(u32 count)
{
    return _mm_cmpgt_epi32(_mm_set1_epi32((int)count), _mm_setr_epi32(0, 1, 2, 3));
}

static inline void ck_put_patch_u8(u8 *row, u32 begin, u32 end, u8 value)
{
    if (CK_LIKELY(end - begin <= 16))
        ck_put_lanes(row + begin,
                     _mm_cmpgt_epi8(_mm_set1_epi8((char)(end - begin)),
                                    _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)),
                     _mm_set1_epi8((char)value));
    else
        ck_put_patch_scalar_u8(row, begin, end, value);
}

static inline void ck_put_patch_u16(u16 *row, u32 begin, u32 end, u16 value)
{
    if (CK_LIKELY(end - begin <= 8))
        ck_put_lanes(row + begin,
                     _mm_cmpgt_epi16(_mm_set1_epi16((short)(end - begin)), _mm_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7)),
                     _mm_set1_epi16((short)value));
    else
        ck_put_patch_scalar_u16(row, begin, end, value);
}

static inline void ck_put_patch_u32(u32 *row, u32 begin, u32 end, u32 value)
{
    if (CK_LIKELY(end - begin <= 4))
        ck_put_lanes(row + begin, ck_first_lanes_32(end - begin), _mm_set1_epi32((int)value));
    else
        ck_put_patch_scalar_u32(row, begin, end, value);
}

static inline void ck_put_patch_u64(u64 *row, u32 begin, u32 end, u64 value)
{
    if (CK_LIKELY(end - begin <= 4)) {
        const __m128i lanes = ck_first_lanes_32(end - begin);
        const __m128i values = _mm_set1_epi64x((long long)value);

        ck_put_lanes(row + begin, _mm_unpacklo_epi32(lanes, lanes), values);
        ck_put_lanes(row + begin + 2, _mm_unpackhi_epi32(lanes, lanes), values);
    } else {
        ck_put_patch_scalar_u64(row, begin, end, value);
    }
}

#elif CK_HAVE_NEON

#include <arm_neon.h>

/* The numbers of the lanes, from 0. */
static inline uint8x16_t ck_lanes_8(void)
{
    return vcombine_u8(vcreate_u8(0x0706050403020100u), vcreate_u8(0x0f0e0d0c0b0a0908u));
}

static inline uint16x8_t ck_lanes_16(void)
{
    return vcombine_u16(vcreate_u16(0x0003000200010000u), vcreate_u16(0x0007000600050004u));
}

static inline uint32x4_t ck_lanes_32(void)
{
    return vcombine_u32(vcreate_u32(0x0000000100000000u), vcreate_u32(0x0000000300000002u));
}

static inline uint64x2_t ck_lanes_64(void)
{
    return vcombine_u64(vcreate_u64(0), vcreate_u64(1));
}

/* Set the first 'count' of four lanes. 'count' may exceed four. */
static inline uint32x4_t ck_first_lanes_32(u32 count)
{
    return vcltq_u32(ck_lanes_32(), vdupq_n_u32(count));
}

static inline void ck_put_patch_u8(u8 *row, u32 begin, u32 end, u8 value)
{
    if (CK_LIKELY(end - begin <= 16))
        vst1q_u8(row + begin, vbslq_u8(vcltq_u8(ck_lanes_8(), vdupq_n_u8((u8)(end - begin))), vdupq_n_u8(value),
                                       vld1q_u8(row + begin)));
    else
        ck_put_patch_scalar_u8(row, begin, end, value);
}

static inline void ck_put_patch_u16(u16 *row, u32 begin, u32 end, u16 value)
{
    if (CK_LIKELY(end - begin <= 8))
        vst1q_u16(row + begin, vbslq_u16(vcltq_u16(ck_lanes_16(), vdupq_n_u16((u16)(end - begin))),
                                         vdupq_n_u16(value), vld1q_u16(row + begin)));
    else
        ck_put_patch_scalar_u16(row, begin, end, value);
}

static inline void ck_put_patch_u32(u32 *row, u32 begin, u32 end, u32 value)
{
    if (CK_LIKELY(end - begin <= 4))
        vst1q_u32(row + begin, vbslq_u32(ck_first_lanes_32(end - begin), vdupq_n_u32(value), vld1q_u32(row + begin)));
    else
        ck_put_patch_scalar_u32(row, begin, end, value);
}

static inline void ck_put_patch_u64(u64 *row, u32 begin, u32 end, u64 value)
{
    if (CK_LIKELY(end - begin <= 4)) {
        const uint64x2_t count = vdupq_n_u64(end - begin);
        const uint64x2_t lanes = ck_lanes_64();
        const uint64x2_t later_lanes = vaddq_u64(lanes, vdupq_n_u64(2));
        const uint64x2_t values = vdupq_n_u64(value);

        vst1q_u64(row + begin, vbslq_u64(vcltq_u64(lanes, count), values, vld1q_u64(row + begin)));
        vst1q_u64(row + begin + 2, vbslq_u64(vcltq_u64(later_lanes, count), values, vld1q_u64(row + begin + 2)));
    } else {
        ck_put_patch_scalar_u64(row, begin, end, value);
    }
}

#elif CK_HAVE_WASM_SIMD

#include <wasm_simd128.h>

/* Replace the bytes at 'at' whose lanes are ones. */
static inline void ck_put_lanes(void *at, v128_t lanes, v128_t values)
{
    wasm_v128_store(at, wasm_v128_bitselect(values, wasm_v128_load(at), lanes));
}

/* Set the first 'count' of four lanes. 'count' may exceed four. */
static inline v128_t ck_first_lanes_32(u32 count)
{
    return wasm_u32x4_gt(wasm_u32x4_splat(count), wasm_u32x4_const(0, 1, 2, 3));
}

static inline void ck_put_patch_u8(u8 *row, u32 begin, u32 end, u8 value)
{
    if (CK_LIKELY(end - begin <= 16))
        ck_put_lanes(row + begin,
                     wasm_u8x16_gt(wasm_u8x16_splat((u8)(end - begin)),
                                   wasm_u8x16_const(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)),
                     wasm_u8x16_splat(value));
    else
        ck_put_patch_scalar_u8(row, begin, end, value);
}

static inline void ck_put_patch_u16(u16 *row, u32 begin, u32 end, u16 value)
{
    if (CK_LIKELY(end - begin <= 8))
        ck_put_lanes(row + begin,
                     wasm_u16x8_gt(wasm_u16x8_splat((u16)(end - begin)), wasm_u16x8_const(0, 1, 2, 3, 4, 5, 6, 7)),
                     wasm_u16x8_splat(value));
    else
        ck_put_patch_scalar_u16(row, begin, end, value);
}

static inline void ck_put_patch_u32(u32 *row, u32 begin, u32 end, u32 value)
{
    if (CK_LIKELY(end - begin <= 4))
        ck_put_lanes(row + begin, ck_first_lanes_32(end - begin), wasm_u32x4_splat(value));
    else
        ck_put_patch_scalar_u32(row, begin, end, value);
}

static inline void ck_put_patch_u64(u64 *row, u32 begin, u32 end, u64 value)
{
    if (CK_LIKELY(end - begin <= 4)) {
        const v128_t lanes = ck_first_lanes_32(end - begin);
        const v128_t values = wasm_u64x2_splat(value);

        ck_put_lanes(row + begin, wasm_i32x4_shuffle(lanes, lanes, 0, 0, 1, 1), values);
        ck_put_lanes(row + begin + 2, wasm_i32x4_shuffle(lanes, lanes, 2, 2, 3, 3), values);
    } else {
        ck_put_patch_scalar_u64(row, begin, end, value);
    }
}

#else /* no vectors */

#define CK_PUT_PATCH(type)                                                            \
    static inline void ck_put_patch_##type(type *row, u32 begin, u32 end, type value) \
    {                                                                           \
        ck_put_patch_scalar_##type(row, begin, end, value);                             \
    }

CK_PUT_PATCH(u8)
CK_PUT_PATCH(u16)
CK_PUT_PATCH(u32)
CK_PUT_PATCH(u64)

#endif /* no vectors */

#if CK_MAYBE_V4

#include <immintrin.h>

/*
 * ck_put_patch_v4_TYPE(): the same with stores that have a mask.  They load nothing, so they neither wait for the store
 * before nor need voxels behind the row.
 */
#define CK_PUT_PATCH_V4(type, bits, integer, mask)                                                          \
    CK_TARGET_V4 static inline void ck_put_patch_v4_##type(type *row, u32 begin, u32 end, type value)       \
    {                                                                                                       \
        const __m512i values = _mm512_set1_epi##bits((integer)value);                                       \
                                                                                                            \
        for (; CK_UNLIKELY(end - begin > 512 / (bits)); begin += 512 / (bits))                              \
            _mm512_storeu_si512(row + begin, values);                                                       \
        _mm512_mask_storeu_epi##bits(row + begin, (mask)_bzhi_u64(~(u64)0, end - begin), values);           \
    }

CK_PUT_PATCH_V4(u8, 8, char, __mmask64)
CK_PUT_PATCH_V4(u16, 16, short, __mmask32)
CK_PUT_PATCH_V4(u32, 32, int, __mmask16)
CK_PUT_PATCH_V4(u64, 64, long long, __mmask8)

#endif /* CK_MAYBE_V4 */

#endif /* CK_PATCH_ROWS_H */
