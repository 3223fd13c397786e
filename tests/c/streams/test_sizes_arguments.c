/*
 * test_sizes_arguments.c - numbers at and past 2^31, 2^32 and 2^63 in every argument
 */
#include "sizes.h"

/* Shapes whose size in bytes wraps to 'nbytes' in 32 or 64 bits. */
static void test_shapes(void)
{
    static const struct {
        u32 sx, sy, sz;
        u8 width;
        u64 nbytes;
    } shapes[] = {
        {0x80000000, 0x80000000, 4, 1, 0}, {0x80000000, 0x40000000, 1, 8, 0}, {0x80000000, 0x80000000, 2, 2, 0},
        {0xffffffff, 0xffffffff, 0xffffffff, 1, 0x00000003fffffffdu},
        {0xffffffff, 0xffffffff, 2, 1, 0xfffffffc00000002u},
        {0x10000, 0x10000, 1, 1, 0}, {0x10001, 0x10000, 1, 1, 0x10000}, {0x10000, 0x8000, 1, 2, 0},
        {0x40000000, 1, 1, 4, 0}, {0x20000001, 1, 1, 8, 8}, {1, 1, 0x80000000, 2, 0}, {1, 0xffffffff, 1, 1, 0},
        {0xffffffff, 0xffffffff, 1, 1, 1},
    };
    const struct crackle_options options = {1, 0, 0, 0, 0};
    u64 voxels[8] = {0};
    crackle_part *part = NULL;
    u8 *out = NULL;
    size_t nbytes;

    for (size_t i = 0; i < LENGTH(shapes); i++)
        for (u8 fortran = 0; fortran < 2; fortran++) {
            const struct crackle_volume v = {voxels, (size_t)shapes[i].nbytes, shapes[i].sx, shapes[i].sy, shapes[i].sz,
                                             shapes[i].width, 0, fortran};

            CHECK_OF(crackle_encode(&v, &options, &out, &nbytes) == CRACKLE_BAD_ARGUMENT, i);
            CHECK_OF(crackle_encode_part(&v, 0, 1, 0, &part) == CRACKLE_BAD_ARGUMENT, i);
            CHECK_OF(crackle_assemble(&v, &options, &part, 0, NULL, &out, &nbytes) == CRACKLE_BAD_ARGUMENT, i);
            CHECK_OF(crackle_guess_crack_format(&v) == 0, i);
        }
    for (size_t i = 0; i < LENGTH(edge_values); i++) {
        const struct crackle_volume v = {voxels, (size_t)edge_values[i], 2, 2, 2, 8, 0, 1};

        CHECK_OF(crackle_encode(&v, &options, &out, &nbytes) == CRACKLE_BAD_ARGUMENT, edge_values[i]);
    }
    /* No voxels, however long the other axes are. */
    {
        const struct crackle_volume v = {NULL, 0, 0xffffffff, 0, 0xffffffff, 8, 0, 1};

        CHECK(crackle_encode(&v, &options, &out, &nbytes) == CRACKLE_OK && nbytes == CK_HEADER_NBYTES_V1);
        crackle_free(out);
    }
    /* Parts of such a volume do not fit a volume with voxels. */
    {
        const struct crackle_volume none = {NULL, 0, 0, 5, 3, 1, 0, 1}, some = {NULL, 75, 5, 5, 3, 1, 0, 1};
        crackle_part *of_none = NULL;

        CHECK(crackle_encode_part(&none, 0, 3, 0, &of_none) == CRACKLE_OK);
        CHECK(crackle_assemble(&some, &options, &of_none, 1, NULL, &out, &nbytes) == CRACKLE_BAD_ARGUMENT);
        crackle_part_free(of_none);
    }
}

