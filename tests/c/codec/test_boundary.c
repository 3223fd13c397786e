/*
 * test_boundary.c - boundaries of a slice, compared with a loop over its labels
 */
#include "codec/boundary.h"
#include "cracks.h"

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
        void *slice = malloc(count * width); /* of the exact size, so that reading outside is detected */

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

int main(void)
{
    for (u32 sx = 1; sx <= 200; sx++) {
        test_boundary(sx, 1);
        test_boundary(sx, 5);
    }
    return report("boundary");
}
