/*
 * pin_list.h - the pins and singles of a labels section, as lists
 */
#ifndef CK_PIN_LIST_H
#define CK_PIN_LIST_H

#include "label_table.h"

/* A pin gives 'label' to its voxel and to the 'depth' voxels below it. */
struct ck_pin {
    u64 voxel;
    u32 depth;
    u32 label; /* index of the label in the table */
};

struct ck_single {
    u64 component; /* numbered through the volume */
    u32 label;
};

/* The contents of a pins section, behind its table. */
struct ck_pin_list {
    struct ck_pin *pins;
    size_t num_pins, pins_capacity;
    struct ck_single *singles;
    size_t num_singles, singles_capacity;
};

void ck_pin_list_free(struct ck_pin_list *list);

/*
 * Read all pins and singles of a section, in its order.  Checks each against the volume.  'num_components' is the sum
 * of the counts.
 */
crackle_status ck_read_pin_list(const struct crackle_header *h, const struct ck_label_table *table,
                                u64 num_components, struct ck_pin_list *list);

/*
 * Append a pins section.  'unique' ascends and lacks 'background'.  Pins and singles may come in any order; the
 * function sorts them.
 */
crackle_status ck_write_pins(struct ck_bytes *out, u64 background, const u64 *unique, size_t num_unique,
                             unsigned int stored_width, const u64 *counts, u32 sz, u64 slice_voxels,
                             struct ck_pin_list *list);

/* No component has the background label. */
#define CK_NO_BACKGROUND SIZE_MAX

/*
 * Append a pins section, given the list of all labels.  'unique' ascends, lists labels that occur, and includes the
 * background, which the function removes from 'unique' and from the list.  Labels in the list, and 'background', are
 * indices into 'unique'.  With CK_NO_BACKGROUND, the label with the most pins and singles becomes the background: no
 * component is unnamed then, so the background has exactly the components that lost their pins and singles.
 */
crackle_status ck_put_pins(struct ck_bytes *out, u64 *unique, size_t num_unique, size_t background,
                           unsigned int stored_width, const u64 *counts, u32 sz, u64 slice_voxels,
                           struct ck_pin_list *list);

#endif /* CK_PIN_LIST_H */