static void test_options(void)
{
    u8 voxels[27] = {0};
    const struct crackle_volume v = {voxels, 27, 3, 3, 3, 1, 0, 1};
    u8 *out;
    size_t nbytes;

    for (unsigned int i = 0; i < 256; i++)
        for (int k = 0; k < 3; k++) {
            const struct crackle_options options = {(u8)(k == 0 ? i : 1), (u8)(k == 1 ? i : 0), (u8)(k == 2 ? i : 0),
                                                    0, 0};
            const int is_order = i <= CRACKLE_MAX_MARKOV_ORDER || i == CRACKLE_MARKOV_AUTO;
            const int good = k == 0 ? i < 2 : k == 1 ? is_order : i < 3;

            CHECK_OF(crackle_encode(&v, &options, &out, &nbytes) == (good ? CRACKLE_OK : CRACKLE_BAD_ARGUMENT), i);
            if (good)
                crackle_free(out);
        }
    for (unsigned int width = 0; width < 256; width++) {
        struct crackle_volume other = v;
        const struct crackle_options options = {1, 0, 0, 0, 0};

        other.width = (u8)width;
        other.nbytes = 27 * (size_t)width;
        if (width != 1 && width != 2 && width != 4 && width != 8)
            CHECK_OF(crackle_encode(&other, &options, &out, &nbytes) == CRACKLE_BAD_ARGUMENT, width);
    }
}

/* [z_start, z_end) is not a range of the three slices of the stream, nor of its half: all calls must fail. */
static void test_range(const struct crackle_parts *parts, const u8 *stream, size_t nbytes, u32 z_start, u32 z_end)
{
    struct labels size = {4, 3, 3, 36, NULL};
    struct crackle_volume out = new_volume(&size, 2, 0, 1), mask = new_volume(&size, 1, 0, 1);
    const struct crackle_piece piece = {stream, nbytes, z_start, z_end};
    struct crackle_extent extents[3];
    struct crackle_contact *contacts;
    struct crackle_overlap *overlaps;
    struct crackle_label_extent *rows;
    crackle_part *part = NULL;
    u64 *labels;
    u64 numbers[3] = {0}, number;
    u8 selected[3] = {1, 1, 1}, *made;
    size_t made_nbytes, at_fault;
    void *points;
    int equal;

#define BAD(call) CHECK_OF((call) == CRACKLE_BAD_ARGUMENT, (u64)z_start << 32 | z_end)
    BAD(crackle_codes_range(stream, nbytes, z_start, z_end, &number, &number, NULL));
    BAD(crackle_decode(parts, z_start, z_end, 0, &out, 0, NULL));
    BAD(crackle_decode(parts, z_start, z_end, 0, &out, z_start, NULL));
    BAD(crackle_decode_as(parts, z_start, z_end, 0, numbers, 3, &out, 0, NULL));
    BAD(crackle_decode_mask(parts, z_start, z_end, 0, 7, &mask, 0, NULL));
    BAD(crackle_measure(parts, z_start, z_end, 0, 0, 4, 0, 3, extents, 3, NULL));
    BAD(crackle_measure(parts, 0, 3, 0, z_start, z_end, 0, 3, extents, 3, NULL));
    BAD(crackle_measure(parts, 0, 3, 0, 0, 4, z_start, z_end, extents, 3, NULL));
    BAD(crackle_surface(parts, z_start, z_end, 0, selected, 3, 2, NULL, &points, numbers, NULL));
    BAD(crackle_connectivity(parts, z_start, z_end, 0, 6, &mask, 0, NULL));
    BAD(crackle_contacts(parts, z_start, z_end, 0, &contacts, &number, NULL));
    BAD(crackle_contacts_within(parts, z_start, z_end, 0, 0, 4, 0, 3, 7, &contacts, &number, NULL));
    BAD(crackle_contacts_within(parts, 0, 3, 0, z_start, z_end, 0, 3, 7, &contacts, &number, NULL));
    BAD(crackle_contacts_within(parts, 0, 3, 0, 0, 4, z_start, z_end, 7, &contacts, &number, NULL));
    BAD(crackle_contacts_within(parts, 0, 3, 0, 0, 4, 0, 3, 8, &contacts, &number, NULL));
    BAD(crackle_overlaps(parts, parts, z_start, z_end, 0, &overlaps, &number, NULL));
    BAD(crackle_equal(parts, parts, z_start, z_end, 0, &equal, NULL));
    BAD(crackle_entries_in(parts, 0, z_start, z_end, selected, 3, NULL));
    BAD(crackle_encode_part(&out, z_start, z_end, 0, &part));
    BAD(crackle_measure_volume(&out, z_start, z_end, 0, &rows, &number));
    BAD(crackle_volume_labels(&out, z_start, z_end, &labels, &number));
    BAD(crackle_recompress_part(parts, z_start, z_end, 0, 0, &part, NULL));
    BAD(crackle_overlay_part(parts, parts, z_start, z_end, 0, 0, &part, NULL));
    BAD(crackle_pool_part(parts, z_start, z_end, 0, 1, 0, 0, &part, NULL));
    BAD(crackle_pool_part(parts, z_start, z_end, 0, 2, 0, 0, &part, NULL));
    BAD(crackle_stack(&piece, 1, 0, 2, 0, 1, &made, &made_nbytes, &at_fault, NULL));
    if (z_end > 3) {
        BAD(crackle_check_slice(parts, z_end - 1, &number, NULL));
        BAD(crackle_decode(parts, 0, 3, 0, &out, z_end, NULL)); /* a volume that begins behind the range */
    }
#undef BAD
    free(out.voxels);
    free(mask.voxels);
}

