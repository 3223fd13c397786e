/*
 * test_volumes.c - encoding and decoding, compared with an array of labels
 *
 * Encodes random volumes of all widths, orders and options, and compares every decoded result with the array.
 */
#include "volumes.h"

/* Count the components of a slice by flood fill. */
static uint64_t count_components(const struct labels *l, size_t z)
{
    const size_t sx = l->sx, sy = l->sy;
    const uint64_t *slice = l->at + z * sx * sy;
    size_t *stack = malloc((sx * sy + 1) * sizeof(*stack));
    char *seen = calloc(sx * sy, 1);
    uint64_t count = 0;

    for (size_t i = 0; i < sx * sy; i++) {
        size_t size = 0;

        if (seen[i])
            continue;
        count++;
        seen[i] = 1;
        stack[size++] = i;
        while (size) {
            const size_t at = stack[--size], x = at % sx, y = at / sx;
            const size_t beside[4] = {x > 0 ? at - 1 : at, x + 1 < sx ? at + 1 : at, y > 0 ? at - sx : at,
                                      y + 1 < sy ? at + sx : at};

            for (int k = 0; k < 4; k++)
                if (!seen[beside[k]] && slice[beside[k]] == slice[at]) {
                    seen[beside[k]] = 1;
                    stack[size++] = beside[k];
                }
        }
    }
    free(stack);
    free(seen);
    return count;
}

/* --------------------------------- Decoding -------------------------------- */

static void check_header(const uint8_t *stream, size_t nbytes, const struct labels *l, const struct crackle_volume *v,
                         const struct crackle_options *options)
{
    struct crackle_header h;
    struct crackle_layout layout;

    CHECK(crackle_read_header(stream, nbytes, &h, NULL) == CRACKLE_OK);
    CHECK(h.sx == l->sx && h.sy == l->sy && h.sz == l->sz);
    CHECK(h.format_version == options->format_version && h.data_width == v->width && h.is_signed == v->is_signed);
    CHECK(h.fortran_order == v->fortran_order && h.is_sorted && h.stored_width <= h.data_width);
    CHECK(h.markov_order == 0 || h.markov_order == options->markov_order);
    CHECK(h.label_format == 0 || (h.label_format == 2 && options->pins));
    CHECK(crackle_read_layout(stream, nbytes, &layout, NULL) == CRACKLE_OK && layout.end == nbytes);
}

static void check_voxels(const struct crackle_parts *parts, const struct labels *l, const struct crackle_volume *v)
{
    struct crackle_where where;

    for (int fortran = 0; fortran < 2; fortran++) {
        struct crackle_volume out = new_volume(l, v->width, v->is_signed, fortran);
        uint32_t z_start = (uint32_t)random_number((uint64_t)l->sz + 1);
        uint32_t z_end = z_start + (uint32_t)random_number((uint64_t)(l->sz - z_start) + 1);
        uint32_t out_z = (uint32_t)random_number((uint64_t)z_start + 1);
        unsigned int flags;

        CHECK(crackle_decode(parts, 0, l->sz, 0, &out, 0, &where) == CRACKLE_OK);
        CHECK(num_wrong(l, &out, v->is_signed, 0, l->sz) == 0);

        /* Decode a range into the whole volume. The other slices must stay unchanged. */
        memset(out.voxels, 0xa5, out.nbytes);
        flags = (unsigned int)random_number(4) & (CRACKLE_NO_VERIFY | CRACKLE_NEW_PAGES);
        CHECK(crackle_decode(parts, z_start, z_end, flags, &out, 0, &where) == CRACKLE_OK);
        CHECK(num_wrong(l, &out, v->is_signed, z_start, z_end) == 0);
        for (size_t i = 0; i < l->count; i++) {
            size_t z = i / l->sx / l->sy, at = place(l, fortran, i % l->sx, i / l->sx % l->sy, z) * v->width;

            if ((z < z_start || z >= z_end) && ((uint8_t *)out.voxels)[at] != 0xa5) {
                CHECK(!"slices outside the range are left alone");
                break;
            }
        }
        free(out.voxels);

        /* Decode into a volume that holds only the slices [out_z, z_end). */
        {
            struct labels some = {l->sx, l->sy, z_end - out_z, (size_t)l->sx * l->sy * (z_end - out_z),
                                  l->at + (size_t)l->sx * l->sy * out_z};
            struct crackle_volume few = new_volume(&some, v->width, v->is_signed, fortran);

            CHECK(crackle_decode(parts, z_start, z_end, 0, &few, out_z, &where) == CRACKLE_OK);
            CHECK(num_wrong(&some, &few, v->is_signed, z_start - out_z, z_end - out_z) == 0);
            free(few.voxels);
        }
    }
}

