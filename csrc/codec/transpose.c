/*
 * transpose.c - volumes with z fastest <-> slices with x fastest
 *
 * For each y, a matrix with a row per x (or per z) is transposed in tiles of sixteen bytes by sixteen bytes, which fit
 * the vector registers.  The tiles are ordered so that whole cache lines are read and written on both sides, for one y
 * after the other.  The lines of a tile often lie a power of two apart, and a cache can hold only few such lines.  So
 * each line of the C-order side is used up at once, and whole slices are stored with some bytes between them.
 */
#include "transpose.h"

#include "copy_lines.h"

#define BATCH_NBYTES ((u64)16 << 20)
#define MIN_BATCH 2

/* How many rows ahead lines are prefetched. */
#define ROWS_AHEAD 4

/* How many labels of a column are put together before they are written. */
#define ROWS_AT_ONCE 128

u32 ck_batch_slices(const struct crackle_volume *v)
{
    u64 slice_nbytes = (u64)v->sx * v->sy * v->width; /* no overflow: the volume is in memory */
    u64 count = BATCH_NBYTES / slice_nbytes;

    return count < MIN_BATCH ? MIN_BATCH : count > 64 ? 64 : (u32)count;
}

size_t ck_batch_stride(const struct crackle_volume *v)
{
    /* An odd number of lines avoids powers of two. */
    return ((size_t)v->sx * v->sy * v->width / CK_LINE_NBYTES | 1) * CK_LINE_NBYTES + 2 * CK_LINE_NBYTES;
}

/*
 * For each width: the vector type of sixteen bytes of labels, its load and store, and how to interleave the lower, or
 * upper, halves of two vectors.
 */
#if CK_HAVE_SSE2

#include <emmintrin.h>

#define CK_TILES(type, bits)                                                                      \
    typedef __m128i lanes_##type;                                                                 \
    CK_FORCEINLINE lanes_##type load_##type(const type *from)                                     \
    {                                                                                             \
        return _mm_loadu_si128((const __m128i *)from);                                            \
    }                                                                                             \
    CK_FORCEINLINE void store_##type(type *to, lanes_##type lanes)                                \
    {                                                                                             \
        _mm_storeu_si128((__m128i *)to, lanes);                                                   \
    }                                                                                             \
    CK_FORCEINLINE lanes_##type low_##type(lanes_##type a, lanes_##type b)                        \
    {                                                                                             \
        return _mm_unpacklo_epi##bits(a, b);                                                      \
    }                                                                                             \
    CK_FORCEINLINE lanes_##type high_##type(lanes_##type a, lanes_##type b)                       \
    {                                                                                             \
        return _mm_unpackhi_epi##bits(a, b);                                                      \
    }

CK_TILES(u8, 8)
CK_TILES(u16, 16)
CK_TILES(u32, 32)
CK_TILES(u64, 64)

#endif

#if CK_HAVE_NEON

#include <arm_neon.h>

#define CK_TILES(type, vector)                                                                    \
    typedef vector lanes_##type;                                                                  \
    CK_FORCEINLINE lanes_##type load_##type(const type *from)                                     \
    {                                                                                             \
        return vld1q_##type(from);                                                                \
    }                                                                                             \
    CK_FORCEINLINE void store_##type(type *to, lanes_##type lanes)                                \
    {                                                                                             \
        vst1q_##type(to, lanes);                                                                  \
    }                                                                                             \
    CK_FORCEINLINE lanes_##type low_##type(lanes_##type a, lanes_##type b)                        \
    {                                                                                             \
        return vzip1q_##type(a, b);                                                               \
    }                                                                                             \
    CK_FORCEINLINE lanes_##type high_##type(lanes_##type a, lanes_##type b)                       \
    {                                                                                             \
        return vzip2q_##type(a, b);                                                               \
    }

CK_TILES(u8, uint8x16_t)
CK_TILES(u16, uint16x8_t)
CK_TILES(u32, uint32x4_t)
CK_TILES(u64, uint64x2_t)

#endif

#define CK_LABEL u8
#define CK_NAME(name) name##_u8
#define CK_LOG2_LANES 4
#include "transpose_template.h"

#define CK_LABEL u16
#define CK_NAME(name) name##_u16
#define CK_LOG2_LANES 3
#include "transpose_template.h"

#define CK_LABEL u32
#define CK_NAME(name) name##_u32
#define CK_LOG2_LANES 2
#include "transpose_template.h"

#define CK_LABEL u64
#define CK_NAME(name) name##_u64
#define CK_LOG2_LANES 1
#include "transpose_template.h"

void ck_gather_rows(const struct crackle_volume *v, u32 z, u32 count, u64 y, u64 num_rows, void *rows, size_t stride)
{
    switch (v->width) {
    case 1:
        gather_rows_u8(v, z, count, y, num_rows, rows, stride);
        break;
    case 2:
        gather_rows_u16(v, z, count, y, num_rows, rows, stride);
        break;
    case 4:
        gather_rows_u32(v, z, count, y, num_rows, rows, stride);
        break;
    default:
        gather_rows_u64(v, z, count, y, num_rows, rows, stride);
        break;
    }
}

void ck_gather_slices(const struct crackle_volume *v, u32 z, u32 count, void *slices)
{
    ck_gather_rows(v, z, count, 0, v->sy, slices, ck_batch_stride(v) / v->width);
}

void ck_scatter_rows(const void *rows, size_t stride, const struct crackle_volume *v, u64 y, u32 z, u32 count)
{
    const size_t first = (size_t)y * v->sz + z;

    switch (v->width) {
    case 1:
        scatter_rows_u8(rows, stride, (u8 *)v->voxels + first, v, count);
        break;
    case 2:
        scatter_rows_u16(rows, stride, (u16 *)v->voxels + first, v, count);
        break;
    case 4:
        scatter_rows_u32(rows, stride, (u32 *)v->voxels + first, v, count);
        break;
    default:
        scatter_rows_u64(rows, stride, (u64 *)v->voxels + first, v, count);
        break;
    }
}

void ck_scatter_slices(const void *slices, const struct crackle_volume *v, u32 z, u32 count)
{
    for (u64 y = 0; y < v->sy; y++)
        ck_scatter_rows((const u8 *)slices + y * v->sx * v->width, ck_batch_stride(v) / v->width, v, y, z, count);
    ck_copy_ends();
}
