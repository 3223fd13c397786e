/*
 * paint.c - components and their labels -> voxels
 *
 * A row is the row above it with some patches.  One row is kept, in the nearest cache; patches are laid
 * over it, and it is copied to where it belongs: no voxel is ever asked what it is.
 *
 * A processor that writes part of a cache line fetches the line first, which for a large volume is as much
 * traffic again as the voxels.  Stores that bypass the cache do without: painting a volume that no cache
 * holds takes half the time.  One that is small is better left in the cache for who asked for it.
 */
#include "paint.h"
#include "transpose.h"

#if CK_HAVE_SSE2

/* Copy a row; to memory past the cache, but for what is not a whole sixteen bytes. */
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

/* Such stores are in no order with others until then. */
static void copy_end(enum ck_paint_to where)
{
    if (where == CK_TO_MEMORY)
        _mm_sfence();
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
