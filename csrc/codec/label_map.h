/*
 * label_map.h - component -> label: the labels section of a stream
 *
 * Both label formats begin with a table of labels, followed by the number of components
 * per slice.  They differ in how they say which label a component has: flat labels list a
 * key into the table for every component; pins name lines of voxels along z.
 */
#ifndef CK_LABEL_MAP_H
#define CK_LABEL_MAP_H

#include "../base/common.h"
#include "../crackle.h"
#include "components.h"

/* What both formats have in common.  The pointers point into the labels section. */
struct ck_label_table {
    int has_background;      /* pins: there is a label outside the table, for all that no pin names */
    u64 background;
    u64 num_unique;          /* labels in the table */
    const u8 *unique;        /* num_unique * h->stored_width */
    const u8 *counts;        /* sz * counts_width */
    unsigned int counts_width;
    struct ck_reader rest;   /* the section behind the counts */
};

/*
 * The table alone, from the first 'nbytes' of the section.  CRACKLE_TRUNCATED where it goes on behind
 * them.  'counts' is NULL then, and 'rest' what stands behind the table.
 */
crackle_status ck_label_table_peek(const struct crackle_header *h, const u8 *section, u64 nbytes,
                                   struct ck_label_table *table);

/* The table and the counts, from a whole section. */
crackle_status ck_label_table_open(const struct crackle_header *h, const u8 *section, struct ck_label_table *table);

/*
 * Entries number the labels of both formats as crackle_read_table() lists them: first the background,
 * where there is one, then the table.
 */
static inline u64 ck_num_entries(const struct ck_label_table *table)
{
    return table->num_unique + (u64)table->has_background;
}

/* Entry 'i' of the table. */
static inline u64 ck_label_at(const struct crackle_header *h, const struct ck_label_table *table, u64 i)
{
    u64 label = ck_load(table->unique + i * h->stored_width, h->stored_width);

    return h->is_signed ? ck_sign_extend(label, h->stored_width) : label;
}

static inline u64 ck_label_of_entry(const struct crackle_header *h, const struct ck_label_table *table, u64 entry)
{
    if (table->has_background)
        return entry == 0 ? table->background : ck_label_at(h, table, entry - 1);
    return ck_label_at(h, table, entry);
}

/* The same for many: each entry becomes its label. */
void ck_labels_of_entries(const struct crackle_header *h, const struct ck_label_table *table, size_t count,
                          u64 *entries);

static inline u64 ck_component_count(const struct ck_label_table *table, u32 z)
{
    return ck_load(table->counts + (u64)z * table->counts_width, table->counts_width);
}

/*
 * The number of components in the slices [z_start, z_end); false where a slice claims none or more
 * than it has voxels, or the sum passes 64 bits.
 */
int ck_sum_counts(const struct crackle_header *h, const struct ck_label_table *table, u32 z_start, u32 z_end,
                  u64 *sum);

/* ---------------------------- Reading, slice by slice ---------------------- */

struct ck_pins;

/* The map of some slices, which are asked for in ascending order. */
struct ck_label_map {
    struct ck_label_table table;
    const struct crackle_header *header;
    u32 next_z;
    /* Flat labels. */
    const u8 *keys;          /* those of slice next_z and behind */
    unsigned int key_width;
    /* Pins. */
    struct ck_pins *pins;
};

/* The map of the slices [z_start, z_end); 'h' must outlive it. */
crackle_status ck_label_map_open(struct ck_label_map *map, const struct crackle_header *h, const u8 *section,
                                 u32 z_start, u32 z_end);
void ck_label_map_free(struct ck_label_map *map);

/*
 * The entries of the components of slice map->next_z; then the next slice is next.
 * CRACKLE_CORRUPT where 'c' has another number of components than the section says.
 */
crackle_status ck_label_map_next(struct ck_label_map *map, const struct ck_components *c, u64 *entries);

/* Flat labels only: whether slice map->next_z has a component of an entry that is wanted, or of none. */
int ck_flat_slice_has(const struct ck_label_map *map, const u8 *wanted);

/* Flat labels only: mark the entries that slice map->next_z has.  CRACKLE_CORRUPT where a key is of none. */
crackle_status ck_flat_slice_entries(const struct ck_label_map *map, u8 *present);

/* Leave a slice out. */
void ck_label_map_skip(struct ck_label_map *map);

crackle_status ck_pins_open(const struct crackle_header *h, const struct ck_label_table *table, u32 z_start,
                            u32 z_end, struct ck_pins **pins_ret);
void ck_pins_free(struct ck_pins *pins);
crackle_status ck_pins_next(struct ck_pins *pins, const struct ck_components *c, u64 *entries);

/* -------------------------------- Writing ---------------------------------- */

/* The width in which labels are stored. */
unsigned int ck_stored_width(const u64 *unique, size_t num_unique, int is_signed);

/* Append unique labels and counts per slice, as both formats have them. */
int ck_put_table(struct ck_bytes *out, const u64 *unique, size_t num_unique, unsigned int stored_width,
                 const u64 *counts, u32 sz, u64 slice_voxels);

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

#endif /* CK_LABEL_MAP_H */
