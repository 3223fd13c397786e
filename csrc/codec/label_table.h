/*
 * label_table.h - the table at the front of a labels section
 *
 * Both label formats begin with a table of labels, followed by the number of components per slice (docs/format.md,
 * sections 6 and 7).
 */
#ifndef CK_LABEL_TABLE_H
#define CK_LABEL_TABLE_H

#include "../base/common.h"
#include "../crackle.h"

/* The common part of both formats. The pointers point into the labels section. */
struct ck_label_table {
    int has_background;      /* pins: the components that no pin or single names have a label outside the table */
    u64 background;
    u64 num_unique;          /* labels in the table */
    const u8 *unique;        /* num_unique * h->stored_width */
    const u8 *counts;        /* sz * counts_width */
    unsigned int counts_width;
    struct ck_reader rest;   /* the rest of the section, behind the counts */
};

/*
 * Read only the table, from the first 'nbytes' bytes of the section.  CRACKLE_TRUNCATED if the table is longer.  Sets
 * 'counts' to NULL, and 'rest' to the bytes behind the table.
 */
crackle_status ck_label_table_peek(const struct crackle_header *h, const u8 *section, u64 nbytes,
                                   struct ck_label_table *table);

/* Read the table and the counts from a whole section. */
crackle_status ck_label_table_open(const struct crackle_header *h, const u8 *section, struct ck_label_table *table);

/*
 * Entries number the labels of both formats as crackle_read_table() lists them: first the background, if there is one,
 * then the table.
 */
static inline u64 ck_num_entries(const struct ck_label_table *table)
{
    return table->num_unique + (u64)table->has_background;
}

/* Label 'i' of the table, without the background. */
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

/* Replace each of many entries by its label. */
void ck_labels_of_entries(const struct crackle_header *h, const struct ck_label_table *table, size_t count,
                          u64 *entries);

static inline u64 ck_component_count(const struct ck_label_table *table, u32 z)
{
    return ck_load(table->counts + (u64)z * table->counts_width, table->counts_width);
}

/*
 * The number of components in the slices [z_start, z_end).  False if a slice claims no components or more than it has
 * voxels, or if the sum exceeds 64 bits.
 */
int ck_sum_counts(const struct crackle_header *h, const struct ck_label_table *table, u32 z_start, u32 z_end,
                  u64 *sum);

/* -------------------------------- Writing ---------------------------------- */

/* The least width that holds all of the labels, which ascend. */
unsigned int ck_stored_width(const u64 *unique, size_t num_unique, int is_signed);

/* Append unique labels and counts per slice, as both formats have them. False when there is no memory. */
int ck_put_table(struct ck_bytes *out, const u64 *unique, size_t num_unique, unsigned int stored_width,
                 const u64 *counts, u32 sz, u64 slice_voxels);

#endif /* CK_LABEL_TABLE_H */
