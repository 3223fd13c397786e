/*
 * totals.c - rows of labels, added up by label in memory of the caller
 *
 * A hash table finds the total of a label, and a new label is appended. So a row costs one look-up, however many
 * labels there are, and totals are never copied to be merged. The caller sorts them once, at the end.
 */
#include "../base/common.h"
#include "../crackle.h"

/* Fields behind the label are u64 at any address. */
#define FIELD 8
/* Rows whose slots and totals are fetched before the first of them is looked up. */
#define AHEAD 16

static inline u64 get(const u8 *p)
{
    u64 value;

    memcpy(&value, p, FIELD);
    return value;
}

static inline void put(u8 *p, u64 value)
{
    memcpy(p, &value, FIELD);
}

static inline u64 label_at(const u8 *row, u32 nbytes)
{
    u64 wide;
    u32 half;
    u16 quarter;

    switch (nbytes) {
    case 1:
        return *row;
    case 2:
        memcpy(&quarter, row, sizeof(quarter));
        return quarter;
    case 4:
        memcpy(&half, row, sizeof(half));
        return half;
    default:
        memcpy(&wide, row, sizeof(wide));
        return wide;
    }
}

static inline size_t slot_of(const struct crackle_totals *t, u64 label)
{
    label = (label ^ label >> 32) * t->multiplier;
    return (size_t)(label ^ label >> 32) & (size_t)(t->num_slots - 1);
}

static size_t row_nbytes(const struct crackle_totals *t, int has_high)
{
    return t->label_nbytes + FIELD * (1 + (has_high ? 4 : 3) * (size_t)t->ndim);
}

static int is_sound(const struct crackle_totals *t)
{
    const u32 width = t->label_nbytes;

    return (width == 1 || width == 2 || width == 4 || width == 8) && t->ndim <= CRACKLE_TOTALS_MAX_NDIM &&
           t->count <= t->capacity && t->capacity < UINT32_MAX && t->capacity <= SIZE_MAX / row_nbytes(t, 1) &&
           t->num_slots > 0 && (t->num_slots & (t->num_slots - 1)) == 0 &&
           t->num_slots <= SIZE_MAX / sizeof(*t->slots) && t->count <= t->num_slots / 4 * 3;
}

crackle_status crackle_totals_index(struct crackle_totals *totals)
{
    const u8 *rows = totals->rows;
    size_t stride;

    if (!is_sound(totals))
        return CRACKLE_BAD_ARGUMENT;
    stride = row_nbytes(totals, totals->has_high);
    memset(totals->slots, 0, (size_t)totals->num_slots * sizeof(*totals->slots));
    totals->multiplier = ck_multiplier(totals->slots);
    for (u32 i = 0; i < totals->count; i++) {
        size_t slot = slot_of(totals, label_at(rows + i * stride, totals->label_nbytes));

        while (totals->slots[slot])
            slot = (slot + 1) & (size_t)(totals->num_slots - 1);
        totals->slots[slot] = i + 1;
    }
    return CRACKLE_OK;
}

/* Add a row to the total of the same label. Both point behind the label. */
static void add(u8 *total, const u8 *row, u32 ndim, int has_high)
{
    const size_t axes = FIELD * (size_t)ndim;

    put(total, get(total) + get(row));
    total += FIELD;
    row += FIELD;
    for (u32 axis = 0; axis < ndim; axis++, total += FIELD, row += FIELD) {
        if (get(row) < get(total))
            put(total, get(row));
        if (get(row + axes) > get(total + axes))
            put(total + axes, get(row + axes));
        {
            const u64 low = get(total + 2 * axes) + get(row + 2 * axes);

            if (has_high)
                put(total + 3 * axes,
                    get(total + 3 * axes) + get(row + 3 * axes) + (low < get(row + 2 * axes)));
            put(total + 2 * axes, low);
        }
    }
}

crackle_status crackle_totals_add(struct crackle_totals *totals, const void *rows, uint64_t num_rows,
                                  uint64_t *taken_ret)
{
    const u32 width = totals->label_nbytes;
    size_t from, to, slots[AHEAD];
    u8 *sums = totals->rows;
    u64 done = 0;

    if (!is_sound(totals) || num_rows > SIZE_MAX / row_nbytes(totals, 1))
        return CRACKLE_BAD_ARGUMENT;
    from = row_nbytes(totals, 1);
    to = row_nbytes(totals, totals->has_high);
    while (done < num_rows) {
        const u8 *row = (const u8 *)rows + (size_t)done * from;
        const size_t some = num_rows - done < AHEAD ? (size_t)(num_rows - done) : AHEAD;

        for (size_t i = 0; i < some; i++) {
            slots[i] = slot_of(totals, label_at(row + i * from, width));
            CK_PREFETCH(&totals->slots[slots[i]]);
        }
        for (size_t i = 0; i < some; i++)
            if (totals->slots[slots[i]])
                CK_PREFETCH(sums + (size_t)(totals->slots[slots[i]] - 1) * to);
        for (size_t i = 0; i < some; i++, row += from) {
            const u64 label = label_at(row, width);
            size_t slot = slots[i];
            u32 found;

            while ((found = totals->slots[slot]) != 0 && label_at(sums + (size_t)(found - 1) * to, width) != label)
                slot = (slot + 1) & (size_t)(totals->num_slots - 1);
            if (found) {
                add(sums + (size_t)(found - 1) * to + width, row + width, totals->ndim, totals->has_high);
                continue;
            }
            if (totals->count == totals->capacity || totals->count >= totals->num_slots / 4 * 3) {
                *taken_ret = done + i;
                return CRACKLE_OK;
            }
            memcpy(sums + (size_t)totals->count * to, row, to);
            totals->slots[slot] = (u32)++totals->count;
        }
        done += some;
    }
    *taken_ret = done;
    return CRACKLE_OK;
}

crackle_status crackle_order_rows(void *rows, size_t nbytes, uint64_t *order, uint64_t count)
{
    u8 first[CRACKLE_ORDER_MAX_NBYTES], *p = rows;

    if (nbytes > sizeof(first) || (nbytes && count > SIZE_MAX / nbytes))
        return CRACKLE_BAD_ARGUMENT;
    for (u64 i = 0; i < count; i++)
        if (order[i] >= count)
            return CRACKLE_BAD_ARGUMENT;
    for (u64 i = 0; i < count; i++) {
        u64 hole = i;

        if (order[i] == i)
            continue;
        /* Follow the cycle through i. What is done points to itself, so no cycle is followed twice. */
        memcpy(first, p + (size_t)i * nbytes, nbytes);
        while (order[hole] != i) {
            const u64 next = order[hole];

            if (next == hole)
                return CRACKLE_BAD_ARGUMENT; /* two rows come from one */
            memcpy(p + (size_t)hole * nbytes, p + (size_t)next * nbytes, nbytes);
            order[hole] = hole;
            hole = next;
        }
        memcpy(p + (size_t)hole * nbytes, first, nbytes);
        order[hole] = hole;
    }
    return CRACKLE_OK;
}
