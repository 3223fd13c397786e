/*
 * pin_task.h - the input of choosing pins: a volume, its labels and its components
 */
#ifndef CK_PIN_TASK_H
#define CK_PIN_TASK_H

#include "../base/common.h"
#include "../crackle.h"

struct ck_pin_task {
    const struct crackle_volume *volume;
    const u64 *unique;               /* the volume's labels, ascending */
    size_t num_unique;
    const u64 *counts;               /* components per slice */
    int has_background;
    u64 background;
    unsigned int effort;             /* 1 or 2 */
    crackle_part *const *parts;      /* have the label of each component, as a key */
    size_t num_parts;
    u32 *const *rank_of_key;         /* per part and key: index of the label in 'unique' */
    const volatile int32_t *stop;    /* see crackle.h */
};

#endif /* CK_PIN_TASK_H */
