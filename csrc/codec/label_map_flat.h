/*
 * label_map_flat.h - components -> labels by flat labels, slice by slice
 */
#ifndef CK_LABEL_MAP_FLAT_H
#define CK_LABEL_MAP_FLAT_H

#include "label_table.h"

struct ck_flat_labels {
    const u8 *keys;          /* of the current slice and the slices behind it */
    unsigned int key_width;
    u64 num_unique;          /* keys must be lower */
};

/* Start at slice 'z_start'. CRACKLE_CORRUPT unless the section has one key per component. */
crackle_status ck_flat_open(struct ck_flat_labels *flat, const struct crackle_header *h,
                            const struct ck_label_table *table, u32 z_start);

/* Skip the current slice, which has 'count' components. */
void ck_flat_skip(struct ck_flat_labels *flat, u64 count);

/*
 * Get the entries of the 'count' components of the current slice, and go on to the next.  CRACKLE_CORRUPT if a key is
 * out of range.
 */
crackle_status ck_flat_next(struct ck_flat_labels *flat, size_t count, u64 *entries);

/* Whether the current slice has a key that is selected, or one that is out of range. */
int ck_flat_has(const struct ck_flat_labels *flat, u64 count, const u8 *selected);

/* Set present[key] for the keys of the current slice. CRACKLE_CORRUPT if a key is out of range. */
crackle_status ck_flat_present(const struct ck_flat_labels *flat, u64 count, u8 *present);

#endif /* CK_LABEL_MAP_FLAT_H */
