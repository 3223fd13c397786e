/*
 * label_map_flat.c - the label table of both formats, and flat labels
 *
 * Flat labels are the plain way: behind the table and the counts stands one key per
 * component, in the order of the components' numbers, slice after slice.  The keys of a
 * slice begin where the counts of the slices before it add up to, so any slice can be
 * read without the others.
 */
#include "format.h"
#include "label_map.h"

/*
 * Labels may be stored in more bytes than a voxel has, as crackle-codec does where it renumbers; but they have to be
 * labels of such voxels.
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
        return CRACKLE_CORRUPT; /* there are voxels, so there is a label */
    if (!labels_fit(h, table))
        return CRACKLE_CORRUPT;
    table->rest = r;
    return CRACKLE_OK;
}

crackle_status ck_label_table_open(const struct crackle_header *h, const u8 *section, struct ck_label_table *table)
{
    if (ck_label_table_peek(h, section, h->num_label_bytes, table) != CRACKLE_OK ||
        !ck_get_array(&table->rest, h->sz, table->counts_width, &table->counts))
        return CRACKLE_CORRUPT; /* the section is there whole */
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

crackle_status ck_label_map_open(struct ck_label_map *map, const struct crackle_header *h, const u8 *section,
                                 u32 z_start, u32 z_end)
{
    crackle_status status;
    u64 total, before;

    memset(map, 0, sizeof(*map));
    map->header = h;
    map->next_z = z_start;
    status = ck_label_table_open(h, section, &map->table);
    if (status != CRACKLE_OK)
        return status;
    if (map->table.has_background)
        return ck_pins_open(h, &map->table, z_start, z_end, &map->pins);

    map->key_width = ck_width(map->table.num_unique);
    if (!ck_sum_counts(h, &map->table, 0, h->sz, &total) ||
        !ck_sum_counts(h, &map->table, 0, z_start, &before) ||
        ck_left(&map->table.rest) % map->key_width != 0 ||
        ck_left(&map->table.rest) / map->key_width != total)
        return CRACKLE_CORRUPT;
    map->keys = map->table.rest.next + before * map->key_width;
    return CRACKLE_OK;
}

void ck_label_map_free(struct ck_label_map *map)
{
    ck_pins_free(map->pins);
    map->pins = NULL;
}

void ck_label_map_skip(struct ck_label_map *map)
{
    map->keys += ck_component_count(&map->table, map->next_z) * map->key_width;
    map->next_z++;
}

/* The highest of the keys.  Each width has a loop of its own. */
CK_FORCEINLINE u64 read_keys_of_width(const u8 *keys, unsigned int width, size_t count, u64 *entries)
{
    u64 most = 0;

    for (size_t i = 0; i < count; i++) {
        entries[i] = ck_load(keys + i * width, width);
        most = entries[i] > most ? entries[i] : most;
    }
    return most;
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

crackle_status ck_label_map_next(struct ck_label_map *map, const struct ck_components *c, u64 *entries)
{
    if (c->count != ck_component_count(&map->table, map->next_z))
        return CRACKLE_CORRUPT;
    if (map->pins) {
        map->next_z++;
        return ck_pins_next(map->pins, c, entries);
    }
    if (read_keys(map->keys, map->key_width, c->count, entries) >= map->table.num_unique)
        return CRACKLE_CORRUPT;
    ck_label_map_skip(map);
    return CRACKLE_OK;
}

/* The labels of entries, which take their place. */
CK_FORCEINLINE void label_entries(const struct ck_label_table *table, unsigned int width, int is_signed, size_t count,
                                  u64 *entries)
{
    /* An entry 0 may be the background: the table then begins with entry 1. */
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

int ck_flat_slice_has(const struct ck_label_map *map, const u8 *wanted)
{
    u64 count = ck_component_count(&map->table, map->next_z);

    for (u64 i = 0; i < count; i++) {
        u64 key = ck_load(map->keys + i * map->key_width, map->key_width);

        /* A key out of range is for the decoder to find. */
        if (key >= map->table.num_unique || wanted[key])
            return 1;
    }
    return 0;
}

crackle_status ck_flat_slice_entries(const struct ck_label_map *map, u8 *present)
{
    u64 count = ck_component_count(&map->table, map->next_z);

    for (u64 i = 0; i < count; i++) {
        u64 key = ck_load(map->keys + i * map->key_width, map->key_width);

        if (key >= map->table.num_unique)
            return CRACKLE_CORRUPT;
        present[key] = 1;
    }
    return CRACKLE_OK;
}

/* --------------------------------- Writing --------------------------------- */

unsigned int ck_stored_width(const u64 *unique, size_t num_unique, int is_signed)
{
    unsigned int first, last;

    if (num_unique == 0)
        return 1;
    /* The labels ascend: the extremes need the most bytes. */
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
