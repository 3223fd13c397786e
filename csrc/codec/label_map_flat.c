/*
 * label_map_flat.c - components -> labels by flat labels
 *
 * Behind the table and the counts, flat labels have one key per component, in the order of the components' numbers,
 * slice after slice (docs/format.md, section 6).  The counts of the preceding slices tell where the keys of a slice
 * begin, so any slice can be read without the others.
 */
#include "label_map_flat.h"

crackle_status ck_flat_open(struct ck_flat_labels *flat, const struct crackle_header *h,
                            const struct ck_label_table *table, u32 z_start)
{
    const unsigned int key_width = ck_width(table->num_unique);
    u64 total, before;

    if (!ck_sum_counts(h, table, 0, h->sz, &total) || !ck_sum_counts(h, table, 0, z_start, &before) ||
        ck_left(&table->rest) % key_width != 0 || ck_left(&table->rest) / key_width != total)
        return CRACKLE_CORRUPT;
    flat->keys = table->rest.next + before * key_width;
    flat->key_width = key_width;
    flat->num_unique = table->num_unique;
    return CRACKLE_OK;
}

void ck_flat_skip(struct ck_flat_labels *flat, u64 count)
{
    flat->keys += count * flat->key_width;
}

/* Read keys, and return the highest. Each width has its own loop. */
CK_FORCEINLINE u64 read_keys_of_width(const u8 *keys, unsigned int width, size_t count, u64 *entries)
{
    u64 highest = 0;

    for (size_t i = 0; i < count; i++) {
        entries[i] = ck_load(keys + i * width, width);
        highest = entries[i] > highest ? entries[i] : highest;
    }
    return highest;
}

static u64 read_keys(const u8 *keys, unsigned int width, size_t count, u64 *entries)
{
    switch (width) {
    case 1:
        return read_keys_of_width(keys, 1, count, entries);
    case 2:
        return read_keys_of_width(keys, 2, count, entries);
    case 4:
        return read_keys_of_width(keys, 4, count, entries);
    default:
        return read_keys_of_width(keys, 8, count, entries);
    }
}

crackle_status ck_flat_next(struct ck_flat_labels *flat, size_t count, u64 *entries)
{
    if (read_keys(flat->keys, flat->key_width, count, entries) >= flat->num_unique)
        return CRACKLE_CORRUPT;
    ck_flat_skip(flat, count);
    return CRACKLE_OK;
}

int ck_flat_has(const struct ck_flat_labels *flat, u64 count, const u8 *selected)
{
    for (u64 i = 0; i < count; i++) {
        const u64 key = ck_load(flat->keys + i * flat->key_width, flat->key_width);

        /* The decoder reports a key that is out of range, so it has to read the slice. */
        if (key >= flat->num_unique || selected[key])
            return 1;
    }
    return 0;
}

crackle_status ck_flat_present(const struct ck_flat_labels *flat, u64 count, u8 *present)
{
    for (u64 i = 0; i < count; i++) {
        const u64 key = ck_load(flat->keys + i * flat->key_width, flat->key_width);

        if (key >= flat->num_unique)
            return CRACKLE_CORRUPT;
        present[key] = 1;
    }
    return CRACKLE_OK;
}
