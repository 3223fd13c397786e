/* test_crc.c - the CRC tables, recomputed bit by bit, and the algebra of CRC32C */
#include "base/crc.h"
#include "base/crc_tables.h"
#include "check.h"

static u32 crc_bit_by_bit(u32 crc, const u8 *data, size_t nbytes)
{
    for (size_t i = 0; i < nbytes; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return crc;
}

static void test_crc(void)
{
    u8 data[300];

    for (unsigned int k = 0; k < 8; k++)
        for (unsigned int b = 0; b < 256; b++) {
            u8 bytes[8] = {(u8)b};

            CHECK(ck_crc32c_table[k][b] == crc_bit_by_bit(0, bytes, k + 1));
        }
    CHECK(ck_crc32c((const u8 *)"123456789", 9) == 0xe3069283u);
    for (size_t n = 0; n < sizeof(data); n++) {
        for (size_t i = 0; i < n; i++)
            data[i] = (u8)random_number(256);
        CHECK(ck_crc32c(data, n) == (u32)~crc_bit_by_bit(0xffffffffu, data, n));
    }
    CHECK(ck_crc_word(0) == 0);
    for (int i = 0; i < 1000; i++) {
        u32 a = (u32)random_number((u64)1 << 32), b = (u32)random_number((u64)1 << 32);
        u64 product = 0;

        for (unsigned int bit = 0; bit < 32; bit++)
            if (b >> bit & 1)
                product ^= (u64)a << bit;
        CHECK(ck_clmul_portable(a, b) == product);
        /* Taking in a word of zeros multiplies by x^32. */
        CHECK(ck_crc_reduce(ck_clmul_portable(a, ck_crc_word(CK_CRC_ONE))) == ck_crc_word(a));
    }
}

/* CRC8 of the header, bit by bit, with a register that is not reflected. */
static void test_crc8(void)
{
    for (int i = 0; i < 1000; i++) {
        u8 data[23];
        unsigned int crc = 0xff;
        size_t nbytes = (size_t)random_number(sizeof(data) + 1);

        for (size_t k = 0; k < nbytes; k++) {
            data[k] = (u8)random_number(256);
            for (unsigned int bit = 0; bit < 8; bit++) { /* the register holds bit 0 at the top */
                unsigned int out = crc >> 7 ^ (data[k] >> bit & 1u);

                crc = (crc << 1 & 0xff) ^ (out ? 0xe7 : 0); /* 0xe7 reads the same in both directions */
            }
        }
        {
            unsigned int reflected = 0;

            for (unsigned int bit = 0; bit < 8; bit++)
                reflected |= (crc >> bit & 1) << (7 - bit);
            CHECK(ck_crc8(data, nbytes) == reflected);
        }
    }
}

/* The checksum of many words is the sum of the contributions of each. */
static void test_linearity(void)
{
    for (int i = 0; i < 300; i++) {
        u8 bytes[4 * 20];
        size_t count = (size_t)random_number(20) + 1;
        u32 weight = CK_CRC_ONE, state;
        u64 sum = 0;

        for (size_t k = count; k-- > 0;) {
            u32 word = (u32)random_number((u64)1 << 32);

            ck_store32(bytes + 4 * k, word);
            weight = ck_crc_word(weight);
            sum ^= ck_clmul_portable(word, weight);
        }
        state = ck_crc_reduce(sum) ^ ck_crc_reduce(ck_clmul_portable(0xffffffff, weight));
        CHECK((u32)~state == ck_crc32c(bytes, 4 * count));
    }
}

int main(void)
{
    test_crc();
    test_crc8();
    test_linearity();
    return report("crc");
}
