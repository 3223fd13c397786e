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
 * The algebra of CRC32C, for checksums of images that never exist.
 *
 * A state 'c' that takes in the little-endian word 'w' becomes
 * ck_crc_word(c ^ w): a linear map, namely the multiplication by x^32 modulo the
 * polynomial.  Hence the CRC of many words is the sum (xor) of each word multiplied by a
 * power of x^32 that depends on its place alone.
 */
u32 ck_crc_word(u32 state);

/* The polynomial 1, from which powers begin: x^(32 k) is ck_crc_word() applied k times. */
#define CK_CRC_ONE 0x80000000u

/* The state before the first word. */
#define CK_CRC_START 0xffffffffu

/*
 * Reduce the sum of carry-less products ck_clmul(a, b) to a state: the sum of the
 * a * b modulo the polynomial.
 */
static inline u32 ck_crc_reduce(u64 sum_of_products)
{
    u64 v = sum_of_products << 1; /* bits are reflected: 31 + 31 = 62, so one place is missing */

    return ck_crc_word((u32)v) ^ (u32)(v >> 32);
}

/* a * b without carries, in plain C: four bits of 'b' at a time. */
static inline u64 ck_clmul_portable(u32 a, u32 b)
{
    u64 multiple[16];
    u64 product = 0;

    multiple[0] = 0;
    for (unsigned int i = 1; i < 16; i++)
        multiple[i] = i & 1 ? multiple[i - 1] ^ a : multiple[i / 2] << 1;
    for (int shift = 28; shift >= 0; shift -= 4)
        product = (product << 4) ^ multiple[(b >> shift) & 15];
    return product;
}

#endif /* CK_CRC_H */