static void check_mask(const struct crackle_parts *parts, const struct labels *l, uint64_t label)
{
    struct crackle_volume mask = new_volume(l, 1, 0, (int)random_number(2));
    struct labels ones = *l;

    ones.at = malloc(l->count ? l->count * sizeof(*ones.at) : 1);
    for (size_t i = 0; i < l->count; i++)
        ones.at[i] = l->at[i] == label;
    CHECK(crackle_decode_mask(parts, 0, l->sz, 0, label, &mask, 0, NULL) == CRACKLE_OK);
    CHECK(num_wrong(&ones, &mask, 0, 0, l->sz) == 0);
    free(ones.at);
    free(mask.voxels);
}

static void check_counts(const struct crackle_parts *parts, const struct labels *l)
{
    uint64_t *counts = malloc(((size_t)l->sz + 1) * sizeof(*counts)), components;

    CHECK(crackle_component_counts(parts, counts, NULL) == CRACKLE_OK);
    for (uint32_t z = 0; z < l->sz && l->count; z++) {
        uint64_t count = count_components(l, z);

        CHECK(counts[z] == count);
        CHECK(crackle_check_slice(parts, z, &components, NULL) == CRACKLE_OK && components == count);
    }
    free(counts);
}

/* Decode with the bytes of some slices only, as when a file is read in pieces. */
static void check_pieces(const uint8_t *stream, size_t nbytes, const struct labels *l, const struct crackle_volume *v)
{
    const uint32_t z_start = (uint32_t)random_number((uint64_t)l->sz + 1);
    const uint32_t z_end = z_start + (uint32_t)random_number((uint64_t)(l->sz - z_start) + 1);
    struct crackle_volume out = new_volume(l, v->width, v->is_signed, 1);
    struct crackle_header h;
    struct crackle_layout layout;
    struct crackle_parts whole, parts;
    uint64_t begin, end;

    CHECK(crackle_read_header(stream, nbytes, &h, NULL) == CRACKLE_OK);
    CHECK(crackle_split(stream, nbytes, &whole, NULL) == CRACKLE_OK);
    CHECK(crackle_read_layout(stream, (size_t)crackle_prefix_nbytes(&h), &layout, NULL) == CRACKLE_OK);
    CHECK(crackle_codes_range(stream, (size_t)crackle_prefix_nbytes(&h), z_start, z_end, &begin, &end, NULL) ==
          CRACKLE_OK);
    whole.codes = stream + begin;
    whole.codes_nbytes = (size_t)(end - begin);
    whole.codes_z = z_start;
    parts = exact_parts(&whole);
    CHECK(crackle_decode(&parts, z_start, z_end, 0, &out, 0, NULL) == CRACKLE_OK);
    CHECK(num_wrong(l, &out, v->is_signed, z_start, z_end) == 0);
    if (z_end < l->sz && l->count)
        CHECK(crackle_decode(&parts, z_start, l->sz, 0, &out, 0, NULL) == CRACKLE_TRUNCATED);
    if (z_start > 0 && l->count)
        CHECK(crackle_decode(&parts, 0, z_end, 0, &out, 0, NULL) == CRACKLE_BAD_ARGUMENT);
    free_parts(&parts);
    free(out.voxels);
}

/* --------------------------------- Encoding -------------------------------- */

/* Encode in parts of one crack format. The stream must not depend on where the parts end. */
static void encode_parts(const struct crackle_volume *v, const struct crackle_options *options, int permissible,
                         unsigned int num_parts, uint8_t **stream, size_t *nbytes)
{
    crackle_part *parts[5];
    uint32_t z = 0;

    for (unsigned int i = 0; i < num_parts; i++) {
        uint32_t end = i + 1 == num_parts ? v->sz : z + (uint32_t)random_number((uint64_t)(v->sz - z) + 1);

        CHECK(crackle_encode_part(v, z, end, permissible, &parts[i]) == CRACKLE_OK);
        z = end;
    }
    CHECK(crackle_assemble(v, options, parts, num_parts, NULL, stream, nbytes) == CRACKLE_OK);
    for (unsigned int i = 0; i < num_parts; i++)
        crackle_part_free(parts[i]);
}

