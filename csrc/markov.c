/*
 * markov.c - the Markov model of the differences between codepoints
 *
 * Boundaries are digital curves: what they did in their last few steps says much about the
 * next.  For every history of n differences the model ranks the four that may follow,
 * and a difference is written as its rank in a prefix code, lowest bit first:
 *
 *   rank 0  0     rank 1  01     rank 2  011     rank 3  111
 *
 * that is, one bit for what was expected.  A row of the model is a permutation, stored as
 * its number in the lexicographic list of the 24; in memory it is the permutation
 * itself, two bits a rank, so that a row is one byte and a look-up one shift.
 *
 * A BRANCH may be spelled UP, DOWN or LEFT, RIGHT, a TERMINATE DOWN, UP or RIGHT, LEFT.  In terms of
 * differences the two spellings differ by one in the first half, and by one the other way in
 * what follows the symbol, so a writer that has a model can take the one that is expected:
 * ck_markov_respell().
 *
 * A history is a number whose highest digit, in base 4, is the newest difference, so a
 * new one pushes the oldest out by a shift to the right.
 */
#include "markov.h"
#include "format.h"

#define PERMUTATION(a, b, c, d) ((a) | (b) << 2 | (c) << 4 | (d) << 6)

static const u8 permutations[CK_PERMUTATIONS] = {
    PERMUTATION(0, 1, 2, 3), PERMUTATION(0, 1, 3, 2), PERMUTATION(0, 2, 1, 3), PERMUTATION(0, 2, 3, 1),
    PERMUTATION(0, 3, 1, 2), PERMUTATION(0, 3, 2, 1), PERMUTATION(1, 0, 2, 3), PERMUTATION(1, 0, 3, 2),
    PERMUTATION(1, 2, 0, 3), PERMUTATION(1, 2, 3, 0), PERMUTATION(1, 3, 0, 2), PERMUTATION(1, 3, 2, 0),
    PERMUTATION(2, 0, 1, 3), PERMUTATION(2, 0, 3, 1), PERMUTATION(2, 1, 0, 3), PERMUTATION(2, 1, 3, 0),
    PERMUTATION(2, 3, 0, 1), PERMUTATION(2, 3, 1, 0), PERMUTATION(3, 0, 1, 2), PERMUTATION(3, 0, 2, 1),
    PERMUTATION(3, 1, 0, 2), PERMUTATION(3, 1, 2, 0), PERMUTATION(3, 2, 0, 1), PERMUTATION(3, 2, 1, 0),
};

/* By the next three bits: the rank they begin with, and how many of them it takes. */
static const u8 rank_of_bits[8] = {0, 1, 0, 2, 0, 1, 0, 3};
static const u8 length_of_bits[8] = {1, 2, 1, 3, 1, 2, 1, 3};

static const u8 code_of_rank[4] = {0, 1, 3, 7};
static const u8 length_of_rank[4] = {1, 2, 3, 3};

static inline size_t num_rows(unsigned int order)
{
    return (size_t)1 << 2 * order;
}

static inline size_t next_history(size_t history, unsigned int difference, unsigned int order)
{
    return history >> 2 | (size_t)difference << 2 * (order - 1);
}

void ck_markov_free(struct ck_markov_model *model)
{
    free(model->rows);
    model->rows = NULL;
}

/* ----------------------- The model as bytes of a stream -------------------- */

crackle_status ck_markov_read(struct ck_markov_model *model, unsigned int order, const u8 *bytes)
{
    size_t count = num_rows(order);

    model->order = order;
    model->rows = ck_malloc(count, 1);
    if (!model->rows)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        size_t bit = i * CK_BITS_PER_MARKOV_ROW;
        unsigned int two_bytes = bytes[bit / 8];
        unsigned int number;

        if (bit % 8 + CK_BITS_PER_MARKOV_ROW > 8)
            two_bytes |= (unsigned int)bytes[bit / 8 + 1] << 8;
        number = two_bytes >> bit % 8 & 31;
        if (number >= CK_PERMUTATIONS) {
            ck_markov_free(model);
            return CRACKLE_CORRUPT;
        }
        model->rows[i] = permutations[number];
    }
    return CRACKLE_OK;
}

