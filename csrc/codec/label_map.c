/*
 * label_map.c - component -> label: chooses between flat labels and pins
 */
#include "label_map.h"

crackle_status ck_label_map_open(struct ck_label_map *map, const struct crackle_header *h, const u8 *section,
                                 u32 z_start, u32 z_end)
{
    crackle_status status;

    memset(map, 0, sizeof(*map));
    map->next_z = z_start;
    status = ck_label_table_open(h, section, &map->table);
    if (status != CRACKLE_OK)
        return status;
    if (map->table.has_background)
        return ck_pins_open(h, &map->table, z_start, z_end, &map->pins);
    return ck_flat_open(&map->flat, h, &map->table, z_start);
}

void ck_label_map_free(struct ck_label_map *map)
{
    ck_pins_free(map->pins);
    map->pins = NULL;
}

crackle_status ck_label_map_next(struct ck_label_map *map, const struct ck_components *c, u64 *entries)
{
    if (c->count != ck_component_count(&map->table, map->next_z))
        return CRACKLE_CORRUPT;
    map->next_z++;
    return map->pins ? ck_pins_next(map->pins, c, entries) : ck_flat_next(&map->flat, c->count, entries);
}

void ck_label_map_skip(struct ck_label_map *map)
{
    ck_flat_skip(&map->flat, ck_component_count(&map->table, map->next_z++));
}

int ck_label_map_slice_has(const struct ck_label_map *map, const u8 *selected)
{
    return ck_flat_has(&map->flat, ck_component_count(&map->table, map->next_z), selected);
}

crackle_status ck_label_map_slice_entries(const struct ck_label_map *map, u8 *present)
{
    return ck_flat_present(&map->flat, ck_component_count(&map->table, map->next_z), present);
}
