/* edit.h - streams with a new labels section */
#ifndef CK_EDIT_H
#define CK_EDIT_H

#include "../base/common.h"
#include "../crackle.h"

/*
 * Copy the stream 'in', whose sections lie at 'l', with the header 'h' and the labels section 'labels'.  Sets the
 * length of the section in 'h', and computes its checksum.
 */
crackle_status ck_replace_labels(const u8 *in, const struct crackle_layout *l, struct crackle_header *h,
                                 const struct ck_bytes *labels, u8 **out_ret, size_t *out_nbytes_ret);

#endif /* CK_EDIT_H */
