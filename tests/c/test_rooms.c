/*
 * test_rooms.c - each room against the plainest way to do the same
 */
#include "base/crc.h"
#include "base/sort.h"
#include "check.h"
#include "codec/boundary.h"
#include "codec/components.h"
#include "codec/markov.h"
#include "codec/moves.h"
#include "codec/trace.h"

/* Labels in blobs: a random seed for every few voxels, grown by copying neighbours. */
static void random_labels(u64 *labels, u32 sx, u32 sy, unsigned int num_labels, unsigned int change)
{
    for (u64 i = 0; i < (u64)sx * sy; i++) {
        if (i > 0 && random_number(100) >= change)
            labels[i] = i >= sx && random_number(2) ? labels[i - sx] : labels[i - 1];
        else
            labels[i] = random_number(num_labels) * 0x0101010101010101u;
    }
}

static int get_bit(const u64 *row, u64 x)
{
    return (int)(row[x / 64] >> x % 64 & 1);
}

static void narrow(const u64 *labels, u64 count, unsigned int width, void *out)
{
    for (u64 i = 0; i < count; i++)
        switch (width) {
        case 1:
            ((u8 *)out)[i] = (u8)labels[i];
            break;
        case 2:
            ((u16 *)out)[i] = (u16)labels[i];
            break;
        case 4:
            ((u32 *)out)[i] = (u32)labels[i];
            break;
        default:
            ((u64 *)out)[i] = labels[i];
        }
}

static void test_boundary(u32 sx, u32 sy)
{
    const u64 count = (u64)sx * sy;
    u64 *labels = malloc(count * sizeof(u64));
    struct ck_bitmaps b;

    CHECK(ck_bitmaps_init(&b, sx, sy));
    random_labels(labels, sx, sy, 5, 30);
    for (unsigned int width = 1; width <= 8; width *= 2) {
        void *slice = malloc(count * width); /* of the exact size: nothing around it may be read */

        narrow(labels, count, width, slice);
        ck_find_boundaries(slice, width, &b);
        for (u64 y = 0; y < sy; y++)
            for (u64 x = 0; x < b.stride; x++) {
                int v = x > 0 && x < sx && labels[y * sx + x] != labels[y * sx + x - 1];
                int h = y > 0 && x < sx && labels[y * sx + x] != labels[(y - 1) * sx + x];

                CHECK(get_bit(ck_vertical(&b, y), x) == v && get_bit(ck_horizontal(&b, y), x) == h);
            }
        CHECK(ck_only_interior(&b));
        free(slice);
    }
    ck_bitmaps_free(&b);
    free(labels);
}

/* Interior cracks at random: they need not enclose anything. */
static void random_cracks(struct ck_bitmaps *b, unsigned int percent)
{
    ck_bitmaps_clear(b);
    for (u64 y = 0; y < b->sy; y++)
        for (u64 x = 0; x < b->sx; x++) {
            if (y > 0 && random_number(100) < percent)
                ck_horizontal(b, y)[x / 64] |= (u64)1 << x % 64;
            if (x > 0 && random_number(100) < percent)
                ck_vertical(b, y)[x / 64] |= (u64)1 << x % 64;
        }
}

/* Number the component of a voxel by flood fill. */
static void fill(const struct ck_bitmaps *b, u32 *image, u64 *stack, u64 voxel, u32 number)
{
    const u64 sx = b->sx;
    size_t size = 0;

    stack[size++] = voxel;
    image[voxel] = number;
    while (size) {
        u64 at = stack[--size], x = at % sx, y = at / sx;

        if (x > 0 && !get_bit(ck_vertical(b, y), x) && image[at - 1] == UINT32_MAX)
            image[stack[size++] = at - 1] = number;
        if (x + 1 < sx && !get_bit(ck_vertical(b, y), x + 1) && image[at + 1] == UINT32_MAX)
            image[stack[size++] = at + 1] = number;
        if (y > 0 && !get_bit(ck_horizontal(b, y), x) && image[at - sx] == UINT32_MAX)
            image[stack[size++] = at - sx] = number;
        if (y + 1 < b->sy && !get_bit(ck_horizontal(b, y + 1), x) && image[at + sx] == UINT32_MAX)
            image[stack[size++] = at + sx] = number;
    }
}

static void test_components(const struct ck_bitmaps *b)
{
    const u64 count = (u64)b->sx * b->sy;
    u32 *image = malloc(count * sizeof(u32)), *at = malloc(count * sizeof(u32));
    u64 *stack = malloc((count + 4) * sizeof(u64));
    u8 *bytes = malloc(count * 4);
    struct ck_components c;
    struct ck_image_crc crc;
    u32 number = 0;

    memset(image, 0xff, count * sizeof(u32));
    CHECK(ck_components_init(&c, b->sx, b->sy) && ck_image_crc_init(&crc, b->sx));
    CHECK(ck_find_components(&c, b) == CRACKLE_OK);
    for (u64 i = 0; i < count; i++)
        if (image[i] == UINT32_MAX) {
            CHECK(number < c.count && c.first[number] == i);
            fill(b, image, stack, i, number++);
        }
    CHECK(number == c.count);
    for (u64 i = 0; i < count; i++) {
        stack[i] = i;
        ck_store32(bytes + 4 * i, image[i]);
    }
    ck_components_at(&c, stack, count, at);
    CHECK(memcmp(at, image, count * sizeof(u32)) == 0);
    CHECK(ck_components_crc(&crc, &c) == ck_crc32c(bytes, count * 4));
    ck_components_free(&c);
    ck_image_crc_free(&crc);
    free(image);
    free(at);
    free(stack);
    free(bytes);
}

