/*
 * test_sizes_labels.c - numbers at and past 2^31, 2^32 and 2^63 in the labels section
 */
#include "sizes.h"

static void test_num_labels(void)
{
    for (unsigned int pins = 0; pins < 2; pins++)
        for (unsigned int log = 0; log < 4; log++)
            for (size_t i = 0; i < LENGTH(edge_values) + 4; i++) {
                struct sections s = pins ? pins_sections(4, 3, 3, 0) : small_sections(1, 0);
                /* Include values that wrap to a few bytes. */
                const u64 claim =
                    i < LENGTH(edge_values) ? edge_values[i] : (P(63 - log) * 2) + (u64)(i - LENGTH(edge_values));
                u64 number = 0;
                size_t nbytes;
                u8 *stream;

                if (claim < 40)
                    continue;
                s.format = (s.format & ~(3u << CK_BIT_STORED_WIDTH) & ~3u) | log << CK_BIT_STORED_WIDTH | 3;
                s.labels_nbytes = 150;
                ck_store64(s.labels + (pins ? 1u << log : 0), claim);
                check_label_reading(&s, CRACKLE_CORRUPT, claim);
                stream = joined(&s, &nbytes);
                CHECK_OF(crackle_table_nbytes(stream, nbytes, &number, NULL) == CRACKLE_CORRUPT, claim);
                free(stream);
            }
}

/* Claim as many labels as fit a section of about 2^63 bytes, of which only the first bytes exist. */
static void test_table_of_a_claim(void)
{
    for (unsigned int log = 0; log < 4; log++) {
        struct sections s = small_sections(1, 0);
        const u64 count = (P(63) - 8) >> log;
        struct crackle_parts parts = {NULL, 0, NULL, 0, 0, NULL, 0};
        size_t nbytes;
        u64 number;
        int found;
        u8 *stream;

        s.format = (s.format & ~(3u << CK_BIT_STORED_WIDTH) & ~3u) | log << CK_BIT_STORED_WIDTH | 3;
        s.claims_label_bytes = 1;
        s.label_bytes = P(63);
        ck_store64(s.labels, count);
        stream = joined(&s, &nbytes);
        CHECK(crackle_table_nbytes(stream, nbytes, &number, NULL) == CRACKLE_OK);
        CHECK(number == CK_HEADER_NBYTES_V1 + 16 + 8 + (count << log));
        parts.head = stream;
        parts.head_nbytes = nbytes;
        CHECK(crackle_table_size(&parts, &number, NULL) == CRACKLE_TRUNCATED);
        CHECK(crackle_contains(&parts, CRACKLE_NO_VERIFY, 3, &found, NULL) == CRACKLE_TRUNCATED);
        free(stream);
    }
}

