/*
 * test_mutations.c - damaged streams with valid checksums
 *
 * A checksum detects most damage.  Here, two of three mutated streams get new checksums, so that the damage reaches the
 * code behind them.  Every section has its own allocation, so that reading past it is detected.  The decoded voxels may
 * be anything, but every function must return, with a valid status.  A stream of version 1 whose checksums are not
 * repaired must be refused or give the right voxels.
 */
#include "base/common.h"
#include "codec/format.h"
#include "operations.h"
#include "repair.h"
#include "volumes.h"

#ifndef ROUNDS
#define ROUNDS (5000 / FEWER) /* per kind of stream */
#endif

/* The tests allocate no more than this, whatever a stream claims. */
#define MAX_VOXELS 20000

static void repair(u8 *stream, size_t nbytes)
{
    repair_prefix(stream, nbytes);
    repair_labels(stream, nbytes);
}

static void check_status(crackle_status status, const struct crackle_where *where)
{
    CHECK(status >= CRACKLE_OK && status <= CRACKLE_DOES_NOT_FIT);
    CHECK(where->section <= CRACKLE_SECTION_CHECKSUMS);
    /* A fault in a stream must have a place. */
    if (status >= CRACKLE_NOT_CRACKLE && status <= CRACKLE_CORRUPT && status != CRACKLE_EXCESS)
        CHECK(where->section != CRACKLE_SECTION_NONE);
}

static struct crackle_where nowhere(void)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};

    return where;
}

/* Call the functions that need the header and the crack index with these bytes only, and with fewer. */
static void read_prefix(const u8 *stream, size_t nbytes, const struct crackle_header *h)
{
    u64 need = crackle_prefix_nbytes(h), begin, end;
    struct crackle_where where = nowhere();
    struct crackle_layout l;
    u8 *prefix;

    if (need > nbytes)
        need = nbytes;
    prefix = exact_copy(stream, (size_t)need);
    check_status(crackle_read_layout(prefix, (size_t)need, &l, &where), &where);
    where = nowhere();
    check_status(crackle_codes_range(prefix, (size_t)need, 0, h->sz, &begin, &end, &where), &where);
    where = nowhere();
    check_status(crackle_codes_range(prefix, (size_t)need, h->sz / 2, h->sz, &begin, &end, &where), &where);
    CHECK(crackle_codes_range(prefix, (size_t)need, 1, 0, &begin, &end, NULL) != CRACKLE_OK);
    free(prefix);
}

/* Relabel into a new stream, and in place. */
static void relabel(const u8 *stream, size_t nbytes, const u64 *table, u64 count, unsigned int stored_width)
{
    struct crackle_where where = nowhere();
    struct crackle_parts parts;
    size_t edited_nbytes;
    u8 *edited, *copy = exact_copy(stream, nbytes);
    u64 *others = malloc(count ? (size_t)count * sizeof(*others) : 1);
    crackle_status status;

    for (u64 i = 0; i < count; i++)
        others[i] = random_number(2) ? random_number((u64)1 << (8 * stored_width - 1)) : 3;
    status = crackle_relabel(copy, nbytes, random_number(2) ? others : table, count, 8, (int)random_number(2),
                             (int)random_number(2), &edited, &edited_nbytes, &where);
    check_status(status, &where);
    if (status == CRACKLE_OK) {
        CHECK(crackle_split(edited, edited_nbytes, &parts, NULL) == CRACKLE_OK);
        crackle_free(edited);
    }
    where = nowhere();
    status = crackle_relabel_in_place(copy, nbytes, others, count, &where);
    check_status(status, &where);
    if (status == CRACKLE_OK)
        CHECK(crackle_split(copy, nbytes, &parts, NULL) == CRACKLE_OK);
    else
        CHECK(memcmp(copy, stream, nbytes) == 0); /* unchanged */
    CHECK(crackle_relabel_in_place(copy, nbytes, others, count + 1, NULL) != CRACKLE_OK);
    free(copy);
    free(others);
}

