/* markov_recode.h - a Markov model for crack codes of order 0, and the crack codes written with it */
#ifndef CK_MARKOV_RECODE_H
#define CK_MARKOV_RECODE_H

#include "../base/common.h"
#include "../crackle.h"
#include "markov.h"

/*
 * Append the model of the cracks of a volume to 'out', which is empty, and then the crack codes of all slices written
 * with it.  Sets the lengths of the codes, and '*order_ret'.  There must be at least one crack.  If the codes are
 * shorter without a model, the order is 0 and 'out' stays empty.  'stop': see crackle.h.
 */
crackle_status ck_put_markov_codes(struct ck_bytes *out, unsigned int order, const struct crackle_volume *v,
                                   crackle_part *const *parts, size_t num_parts, const volatile int32_t *stop,
                                   u32 *lengths, u8 *order_ret);

/*
 * Append a crack code written with the model: the index of 'code', which has order 0, followed by 'differences'.
 * '*nbytes_ret' is the length.
 */
crackle_status ck_put_markov_code(struct ck_bytes *out, const struct ck_markov_model *model, const u8 *code,
                                  const struct ck_differences *differences, u32 *nbytes_ret);

#endif /* CK_MARKOV_RECODE_H */
