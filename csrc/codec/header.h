/* header.h - the header, and the positions of the sections */
#ifndef CK_HEADER_H
#define CK_HEADER_H

#include "../base/common.h"
#include "../crackle.h"

/* Record where a fault is, and return 'status'. */
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

/* Whether there are no voxels. Such a stream is a header and nothing else. */
static inline int ck_is_empty(const struct crackle_header *h)
{
    return h->sx == 0 || h->sy == 0 || h->sz == 0;
}

/* Write ck_header_nbytes() bytes. Does not check the fields of 'h'. */
void ck_write_header(const struct crackle_header *h, u8 *out);

/* Parse the header and the layout. Needs only the prefix of the stream. */
crackle_status ck_open_sections(const struct crackle_parts *parts, struct crackle_header *header_ret,
                                struct crackle_layout *layout_ret, struct crackle_where *where);

/*
 * Like ck_open_sections(), but also checks that the labels section is complete.  With 'verify' it compares the checksum
 * of the section, which is the first in parts->tail; the rest of the tail may be missing.
 */
crackle_status ck_open_labels(const struct crackle_parts *parts, int verify, struct crackle_header *header_ret,
                              struct crackle_layout *layout_ret, struct crackle_where *where);

#endif /* CK_HEADER_H */