static void read_table(const u8 *stream, size_t nbytes, const struct crackle_parts *parts,
                       const struct crackle_header *h)
{
    struct crackle_where where = nowhere();
    crackle_status status;
    u64 count = 0, *table;
    int found;

    check_status(crackle_table_nbytes(parts->head, parts->head_nbytes, &count, &where), &where);
    where = nowhere();
    status = crackle_table_size(parts, &count, &where);
    check_status(status, &where);
    if (status == CRACKLE_OK && count <= MAX_VOXELS) {
        table = malloc(count ? (size_t)count * sizeof(*table) : 1);
        where = nowhere();
        status = crackle_read_table(parts, 0, table, count, &where);
        check_status(status, &where);
        CHECK(crackle_read_table(parts, CRACKLE_NO_VERIFY, table, count, NULL) == CRACKLE_OK);
        CHECK(crackle_read_table(parts, CRACKLE_NO_VERIFY, table, count + 1, NULL) == CRACKLE_BAD_ARGUMENT);
        relabel(stream, nbytes, table, count, h->stored_width);
        free(table);
    }
    for (u64 label = 0; label < 3; label++) {
        where = nowhere();
        check_status(crackle_contains(parts, (unsigned int)label & CRACKLE_NO_VERIFY, label, &found, &where), &where);
    }
    if (h->sz <= MAX_VOXELS) {
        table = malloc(h->sz ? h->sz * sizeof(*table) : 1);
        where = nowhere();
        check_status(crackle_component_counts(parts, table, &where), &where);
        free(table);
    }
}

/* Measure all labels. The results do not matter. */
static crackle_status measure(const struct crackle_parts *parts, u32 sx, u32 sy, u32 sz, unsigned int flags)
{
    struct crackle_where where = nowhere();
    struct crackle_extent *extents;
    u64 count = 0;
    crackle_status status = crackle_table_size(parts, &count, NULL);

    if (status != CRACKLE_OK || count > MAX_VOXELS)
        return CRACKLE_TRUNCATED;
    extents = malloc(count ? (size_t)count * sizeof(*extents) : 1);
    status = crackle_measure(parts, 0, sz, flags, sx / 3, sx, 0, sy, extents, count, &where);
    check_status(status, &where);
    free(extents);
    return status;
}

/* Ask for the entries of slices, and decode values for entries. */
static void read_entries(const struct crackle_parts *parts, const struct crackle_header *h, struct crackle_volume *out)
{
    struct crackle_where where = nowhere();
    u64 count = 0, *values;
    u8 *selected, *slices;

    if (crackle_table_size(parts, &count, NULL) != CRACKLE_OK || count > MAX_VOXELS)
        return;
    values = calloc(count ? (size_t)count : 1, sizeof(*values));
    selected = calloc(count ? (size_t)count : 1, 1);
    slices = malloc(h->sz ? h->sz : 1);
    for (u64 i = 0; i < count; i++) {
        values[i] = random_number(2) ? random_number(300) : 0;
        selected[i] = (u8)random_number(2);
    }
    check_status(crackle_slices_with(parts, CRACKLE_NO_VERIFY, selected, count, slices, &where), &where);
    where = nowhere();
    check_status(crackle_entries_in(parts, CRACKLE_NO_VERIFY, h->sz / 2, h->sz, selected, count, &where), &where);
    where = nowhere();
    check_status(crackle_decode_as(parts, 0, h->sz, CRACKLE_NO_VERIFY, values, count, out, 0, &where), &where);
    free(values);
    free(selected);
    free(slices);
}