/* 'count' differs from the number of entries: all calls must fail. */
static void test_count(const struct crackle_parts *parts, const u8 *stream, size_t nbytes, u64 count)
{
    struct labels size = {4, 3, 3, 36, NULL};
    struct crackle_volume out = new_volume(&size, 2, 0, 1);
    struct crackle_extent extents[3];
    u64 numbers[3] = {0};
    u8 selected[3] = {1, 1, 1}, slices[3], *made, *copy = exact_copy(stream, nbytes);
    size_t made_nbytes;
    void *points;

#define BAD(call) CHECK_OF((call) == CRACKLE_BAD_ARGUMENT, count)
    BAD(crackle_read_table(parts, 0, numbers, count, NULL));
    BAD(crackle_decode_as(parts, 0, 3, 0, numbers, count, &out, 0, NULL));
    BAD(crackle_measure(parts, 0, 3, 0, 0, 4, 0, 3, extents, count, NULL));
    BAD(crackle_surface(parts, 0, 3, 0, selected, count, 2, NULL, &points, numbers, NULL));
    BAD(crackle_slices_with(parts, 0, selected, count, slices, NULL));
    BAD(crackle_entries_in(parts, 0, 0, 3, selected, count, NULL));
    BAD(crackle_relabel_in_place(copy, nbytes, numbers, count, NULL));
    BAD(crackle_relabel(stream, nbytes, numbers, count, 8, 0, 1, &made, &made_nbytes, NULL));
#undef BAD
    CHECK(memcmp(copy, stream, nbytes) == 0);
    free(copy);
    free(out.voxels);
}

