/*
 * sort.c - sort keys that carry a value, and number distinct labels
 *
 * Streams list labels, pins and components in ascending order.  A radix sort by bytes takes linear time in all cases.
 * It skips high bytes that are zero in all keys, as in real labels. qsort() took ten times as long for a hundred
 * thousand pins.
 */
#include "sort.h"

/* Up to this many pairs are sorted faster without counting bytes. */
#define FEW_PAIRS 32

static void insert_pairs(struct ck_pair *pairs, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const struct ck_pair pair = pairs[i];
        size_t at = i;

        for (; at > 0 && pairs[at - 1].key > pair.key; at--)
            pairs[at] = pairs[at - 1];
        pairs[at] = pair;
    }
}

void ck_sort_pairs(struct ck_pair *pairs, struct ck_pair *scratch, size_t count)
{
    struct ck_pair *from = pairs, *to = scratch;

    if (count <= FEW_PAIRS) {
        insert_pairs(pairs, count);
        return;
    }
    for (unsigned int shift = 0; shift < 64; shift += 8) {
        size_t begin[256] = {0};
        size_t sum = 0;

        for (size_t i = 0; i < count; i++)
            begin[from[i].key >> shift & 0xff]++;
        if (count == 0 || begin[from[0].key >> shift & 0xff] == count)
            continue;
        for (unsigned int byte = 0; byte < 256; byte++) {
            size_t n = begin[byte];

            begin[byte] = sum;
            sum += n;
        }
        for (size_t i = 0; i < count; i++)
            to[begin[from[i].key >> shift & 0xff]++] = from[i];
        {
            struct ck_pair *swap = from;

            from = to;
            to = swap;
        }
    }
    if (from != pairs)
        memcpy(pairs, from, count * sizeof(*pairs));
}

/* ------------------------------- Label sets -------------------------------- */

void ck_label_set_free(struct ck_label_set *set)
{
    free(set->labels);
    free(set->slots);
    memset(set, 0, sizeof(*set));
}

static inline size_t slot_of(const struct ck_label_set *set, u64 label)
{
    return (size_t)((label ^ label >> 32) * set->multiplier >> set->shift);
}

static int grow_slots(struct ck_label_set *set)
{
    size_t num_slots = set->num_slots ? 4 * set->num_slots : 256;
    u32 *slots = ck_calloc(num_slots, sizeof(*slots));

    if (!slots)
        return 0;
    free(set->slots);
    set->slots = slots;
    set->num_slots = num_slots;
    set->multiplier = ck_multiplier(slots);
    set->shift = 64 - ck_ctz64(num_slots);
    for (size_t i = 0; i < set->count; i++) {
        size_t slot = slot_of(set, set->labels[i]);

        while (slots[slot])
            slot = (slot + 1) & (num_slots - 1);
        slots[slot] = (u32)(i + 1);
    }
    return 1;
}

int ck_label_set_find(const struct ck_label_set *set, u64 label, u32 *number)
{
    if (set->num_slots == 0)
        return 0;
    for (size_t slot = slot_of(set, label); set->slots[slot]; slot = (slot + 1) & (set->num_slots - 1))
        if (set->labels[set->slots[slot] - 1] == label) {
            *number = set->slots[slot] - 1;
            return 1;
        }
    return 0;
}

int ck_label_set_add(struct ck_label_set *set, u64 label, u32 *number)
{
    void *labels = set->labels;
    size_t slot;
    int ok;

    if (2 * set->count >= set->num_slots && !grow_slots(set))
        return 0;
    for (slot = slot_of(set, label); set->slots[slot]; slot = (slot + 1) & (set->num_slots - 1))
        if (set->labels[set->slots[slot] - 1] == label) {
            *number = set->slots[slot] - 1;
            return 1;
        }
    if (set->count >= UINT32_MAX - 1)
        return 0;
    ok = ck_reserve(&labels, &set->capacity, (u64)set->count + 1, sizeof(*set->labels));
    set->labels = labels;
    if (!ok)
        return 0;
    *number = (u32)set->count;
    set->labels[set->count++] = label;
    set->slots[slot] = (u32)set->count;
    return 1;
}

int ck_sort_labels(u64 *labels, size_t *count, int is_signed, u32 *rank)
{
    const u64 flip = is_signed ? (u64)1 << 63 : 0; /* makes unsigned comparison order signed labels */
    struct ck_pair *pairs = ck_malloc(*count, 2 * sizeof(*pairs));
    size_t distinct = 0;

    if (!pairs)
        return 0;
    for (size_t i = 0; i < *count; i++) {
        pairs[i].key = labels[i] ^ flip;
        pairs[i].value = i;
    }
    ck_sort_pairs(pairs, pairs + *count, *count);
    for (size_t i = 0; i < *count; i++) {
        if (i == 0 || pairs[i].key != pairs[i - 1].key)
            labels[distinct++] = pairs[i].key ^ flip;
        if (rank)
            rank[pairs[i].value] = (u32)(distinct - 1);
    }
    free(pairs);
    *count = distinct;
    return 1;
}
