/* sort.h - sort keys that carry a value, and number distinct labels */
#ifndef CK_SORT_H
#define CK_SORT_H

#include "common.h"

struct ck_pair {
    u64 key;
    u64 value;
};

/*
 * Sort by key; equal keys keep their order.  Many pairs take one pass per byte of the key; bytes in which all keys agree
 * are skipped.  'scratch' has room for 'count' pairs.
 */
void ck_sort_pairs(struct ck_pair *pairs, struct ck_pair *scratch, size_t count);

/* Distinct labels, numbered in the order of their first addition. */
struct ck_label_set {
    u64 *labels;
    size_t count;
    size_t capacity;
    u32 *slots;      /* open addressing: 1 + the number of a label, or 0 */
    size_t num_slots;
    u64 multiplier;  /* of the hash */
    unsigned int shift; /* the slot is the hash shifted right by this */
};

void ck_label_set_free(struct ck_label_set *set);

/* Add 'label' unless the set has it, and get its number. False when there is no memory or no number left. */
int ck_label_set_add(struct ck_label_set *set, u64 label, u32 *number);

/* Get the number of 'label'. False if the set lacks it. */
int ck_label_set_find(const struct ck_label_set *set, u64 label, u32 *number);

/*
 * Sort 'labels' and drop duplicates.  They are compared as signed numbers if 'is_signed'.  'rank', if not NULL,
 * receives the new index of each old label.  False when there is no memory.
 */
int ck_sort_labels(u64 *labels, size_t *count, int is_signed, u32 *rank);

#endif /* CK_SORT_H */
