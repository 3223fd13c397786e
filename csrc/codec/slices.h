/*
 * slices.h - the slices of a volume in memory, each with x fastest
 */
#ifndef CK_SLICES_H
#define CK_SLICES_H

#include "../base/common.h"
#include "../crackle.h"

struct ck_slices {
    const struct crackle_volume *volume;
    size_t stride;       /* bytes from one slice to the next, of the volume or of the batch */
    u8 *batch;           /* C order only: transposed slices */
    u32 batch_z, batch_count, batch_capacity;
};

/* False when there is no memory. */
int ck_slices_init(struct ck_slices *s, const struct crackle_volume *volume);
void ck_slices_free(struct ck_slices *s);

/* Slice 'z': valid until the next call. */
const void *ck_slice_at(struct ck_slices *s, u32 z);

#endif /* CK_SLICES_H */
