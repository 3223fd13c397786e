/*
 * test_components.c - components of a slice, and their checksum, compared with flood fill
 */
#include "base/crc.h"
#include "codec/components.h"
#include "cracks.h"

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

static void test_components(struct ck_bitmaps *b)
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

int main(void)
{
    for_random_bitmaps(60, test_components);
    return report("components");
}
