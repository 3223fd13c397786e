/*
 * test_sizes_volumes.c - valid streams of volumes that no machine can hold
 */
#include "sizes.h"

/*
 * Valid streams of volumes that no machine can hold.  Functions that need no voxels must succeed, the others must fail.
 */
static void test_giant(u32 sx, u32 sy, u32 sz, unsigned int version)
{
    struct crackle_volume v = {NULL, 0, sx, sy, sz, 1, 0, 1}, out;
    struct crackle_header h;
    struct crackle_parts parts;
    struct crackle_piece pieces[2];
    struct crackle_where where;
    struct crackle_extent extent;
    struct crackle_contact *contacts;
    const struct crackle_joining how = {6, 0, 1, 0, 0};
    crackle_joiner *joiner = NULL;
    crackle_part *part = NULL;
    size_t nbytes, edited_nbytes, piece;
    u64 count = 0, counts[8], label = 0;
    u8 *stream, *edited, selected = 1, slices[8];
    const u64 voxels = (u64)sx * sy * sz;
    int found = 0, equal = 0;
    /* Bitmaps of this many rows exceed the bits that can be addressed. */
    const int refused = memory_is_limited || (u64)sy * (sx / 64 + 1) > P(54);
    crackle_status status;

    CHECK(crackle_encode_constant(&v, 200, version, &stream, &nbytes) == CRACKLE_OK);
    CHECK(crackle_read_header(stream, nbytes, &h, NULL) == CRACKLE_OK && h.sx == sx && h.sy == sy && h.sz == sz);
    CHECK(crackle_split(stream, nbytes, &parts, NULL) == CRACKLE_OK);
    CHECK(crackle_table_size(&parts, &count, NULL) == CRACKLE_OK && count == 1);
    CHECK(crackle_read_table(&parts, 0, &label, 1, NULL) == CRACKLE_OK && label == 200);
    CHECK(crackle_contains(&parts, 0, 200, &found, NULL) == CRACKLE_OK && found);
    CHECK(crackle_component_counts(&parts, counts, NULL) == CRACKLE_OK && counts[sz - 1] == 1);
    CHECK(crackle_slices_with(&parts, 0, &selected, 1, slices, NULL) == CRACKLE_OK && slices[sz - 1] == 1);
    CHECK(crackle_entries_in(&parts, 0, 0, sz, slices, 1, NULL) == CRACKLE_OK && slices[0] == 1);
    label = (u64)-1;
    CHECK(crackle_relabel(stream, nbytes, &label, 1, 8, 1, 0, &edited, &edited_nbytes, NULL) == CRACKLE_OK);
    CHECK(crackle_contains(&parts, 0, 200, &found, NULL) == CRACKLE_OK && found);
    crackle_free(edited);
    label = 255;
    CHECK(crackle_relabel_in_place(stream, nbytes, &label, 1, NULL) == CRACKLE_OK);
    pieces[0].bytes = pieces[1].bytes = stream;
    pieces[0].nbytes = pieces[1].nbytes = nbytes;
    pieces[0].z_start = pieces[1].z_start = sz - 1;
    pieces[0].z_end = pieces[1].z_end = sz;
    CHECK(crackle_stack(pieces, 2, 2, 1, 0, 1, &edited, &edited_nbytes, &piece, &where) == CRACKLE_OK);
    CHECK(crackle_read_header(edited, edited_nbytes, &h, NULL) == CRACKLE_OK && h.sz == 2 && h.sx == sx);
    crackle_free(edited);

    /* Volumes of the right shape, but one byte short. */
    out = v;
    out.voxels = slices;
    out.nbytes = (size_t)voxels - 1;
    CHECK(crackle_decode(&parts, 0, sz, 0, &out, 0, &where) == CRACKLE_BAD_ARGUMENT);
    out.nbytes = 0;
    CHECK(crackle_decode(&parts, 0, sz, 0, &out, 0, &where) == CRACKLE_BAD_ARGUMENT);
    /* Empty ranges need no memory. */
    CHECK(crackle_measure(&parts, 0, sz, 0, 0, 0, 0, sy, &extent, 1, &where) == CRACKLE_OK && extent.voxels == 0);
    CHECK(crackle_measure(&parts, sz, sz, 0, 0, sx, 0, sy, &extent, 1, &where) == CRACKLE_OK);
    status = crackle_measure(&parts, 0, sz, 0, 0, sx, 0, sy, &extent, 1, &where);
    /* On long axes, the sums are too large before memory runs out. */
    if (voxels > UINT64_MAX / ((sx > sy ? sx : sy) - 1))
        CHECK(status == CRACKLE_TOO_LARGE);
    else if (refused)
        CHECK(status == CRACKLE_NO_MEMORY);
    if (!refused)
        goto out;
#if SIZE_MAX > 0xffffffff
    /* Volumes of the right size. Nothing is written, because memory for a slice is missing. */
    out.nbytes = (size_t)voxels;
    CHECK(crackle_decode(&parts, 0, 1, 0, &out, 0, &where) == CRACKLE_NO_MEMORY);
    CHECK(crackle_decode_mask(&parts, 0, 1, 0, 255, &out, 0, &where) == CRACKLE_NO_MEMORY);
    CHECK(crackle_connectivity(&parts, 0, 1, 0, 6, &out, 0, &where) == CRACKLE_NO_MEMORY);
#endif
    CHECK(crackle_measure(&parts, 0, 1, CRACKLE_ONLY_COUNTS, 0, sx, 0, sy, &extent, 1, &where) == CRACKLE_NO_MEMORY);
    CHECK(crackle_check_slice(&parts, 0, counts, &where) == CRACKLE_NO_MEMORY);
    CHECK(crackle_equal(&parts, &parts, 0, sz, 0, &equal, &where) == CRACKLE_NO_MEMORY || equal);
    CHECK(crackle_contacts(&parts, 0, sz, 0, &contacts, &count, &where) == CRACKLE_NO_MEMORY);
    CHECK(crackle_recompress_part(&parts, 0, sz, 0, 0, &part, &where) == CRACKLE_NO_MEMORY);
    CHECK(crackle_overlay_part(&parts, &parts, 0, sz, 0, 0, &part, &where) == CRACKLE_NO_MEMORY);
    CHECK(crackle_pool_part(&parts, 0, 1, 0, 1, 0, 0, &part, &where) == CRACKLE_NO_MEMORY);
    if (crackle_joiner_begin(stream, nbytes, 0, &how, &joiner, &where) == CRACKLE_OK) {
        CHECK(crackle_joiner_next(joiner, sz, &where) == CRACKLE_NO_MEMORY);
        crackle_joiner_free(joiner);
    }
out:
    crackle_free(stream);
}

