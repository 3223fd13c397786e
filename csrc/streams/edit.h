/*
 * edit.h - streams whose labels section alone is new
 */
#ifndef CK_EDIT_H
#define CK_EDIT_H

#include "../base/common.h"
#include "../crackle.h"

/*
 * The stream 'in', whose sections lie at 'l', with the header 'h' and with 'labels' for its labels section, the
 * length of which is set in 'h'.  What lies before and behind is copied, and the labels' checksum made anew.
 */
crackle_status ck_replace_labels(const u8 *in, const struct crackle_layout *l, struct crackle_header *h,
                                 const struct ck_bytes *labels, u8 **out_ret, size_t *out_nbytes_ret);

#endif /* CK_EDIT_H */
