/*
 * markov_recode.h - crack codes of order 0 -> a Markov model, and crack codes written with it
 */
#ifndef CK_MARKOV_RECODE_H
#define CK_MARKOV_RECODE_H

#include "../base/common.h"
#include "../crackle.h"
#include "markov.h"

/*
 * Put the model of a volume's cracks into 'out', which is empty, and the crack codes of all slices written with
 * it; 'lengths' receives those of the codes, and 'order_ret' the order.  There is at least one crack.  Where
 * the codes are shorter without a model, the order is 0 and 'out' still empty.  'stop': see crackle.h.
 */
crackle_status ck_put_markov_codes(struct ck_bytes *out, unsigned int order, const struct crackle_volume *v,
                                   crackle_part *const *parts, size_t num_parts, const volatile int32_t *stop,
                                   u32 *lengths, u8 *order_ret);

/*
 * Append a crack code as one of the model: the index of 'code', which is of order 0, and 'differences', as many
 * bytes as '*nbytes_ret' says.
 */
crackle_status ck_put_markov_code(struct ck_bytes *out, const struct ck_markov_model *model, const u8 *code,
                                    const struct ck_differences *differences, u32 *nbytes_ret);

#endif /* CK_MARKOV_RECODE_H */