/* Run every operation on the boundaries, unless there are no voxels. */
static void run_operations(const u8 *stream, size_t nbytes, const struct crackle_parts *parts,
                           const struct crackle_header *h, unsigned int flags)
{
    u64 count = 0, *per_entry;
    u8 *selected;

    if (h->sx == 0 || h->sy == 0 || h->sz == 0 || crackle_table_size(parts, &count, NULL) != CRACKLE_OK ||
        count > MAX_VOXELS)
        return;
    selected = malloc(count ? (size_t)count : 1);
    per_entry = malloc(count ? (size_t)count * sizeof(*per_entry) : 1);
    for (u64 i = 0; i < count; i++)
        selected[i] = (u8)random_number(2);
    all_operations(stream, nbytes, parts, h, flags, selected, per_entry, count, check_status);
    free(selected);
    free(per_entry);
}

/* Decode in all ways. 'whole' is decoded with all checksums verified. */
static crackle_status check_decoding(const struct crackle_parts *parts, const struct crackle_header *h,
                                     const struct labels *size, struct crackle_volume *whole)
{
    struct crackle_where where = nowhere();
    struct crackle_volume again = new_volume(size, h->data_width, h->is_signed, 0);
    struct crackle_volume mask = new_volume(size, 1, 0, 1);
    crackle_status status = crackle_decode(parts, 0, h->sz, 0, whole, 0, &where);
    u64 components;
    u32 middle = h->sz / 2;

    check_status(status, &where);
    if (status != CRACKLE_OK || !random_number(8)) {
        where = nowhere();
        check_status(crackle_decode(parts, 0, h->sz, CRACKLE_NO_VERIFY, &again, 0, &where), &where);
        where = nowhere();
        check_status(crackle_decode(parts, middle, h->sz, CRACKLE_NO_VERIFY, &again, middle, &where), &where);
        where = nowhere();
        check_status(crackle_decode_mask(parts, middle, h->sz, CRACKLE_NO_VERIFY, random_number(60), &mask, 0, &where),
                     &where);
        where = nowhere();
        check_status(crackle_decode_mask(parts, 0, middle, 0, random_number(60), &mask, 0, &where), &where);
        measure(parts, h->sx, h->sy, h->sz, CRACKLE_NO_VERIFY);
        read_entries(parts, h, &mask);
    }
    for (u32 z = 0; z < h->sz; z++) {
        where = nowhere();
        check_status(crackle_check_slice(parts, z, &components, &where), &where);
    }
    CHECK(crackle_check_slice(parts, h->sz, &components, NULL) != CRACKLE_OK);
    mask.sx++;
    CHECK(crackle_decode_mask(parts, 0, h->sz, 0, 0, &mask, 0, NULL) != CRACKLE_OK);
    free(again.voxels);
    free(mask.voxels);
    return status;
}

/*
 * Call everything.  Returns whether the whole stream decodes to wrong voxels, with the size of 'labels' and the given
 * width.
 */
static int gives_wrong_voxels(const u8 *bytes, size_t nbytes, const struct labels *labels, unsigned int width)
{
    struct crackle_where where = nowhere();
    struct crackle_header h;
    struct crackle_parts whole, parts;
    crackle_status status;
    u8 *stream = exact_copy(bytes, nbytes);
    int wrong = 0;

    status = crackle_read_header(stream, nbytes, &h, &where);
    check_status(status, &where);
    if (status != CRACKLE_OK)
        goto out;
    read_prefix(stream, nbytes, &h);
    where = nowhere();
    status = crackle_split(stream, nbytes, &whole, &where);
    check_status(status, &where);
    if (status != CRACKLE_OK)
        goto out;
    parts = exact_parts(&whole);
    read_table(stream, nbytes, &parts, &h);
    if (h.sz <= MAX_VOXELS && (u64)h.sx * h.sy <= MAX_VOXELS && (u64)h.sx * h.sy * h.sz <= MAX_VOXELS) {
        struct labels size = {h.sx, h.sy, h.sz, (size_t)h.sx * h.sy * h.sz, NULL};
        struct crackle_volume v = new_volume(&size, h.data_width, h.is_signed, 1);

        status = check_decoding(&parts, &h, &size, &v);
        wrong = status == CRACKLE_OK && h.sx == labels->sx && h.sy == labels->sy && h.sz == labels->sz &&
                h.data_width == width && num_wrong(labels, &v, h.is_signed, 0, h.sz) != 0;
        free(v.voxels);
        run_operations(stream, nbytes, &parts, &h, status == CRACKLE_OK ? 0 : CRACKLE_NO_VERIFY);
    }
    free_parts(&parts);
out:
    free(stream);
    return wrong;
}

