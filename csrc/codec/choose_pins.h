/* choose_pins.h - choose the pins of a volume */
#ifndef CK_CHOOSE_PINS_H
#define CK_CHOOSE_PINS_H

#include "pin_task.h"

/* Append the labels section. */
crackle_status ck_choose_pins(const struct ck_pin_task *task, unsigned int stored_width, struct ck_bytes *out);

#endif /* CK_CHOOSE_PINS_H */
