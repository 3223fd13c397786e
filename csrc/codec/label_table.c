/*
 * label_table.c - the table at the front of a labels section
 */
#include "format.h"
#include "label_table.h"

/*
 * Labels may be stored in more bytes than a voxel has, as crackle-codec does when it renumbers.  Their values must
 * still fit a voxel.
 */
static int labels_fit(const struct crackle_header *h, const struct ck_label_table *table)
{
    if (h->stored_width <= h->data_width)
        return 1;
    for (u64 i = 0; i < ck_num_entries(table); i++) {
        const u64 label = ck_label_of_entry(h, table, i);

        if ((h->is_signed ? ck_signed_width(label) : ck_width(label)) > h->data_width)
            return 0;
    }
    return 1;
}

crackle_status ck_label_table_peek(const struct crackle_header *h, const u8 *section, u64 nbytes,
                                   struct ck_label_table *table)
{
    struct ck_reader r = {section, section + nbytes};

    memset(table, 0, sizeof(*table));
    if (h->label_format == CK_LABELS_PINS) {
        table->has_background = 1;
        if (!ck_get(&r, h->stored_width, &table->background))
            return CRACKLE_TRUNCATED;
        if (h->is_signed)
            table->background = ck_sign_extend(table->background, h->stored_width);
    }
    table->counts_width = ck_width((u64)h->sx * h->sy);
    if (!ck_get(&r, 8, &table->num_unique) ||
        !ck_get_array(&r, table->num_unique, h->stored_width, &table->unique))
        return CRACKLE_TRUNCATED;
    if (table->num_unique == 0 && !table->has_background)
        return CRACKLE_CORRUPT; /* there are voxels, so there must be a label */
    if (!labels_fit(h, table))
        return CRACKLE_CORRUPT;
    table->rest = r;
    return CRACKLE_OK;
}

crackle_status ck_label_table_open(const struct crackle_header *h, const u8 *section, struct ck_label_table *table)
{
    if (ck_label_table_peek(h, section, h->num_label_bytes, table) != CRACKLE_OK ||
        !ck_get_array(&table->rest, h->sz, table->counts_width, &table->counts))
        return CRACKLE_CORRUPT; /* the section is complete, so it is not truncated */
    return CRACKLE_OK;
}

int ck_sum_counts(const struct crackle_header *h, const struct ck_label_table *table, u32 z_start, u32 z_end,
                  u64 *sum)
{
    u64 total = 0;

    for (u32 z = z_start; z < z_end; z++) {
        u64 count = ck_component_count(table, z);

        if (count == 0 || count > (u64)h->sx * h->sy || !ck_add(total, count, &total))
            return 0;
    }
    *sum = total;
    return 1;
}

/* Replace entries by their labels. */
CK_FORCEINLINE void label_entries(const struct ck_label_table *table, unsigned int width, int is_signed, size_t count,
                                  u64 *entries)
{
    /* With a background, entry 0 is not in the table, which begins with entry 1. */
    const u8 *labels = table->unique - (table->has_background ? width : 0);

    for (size_t i = 0; i < count; i++) {
        u64 label;

        if (table->has_background && entries[i] == 0) {
            entries[i] = table->background;
            continue;
        }
        label = ck_load(labels + entries[i] * width, width);
        entries[i] = is_signed ? ck_sign_extend(label, width) : label;
    }
}

void ck_labels_of_entries(const struct crackle_header *h, const struct ck_label_table *table, size_t count,
                          u64 *entries)
{
    switch (h->stored_width) {
    case 1:
        label_entries(table, 1, h->is_signed, count, entries);
        break;
    case 2:
        label_entries(table, 2, h->is_signed, count, entries);
        break;
    case 4:
        label_entries(table, 4, h->is_signed, count, entries);
        break;
    default:
        label_entries(table, 8, h->is_signed, count, entries);
        break;
    }
}

/* --------------------------------- Writing --------------------------------- */

unsigned int ck_stored_width(const u64 *unique, size_t num_unique, int is_signed)
{
    unsigned int first, last;

    if (num_unique == 0)
        return 1;
    /* The labels ascend, so one of the extremes needs the most bytes. */
    if (!is_signed)
        return ck_width(unique[num_unique - 1]);
    first = ck_signed_width(unique[0]);
    last = ck_signed_width(unique[num_unique - 1]);
    return first > last ? first : last;
}

int ck_put_table(struct ck_bytes *out, const u64 *unique, size_t num_unique, unsigned int stored_width,
                 const u64 *counts, u32 sz, u64 slice_voxels)
{
    unsigned int counts_width = ck_width(slice_voxels);

    if (!ck_bytes_reserve(out, 8 + (u64)num_unique * stored_width + (u64)sz * counts_width))
        return 0;
    ck_bytes_put(out, num_unique, 8);
    for (size_t i = 0; i < num_unique; i++)
        ck_bytes_put(out, unique[i], stored_width);
    for (u32 z = 0; z < sz; z++)
        ck_bytes_put(out, counts[z], counts_width);
    return 1;
}
