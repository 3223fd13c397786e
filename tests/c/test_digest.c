/*
 * test_digest.c - one number for all results of encoding and decoding some volumes
 *
 * Builds for different processors must make the same streams, byte for byte, and decode the same voxels.  So they all
 * print the same number, and the Makefile compares the numbers.
 */
#include "base/crc_tables.h"
#include "volumes.h"

/* Computed byte by byte, because the library's own function depends on the processor. */
static uint32_t digest = 0xffffffffu;

static void take(const void *bytes, size_t nbytes)
{
    const uint8_t *byte = bytes;

    for (size_t i = 0; i < nbytes; i++)
        digest = digest >> 8 ^ ck_crc32c_table[0][(digest ^ byte[i]) & 0xff];
}

/* Take voxels as little-endian bytes. */
static void take_voxels(const struct crackle_volume *v)
{
    const size_t count = v->nbytes / v->width;

    for (size_t i = 0; i < count; i++) {
        const uint64_t label = get_label(v->voxels, i, v->width, 0);

        for (unsigned int k = 0; k < v->width; k++) {
            const uint8_t byte = (uint8_t)(label >> 8 * k);

            take(&byte, 1);
        }
    }
}

/* Volumes with few boundaries and long patches, which make_labels() does not give. */
static struct labels make_boxes(uint32_t sx, uint32_t sy, uint32_t sz, unsigned int width)
{
    struct labels l = {sx, sy, sz, (size_t)sx * sy * sz, NULL};

    l.at = calloc(l.count, sizeof(*l.at));
    for (int i = 0; i < 30; i++) {
        const size_t x_start = (size_t)random_number(sx), y_start = (size_t)random_number(sy);
        const size_t z_start = (size_t)random_number(sz);
        const uint64_t label = cut(random_number((uint64_t)1 << 48) * 0x10001, width, 0);

        for (size_t z = z_start; z < sz && z < z_start + 20; z++)
            for (size_t y = y_start; y < sy && y < y_start + 30; y++)
                for (size_t x = x_start; x < sx && x < x_start + 40; x++)
                    l.at[x + sx * (y + sy * z)] = label;
    }
    return l;
}

static void digest_volume(const struct labels *l, unsigned int width, int fortran,
                          const struct crackle_options *options)
{
    struct crackle_volume v = volume_of(l, width, 0, fortran);
    struct crackle_parts parts;
    uint8_t *stream;
    size_t nbytes;

    CHECK(crackle_encode(&v, options, &stream, &nbytes) == CRACKLE_OK);
    take(stream, nbytes);
    CHECK(crackle_split(stream, nbytes, &parts, NULL) == CRACKLE_OK);
    for (int order = 0; order < 2; order++) {
        struct crackle_volume out = new_volume(l, width, 0, order);

        CHECK(crackle_decode(&parts, 0, l->sz, 0, &out, 0, NULL) == CRACKLE_OK);
        CHECK(num_wrong(l, &out, 0, 0, l->sz) == 0);
        take_voxels(&out);
        free(out.voxels);
    }
    crackle_free(stream);
    free(v.voxels);
}

/* The sizes lie on both sides of 16 bytes, 64 voxels and 64 slices, which the code handles at once. */
static void digest_volumes(unsigned int width, int fortran)
{
    static const uint32_t sizes[][3] = {{150, 33, 17}, {64, 40, 65}, {31, 129, 16}, {257, 18, 5}, {15, 16, 70}};
    static const uint8_t orders[] = {0, 3, 5, CRACKLE_MARKOV_AUTO};
    unsigned int turn = 0;

    for (uint8_t pins = 0; pins < 3; pins++)
        for (size_t i = 0; i < sizeof(orders); i++)
            for (int sparse = 0; sparse < 2; sparse++, turn++) {
                const struct crackle_options options = {1, orders[i], pins, 0, 0};
                const uint32_t *size = sizes[turn % 5];
                const enum content content = (enum content)(turn / 2 % 3);
                struct labels l = sparse ? make_boxes(size[0], size[1], size[2], width)
                                         : make_labels(size[0], size[1], size[2], content, width, 0);

                digest_volume(&l, width, fortran, &options);
                free(l.at);
            }
}

/* A volume larger than a cache. */
static void digest_large(void)
{
    const struct crackle_options options = {1, 3, 0, 0, 0};
    struct labels l = make_boxes(200, 90, 68, 8);

    digest_volume(&l, 8, 1, &options);
    digest_volume(&l, 8, 0, &options);
    free(l.at);
}

int main(void)
{
    for (unsigned int width = 1; width <= 8; width *= 2)
        for (int fortran = 0; fortran < 2; fortran++)
            digest_volumes(width, fortran);
    digest_large();
    printf("digest: %08x\n", (unsigned int)~digest);
    return num_failed != 0;
}
