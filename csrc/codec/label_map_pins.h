/*
 * label_map_pins.h - components -> labels by condensed pins, slice by slice
 */
#ifndef CK_LABEL_MAP_PINS_H
#define CK_LABEL_MAP_PINS_H

#include "components.h"
#include "label_table.h"

struct ck_pins;

/* Read the pins of the slices [z_start, z_end). 'h' must outlive them. */
crackle_status ck_pins_open(const struct crackle_header *h, const struct ck_label_table *table, u32 z_start,
                            u32 z_end, struct ck_pins **pins_ret);
void ck_pins_free(struct ck_pins *pins);

/* Get the entries of the components of the next slice. */
crackle_status ck_pins_next(struct ck_pins *pins, const struct ck_components *c, u64 *entries);

#endif /* CK_LABEL_MAP_PINS_H */