/* Components per slice, in all four widths. */
static void test_component_counts(void)
{
    static const u32 sides[] = {4, 300, 70000, 0xffffffff};

    for (size_t k = 0; k < LENGTH(sides); k++) {
        const u64 slice_voxels = (u64)sides[k] * sides[k];
        const unsigned int width = ck_width(slice_voxels);
        struct sections s;

        memset(&s, 0, sizeof(s));
        s.version = 1;
        s.format = 1;
        s.sx = s.sy = sides[k];
        s.sz = 3;
        s.grid = CK_WHOLE_SLICE_GRID;
        for (size_t i = 0; i < LENGTH(edge_values); i++)
            for (unsigned int slices = 1; slices < 8; slices++) {
                const u64 claim = width == 8 ? edge_values[i] : edge_values[i] & (P(8 * width) - 1);
                size_t nbytes;
                u64 counts[3];
                struct crackle_parts parts;
                u8 *stream;

                s.labels_nbytes = 0;
                put(s.labels, &s.labels_nbytes, 1, 8);
                put(s.labels, &s.labels_nbytes, 3, 1);
                for (unsigned int z = 0; z < 3; z++)
                    put(s.labels, &s.labels_nbytes, slices >> z & 1 ? claim : 1, width);
                for (unsigned int z = 0; z < 3; z++)
                    put(s.labels, &s.labels_nbytes, 0, 1);
                /* No component, or more than there are keys, voxels, or numbers of 64 bits. */
                check_label_reading(&s, claim == 1 ? CRACKLE_OK : CRACKLE_CORRUPT, claim);
                stream = joined(&s, &nbytes);
                CHECK(crackle_split(stream, nbytes, &parts, NULL) == CRACKLE_OK);
                CHECK(crackle_component_counts(&parts, counts, NULL) == CRACKLE_OK);
                CHECK(counts[0] == (slices & 1 ? claim : 1));
                free(stream);
            }
    }
    /* 2^64 + 3 components: the sum wraps to the number of keys. */
    {
        struct sections s;
        const u64 half = P(63);

        memset(&s, 0, sizeof(s));
        s.version = 1;
        s.format = 1;
        s.sx = s.sy = 0xffffffff;
        s.sz = 3;
        s.grid = CK_WHOLE_SLICE_GRID;
        put(s.labels, &s.labels_nbytes, 1, 8);
        put(s.labels, &s.labels_nbytes, 3, 1);
        put(s.labels, &s.labels_nbytes, half, 8);
        put(s.labels, &s.labels_nbytes, half, 8);
        put(s.labels, &s.labels_nbytes, 3, 8);
        put(s.labels, &s.labels_nbytes, 0, 2);
        put(s.labels, &s.labels_nbytes, 0, 1);
        check_label_reading(&s, CRACKLE_CORRUPT, half);
    }
}

static void test_keys(void)
{
    for (unsigned int key = 0; key < 256; key++) {
        struct sections s = small_sections(1, 0);

        s.labels[s.labels_nbytes - 1] = (u8)key;
        if (key != s.labels[s.labels_nbytes - 2])
            check_decoding(&s, key < 3 ? CRACKLE_OK : CRACKLE_CORRUPT, CRACKLE_SECTION_LABELS, key);
    }
}

/* ------------------------------------ Pins --------------------------------- */

static void test_pin_widths(void)
{
    for (unsigned int widths = 0; widths < 256; widths++) {
        struct sections s = pins_sections(4, 3, 3, widths);
        const unsigned int count = 1u << (widths & 3);

        put(s.labels, &s.labels_nbytes, 0, count);
        put(s.labels, &s.labels_nbytes, 0, count);
        check_label_reading(&s, widths < 64 ? CRACKLE_OK : CRACKLE_CORRUPT, widths);
    }
}

/* The numbers of pins and of singles of a label, eight bytes wide. */
static void test_pin_counts(void)
{
    for (int singles = 0; singles < 2; singles++)
        for (size_t i = 0; i < LENGTH(edge_values); i++) {
            struct sections s = pins_sections(4, 3, 3, 3 | 3 << 2 | 3 << 4);

            if (singles)
                put(s.labels, &s.labels_nbytes, 0, 8);
            put(s.labels, &s.labels_nbytes, edge_values[i], 8);
            s.labels_nbytes += 40;
            check_label_reading(&s, CRACKLE_CORRUPT, edge_values[i]);
        }
}

