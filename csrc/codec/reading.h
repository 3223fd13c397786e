/*
 * reading.h - stream -> the components of its slices and the entries they have, slice after slice
 *
 *   take apart -> moves -> bitmaps -> components -> { checksum ; label map }
 *
 * What decoding and measuring have in common: everything but what becomes of a slice.
 */
#ifndef CK_READING_H
#define CK_READING_H

#include "../crackle.h"
#include "components.h"
#include "label_map.h"
#include "markov.h"
#include "moves.h"

struct ck_reading {
    struct crackle_header header;
    struct crackle_layout layout;
    const u8 *codes;         /* of the slice that comes next */
    const u8 *crack_index;
    const u8 *slice_crcs;    /* NULL: not to be verified */
    struct ck_markov_model model;
    struct ck_label_map map;
    struct ck_bitmaps bitmaps;
    struct ck_chains chains;
    struct ck_components components;
    struct ck_image_crc image_crc;
    u64 *entries;            /* per component of a slice; see label_map.h */
    size_t entries_capacity;
};

/* The header and the checked labels section: what there is to know before a slice is set up. */
crackle_status ck_reading_open(struct ck_reading *r, const struct crackle_parts *parts, unsigned int flags,
                              struct crackle_where *where);

/* Everything up to slice 'z_start' of [z_start, z_end), which is not empty.  Free whatever comes back. */
crackle_status ck_reading_begin(struct ck_reading *r, const struct crackle_parts *parts, u32 z_start, u32 z_end,
                               struct crackle_where *where);
void ck_reading_free(struct ck_reading *r);

/* The components of slice 'z', which is next, and their entries. */
crackle_status ck_reading_next(struct ck_reading *r, u32 z, struct crackle_where *where);

/* Leave slice 'z', which is next, out. */
void ck_reading_skip(struct ck_reading *r, u32 z);

#endif /* CK_READING_H */