static void test_giants(void)
{
    for (unsigned int version = 0; version < 2; version++) {
        test_giant(0xffffffff, 0xffffffff, 1, version);
        test_giant(0x80000000, 0x80000000, 2, version);
        test_giant(0x80000000, 0x40000000, 7, version);
        test_giant(0xffffffff, 0x7fffffff, 2, version);
        if (!memory_is_limited)
            continue;
        /* A large machine might hold these. */
        test_giant(0xffffffff, 1, 3, version);
        test_giant(1, 0xffffffff, 3, version);
        test_giant(1u << 21, 1u << 21, 5, version);
    }
}

/* Long in z: the index and the counts of the slices need too much memory. */
static void test_constants(void)
{
    struct crackle_volume v = {NULL, 0, 1, 1, 0xffffffff, 1, 0, 1};
    static const u32 shapes[][3] = {{0xffffffff, 0xffffffff, 2}, {0x80000000, 0x80000000, 4},
                                    {0xffffffff, 0xffffffff, 0xffffffff}, {0x10000, 0x10000, 0xffffffff},
                                    {0x200000, 0x200000, 0x400000}};
    u8 *out;
    size_t nbytes;

    if (memory_is_limited)
        CHECK(crackle_encode_constant(&v, 1, 1, &out, &nbytes) == CRACKLE_NO_MEMORY);
    for (size_t i = 0; i < LENGTH(shapes); i++) {
        v.sx = shapes[i][0];
        v.sy = shapes[i][1];
        v.sz = shapes[i][2];
        if (i == 3) {
            if (memory_is_limited)
                CHECK(crackle_encode_constant(&v, 1, 1, &out, &nbytes) == CRACKLE_NO_MEMORY);
        } else {
            CHECK(crackle_encode_constant(&v, 1, 1, &out, &nbytes) == CRACKLE_TOO_LARGE);
        }
    }
    /* In version 0, the length of the labels section has 32 bits. */
    v.sx = v.sy = 1;
    v.sz = 0x7fffffff - 3; /* a table of one label takes 9 bytes, and every slice two */
    CHECK(crackle_encode_constant(&v, 1, 0, &out, &nbytes) == CRACKLE_TOO_LARGE);
    v.sx = 256;
    v.sz = 0xffffffff / 3 - 2;
    CHECK(crackle_encode_constant(&v, 1, 0, &out, &nbytes) == CRACKLE_TOO_LARGE);
    if (memory_is_limited) {
        v.sz--;
        CHECK(crackle_encode_constant(&v, 1, 0, &out, &nbytes) == CRACKLE_NO_MEMORY);
        v.sx = 1;
        v.sz = 0x7fffffff - 4;
        CHECK(crackle_encode_constant(&v, 1, 0, &out, &nbytes) == CRACKLE_NO_MEMORY);
        v.sz++;
        CHECK(crackle_encode_constant(&v, 1, 1, &out, &nbytes) == CRACKLE_NO_MEMORY);
    }
    v.sx = 1;
    v.sz = 1;
    for (unsigned int bits = 8; bits < 64; bits++) {
        v.width = 1;
        CHECK_OF(crackle_encode_constant(&v, P(bits), 1, &out, &nbytes) == CRACKLE_DOES_NOT_FIT, bits);
        v.width = 8;
        CHECK_OF(crackle_encode_constant(&v, P(bits), 1, &out, &nbytes) == CRACKLE_OK, bits);
        crackle_free(out);
    }
    for (unsigned int version = 2; version; version *= 2)
        CHECK_OF(crackle_encode_constant(&v, 1, version, &out, &nbytes) == CRACKLE_BAD_ARGUMENT, version);
}