static void test_arguments(void)
{
    const struct sections s = small_sections(1, 0);
    struct crackle_parts whole, parts;
    struct crackle_volume out;
    struct labels size = {4, 3, 3, 36, NULL};
    struct crackle_joining how = {6, 0, 1, 0, 0};
    crackle_joiner *joiner;
    crackle_part *part = NULL;
    size_t nbytes, made_nbytes, at_fault;
    u8 *stream = joined(&s, &nbytes), *made = NULL;
    u64 numbers[3], number;
    u8 selected[3] = {1, 1, 1};
    void *points;

    CHECK(crackle_split(stream, nbytes, &whole, NULL) == CRACKLE_OK);
    parts = exact_parts(&whole);
    out = new_volume(&size, 2, 0, 1);
    for (size_t i = 0; i < LENGTH(edge_values_32); i++) {
        test_range(&parts, stream, nbytes, 0, edge_values_32[i]);
        test_range(&parts, stream, nbytes, edge_values_32[i], edge_values_32[i]);
        test_range(&parts, stream, nbytes, edge_values_32[i], 2);
        test_range(&parts, stream, nbytes, edge_values_32[i] - 1, edge_values_32[i]);

        parts.codes_z = edge_values_32[i];
        CHECK(crackle_decode(&parts, 0, 3, 0, &out, 0, NULL) == CRACKLE_BAD_ARGUMENT);
        parts.codes_z = 0;
        CHECK(crackle_joiner_begin(stream, nbytes, 0, &how, &joiner, NULL) == CRACKLE_OK);
        CHECK(crackle_joiner_next(joiner, edge_values_32[i], NULL) == CRACKLE_BAD_ARGUMENT);
        CHECK(crackle_joiner_next(joiner, 2, NULL) == CRACKLE_OK);
        CHECK(crackle_joiner_next(joiner, edge_values_32[i], NULL) == CRACKLE_BAD_ARGUMENT);
        crackle_joiner_free(joiner);
        how.depth = edge_values_32[i];
        CHECK(crackle_joiner_begin(stream, nbytes, 0, &how, &joiner, NULL) == CRACKLE_OK);
        CHECK(crackle_joiner_next(joiner, 3, NULL) == CRACKLE_OK);
        crackle_joiner_free(joiner);
        how.depth = 0;
        how.connectivity = edge_values_32[i];
        CHECK(crackle_joiner_begin(stream, nbytes, 0, &how, &joiner, NULL) == CRACKLE_BAD_ARGUMENT);
        how.connectivity = 6;
        CHECK(crackle_pool_part(&parts, 0, 1, 0, edge_values_32[i], 0, 0, &part, NULL) == CRACKLE_BAD_ARGUMENT);
        CHECK(crackle_surface(&parts, 0, 3, 0, selected, 3, edge_values_32[i], NULL, &points, numbers, NULL) ==
              CRACKLE_BAD_ARGUMENT);
        CHECK(crackle_connectivity(&parts, 0, 3, 0, edge_values_32[i], &out, 0, NULL) == CRACKLE_BAD_ARGUMENT);
        CHECK(crackle_reassemble(stream, nbytes, edge_values_32[i], &part, 0, NULL, &made, &made_nbytes, NULL) ==
              CRACKLE_BAD_ARGUMENT);
        CHECK(crackle_relabel(stream, nbytes, numbers, 3, edge_values_32[i], 0, 1, &made, &made_nbytes, NULL) ==
              CRACKLE_BAD_ARGUMENT);
    }
    for (size_t i = 0; i < LENGTH(edge_values); i++) {
        const struct crackle_piece piece = {stream, nbytes, 0, 3};

        test_count(&parts, stream, nbytes, edge_values[i]);
        if ((size_t)edge_values[i] > 1) /* truncated to 32 bits, some are valid pieces */
            CHECK(crackle_stack(&piece, 1, (size_t)edge_values[i], 2, 0, 1, &made, &made_nbytes, &at_fault, NULL) ==
                  CRACKLE_BAD_ARGUMENT);
        /* Labels that do not fit 16 bits. */
        numbers[0] = numbers[1] = 1;
        numbers[2] = edge_values[i];
        CHECK(crackle_relabel(stream, nbytes, numbers, 3, 2, 0, 1, &made, &made_nbytes, NULL) ==
              CRACKLE_DOES_NOT_FIT);
        CHECK(crackle_relabel_in_place(stream, nbytes, numbers, 3, NULL) == CRACKLE_DOES_NOT_FIT);
        CHECK(crackle_relabel(stream, nbytes, numbers, 3, 8, 0, 1, &made, &made_nbytes, NULL) == CRACKLE_OK);
        CHECK(crackle_split(made, made_nbytes, &whole, NULL) == CRACKLE_OK);
        CHECK(crackle_read_table(&whole, 0, numbers, 2, NULL) == CRACKLE_OK && numbers[1] == edge_values[i]);
        crackle_free(made);
    }
    for (u64 count = 0; count < 7; count++)
        if (count != 3)
            test_count(&parts, stream, nbytes, count);
    CHECK(crackle_stack(NULL, 0, 0, 2, 0, 1, &made, &made_nbytes, &at_fault, NULL) == CRACKLE_BAD_ARGUMENT);
    CHECK(crackle_component_counts(&parts, numbers, NULL) == CRACKLE_OK);
    CHECK(crackle_check_slice(&parts, 2, &number, NULL) == CRACKLE_OK && number == numbers[2]);
    free_parts(&parts);
    free(out.voxels);
    free(stream);
}

int main(void)
{
    limit_memory();
    test_shapes();
    test_options();
    test_arguments();
    return report("sizes of arguments");
}
