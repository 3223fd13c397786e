/*
 * pin_list.h - the pins and singles of a labels section, as lists
 */
#ifndef CK_PIN_LIST_H
#define CK_PIN_LIST_H

#include "label_table.h"

/* A pin gives 'label' to the voxel and to those 'depth' slices below it. */
struct ck_pin {
    u64 voxel;
    u32 depth;
    u32 label; /* its place in the table */
};

struct ck_single {
    u64 component; /* counted through the volume */
    u32 label;
};

/* What a pins section says behind its table. */
struct ck_pin_list {
    struct ck_pin *pins;
    size_t num_pins, pins_capacity;
    struct ck_single *singles;
    size_t num_singles, singles_capacity;
};

void ck_pin_list_free(struct ck_pin_list *list);

/*
 * All pins and singles of a section, in its order.  Every one is checked against the
 * volume; 'num_components' is the sum of the counts.
 */
crackle_status ck_read_pin_list(const struct crackle_header *h, const struct ck_label_table *table,
                                u64 num_components, struct ck_pin_list *list);

/*
 * Append a pins section.  'unique' ascends and lacks 'background'.  The pins and singles may
 * be in any order; they are sorted.
 */
crackle_status ck_write_pins(struct ck_bytes *out, u64 background, const u64 *unique, size_t num_unique,
                             unsigned int stored_width, const u64 *counts, u32 sz, u64 slice_voxels,
                             struct ck_pin_list *list);

/* There is no component of the background. */
#define CK_NO_BACKGROUND SIZE_MAX

/*
 * Append a pins section of labels that ascend, all of which occur, the background among them: 'unique' loses it
 * and the list all that names it.  The labels in the list are places in 'unique', and so is 'background'; where
 * it is CK_NO_BACKGROUND, the label that is named most often becomes the background, as its components are then
 * those that nothing else names.
 */
crackle_status ck_put_pins(struct ck_bytes *out, u64 *unique, size_t num_unique, size_t background,
                           unsigned int stored_width, const u64 *counts, u32 sz, u64 slice_voxels,
                           struct ck_pin_list *list);

#endif /* CK_PIN_LIST_H */
