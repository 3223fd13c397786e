/*
 * encode.h - what the encoder and the choice of pins share
 */
#ifndef CK_ENCODE_H
#define CK_ENCODE_H

#include "boundary.h"
#include "common.h"
#include "crackle.h"
#include "sort.h"

/* The slices of a volume with x fastest; C-order volumes are transposed in batches. */
struct ck_slices {
    const struct crackle_volume *volume;
    size_t slice_nbytes;
    u8 *batch;
    u32 batch_z, batch_count, batch_most;
};

/* 'most': how many slices will be asked for.  False when there is no memory. */
int ck_slices_init(struct ck_slices *s, const struct crackle_volume *volume, u32 most);
void ck_slices_free(struct ck_slices *s);
const void *ck_slice_at(struct ck_slices *s, u32 z);

struct ck_part_slice {
    u32 code_nbytes;
    u32 crc;
    u64 num_codepoints;
    u64 num_components;
};

struct crackle_part {
    u32 z_start, z_end;
    int permissible;
    struct ck_bytes codes;           /* the crack codes, slice after slice */
    struct ck_part_slice *slices;
    struct ck_label_set labels;      /* the labels met, in the order in which they were */
    u32 *keys;                       /* per component, its label's number in the set */
    size_t num_keys, keys_capacity;
    u64 num_boundaries, num_vertical, num_interior; /* cracks: between labels, those of them along y, all */
};

#endif /* CK_ENCODE_H */