void ck_markov_write(const struct ck_markov_model *model, u8 *bytes)
{
    unsigned int bits = 0, num_bits = 0;
    u8 number_of[256];

    for (unsigned int number = 0; number < CK_PERMUTATIONS; number++)
        number_of[permutations[number]] = (u8)number;
    for (size_t i = 0; i < num_rows(model->order); i++) {
        bits |= (unsigned int)number_of[model->rows[i]] << num_bits;
        num_bits += CK_BITS_PER_MARKOV_ROW;
        if (num_bits >= 8) {
            *bytes++ = (u8)bits;
            bits >>= 8;
            num_bits -= 8;
        }
    }
    if (num_bits)
        *bytes = (u8)bits;
}

/* --------------------------------- Decoding -------------------------------- */

size_t ck_markov_decode(const struct ck_markov_model *model, const u8 *in, size_t nbytes, u8 *codepoints)
{
    const u8 *const end = in + nbytes;
    u8 *out = codepoints;
    unsigned int difference, codepoint;
    size_t history;
    u64 bits;           /* not yet used, the next is the lowest */
    unsigned int count; /* how many of them */

    if (nbytes == 0)
        return 0;
    bits = *in++;
    difference = bits & 3;
    bits >>= 2;
    count = 6;
    codepoint = difference;
    history = next_history(0, difference, model->order);
    *out++ = (u8)codepoint;

    for (;;) {
        unsigned int rank, length;

        if (count < 3) {
            if (end - in >= 4) {
                bits |= (u64)ck_load32(in) << count;
                in += 4;
                count += 32;
            } else {
                for (; in < end; count += 8)
                    bits |= (u64)*in++ << count;
            }
        }
        length = length_of_bits[bits & 7];
        if (CK_UNLIKELY(length > count))
            return (size_t)(out - codepoints);
        rank = rank_of_bits[bits & 7];
        bits >>= length;
        count -= length;
        difference = model->rows[history] >> 2 * rank & 3;
        codepoint = (codepoint + difference) & 3;
        history = next_history(history, difference, model->order);
        *out++ = (u8)codepoint;
    }
}

/* --------------------------------- Encoding -------------------------------- */

static inline unsigned int difference_at(const struct ck_differences *slice, u64 i)
{
    return slice->packed[i / 4] >> 2 * (i % 4) & 3;
}

/* How often each difference follows each of the histories [first, first + count). */
static void count_differences(const struct ck_differences *slice, unsigned int order, size_t first, size_t count,
                              u32 (*counts)[4])
{
    size_t history;

    if (slice->count == 0)
        return;
    history = next_history(0, difference_at(slice, 0), order);
    for (u64 i = 1; i < slice->count; i++) {
        unsigned int difference = difference_at(slice, i);

        if (history - first < count) {
            u32 *n = &counts[history - first][difference];

            *n += *n != UINT32_MAX;
        }
        history = next_history(history, difference, order);
    }
}

static u8 rank_differences(const u32 counts[4])
{
    unsigned int row = 0;

    for (unsigned int d = 0; d < 4; d++) {
        unsigned int rank = 0;

        for (unsigned int other = 0; other < 4; other++)
            rank += counts[other] > counts[d] || (counts[other] == counts[d] && other > d);
        row |= d << 2 * rank;
    }
    return (u8)row;
}

crackle_status ck_markov_train(struct ck_markov_model *model, unsigned int order,
                               const struct ck_differences *slices, size_t num_slices)
{
    /* Counts for 4^10 histories are 16 MiB; higher orders go over the slices several times. */
    size_t total = num_rows(order);
    size_t at_once = total < num_rows(10) ? total : num_rows(10);
    u32(*counts)[4] = ck_malloc(at_once, sizeof(*counts));

    model->order = order;
    model->rows = ck_malloc(total, 1);
    if (!counts || !model->rows) {
        free(counts);
        ck_markov_free(model);
        return CRACKLE_NO_MEMORY;
    }
    for (size_t first = 0; first < total; first += at_once) {
        memset(counts, 0, at_once * sizeof(*counts));
        for (size_t z = 0; z < num_slices; z++)
            count_differences(&slices[z], order, first, at_once, counts);
        for (size_t i = 0; i < at_once; i++)
            model->rows[first + i] = rank_differences((const u32 *)counts[i]);
    }
    free(counts);
    return CRACKLE_OK;
}

