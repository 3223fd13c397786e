/*
 * encode.h - parts of a stream, and what they are made from
 */
#ifndef CK_ENCODE_H
#define CK_ENCODE_H

#include "../base/common.h"
#include "../base/sort.h"
#include "../crackle.h"
#include "boundary.h"
#include "components.h"

/* The slices of a volume with x fastest; C-order volumes are transposed in batches. */
struct ck_slices {
    const struct crackle_volume *volume;
    size_t stride;       /* bytes from one slice to the next, of the volume or of the batch */
    u8 *batch;
    u32 batch_z, batch_count, batch_most;
};

/* 'most': how many slices will be asked for.  False when there is no memory. */
int ck_slices_init(struct ck_slices *s, const struct crackle_volume *volume, u32 most);
void ck_slices_free(struct ck_slices *s);
const void *ck_slice_at(struct ck_slices *s, u32 z);

/* Whether an order may be asked for. */
static inline int ck_is_markov_order(unsigned int order)
{
    return order <= CRACKLE_MAX_MARKOV_ORDER || order == CRACKLE_MARKOV_AUTO;
}

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
    /* Recompressed parts only: per component of the old slices, the number of the new one in its slice. */
    u32 *moved;
    size_t num_moved;
};

/*
 * Where slices come from: a volume, or streams from which another is made.  They are asked for in
 * ascending order.
 */
struct ck_slice_maker {
    void *self;
    /* The boundaries of slice 'z', in bitmaps that may have any bits set before. */
    crackle_status (*boundaries)(void *self, u32 z, struct ck_bitmaps *b, struct crackle_where *where);
    /* The labels of its components, each from the component's first voxel. */
    crackle_status (*labels)(void *self, const struct ck_components *c, u64 *labels);
};

/* Encode the slices [z_start, z_end), which are not empty. */
crackle_status ck_encode_part(const struct ck_slice_maker *maker, u32 sx, u32 sy, u32 z_start, u32 z_end,
                              int permissible, crackle_part **part_ret, struct crackle_where *where);

/*
 * Makes a section of pins for labels that ascend, as an alternative to flat ones; 'counts' are components per slice.
 * 'unique' is the callee's to change.
 */
struct ck_pins_maker {
    void *self;
    crackle_status (*put)(void *self, u64 *unique, size_t num_unique, unsigned int stored_width, const u64 *counts,
                          struct ck_bytes *out);
};

/* crackle_assemble() with pins from 'pins', or NULL. */
crackle_status ck_assemble(const struct crackle_volume *volume, const struct crackle_options *options,
                           crackle_part *const *parts, size_t num_parts, const volatile int32_t *stop,
                           const struct ck_pins_maker *pins, u8 **out_ret, size_t *out_nbytes_ret);

#endif /* CK_ENCODE_H */
