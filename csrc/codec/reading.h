/*
 * reading.h - stream -> the components of its slices, and their label table entries, slice by slice
 *
 *   take apart -> moves -> bitmaps -> components -> { checksum ; label map }
 *
 * Decoding, and all questions about streams, have this in common.  They differ in what they make of a slice.
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
    const u8 *codes;         /* of the next slice */
    const u8 *crack_index;
    const u8 *slice_crcs;    /* NULL: do not verify */
    struct ck_markov_model model;
    struct ck_label_map map;
    struct ck_bitmaps bitmaps;
    struct ck_chains chains;
    struct ck_components components;
    struct ck_image_crc image_crc;
    u64 *entries;            /* per component of a slice; see label_map.h */
    size_t entries_capacity;
};

/* Read the header and the checked labels section. Allocates nothing for slices. */
crackle_status ck_reading_open(struct ck_reading *r, const struct crackle_parts *parts, unsigned int flags,
                              struct crackle_where *where);

/*
 * Get ready to read the slices [z_start, z_end), which are not empty.  Call ck_reading_free() whatever the status is.
 */
crackle_status ck_reading_begin(struct ck_reading *r, const struct crackle_parts *parts, u32 z_start, u32 z_end,
                               struct crackle_where *where);
void ck_reading_free(struct ck_reading *r);

/* Read slice 'z', the next one: its components and their entries. */
crackle_status ck_reading_next(struct ck_reading *r, u32 z, struct crackle_where *where);

/* Skip slice 'z', the next one. Flat labels only. */
void ck_reading_skip(struct ck_reading *r, u32 z);

#endif /* CK_READING_H */
