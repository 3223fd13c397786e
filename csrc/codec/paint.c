/*
 * paint.c - components and their labels -> voxels
 *
 * A row is the row above with some patches written into it.  The code keeps one row, which stays in the L1 cache,
 * writes the patches of each row into it, and copies it to the volume.  So it never looks up the label of a single
 * voxel.
 *
 * When a processor writes part of a cache line, it first loads the line.  For a large volume, that doubles the memory
 * traffic.  Stores that bypass the cache avoid the load: painting a volume larger than the cache takes half the time.
 * Small outputs stay in cache, where the caller reads them next.
 */
#include "paint.h"
#include "transpose.h"

#if CK_HAVE_SSE2

/* Copy a row. With CK_TO_MEMORY, its aligned groups of sixteen bytes bypass the cache. */
static void copy_row(u8 *to, const u8 *row, size_t nbytes, enum ck_paint_to where)
{
    const size_t head = (16 - (uintptr_t)to % 16) % 16;

    if (where == CK_TO_CACHE || nbytes < head + 16) {
        memcpy(to, row, nbytes);
        return;
    }
    memcpy(to, row, head);
    to += head;
    row += head;
    nbytes -= head;
    for (; nbytes >= 64; to += 64, row += 64, nbytes -= 64) {
        const __m128i a = _mm_loadu_si128((const __m128i *)row);
        const __m128i b = _mm_loadu_si128((const __m128i *)(row + 16));
        const __m128i c = _mm_loadu_si128((const __m128i *)(row + 32));
        const __m128i d = _mm_loadu_si128((const __m128i *)(row + 48));

        _mm_stream_si128((__m128i *)to, a);
        _mm_stream_si128((__m128i *)(to + 16), b);
        _mm_stream_si128((__m128i *)(to + 32), c);
        _mm_stream_si128((__m128i *)(to + 48), d);
    }
    for (; nbytes >= 16; to += 16, row += 16, nbytes -= 16)
        _mm_stream_si128((__m128i *)to, _mm_loadu_si128((const __m128i *)row));
    memcpy(to, row, nbytes);
}

/* Order the stores that bypass the cache before later ones. */
static void copy_end(enum ck_paint_to where)
{
    if (where == CK_TO_MEMORY)
        _mm_sfence();
}

#elif CK_HAVE_WASM_SIMD

/* Engines call a function for memory.copy, which costs more than copying a row of common width. */
static void copy_row(u8 *to, const u8 *row, size_t nbytes, enum ck_paint_to where)
{
    (void)where;
    for (; nbytes >= 64; to += 64, row += 64, nbytes -= 64) {
        const v128_t a = wasm_v128_load(row);
        const v128_t b = wasm_v128_load(row + 16);
        const v128_t c = wasm_v128_load(row + 32);
        const v128_t d = wasm_v128_load(row + 48);

        wasm_v128_store(to, a);
        wasm_v128_store(to + 16, b);
        wasm_v128_store(to + 32, c);
        wasm_v128_store(to + 48, d);
    }
    memcpy(to, row, nbytes);
}

static void copy_end(enum ck_paint_to where)
{
    (void)where;
}

#else

static void copy_row(u8 *to, const u8 *row, size_t nbytes, enum ck_paint_to where)
{
    (void)where;
    memcpy(to, row, nbytes);
}

static void copy_end(enum ck_paint_to where)
{
    (void)where;
}

#endif

#define CK_LABEL u8
#define CK_NAME(name) name##_u8
#include "paint_template.h"

#define CK_LABEL u16
#define CK_NAME(name) name##_u16
#include "paint_template.h"

#define CK_LABEL u32
#define CK_NAME(name) name##_u32
#include "paint_template.h"

#define CK_LABEL u64
#define CK_NAME(name) name##_u64
#include "paint_template.h"

void ck_paint(const struct ck_components *c, const u64 *labels, void *slice, unsigned int width,
              enum ck_paint_to to, u64 *scratch)
{
    switch (width) {
    case 1:
        paint_u8(c, labels, slice, to, (u8 *)scratch);
        break;
    case 2:
        paint_u16(c, labels, slice, to, (u16 *)scratch);
        break;
    case 4:
        paint_u32(c, labels, slice, to, (u32 *)scratch);
        break;
    default:
        paint_u64(c, labels, slice, to, scratch);
        break;
    }
}

void ck_paint_columns(const struct ck_slice_to_paint *slices, u32 count, const struct crackle_volume *out, u32 z,
                      u64 *scratch)
{
    switch (out->width) {
    case 1:
        paint_columns_u8(slices, count, out, z, (u8 *)scratch);
        break;
    case 2:
        paint_columns_u16(slices, count, out, z, (u16 *)scratch);
        break;
    case 4:
        paint_columns_u32(slices, count, out, z, (u32 *)scratch);
        break;
    default:
        paint_columns_u64(slices, count, out, z, scratch);
        break;
    }
    ck_scatter_ends();
}