static void mutate(u8 *stream, size_t nbytes)
{
    static const u8 edge_values[] = {0, 1, 2, 3, 4, 0x7f, 0x80, 0xfe, 0xff};

    for (u64 k = random_number(4) + 1; k; k--) {
        size_t at = (size_t)random_number(nbytes);

        switch (random_number(4)) {
        case 0:
            stream[at] = (u8)random_number(256);
            break;
        case 1:
            stream[at] = edge_values[random_number(sizeof(edge_values))];
            break;
        case 2:
            stream[at] ^= (u8)(1 << random_number(8));
            break;
        default: /* copy bytes from elsewhere */
            for (u64 n = random_number(8); n && at < nbytes; n--, at++)
                stream[at] = stream[random_number(nbytes)];
        }
    }
}

/* Cut each part of a valid stream at every length. */
static void test_short_parts(const u8 *stream, size_t nbytes, const struct crackle_volume *v)
{
    struct labels size = {v->sx, v->sy, v->sz, (size_t)v->sx * v->sy * v->sz, NULL};
    struct crackle_volume out = new_volume(&size, v->width, v->is_signed, 1);
    struct crackle_parts whole;
    size_t lengths[3];

    CHECK(crackle_split(stream, nbytes, &whole, NULL) == CRACKLE_OK);
    lengths[0] = whole.head_nbytes;
    lengths[1] = whole.codes_nbytes;
    lengths[2] = whole.tail_nbytes;
    for (int k = 0; k < 3; k++)
        for (size_t n = 0; n < lengths[k]; n += FEWER) {
            struct crackle_parts cut_short = whole, parts;
            u64 label, components;
            int found;

            *(k == 0 ? &cut_short.head_nbytes : k == 1 ? &cut_short.codes_nbytes : &cut_short.tail_nbytes) = n;
            parts = exact_parts(&cut_short);
            CHECK(crackle_decode(&parts, 0, v->sz, 0, &out, 0, NULL) == CRACKLE_TRUNCATED);
            if (k < 2)
                CHECK(crackle_decode(&parts, 0, v->sz, CRACKLE_NO_VERIFY, &out, 0, NULL) == CRACKLE_TRUNCATED);
            else /* the checksum of the labels comes first */
                CHECK(crackle_contains(&parts, 0, 0, &found, NULL) == (n < 4 ? CRACKLE_TRUNCATED : CRACKLE_OK));
            CHECK(measure(&parts, v->sx, v->sy, v->sz, 0) == CRACKLE_TRUNCATED);
            crackle_check_slice(&parts, v->sz - 1, &components, NULL);
            crackle_table_size(&parts, &label, NULL);
            crackle_contains(&parts, CRACKLE_NO_VERIFY, 0, &found, NULL);
            free_parts(&parts);
        }
    free(out.voxels);
}

static void test_kind(unsigned int version, unsigned int pins, unsigned int order, unsigned int width,
                      enum content content)
{
    struct crackle_options options = {(u8)version, (u8)order, (u8)pins, 0, 0};
    struct labels labels = make_labels(7, 6, content == COLUMNS ? 9 : 3, content, width, 0);
    struct crackle_volume v = volume_of(&labels, width, 0, 1);
    size_t nbytes;
    u8 *stream, *copy;

