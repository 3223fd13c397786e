/*
 * copy_lines.h - copy a few labels to a volume, past the cache if the volume is larger
 *
 * When a processor writes part of a cache line, it first loads the line.  For a large volume, that doubles the memory
 * traffic.  Stores that bypass the cache avoid the load, if they fill a line one right after the other.
 */
#ifndef CK_COPY_LINES_H
#define CK_COPY_LINES_H

#include "../base/common.h"

#define CK_LINE_NBYTES 64

/*
 * ck_copy_lines()  copy bytes; with 'past_cache', whole lines of the destination bypass the cache
 * ck_copy_ends()   order the stores that bypass the cache before later ones
 */
#if CK_HAVE_SSE2

#include <emmintrin.h>

static inline void ck_copy_lines(u8 *to, const u8 *from, size_t nbytes, int past_cache)
{
    const size_t head = (CK_LINE_NBYTES - (uintptr_t)to % CK_LINE_NBYTES) % CK_LINE_NBYTES;

    if (!past_cache || nbytes < head + CK_LINE_NBYTES) {
        memcpy(to, from, nbytes);
        return;
    }
    memcpy(to, from, head);
    to += head;
    from += head;
    nbytes -= head;
    for (; nbytes >= CK_LINE_NBYTES; to += CK_LINE_NBYTES, from += CK_LINE_NBYTES, nbytes -= CK_LINE_NBYTES) {
        const __m128i a = _mm_loadu_si128((const __m128i *)from);
        const __m128i b = _mm_loadu_si128((const __m128i *)(from + 16));
        const __m128i c = _mm_loadu_si128((const __m128i *)(from + 32));
        const __m128i d = _mm_loadu_si128((const __m128i *)(from + 48));

        _mm_stream_si128((__m128i *)to, a);
        _mm_stream_si128((__m128i *)(to + 16), b);
        _mm_stream_si128((__m128i *)(to + 32), c);
        _mm_stream_si128((__m128i *)(to + 48), d);
    }
    memcpy(to, from, nbytes);
}

static inline void ck_copy_ends(void)
{
    _mm_sfence();
}

#elif CK_HAVE_WASM_SIMD

#include <wasm_simd128.h>

/* Engines call a function for memory.copy, which costs more than copying a row of common width. */
static inline void ck_copy_lines(u8 *to, const u8 *from, size_t nbytes, int past_cache)
{
    (void)past_cache;
    for (; nbytes >= 64; to += 64, from += 64, nbytes -= 64) {
        const v128_t a = wasm_v128_load(from);
        const v128_t b = wasm_v128_load(from + 16);
        const v128_t c = wasm_v128_load(from + 32);
        const v128_t d = wasm_v128_load(from + 48);

        wasm_v128_store(to, a);
        wasm_v128_store(to + 16, b);
        wasm_v128_store(to + 32, c);
        wasm_v128_store(to + 48, d);
    }
    memcpy(to, from, nbytes);
}

static inline void ck_copy_ends(void)
{
}

#else

static inline void ck_copy_lines(u8 *to, const u8 *from, size_t nbytes, int past_cache)
{
    (void)past_cache;
    memcpy(to, from, nbytes);
}

static inline void ck_copy_ends(void)
{
}

#endif

#endif /* CK_COPY_LINES_H */
