/*
 * sort.h - sorting numbers that carry a number, and numbering distinct labels
 */
#ifndef CK_SORT_H
#define CK_SORT_H

#include "common.h"

struct ck_pair {
    u64 key;
    u64 value;
};

/*
 * Sort by key, equal keys in the order in which they came: a byte of the key per pass,
 * bytes in which all keys agree skipped.  'scratch' has room for 'count' pairs.
 */
void ck_sort_pairs(struct ck_pair *pairs, struct ck_pair *scratch, size_t count);

/* Distinct labels, numbered in the order in which they were added. */
struct ck_label_set {
    u64 *labels;
    size_t count;
    size_t capacity;
    u32 *slots;      /* open addressing: 1 + the number of a label, or 0 */
    size_t num_slots;
    u64 multiplier;  /* of the hash, whose high bits, ... */
    unsigned int shift; /* ... behind so many, are the slot */
};

void ck_label_set_free(struct ck_label_set *set);

/* The number of 'label', which is added if need be.  False when there is no memory or no number. */
int ck_label_set_add(struct ck_label_set *set, u64 label, u32 *number);

/* The number of 'label'; false where it was not added. */
int ck_label_set_find(const struct ck_label_set *set, u64 label, u32 *number);

/*
 * Replace 'labels' by the distinct ones among them, ascending, as signed numbers if
 * 'is_signed'; 'rank', if not NULL, receives the new place of each old one.  False when there is
 * no memory.
 */
int ck_sort_labels(u64 *labels, size_t *count, int is_signed, u32 *rank);

#endif /* CK_SORT_H */
