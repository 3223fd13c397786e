/*
 * header.h - the header, and where the sections lie
 */
#ifndef CK_HEADER_H
#define CK_HEADER_H

#include "../base/common.h"
#include "../crackle.h"

/* Note the place of a fault and hand the status through. */
static inline crackle_status ck_fail(struct crackle_where *where, crackle_status status,
                                     crackle_section section, u32 slice)
{
    if (where) {
        where->section = section;
        where->slice = slice;
    }
    return status;
}

unsigned int ck_header_nbytes(unsigned int format_version);

/* Bytes of the Markov model: 4^order rows of five bits. */
u64 ck_model_nbytes(unsigned int order);

/* A volume without voxels is a header and nothing else. */
static inline int ck_is_empty(const struct crackle_header *h)
{
    return h->sx == 0 || h->sy == 0 || h->sz == 0;
}

/* Write ck_header_nbytes() bytes.  Everything in 'h' is believed. */
void ck_write_header(const struct crackle_header *h, u8 *out);

/* The header and where the sections of 'parts' lie; no more than the prefix need be there. */
crackle_status ck_open_sections(const struct crackle_parts *parts, struct crackle_header *header_ret,
                                struct crackle_layout *layout_ret, struct crackle_where *where);

/*
 * The same, and the labels section must be there whole.  With 'verify' it is held against its
 * checksum, the first of those in parts->tail; what follows that need not be there.
 */
crackle_status ck_open_labels(const struct crackle_parts *parts, int verify, struct crackle_header *header_ret,
                              struct crackle_layout *layout_ret, struct crackle_where *where);

#endif /* CK_HEADER_H */
