/*
 * crc.c - CRC8 and CRC32C
 *
 * CRC8 covers 23 bytes of a header: bit by bit is quick enough.
 *
 * CRC32C runs over the crack index and the labels section, megabytes at most, eight
 * bytes a step ("slicing by eight"): the state after eight bytes is the sum of what each
 * of the eight does alone, one table look-up each.  The CPU's own instruction
 * would be faster, but these sections are some percent of a stream.
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

u32 ck_crc32c(const u8 *data, size_t nbytes)
{
    u32 crc = 0xffffffff;

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
    return ~crc;
}