/* Slices and voxels whose sums exceed the format. */
static void test_stacks(void)
{
    struct crackle_volume v = {NULL, 0, 0, 5, 0, 1, 0, 1};
    struct crackle_piece pieces[3];
    struct crackle_where where;
    size_t nbytes, made_nbytes, piece;
    u8 *stream, *made;

    /* Slices without voxels take no bytes, so there may be any number of them. */
    for (size_t i = 0; i < LENGTH(edge_values_32); i++)
        for (u32 left = 0; left < 3; left++) {
            struct crackle_header h;
            const u64 total = (u64)edge_values_32[i] + left + 1;

            v.sz = edge_values_32[i];
            CHECK(crackle_encode_constant(&v, 0, 1, &stream, &nbytes) == CRACKLE_OK);
            for (int k = 0; k < 3; k++) {
                pieces[k].bytes = stream;
                pieces[k].nbytes = nbytes;
                pieces[k].z_start = 0;
                pieces[k].z_end = k == 0 ? edge_values_32[i] : k == 1 ? left : 1;
            }
            if (total > UINT32_MAX) {
                CHECK_OF(crackle_stack(pieces, 3, 3, 1, 0, 1, &made, &made_nbytes, &piece, &where) ==
                             CRACKLE_TOO_LARGE,
                         total);
            } else {
                CHECK_OF(crackle_stack(pieces, 3, 3, 1, 0, 1, &made, &made_nbytes, &piece, &where) == CRACKLE_OK,
                         total);
                CHECK_OF(crackle_read_header(made, made_nbytes, &h, NULL) == CRACKLE_OK && h.sz == total, total);
                crackle_free(made);
            }
            crackle_free(stream);
        }
    /* Pins number voxels: 2^62 in each of three slices, twice. */
    {
        struct sections s = pins_sections(0x80000000, 0x80000000, 3, 0);

        put(s.labels, &s.labels_nbytes, 1, 1);
        put(s.labels, &s.labels_nbytes, 5, 8);
        put(s.labels, &s.labels_nbytes, 2, 1);
        put(s.labels, &s.labels_nbytes, 0, 1);
        stream = joined(&s, &nbytes);
        for (int k = 0; k < 2; k++) {
            pieces[k].bytes = stream;
            pieces[k].nbytes = nbytes;
            pieces[k].z_start = 0;
            pieces[k].z_end = 3;
        }
        CHECK(crackle_stack(pieces, 2, 2, 1, 0, 1, &made, &made_nbytes, &piece, &where) == CRACKLE_TOO_LARGE);
        free(stream);
    }
}

int main(void)
{
    limit_memory();
    test_giants();
    test_constants();
    test_stacks();
    return report("sizes of volumes");
}