    CHECK(crackle_encode(&v, &options, &stream, &nbytes) == CRACKLE_OK);
    CHECK(!gives_wrong_voxels(stream, nbytes, &labels, width));
    copy = malloc(nbytes + 1);
    for (size_t n = 0; n < nbytes; n += FEWER) {
        struct crackle_parts parts;
        u8 *cut_short = exact_copy(stream, n);

        CHECK(crackle_split(cut_short, n, &parts, NULL) != CRACKLE_OK);
        free(cut_short);
    }
    memcpy(copy, stream, nbytes);
    copy[nbytes] = 0;
    {
        struct crackle_parts parts;

        CHECK(crackle_split(copy, nbytes + 1, &parts, NULL) == CRACKLE_EXCESS);
    }
    test_short_parts(stream, nbytes, &v);
    for (size_t bit = 0; bit < 8 * nbytes; bit += FEWER) {
        memcpy(copy, stream, nbytes);
        copy[bit / 8] ^= (u8)(1 << bit % 8);
        CHECK(!gives_wrong_voxels(copy, nbytes, &labels, width) || version == 0);
        repair(copy, nbytes);
        gives_wrong_voxels(copy, nbytes, &labels, width);
    }
    for (int round = 0; round < ROUNDS; round++) {
        int repaired = round % 3 != 0;

        memcpy(copy, stream, nbytes);
        mutate(copy, nbytes);
        if (repaired)
            repair(copy, nbytes);
        /* One of 256 damaged headers has a valid CRC8; then the voxels may be different. */
        CHECK(!gives_wrong_voxels(copy, nbytes, &labels, width) || version == 0 || repaired ||
              memcmp(copy, stream, CK_HEADER_NBYTES_V1) != 0);
    }
    free(copy);
    crackle_free(stream);
    free(v.voxels);
    free(labels.at);
}

/* Headers of all sizes. A size alone must not lead to an allocation. */
static void test_claims(void)
{
    static const u32 sizes[] = {0, 1, 2, 255, 65536, 0x7fffffff, 0x80000000, 0xffffffff};
    const size_t n = sizeof(sizes) / sizeof(*sizes);

    for (size_t i = 0; i < n * n * n * 4; i += FEWER) {
        u8 stream[200] = {0};
        struct crackle_header h = {0};
        struct labels nothing = {0, 0, 0, 0, NULL};

        memcpy(stream, CK_MAGIC, CK_MAGIC_NBYTES);
        stream[CK_AT_VERSION] = (u8)(i & 1);
        h.label_format = i & 2 ? CK_LABELS_PINS : CK_LABELS_FLAT;
        ck_store16(stream + CK_AT_FORMAT, (u16)(h.label_format << CK_BIT_LABEL_FORMAT));
        ck_store32(stream + CK_AT_SX, sizes[i / 4 % n]);
        ck_store32(stream + CK_AT_SY, sizes[i / 4 / n % n]);
        ck_store32(stream + CK_AT_SZ, sizes[i / 4 / n / n]);
        stream[CK_AT_GRID] = CK_WHOLE_SLICE_GRID;
        stream[CK_AT_LABEL_BYTES] = (u8)random_number(200);
        for (size_t k = i & 1 ? CK_HEADER_NBYTES_V1 : CK_HEADER_NBYTES_V0; k < sizeof(stream); k++)
            stream[k] = (u8)random_number(3);
        for (size_t nbytes = 20; nbytes <= sizeof(stream); nbytes += 20) {
            repair(stream, nbytes);
            gives_wrong_voxels(stream, nbytes, &nothing, 1);
        }
    }
}

int main(void)
{
    test_claims();
    for (unsigned int version = 0; version < 2; version++)
        for (unsigned int order = 0; order < 3; order += 2) {
            test_kind(version, 0, order, 2, BLOBS);
            test_kind(version, 0, order, 4, NOISE);
            test_kind(version, 0, order, 8, UNIFORM);
            test_kind(version, 1, order, 2, COLUMNS);
            test_kind(version, 2, order, 8, COLUMNS);
        }
    return report("mutations");
}