static void test_volume(uint32_t sx, uint32_t sy, uint32_t sz, enum content content)
{
    const unsigned int width = 1u << random_number(4);
    const int is_signed = (int)random_number(2);
    struct crackle_options options = {(uint8_t)random_number(2), (uint8_t)random_number(6), (uint8_t)random_number(3),
                                      (uint8_t)random_number(2), random_number(3)};
    struct labels l = make_labels(sx, sy, sz, content, width, is_signed);
    struct crackle_volume v = volume_of(&l, width, is_signed, (int)random_number(2));
    uint8_t *stream, *copy;
    size_t nbytes;
    struct crackle_parts whole, parts;

    if (random_number(2)) {
        CHECK(crackle_encode(&v, &options, &stream, &nbytes) == CRACKLE_OK);
    } else {
        int permissible = (int)random_number(2);
        uint8_t *again;
        size_t again_nbytes;

        encode_parts(&v, &options, permissible, 1, &stream, &nbytes);
        encode_parts(&v, &options, permissible, 2 + (unsigned int)random_number(4), &again, &again_nbytes);
        CHECK(nbytes == again_nbytes && memcmp(stream, again, nbytes) == 0);
        crackle_free(again);
    }
    copy = exact_copy(stream, nbytes);
    crackle_free(stream);
    check_header(copy, nbytes, &l, &v, &options);
    CHECK(crackle_split(copy, nbytes, &whole, NULL) == CRACKLE_OK);
    parts = exact_parts(&whole);
    check_voxels(&parts, &l, &v);
    check_counts(&parts, &l);
    for (int i = 0; i < 3; i++)
        check_mask(&parts, &l, i || !l.count ? random_number(9) : l.at[random_number(l.count)]);
    check_pieces(copy, nbytes, &l, &v);
    free_parts(&parts);
    free(copy);
    free(v.voxels);
    free(l.at);
}

/* A C-order volume of few slices, which are transposed some rows at a time. */
static void test_bands(uint32_t sx, uint32_t sy, uint32_t sz)
{
    for (unsigned int width = 1; width <= 8; width *= 2) {
        struct labels l = make_labels(sx, sy, sz, BLOBS, width, 0);
        struct crackle_volume v = volume_of(&l, width, 0, 0), out = volume_of(&l, width, 0, 1);
        struct crackle_options options = {1, 0, 0, 0, 0};
        struct crackle_parts parts;
        uint8_t *stream;
        size_t nbytes;

        CHECK(crackle_encode(&v, &options, &stream, &nbytes) == CRACKLE_OK);
        CHECK(crackle_split(stream, nbytes, &parts, NULL) == CRACKLE_OK);
        memset(out.voxels, 0xff, out.nbytes);
        CHECK(crackle_decode(&parts, 0, sz, 0, &out, 0, NULL) == CRACKLE_OK);
        CHECK(num_wrong(&l, &out, 0, 0, sz) == 0);
        crackle_free(stream);
        free(out.voxels);
        free(v.voxels);
        free(l.at);
    }
}

