/*
 * label_map_flat.h - components -> labels by flat labels, slice by slice
 */
#ifndef CK_LABEL_MAP_FLAT_H
#define CK_LABEL_MAP_FLAT_H

#include "label_table.h"

struct ck_flat_labels {
    const u8 *keys;          /* of the current slice and those behind it */
    unsigned int key_width;
    u64 num_unique;          /* every key must be below */
};

/* The keys from slice 'z_start' on.  CRACKLE_CORRUPT unless the section has one key per component. */
crackle_status ck_flat_open(struct ck_flat_labels *flat, const struct crackle_header *h,
                            const struct ck_label_table *table, u32 z_start);

/* Go on behind the current slice, which has 'count' components. */
void ck_flat_skip(struct ck_flat_labels *flat, u64 count);

/* The entries of the 'count' components of the current slice.  CRACKLE_CORRUPT where a key is out of range. */
crackle_status ck_flat_next(struct ck_flat_labels *flat, size_t count, u64 *entries);

/* Whether the current slice has a key that is set in 'selected', or one that is out of range. */
int ck_flat_has(const struct ck_flat_labels *flat, u64 count, const u8 *selected);

/* Set present[key] for the keys of the current slice.  CRACKLE_CORRUPT where a key is out of range. */
crackle_status ck_flat_present(const struct ck_flat_labels *flat, u64 count, u8 *present);

#endif /* CK_LABEL_MAP_FLAT_H */
