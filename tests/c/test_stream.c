/*
 * test_stream.c - the public functions: round trips, and damaged streams
 *
 * Every damaged stream is decoded from a copy of its exact size, and queried in all ways.  The address sanitizer
 * detects a single byte read too far.  A stream of version 1 must be refused or give the right voxels.  Its checksums
 * cover everything but the Markov model, whose damage changes the components.
 */
#include "check.h"
#include "crackle.h"

#define SX 21
#define SY 17
#define SZ 5
#define VOXELS (SX * SY * SZ)

static void make_volume(void *voxels, unsigned int width, int noise)
{
    for (unsigned int z = 0; z < SZ; z++)
        for (unsigned int y = 0; y < SY; y++)
            for (unsigned int x = 0; x < SX; x++) {
                uint64_t label = noise ? random_number(3) : (x + z) / 6 + 3 * (y / (4 + z % 2)) + (x * y % 31 == 7);
                uint8_t *at = (uint8_t *)voxels + ((z * SY + y) * SX + x) * width;

                label *= 0x0101010101010101u;
                memcpy(at, &label, width); /* all bytes of the label are equal, so byte order does not matter */
            }
}

static struct crackle_volume volume_of(void *voxels, unsigned int width, int is_signed, int fortran)
{
    struct crackle_volume v = {voxels, (size_t)VOXELS * width, SX, SY, SZ, (uint8_t)width, (uint8_t)is_signed,
                               (uint8_t)fortran};

    return v;
}

/* Call everything on a stream. Returns whether all of it decoded, into 'out'. */
static int use_stream(const uint8_t *stream, size_t nbytes, unsigned int width, void *out)
{
    struct crackle_header h;
    struct crackle_parts parts;
    struct crackle_where where;
    struct crackle_volume v = volume_of(out, width, 0, 1);
    uint64_t count = 0, components = 0;
    int found, ok;
    uint8_t *again;
    size_t again_nbytes;

    if (crackle_read_header(stream, nbytes, &h, &where) != CRACKLE_OK ||
        crackle_split(stream, nbytes, &parts, &where) != CRACKLE_OK)
        return 0;
    ok = crackle_decode(&parts, 0, SZ, 0, &v, 0, &where) == CRACKLE_OK;
    crackle_contains(&parts, CRACKLE_NO_VERIFY, 0x0101010101010101u, &found, &where);
    if (h.sz <= 1000) {
        uint64_t *counts = calloc(h.sz + 1, sizeof(*counts));

        crackle_component_counts(&parts, counts, &where);
        free(counts);
        for (uint32_t z = 0; z < h.sz && (uint64_t)h.sx * h.sy < 100000; z++)
            crackle_check_slice(&parts, z, &components, &where);
    }
    if (crackle_table_size(&parts, &count, &where) == CRACKLE_OK && count < 100000) {
        uint64_t *table = calloc(count + 1, sizeof(*table));

        crackle_read_table(&parts, CRACKLE_NO_VERIFY, table, count, &where);
        if (crackle_relabel(stream, nbytes, table, count, 8, 1, 0, &again, &again_nbytes, &where) == CRACKLE_OK)
            crackle_free(again);
        free(table);
    }
    if (!ok) {
        void *scratch = malloc((size_t)VOXELS * width);
        struct crackle_volume mask = volume_of(scratch, 1, 0, 1), c_order = volume_of(scratch, width, 0, 0);

        /* Without checksums any voxels may result, but nothing may crash. */
        crackle_decode(&parts, 0, SZ, CRACKLE_NO_VERIFY, &c_order, 0, &where);
        crackle_decode(&parts, 2, 4, CRACKLE_NO_VERIFY, &c_order, 0, &where);
        crackle_decode_mask(&parts, 1, SZ, CRACKLE_NO_VERIFY, 0, &mask, 0, &where);
        free(scratch);
    }
    return ok;
}

/* The same on a copy of the exact size. */
static int use_copy(const uint8_t *stream, size_t nbytes, unsigned int width, void *out)
{
    uint8_t *copy = malloc(nbytes ? nbytes : 1);
    int ok;

    memcpy(copy, stream, nbytes);
    ok = use_stream(copy, nbytes, width, out);
    free(copy);
    return ok;
}

static void damage(const uint8_t *stream, size_t nbytes, unsigned int version, unsigned int width,
                   const void *voxels)
{
    void *out = malloc((size_t)VOXELS * width);
    uint8_t *copy = malloc(nbytes);

    for (size_t n = 0; n < nbytes; n++)
        CHECK(!use_copy(stream, n, width, out));
    for (size_t bit = 0; bit < 8 * nbytes; bit++) {
        memcpy(copy, stream, nbytes);
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (use_stream(copy, nbytes, width, out) && version >= 1)
            CHECK(memcmp(out, voxels, (size_t)VOXELS * width) == 0);
    }
    for (int round = 0; round < 3000 / FEWER; round++) {
        memcpy(copy, stream, nbytes);
        for (uint64_t k = random_number(6) + 1; k; k--)
            copy[random_number(nbytes)] = (uint8_t)(random_number(2) ? random_number(256) : 255 * random_number(2));
        if (use_stream(copy, nbytes, width, out) && version >= 1)
            CHECK(memcmp(out, voxels, (size_t)VOXELS * width) == 0);
    }
    free(copy);
    free(out);
}

