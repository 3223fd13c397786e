/*
 * moves.h - the chains of a slice <-> the bytes of its crack code
 */
#ifndef CK_MOVES_H
#define CK_MOVES_H

#include "markov.h"
#include "trace.h"

/*
 * Append the crack code of a slice: the index of chain starts, then the codepoints as differences of two bits each
 * (Markov order 0).
 */
crackle_status ck_write_crack_code(const struct ck_chains *chains, const struct ck_bitmaps *b,
                                   struct ck_bytes *out);

/* The length of the index at the front of a crack code of 'nbytes' bytes, or 0 if it is damaged. */
u64 ck_chain_index_nbytes(const u8 *code, u64 nbytes);

/*
 * Read the crack code of a slice of b->sx by b->sy voxels.  'model' is NULL for Markov order 0.  The padding of the
 * last byte may add some codepoints at the end.
 */
crackle_status ck_read_crack_code(const u8 *code, u64 nbytes, const struct ck_markov_model *model,
                                  const struct ck_bitmaps *b, struct ck_chains *chains);

#endif /* CK_MOVES_H */
