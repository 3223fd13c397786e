/*
 * crc.h - CRC8 of the header, CRC32C of everything else
 */
#ifndef CK_CRC_H
#define CK_CRC_H

#include "common.h"

/* Reflected, polynomial 0xe7 (right-shifting form), initial 0xff, no final xor. */
u8 ck_crc8(const u8 *data, size_t nbytes);

/* Castagnoli: "123456789" gives 0xe3069283. */
u32 ck_crc32c(const u8 *data, size_t nbytes);

/*
 * The algebra of CRC32C, for checksums of images that are never made.
 *
 * When a state 'c' takes in the little-endian word 'w', it becomes ck_crc_word(c ^ w).  That is a linear map:
 * multiplication by x^32 modulo the polynomial.  Hence the CRC of many words is the sum (xor) of the words, each
 * multiplied by a power of x^32 that depends only on its position.
 */
u32 ck_crc_word(u32 state);

/* The polynomial 1. Applying ck_crc_word() k times gives x^(32 k). */
#define CK_CRC_ONE 0x80000000u

/* The state before the first word. */
#define CK_CRC_START 0xffffffffu

/* Reduce a sum of carry-less products ck_clmul(a, b) to a state: the sum of all a * b modulo the polynomial. */
static inline u32 ck_crc_reduce(u64 sum_of_products)
{
    u64 v = sum_of_products << 1; /* bits are reflected: 31 + 31 = 62, so one place is missing */

    return ck_crc_word((u32)v) ^ (u32)(v >> 32);
}

/* The products, without carries, of 'a' and all numbers of four bits. */
static inline void ck_clmul_multiples(u32 a, u64 *multiple)
{
    multiple[0] = 0;
    for (unsigned int i = 1; i < 16; i++)
        multiple[i] = i & 1 ? multiple[i - 1] ^ a : multiple[i / 2] << 1;
}

/* a * b without carries, from the multiples of 'a': four bits of 'b' at a time. */
static inline u64 ck_clmul_by_multiples(const u64 *multiple, u32 b)
{
    u64 product = 0;

    for (int shift = 28; shift >= 0; shift -= 4)
        product = (product << 4) ^ multiple[(b >> shift) & 15];
    return product;
}

/* a * b without carries, in portable C. */
static inline u64 ck_clmul_portable(u32 a, u32 b)
{
    u64 multiple[16];

    ck_clmul_multiples(a, multiple);
    return ck_clmul_by_multiples(multiple, b);
}

/*
 * The same with instructions.  CK_MAYBE_CRC tells whether the compiler has them, ck_cpu_has_crc() whether the CPU does.
 * A state is the CRC before the final xor.
 */
#if CK_MAYBE_V3

#include <immintrin.h>

CK_TARGET_CRC static inline u32 ck_crc_take_8(u32 state, u8 byte)
{
    return _mm_crc32_u8(state, byte);
}

CK_TARGET_CRC static inline u32 ck_crc_take_32(u32 state, u32 word)
{
    return _mm_crc32_u32(state, word);
}

/* The upper half of 'state' is clear. */
CK_TARGET_CRC static inline u64 ck_crc_take_64(u64 state, u64 word)
{
    return _mm_crc32_u64(state, word);
}

CK_TARGET_CRC static inline u64 ck_clmul_32(u32 a, u32 b)
{
    return (u64)_mm_cvtsi128_si64(_mm_clmulepi64_si128(_mm_cvtsi32_si128((int)a), _mm_cvtsi32_si128((int)b), 0));
}

#elif CK_MAYBE_ARM_CRYPTO

#include <arm_acle.h>
#include <arm_neon.h>

CK_TARGET_CRC static inline u32 ck_crc_take_8(u32 state, u8 byte)
{
    return __crc32cb(state, byte);
}

CK_TARGET_CRC static inline u32 ck_crc_take_32(u32 state, u32 word)
{
    return __crc32cw(state, word);
}

CK_TARGET_CRC static inline u64 ck_crc_take_64(u64 state, u64 word)
{
    return __crc32cd((u32)state, word);
}

CK_TARGET_CRC static inline u64 ck_clmul_32(u32 a, u32 b)
{
    return vgetq_lane_u64(vreinterpretq_u64_p128(vmull_p64(a, b)), 0);
}

#endif

#endif /* CK_CRC_H */
