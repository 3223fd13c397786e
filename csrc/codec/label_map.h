/*
 * label_map.h - component -> label: the labels section of a stream
 *
 * The two label formats differ in how they say which label a component has.  Flat labels list a key into the label
 * table for every component (label_map_flat.h).  Pins name lines of voxels along z (label_map_pins.h).  Readers see
 * both through this header.
 */
#ifndef CK_LABEL_MAP_H
#define CK_LABEL_MAP_H

#include "components.h"
#include "label_map_flat.h"
#include "label_map_pins.h"

/* The map of some slices, which are read in ascending order. */
struct ck_label_map {
    struct ck_label_table table;
    u32 next_z;
    struct ck_flat_labels flat;   /* flat labels only */
    struct ck_pins *pins;         /* pins only; NULL with flat labels */
};

/* The map of the slices [z_start, z_end); 'h' must outlive it. */
crackle_status ck_label_map_open(struct ck_label_map *map, const struct crackle_header *h, const u8 *section,
                                 u32 z_start, u32 z_end);
void ck_label_map_free(struct ck_label_map *map);

/*
 * Get the entries of the components of slice map->next_z, and go on to the next slice.  CRACKLE_CORRUPT if the section
 * states another number of components than 'c' has.
 */
crackle_status ck_label_map_next(struct ck_label_map *map, const struct ck_components *c, u64 *entries);

/* Flat labels only: skip slice map->next_z. */
void ck_label_map_skip(struct ck_label_map *map);

/* Flat labels only: whether slice map->next_z has a component with a selected entry, or one with a bad key. */
int ck_label_map_slice_has(const struct ck_label_map *map, const u8 *selected);

/* Flat labels only: set present[] for the entries of slice map->next_z. CRACKLE_CORRUPT if a key is bad. */
crackle_status ck_label_map_slice_entries(const struct ck_label_map *map, u8 *present);

#endif /* CK_LABEL_MAP_H */