/* Invalid arguments. */
static void test_arguments(void)
{
    struct labels l = make_labels(5, 4, 3, BLOBS, 2, 0);
    struct crackle_volume v = volume_of(&l, 2, 0, 1), bad;
    const struct crackle_options good = {1, 2, 0, 0, 0};
    struct crackle_options options;
    struct crackle_parts parts;
    crackle_part *part, *pair[2];
    uint8_t *stream, *other;
    size_t nbytes, other_nbytes;
    uint64_t begin, end;

    CHECK(crackle_encode(&v, &good, &stream, &nbytes) == CRACKLE_OK);
    CHECK(crackle_split(stream, nbytes, &parts, NULL) == CRACKLE_OK);

#define REFUSED(call) CHECK((call) == CRACKLE_BAD_ARGUMENT)
    options = good;
    options.format_version = 2;
    REFUSED(crackle_encode(&v, &options, &other, &other_nbytes));
    options = good;
    options.markov_order = CRACKLE_MAX_MARKOV_ORDER + 1;
    REFUSED(crackle_encode(&v, &options, &other, &other_nbytes));
    options = good;
    options.pins = 3;
    REFUSED(crackle_encode(&v, &options, &other, &other_nbytes));
    bad = v;
    bad.width = 3;
    REFUSED(crackle_encode(&bad, &good, &other, &other_nbytes));
    bad = v;
    bad.nbytes--;
    REFUSED(crackle_encode(&bad, &good, &other, &other_nbytes));
    REFUSED(crackle_decode(&parts, 0, 3, 0, &bad, 0, NULL));
    bad = v;
    bad.voxels = NULL;
    REFUSED(crackle_encode(&bad, &good, &other, &other_nbytes));
    REFUSED(crackle_decode(&parts, 0, 3, 0, &bad, 0, NULL));
    bad = v;
    bad.width = 4;
    bad.sz = 1;
    bad.nbytes = 5 * 4 * 4;
    REFUSED(crackle_decode(&parts, 0, 1, 0, &bad, 0, NULL)); /* the stream has 16-bit labels */
    REFUSED(crackle_decode_mask(&parts, 0, 3, 0, 1, &v, 0, NULL)); /* a mask has 8-bit voxels */
    REFUSED(crackle_decode(&parts, 0, 4, 0, &v, 0, NULL));
    REFUSED(crackle_decode(&parts, 2, 1, 0, &v, 0, NULL));
    REFUSED(crackle_decode(&parts, 0, 1, 0, &v, 1, NULL));
    REFUSED(crackle_codes_range(stream, nbytes, 0, 4, &begin, &end, NULL));
    REFUSED(crackle_check_slice(&parts, 3, &begin, NULL));
    REFUSED(crackle_encode_part(&v, 2, 1, 0, &part));
    REFUSED(crackle_encode_part(&v, 0, 4, 0, &part));

    /* Parts that skip a slice, or have different crack formats. */
    CHECK(crackle_encode_part(&v, 0, 1, 0, &pair[0]) == CRACKLE_OK);
    CHECK(crackle_encode_part(&v, 2, 3, 0, &pair[1]) == CRACKLE_OK);
    REFUSED(crackle_assemble(&v, &good, pair, 2, NULL, &other, &other_nbytes));
    REFUSED(crackle_assemble(&v, &good, pair, 1, NULL, &other, &other_nbytes));
    REFUSED(crackle_assemble(&v, &good, pair, 0, NULL, &other, &other_nbytes));
    crackle_part_free(pair[1]);
    CHECK(crackle_encode_part(&v, 1, 3, 1, &pair[1]) == CRACKLE_OK);
    REFUSED(crackle_assemble(&v, &good, pair, 2, NULL, &other, &other_nbytes));
    crackle_part_free(pair[0]);
    crackle_part_free(pair[1]);
#undef REFUSED

    for (int i = -1; i < 20; i++) {
        CHECK(strlen(crackle_status_message((crackle_status)(i < 0 ? 99 : i))) > 0);
        CHECK(strlen(crackle_section_name((crackle_section)(i < 0 ? 99 : i))) > 0);
    }
    crackle_free(stream);
    crackle_free(NULL);
    crackle_part_free(NULL);
    free(v.voxels);
    free(l.at);
}

int main(void)
{
    static const uint32_t widths[] = {1, 2, 63, 64, 65, 127, 128, 129};

    test_arguments();
    for (int round = 0; round < 1500 / FEWER; round++)
        test_volume((uint32_t)random_number(20) + 1, (uint32_t)random_number(20) + 1, (uint32_t)random_number(12) + 1,
                    (enum content)random_number(NUM_CONTENTS));
    for (size_t i = 0; i < sizeof(widths) / sizeof(*widths); i++)
        for (int content = 0; content < NUM_CONTENTS; content++) {
            test_volume(widths[i], 7, 3, (enum content)content);
            test_volume(5, widths[i], 3, (enum content)content);
            test_volume(5, 2, widths[i], (enum content)content);
        }
    test_bands(2000, 700, 1);
    test_bands(300, 900, 5);
    test_bands(70000, 3, 2);
    test_volume(2, 2, 700, COLUMNS); /* pins deeper than 255 slices */
    test_volume(3, 1, 600, UNIFORM);
    for (uint32_t i = 0; i < 7; i++) /* no voxels */
        test_volume(i & 1 ? 3 : 0, i & 2 ? 4 : 0, i & 4 ? 5 : 0, BLOBS);
    return report("volumes");
}
