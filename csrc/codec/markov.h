/*
 * markov.h - the Markov model of the differences between codepoints
 */
#ifndef CK_MARKOV_H
#define CK_MARKOV_H

#include "../base/common.h"
#include "../crackle.h"

/* For every history of 'order' differences, a ranking of the four differences by likelihood. */
struct ck_markov_model {
    unsigned int order;
    u8 *rows;             /* 4^order rows; bits 2 r and 2 r + 1 are the difference of rank r */
    u32 *decoder;         /* see ck_markov_make_decoder() */
    unsigned int window;
    u16 *encoder;         /* see ck_markov_make_encoder() */
};

crackle_status ck_markov_read(struct ck_markov_model *model, unsigned int order, const u8 *bytes);
void ck_markov_write(const struct ck_markov_model *model, u8 *bytes);
void ck_markov_free(struct ck_markov_model *model);

/*
 * Make tables that decode several differences, or encode two, at a time.  They are made only if there is enough input
 * to pay for them: 'nbytes' of code, 'count' differences.  Coding works without them.  False when there is no memory.
 */
int ck_markov_make_decoder(struct ck_markov_model *model, u64 nbytes);
int ck_markov_make_encoder(struct ck_markov_model *model, u64 count);

/* How many bytes ck_markov_decode() may write for 'nbytes' of code. */
static inline u64 ck_markov_packed_nbytes(u64 nbytes)
{
    return 2 * nbytes + 16;
}

/*
 * Decode differences until the bits are used up, four to a byte, and return their number.  The last byte is padded with
 * garbage.
 */
size_t ck_markov_decode(const struct ck_markov_model *model, const u8 *in, size_t nbytes, u8 *packed);

/* The differences of a slice, four to a byte, as ck_write_crack_code() packs them. */
struct ck_differences {
    const u8 *packed;
    u64 count;
};

/*
 * The order, from 1 to 'max_order', for which the model and the coded slices are shortest together.  'max_order' is at
 * most 10.
 */
crackle_status ck_markov_choose_order(const struct ck_differences *slices, size_t num_slices, unsigned int max_order,
                                      const volatile int32_t *stop, unsigned int *order_ret);

/*
 * Make the model that fits the given slices best: each history ranks the differences by how often they follow it.  Of
 * equally frequent differences, the higher comes first.
 */
crackle_status ck_markov_train(struct ck_markov_model *model, unsigned int order,
                               const struct ck_differences *slices, size_t num_slices,
                               const volatile int32_t *stop);

/*
 * Give each control symbol of a slice the spelling that is shorter in the code of the model.  'differences' are one per
 * byte.
 */
void ck_markov_respell(const struct ck_markov_model *model, u8 *differences, u64 count);

/* The bits of a difference after a history, in the code of a model. */
struct ck_step_costs {
    unsigned int order;
    u8 *bits;   /* per history, four */
};

/* False when there is no memory. Free 'costs->bits' with free(). */
int ck_markov_costs(const struct ck_markov_model *model, struct ck_step_costs *costs);

/* The bits of 'difference'. '*history' moves on by it; a history of 0 is straight on. */
static inline unsigned int ck_step_cost(const struct ck_step_costs *costs, size_t *history, unsigned int difference)
{
    const unsigned int bits = costs->bits[*history << 2 | difference];

    *history = *history >> 2 | (size_t)difference << 2 * (costs->order - 1);
    return bits;
}

/* Append the differences of a slice, coded with the model. */
crackle_status ck_markov_encode(const struct ck_markov_model *model, const struct ck_differences *slice,
                                struct ck_bytes *out);

#endif /* CK_MARKOV_H */