/* Two pins at edge values apart, in a volume of 3 * 2^62 voxels. */
static void test_pin_places(void)
{
    const u32 side = 0x80000000;

    for (size_t i = 0; i < LENGTH(edge_values); i++)
        for (size_t k = 0; k < LENGTH(edge_values); k++)
            for (u64 depth = 0; depth < 3; depth++) {
                struct sections s = pins_sections(side, side, 3, 0);
                const u64 first = edge_values[i], second = first + edge_values[k], voxels = 3 * P(62);
                const int fits = first < voxels && edge_values[k] < voxels - first && depth < 3 - second / P(62);

                put(s.labels, &s.labels_nbytes, 2, 1);
                put(s.labels, &s.labels_nbytes, first, 8);
                put(s.labels, &s.labels_nbytes, edge_values[k], 8);
                put(s.labels, &s.labels_nbytes, 0, 1);
                put(s.labels, &s.labels_nbytes, depth, 1);
                put(s.labels, &s.labels_nbytes, 0, 1);
                check_label_reading(&s, fits ? CRACKLE_OK : CRACKLE_CORRUPT, second);
            }
    /* The slices of a pin at such a place. */
    {
        struct sections s = pins_sections(side, side, 3, 0);
        u8 selected[2] = {0, 1}, slices[3];
        struct crackle_parts parts;
        size_t nbytes;
        u8 *stream;

        put(s.labels, &s.labels_nbytes, 1, 1);
        put(s.labels, &s.labels_nbytes, P(62) + 5, 8);
        put(s.labels, &s.labels_nbytes, 1, 1);
        put(s.labels, &s.labels_nbytes, 0, 1);
        stream = joined(&s, &nbytes);
        CHECK(crackle_split(stream, nbytes, &parts, NULL) == CRACKLE_OK);
        CHECK(crackle_slices_with(&parts, 0, selected, 2, slices, NULL) == CRACKLE_OK);
        CHECK(!slices[0] && slices[1] && slices[2]);
        free(stream);
    }
}

static void test_depths_and_singles(void)
{
    for (size_t i = 0; i < LENGTH(edge_values); i++) {
        struct sections s = pins_sections(4, 3, 3, 3 << 2);

        put(s.labels, &s.labels_nbytes, 1, 1);
        put(s.labels, &s.labels_nbytes, 0, 1);
        put(s.labels, &s.labels_nbytes, edge_values[i], 8);
        put(s.labels, &s.labels_nbytes, 0, 1);
        check_label_reading(&s, CRACKLE_CORRUPT, edge_values[i]);
    }
    for (size_t i = 0; i < LENGTH(edge_values); i++) { /* the second single wraps to a valid component */
        struct sections s = pins_sections(4, 3, 3, 3 << 4);

        put(s.labels, &s.labels_nbytes, 0, 1);
        put(s.labels, &s.labels_nbytes, 2, 1);
        put(s.labels, &s.labels_nbytes, i % 2 ? 2 : edge_values[i], 8);
        put(s.labels, &s.labels_nbytes, i % 2 ? edge_values[i] : 0 - edge_values[i], 8);
        check_label_reading(&s, CRACKLE_CORRUPT, edge_values[i]);
    }
}

/* More than 2^64 voxels. Pins number the voxels, so they fail; flat labels would work. */
static void test_too_many_voxels_for_pins(void)
{
    struct sections s = pins_sections(0xffffffff, 0xffffffff, 2, 0);

    put(s.labels, &s.labels_nbytes, 0, 1);
    put(s.labels, &s.labels_nbytes, 0, 1);
    check_label_reading(&s, CRACKLE_CORRUPT, 2);
}

/* A background of eight bytes with voxels of one byte. */
static void test_background(void)
{
    for (size_t i = 0; i < LENGTH(edge_values); i++)
        for (unsigned int is_signed = 0; is_signed < 2; is_signed++) {
            struct sections s;
            const int fits = is_signed && edge_values[i] >= (u64)-128;

            memset(&s, 0, sizeof(s));
            s.version = 1;
            s.format = CK_LABELS_PINS << CK_BIT_LABEL_FORMAT | 3 << CK_BIT_STORED_WIDTH | is_signed << CK_BIT_SIGNED;
            s.sx = s.sy = s.sz = 3;
            s.grid = CK_WHOLE_SLICE_GRID;
            put(s.labels, &s.labels_nbytes, edge_values[i], 8);
            put(s.labels, &s.labels_nbytes, 0, 8);
            put(s.labels, &s.labels_nbytes, 0x010101, 4);
            check_label_reading(&s, fits ? CRACKLE_OK : CRACKLE_CORRUPT, edge_values[i]);
        }
}

int main(void)
{
    limit_memory();
    test_num_labels();
    test_table_of_a_claim();
    test_component_counts();
    test_keys();
    test_pin_widths();
    test_pin_counts();
    test_pin_places();
    test_depths_and_singles();
    test_too_many_voxels_for_pins();
    test_background();
    return report("sizes in the labels");
}
