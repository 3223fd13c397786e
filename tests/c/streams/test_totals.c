/*
 * test_totals.c - rows of labels added up in little memory, against a plain search, and rows in another order
 */
#include "base/common.h"
#include "check.h"
#include "crackle.h"

enum { NUM_ROWS = 3000, CAPACITY = 800, NUM_SLOTS = 2048 };

static u64 field(const u8 *row, u32 width, u32 number)
{
    u64 value;

    memcpy(&value, row + width + 8 * number, 8);
    return value;
}

/* Write the low bytes of a label, whatever the byte order. */
static void set_label(u8 *row, u32 width, u64 label)
{
    const u8 one = (u8)label;
    const u16 two = (u16)label;
    const u32 four = (u32)label;

    memcpy(row, width == 1 ? (const void *)&one : width == 2 ? (const void *)&two : width == 4 ? (const void *)&four :
           (const void *)&label, width);
}

static void test_sums(u32 width, u32 ndim, int has_high)
{
    const size_t from = width + 8 * (1 + 4 * (size_t)ndim), to = from - (has_high ? 0 : 8 * (size_t)ndim);
    u8 *rows = malloc(NUM_ROWS * from), *sums = malloc(CAPACITY * to);
    u32 *slots = malloc(NUM_SLOTS * sizeof(*slots));
    struct crackle_totals t = {NULL, 0, 0, NULL, 0, 0, 0, 0, 0};
    u64 taken = 0, all = 0;

    for (size_t i = 0; i < NUM_ROWS; i++) {
        u8 *row = rows + i * from;

        set_label(row, width, random_number(600) * (width == 8 ? (u64)1 << 53 : width == 1 ? 1 : 109));
        for (u32 number = 0; number < 1 + 4 * ndim; number++) {
            /* Low halves overflow now and then, where there are high halves to carry to. */
            const u64 value = random_number(1000) << (has_high && number > 2 * ndim && number <= 3 * ndim ? 54 : 0);

            memcpy(row + width + 8 * number, &value, 8);
        }
    }
    t.rows = sums;
    t.slots = slots;
    t.label_nbytes = width;
    t.ndim = ndim;
    t.has_high = has_high;
    t.capacity = 10;
    t.num_slots = 16;
    CHECK(crackle_totals_index(&t) == CRACKLE_OK);
    /* Whenever rows or slots are used up, there is more. */
    for (;;) {
        CHECK(crackle_totals_add(&t, rows + all * from, NUM_ROWS - all, &taken) == CRACKLE_OK);
        all += taken;
        if (all == NUM_ROWS)
            break;
        CHECK(t.count == t.capacity || t.count == t.num_slots / 4 * 3);
        if (t.count == t.capacity) {
            t.capacity += 40;
        } else {
            t.num_slots *= 2;
            CHECK(crackle_totals_index(&t) == CRACKLE_OK);
        }
    }
    for (u64 i = 0, start = 0; i < t.count; i++) {
        const u8 *total = sums + i * to;
        u64 voxels = 0;

        for (u64 j = 0; j < start; j++)
            CHECK(memcmp(sums + j * to, total, width) != 0);
        start = i;
        for (size_t j = 0; j < NUM_ROWS; j++)
            if (memcmp(rows + j * from, total, width) == 0)
                voxels += field(rows + j * from, width, 0);
        CHECK(voxels == field(total, width, 0));
        for (u32 axis = 0; axis < ndim; axis++) {
            u64 first = UINT64_MAX, stop = 0, low = 0, high = 0;

            for (size_t j = 0; j < NUM_ROWS; j++) {
                const u8 *row = rows + j * from;

                if (memcmp(row, total, width) != 0)
                    continue;
                if (field(row, width, 1 + axis) < first)
                    first = field(row, width, 1 + axis);
                if (field(row, width, 1 + ndim + axis) > stop)
                    stop = field(row, width, 1 + ndim + axis);
                low += field(row, width, 1 + 2 * ndim + axis);
                high += field(row, width, 1 + 3 * ndim + axis) + (low < field(row, width, 1 + 2 * ndim + axis));
            }
            CHECK(field(total, width, 1 + axis) == first);
            CHECK(field(total, width, 1 + ndim + axis) == stop);
            CHECK(field(total, width, 1 + 2 * ndim + axis) == low);
            CHECK(!has_high || field(total, width, 1 + 3 * ndim + axis) == high);
        }
    }
    free(rows);
    free(sums);
    free(slots);
}

/* What does not fit together is refused before memory is touched. */
static void test_arguments(void)
{
    static const struct crackle_totals wrong[] = {
        {NULL, 4, 0, NULL, 16, 1, 3, 3, 0},          {NULL, 4, 0, NULL, 16, 1, 4, 65, 0},
        {NULL, 4, 5, NULL, 16, 1, 4, 3, 0},          {NULL, 4, 0, NULL, 15, 1, 4, 3, 0},
        {NULL, 4, 0, NULL, 0, 1, 4, 3, 0},           {NULL, 0xffffffff, 0, NULL, 16, 1, 4, 3, 0},
        {NULL, 100, 13, NULL, 16, 1, 4, 3, 0},       {NULL, UINT64_MAX, 0, NULL, 16, 1, 4, 3, 0},
        {NULL, 4, 0, NULL, 16, 1, 0, 3, 0},
    };
    u64 taken;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct crackle_totals t = wrong[i];

        CHECK(crackle_totals_index(&t) == CRACKLE_BAD_ARGUMENT);
        CHECK(crackle_totals_add(&t, NULL, 0, &taken) == CRACKLE_BAD_ARGUMENT);
    }
}

static void test_order(void)
{
    u8 rows[300], expected[300];
    u64 order[100];

    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < 100; i++)
            order[i] = i;
        for (size_t i = 99; i > 0; i--) {
            const size_t j = (size_t)random_number(i + 1);
            const u64 other = order[i];

            order[i] = order[j];
            order[j] = other;
        }
        for (size_t i = 0; i < 300; i++)
            rows[i] = (u8)random_number(256);
        for (size_t i = 0; i < 100; i++)
            memcpy(expected + 3 * i, rows + 3 * order[i], 3);
        CHECK(crackle_order_rows(rows, 3, order, 100) == CRACKLE_OK);
        CHECK(memcmp(rows, expected, 300) == 0);
    }
    for (size_t i = 0; i < 100; i++)
        order[i] = 5;
    CHECK(crackle_order_rows(rows, 3, order, 100) == CRACKLE_BAD_ARGUMENT);
    order[0] = 100;
    CHECK(crackle_order_rows(rows, 3, order, 100) == CRACKLE_BAD_ARGUMENT);
    CHECK(crackle_order_rows(rows, CRACKLE_ORDER_MAX_NBYTES + 1, order, 0) == CRACKLE_BAD_ARGUMENT);
    CHECK(crackle_order_rows(NULL, 3, order, 0) == CRACKLE_OK);
}

int main(void)
{
    static const u32 widths[] = {1, 2, 4, 8};

    for (size_t i = 0; i < 4; i++)
        for (u32 ndim = 0; ndim < 4; ndim++)
            for (int has_high = 0; has_high < 2; has_high++)
                test_sums(widths[i], ndim, has_high);
    test_arguments();
    test_order();
    return report("totals");
}