/* No BRANCH may lead nowhere: where the walk comes back, a crack must be left. */
static size_t spurious_branches(const struct ck_chains *chains)
{
    size_t spurious = 0, size = chains->num_codepoints;

    /* A stretch without a move: a TERMINATE right behind another control symbol. */
    for (size_t i = 0; i + 3 < size;) {
        int control = chains->codepoints[i] == (chains->codepoints[i + 1] ^ 2);

        if (!control) {
            i++;
            continue;
        }
        i += 2;
        if (chains->codepoints[i] == (chains->codepoints[i + 1] ^ 2) &&
            (chains->codepoints[i] == 1 || chains->codepoints[i] == 2))
            spurious++;
    }
    return spurious;
}

static void test_trace(struct ck_bitmaps *b)
{
    const size_t nbytes = b->buffer_words * sizeof(u64);
    u64 *before = malloc(nbytes);
    struct ck_chains chains = {NULL, 0, 0, NULL, 0, 0};
    struct ck_tracer tracer;

    memcpy(before, b->buffer, nbytes);
    CHECK(ck_tracer_init(&tracer, b));
    for (int rule = 0; rule < CK_NUM_TRACE_RULES; rule++) {
        struct ck_bytes code = {NULL, 0, 0};
        u8 *exact;

        tracer.rule = (enum ck_trace_rule)rule;
        CHECK(ck_trace(&tracer, b, ck_count_horizontal(b) + ck_count_vertical(b), &chains) == CRACKLE_OK);
        CHECK(spurious_branches(&chains) == 0);
        for (size_t i = 0; i < ((size_t)b->sy + 1) * b->stride; i++)
            if (tracer.vertex_steps[i] != 0) {
                CHECK(!"tracing leaves no crack open");
                break;
            }
        CHECK(ck_write_crack_code(&chains, b, &code) == CRACKLE_OK);
        exact = malloc(code.size);
        memcpy(exact, code.data, code.size);
        CHECK(ck_read_crack_code(exact, code.size, NULL, b, &chains) == CRACKLE_OK);
        CHECK(ck_walk(&chains, b) == CRACKLE_OK);
        CHECK(memcmp(before, b->buffer, nbytes) == 0);
        for (unsigned int order = 1; order <= 6; order++) {
            struct ck_markov_model model, again;
            struct ck_differences slice;
            struct ck_bytes coded = {NULL, 0, 0};
            u8 packed_model[2560];
            size_t index = (size_t)ck_chain_index_nbytes(exact, code.size);

            slice.packed = exact + index;
            slice.count = (code.size - index) * 4;
            CHECK(ck_markov_train(&model, order, &slice, 1, NULL) == CRACKLE_OK);
            ck_markov_write(&model, packed_model);
            CHECK(ck_markov_read(&again, order, packed_model) == CRACKLE_OK);
            CHECK(memcmp(model.rows, again.rows, (size_t)1 << 2 * order) == 0);
            CHECK(ck_bytes_reserve(&coded, index));
            memcpy(coded.data, exact, index);
            coded.size = index;
            CHECK(ck_markov_encode(&model, &slice, &coded) == CRACKLE_OK);
            CHECK(ck_read_crack_code(coded.data, coded.size, &again, b, &chains) == CRACKLE_OK);
            CHECK(ck_walk(&chains, b) == CRACKLE_OK && memcmp(before, b->buffer, nbytes) == 0);
            ck_markov_free(&model);
            ck_markov_free(&again);
            free(coded.data);
        }
        free(exact);
        free(code.data);
    }
    ck_tracer_free(&tracer);
    ck_chains_free(&chains);
    free(before);
}

static void test_sort(void)
{
    struct ck_pair pairs[2000];
    u64 labels[1000];
    u32 rank[1000];
    size_t distinct = 1000;

    for (size_t i = 0; i < 1000; i++) {
        pairs[i].key = random_number(50) << random_number(60);
        pairs[i].value = i;
        labels[i] = (u64)0 - 20 + random_number(40);
    }
    ck_sort_pairs(pairs, pairs + 1000, 1000);
    for (size_t i = 1; i < 1000; i++)
        CHECK(pairs[i - 1].key < pairs[i].key ||
              (pairs[i - 1].key == pairs[i].key && pairs[i - 1].value < pairs[i].value));
    {
        u64 original[1000];

        memcpy(original, labels, sizeof(labels));
        CHECK(ck_sort_labels(labels, &distinct, 1, rank));
        for (size_t i = 0; i < 1000; i++)
            CHECK(labels[rank[i]] == original[i]);
        for (size_t i = 1; i < distinct; i++)
            CHECK((int64_t)labels[i - 1] < (int64_t)labels[i]);
    }
}

int main(void)
{
    test_sort();
    for (u32 sx = 1; sx <= 200; sx++) {
        test_boundary(sx, 1);
        test_boundary(sx, 5);
    }
    for (int round = 0; round < 60; round++) {
        u32 sx = (u32)random_number(140) + 1, sy = (u32)random_number(40) + 1;
        u64 *labels = malloc((size_t)sx * sy * sizeof(u64));
        struct ck_bitmaps b;

        CHECK(ck_bitmaps_init(&b, sx, sy));
        random_labels(labels, sx, sy, 4, (unsigned int)random_number(60));
        ck_find_boundaries(labels, 8, &b);
        test_components(&b);
        test_trace(&b);
        ck_complement(&b);
        test_trace(&b);
        random_cracks(&b, (unsigned int)random_number(100));
        test_components(&b);
        test_trace(&b);
        ck_bitmaps_free(&b);
        free(labels);
    }
    return report("rooms");
}