static void test_options(unsigned int version, unsigned int order, unsigned int pins, unsigned int width, int noise)
{
    struct crackle_options options = {(uint8_t)version, (uint8_t)order, (uint8_t)pins, 0, 0};
    void *voxels = malloc((size_t)VOXELS * width), *out = malloc((size_t)VOXELS * width);
    uint8_t *exact;

    make_volume(voxels, width, noise);
    for (int fortran = 0; fortran < 2; fortran++) {
        struct crackle_volume v = volume_of(voxels, width, fortran, fortran);
        struct crackle_volume target = volume_of(out, width, 0, fortran);
        struct crackle_parts parts;
        struct crackle_where where;
        uint64_t count, table[100];
        uint8_t *stream, *edited;
        size_t nbytes, edited_nbytes;

        CHECK(crackle_encode(&v, &options, &stream, &nbytes) == CRACKLE_OK);
        exact = malloc(nbytes);
        memcpy(exact, stream, nbytes);
        crackle_free(stream);
        CHECK(crackle_split(exact, nbytes, &parts, &where) == CRACKLE_OK);
        memset(out, 0xee, (size_t)VOXELS * width);
        for (uint32_t z = 0; z < SZ; z += 2)
            CHECK(crackle_decode(&parts, z, z + 2 < SZ ? z + 2 : SZ, 0, &target, 0, &where) == CRACKLE_OK);
        CHECK(memcmp(out, voxels, (size_t)VOXELS * width) == 0);

        /* Relabel everything to 7 in a new stream, and to 0 in place. */
        CHECK(crackle_table_size(&parts, &count, &where) == CRACKLE_OK && count <= 100);
        for (uint64_t i = 0; i < count; i++)
            table[i] = 7;
        CHECK(crackle_relabel(exact, nbytes, table, count, 1, 0, 1, &edited, &edited_nbytes, &where) == CRACKLE_OK);
        {
            uint8_t sevens[VOXELS];
            struct crackle_volume all = volume_of(sevens, 1, 0, 1);

            CHECK(crackle_split(edited, edited_nbytes, &parts, &where) == CRACKLE_OK);
            CHECK(crackle_decode(&parts, 0, SZ, 0, &all, 0, &where) == CRACKLE_OK);
            for (size_t i = 0; i < VOXELS; i++)
                if (sevens[i] != 7) {
                    CHECK(!"every voxel is 7");
                    break;
                }
        }
        crackle_free(edited);
        if (fortran)
            damage(exact, nbytes, version, width, voxels);
        memset(table, 0, sizeof(table));
        CHECK(crackle_relabel_in_place(exact, nbytes, table, count, &where) == CRACKLE_OK);
        CHECK(crackle_split(exact, nbytes, &parts, &where) == CRACKLE_OK);
        CHECK(crackle_decode(&parts, 0, SZ, 0, &target, 0, &where) == CRACKLE_OK);
        memset(voxels, 0, (size_t)VOXELS * width);
        CHECK(memcmp(out, voxels, (size_t)VOXELS * width) == 0);
        make_volume(voxels, width, 0);
        free(exact);
        if (noise)
            break; /* make_volume() above made another volume */
    }
    free(voxels);
    free(out);
}

/* Small volumes of all shapes, with random labels and options. */
static void test_random_volume(void)
{
    const uint32_t sx = (uint32_t)random_number(20) + 1, sy = (uint32_t)random_number(20) + 1;
    const uint32_t sz = (uint32_t)random_number(40) + 1;
    const size_t voxels = (size_t)sx * sy * sz;
    const uint64_t num_labels = random_number(6) + 1, change = random_number(100);
    const uint8_t fortran = (uint8_t)random_number(2);
    uint16_t *labels = malloc(voxels * 2), *decoded = malloc(voxels * 2);
    struct crackle_volume v = {labels, voxels * 2, sx, sy, sz, 2, 0, fortran}, out = v;
    struct crackle_options options = {1, (uint8_t)(random_number(2) * (random_number(5) + 1)),
                                      (uint8_t)random_number(3), 0, 0};
    struct crackle_parts parts;
    uint8_t *stream;
    size_t nbytes;

    out.voxels = decoded;
    for (size_t i = 0; i < voxels; i++) {
        size_t near = random_number(3) == 0 ? 1 : random_number(2) ? sx : (size_t)sx * sy;

        labels[i] = i >= near && random_number(100) >= change ? labels[i - near]
                                                              : (uint16_t)(random_number(num_labels) * 999);
    }
    CHECK(crackle_encode(&v, &options, &stream, &nbytes) == CRACKLE_OK);
    CHECK(crackle_split(stream, nbytes, &parts, NULL) == CRACKLE_OK);
    CHECK(crackle_decode(&parts, 0, sz, 0, &out, 0, NULL) == CRACKLE_OK);
    CHECK(memcmp(labels, decoded, voxels * 2) == 0);
    crackle_free(stream);
    free(labels);
    free(decoded);
}

int main(void)
{
    for (int round = 0; round < 3000 / FEWER; round++)
        test_random_volume();
    for (unsigned int version = 0; version < 2; version++)
        for (unsigned int pins = 0; pins < 3; pins++)
            for (unsigned int order = 0; order < 4; order += 3)
                for (unsigned int width = 1; width <= 8; width *= 2)
                    if (width == 2 || (order == 0 && pins == 1) || (version == 1 && pins == 0))
                        test_options(version, order, pins, width, 0);
    test_options(1, 0, 0, 2, 1); /* noise: permissible cracks */
    test_options(0, 2, 0, 4, 1);
    return report("stream");
}
