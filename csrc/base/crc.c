/*
 * crc.c - CRC8 and CRC32C
 *
 * CRC8 covers 23 bytes of a header, so bit by bit is fast enough.
 *
 * CRC32C covers the crack index and the labels section: megabytes at most.  It takes eight bytes per step, with the
 * processor's own instruction if it has one.  Otherwise it uses "slicing by eight": the CRC is linear, so the state
 * after eight bytes is the sum of eight table look-ups, one per byte.
 */
#include "crc.h"
#include "crc_tables.h"

u8 ck_crc8(const u8 *data, size_t nbytes)
{
    unsigned int crc = 0xff;

    for (size_t i = 0; i < nbytes; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0xe7u : 0);
    }
    return (u8)crc;
}

u32 ck_crc_word(u32 state)
{
    return ck_crc32c_table[3][state & 0xff] ^ ck_crc32c_table[2][(state >> 8) & 0xff] ^
           ck_crc32c_table[1][(state >> 16) & 0xff] ^ ck_crc32c_table[0][state >> 24];
}

static u32 crc32c_by_tables(u32 crc, const u8 *data, size_t nbytes)
{
    for (; nbytes >= 8; data += 8, nbytes -= 8) {
        u32 low = crc ^ ck_load32(data);
        u32 high = ck_load32(data + 4);

        crc = ck_crc32c_table[7][low & 0xff] ^ ck_crc32c_table[6][(low >> 8) & 0xff] ^
              ck_crc32c_table[5][(low >> 16) & 0xff] ^ ck_crc32c_table[4][low >> 24] ^
              ck_crc32c_table[3][high & 0xff] ^ ck_crc32c_table[2][(high >> 8) & 0xff] ^
              ck_crc32c_table[1][(high >> 16) & 0xff] ^ ck_crc32c_table[0][high >> 24];
    }
    for (; nbytes; data++, nbytes--)
        crc = (crc >> 8) ^ ck_crc32c_table[0][(crc ^ *data) & 0xff];
    return crc;
}

#if CK_MAYBE_CRC

CK_TARGET_CRC static u32 crc32c_by_instructions(u32 crc, const u8 *data, size_t nbytes)
{
    u64 state = crc;

    for (; nbytes >= 8; data += 8, nbytes -= 8)
        state = ck_crc_take_64(state, ck_load64(data));
    for (; nbytes; data++, nbytes--)
        state = ck_crc_take_8((u32)state, *data);
    return (u32)state;
}

#endif

u32 ck_crc32c(const u8 *data, size_t nbytes)
{
#if CK_MAYBE_CRC
    if (ck_cpu_has_crc())
        return ~crc32c_by_instructions(CK_CRC_START, data, nbytes);
#endif
    return ~crc32c_by_tables(CK_CRC_START, data, nbytes);
}