/* For every row, its inverse: bits 2 d and 2 d + 1 are the rank of the difference d. */
static void make_ranks(u8 ranks_of_row[256])
{
    for (unsigned int i = 0; i < CK_PERMUTATIONS; i++) {
        unsigned int ranks = 0;

        for (unsigned int rank = 0; rank < 4; rank++)
            ranks |= rank << 2 * (permutations[i] >> 2 * rank & 3);
        ranks_of_row[permutations[i]] = (u8)ranks;
    }
}

/* Bits of the differences [from, to), of which from is at least 1. */
static unsigned int cost_of(const struct ck_markov_model *model, const u8 *ranks_of_row, const u8 *differences,
                            u64 from, u64 to, size_t history)
{
    unsigned int bits = 0;

    for (u64 i = from; i < to; i++) {
        bits += length_of_rank[ranks_of_row[model->rows[history]] >> 2 * differences[i] & 3];
        history = next_history(history, differences[i], model->order);
    }
    return bits;
}

void ck_markov_respell(const struct ck_markov_model *model, u8 *differences, u64 count)
{
    const unsigned int order = model->order;
    u8 ranks_of_row[256];
    unsigned int codepoint = 0; /* before differences[i] */
    size_t history = 0;
    int after_control = 1;      /* nothing pairs with the codepoint before: there is none, or it ended a control */

    make_ranks(ranks_of_row);
    for (u64 i = 0; i + 1 < count; i++) {
        const unsigned int first = (codepoint + differences[i]) & 3;

        if (differences[i + 1] == 2) {
            /* UP and LEFT, DOWN and RIGHT: the other spelling's first half is a step away. */
            const unsigned int change = first == CK_UP || first == CK_DOWN ? 3 : 1;
            const unsigned int other = (differences[i] + change) & 3;
            const u64 end = i + 3 + order < count ? i + 3 + order : count;

            /* The first difference of all is written as it is: nothing is gained there. */
            if (i > 0 && (other != 2 || after_control)) {
                unsigned int cost = cost_of(model, ranks_of_row, differences, i, end, history);
                u8 old = differences[i], follower = i + 2 < count ? differences[i + 2] : 0;

                differences[i] = (u8)other;
                if (i + 2 < count)
                    differences[i + 2] = (u8)((follower + 4 - change) & 3);
                if (cost_of(model, ranks_of_row, differences, i, end, history) >= cost) {
                    differences[i] = old;
                    if (i + 2 < count)
                        differences[i + 2] = follower;
                }
            }
            history = next_history(next_history(history, differences[i], order), 2, order);
            codepoint = (codepoint + differences[i] + 2) & 3;
            i++;
            after_control = 1;
            continue;
        }
        history = next_history(history, differences[i], order);
        codepoint = first;
        after_control = 0;
    }
}

crackle_status ck_markov_encode(const struct ck_markov_model *model, const struct ck_differences *slice,
                                struct ck_bytes *out)
{
    u8 ranks_of_row[256];
    size_t history;
    u64 bits;
    unsigned int count;

    if (slice->count == 0)
        return CRACKLE_OK;
    if (slice->count > UINT64_MAX / 4 || !ck_bytes_reserve(out, slice->count * 3 / 8 + 16))
        return CRACKLE_NO_MEMORY;
    make_ranks(ranks_of_row);
    bits = difference_at(slice, 0);
    count = 2;
    history = next_history(0, (unsigned int)bits, model->order);
    for (u64 i = 1; i < slice->count; i++) {
        unsigned int difference = difference_at(slice, i);
        unsigned int rank = ranks_of_row[model->rows[history]] >> 2 * difference & 3;

        bits |= (u64)code_of_rank[rank] << count;
        count += length_of_rank[rank];
        if (count >= 32) {
            ck_store32(out->data + out->size, (u32)bits);
            out->size += 4;
            bits >>= 32;
            count -= 32;
        }
        history = next_history(history, difference, model->order);
    }
    for (; count > 0; count = count > 8 ? count - 8 : 0, bits >>= 8)
        out->data[out->size++] = (u8)bits;
    return CRACKLE_OK;
}
