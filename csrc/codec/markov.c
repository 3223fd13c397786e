/*
 * markov.c - the Markov model of the differences between codepoints
 *
 * Boundaries are digital curves, so their last few steps predict the next one well.  For every history of n
 * differences, the model ranks the four differences that may follow.  A difference is written as its rank in a prefix
 * code, lowest bit first (docs/format.md, section 4):
 *
 *   rank 0  0     rank 1  01     rank 2  011     rank 3  111
 *
 * So an expected difference takes one bit.  A row of the model is a permutation of the four differences.  A stream
 * stores its number in the lexicographic list of the 24 permutations.  In memory a row is the permutation itself, two
 * bits per rank: one byte, and a look-up is one shift.
 *
 * A BRANCH may be spelled UP, DOWN or LEFT, RIGHT, and a TERMINATE DOWN, UP or RIGHT, LEFT.  Changing the spelling
 * changes the difference of the first half by one, and the difference behind the symbol by one in the other direction.
 * A writer with a model can choose the spelling that the model expects: ck_markov_respell().
 *
 * With enough input, tables handle several differences at once.  A few bits of code and the history index a table of
 * the differences that these bits decode to and of the history after them.  So there is one look-up per table entry,
 * and not one per difference.
 *
 * A history is a number in base 4 whose highest digit is the newest difference.  A new difference pushes the oldest out
 * by a shift to the right.
 */
#include "format.h"
#include "markov.h"

#define PERMUTATION(a, b, c, d) ((a) | (b) << 2 | (c) << 4 | (d) << 6)

static const u8 permutations[CK_PERMUTATIONS] = {
    PERMUTATION(0, 1, 2, 3), PERMUTATION(0, 1, 3, 2), PERMUTATION(0, 2, 1, 3), PERMUTATION(0, 2, 3, 1),
    PERMUTATION(0, 3, 1, 2), PERMUTATION(0, 3, 2, 1), PERMUTATION(1, 0, 2, 3), PERMUTATION(1, 0, 3, 2),
    PERMUTATION(1, 2, 0, 3), PERMUTATION(1, 2, 3, 0), PERMUTATION(1, 3, 0, 2), PERMUTATION(1, 3, 2, 0),
    PERMUTATION(2, 0, 1, 3), PERMUTATION(2, 0, 3, 1), PERMUTATION(2, 1, 0, 3), PERMUTATION(2, 1, 3, 0),
    PERMUTATION(2, 3, 0, 1), PERMUTATION(2, 3, 1, 0), PERMUTATION(3, 0, 1, 2), PERMUTATION(3, 0, 2, 1),
    PERMUTATION(3, 1, 0, 2), PERMUTATION(3, 1, 2, 0), PERMUTATION(3, 2, 0, 1), PERMUTATION(3, 2, 1, 0),
};

/* Indexed by the next three bits: the rank with which they begin, and the number of bits of its code. */
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
    free(model->decoder);
    free(model->encoder);
    memset(model, 0, sizeof(*model));
}

/* ----------------------- The model as bytes of a stream -------------------- */

crackle_status ck_markov_read(struct ck_markov_model *model, unsigned int order, const u8 *bytes)
{
    size_t count = num_rows(order);

    memset(model, 0, sizeof(*model));
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

/*
 * The decoder table has an entry per history and window of next bits.  An entry holds the differences that are complete
 * within the window, their number, the number of their bits, and the history after them.
 */
#define MAX_WINDOW 6 /* an entry has 12 + 3 + 3 bits, and 14 for a history */
#define MIN_WINDOW 3
#define MAX_DECODER_ORDER 7

#define ENTRY(differences, count, length, history) \
    ((u32)(differences) | (u32)(count) << 12 | (u32)(length) << 15 | (u32)(history) << 18)
#define ENTRY_DIFFERENCES(entry) ((entry) & 0xfff)
#define ENTRY_COUNT(entry) ((entry) >> 12 & 7)
#define ENTRY_LENGTH(entry) ((entry) >> 15 & 7)
#define ENTRY_HISTORY(entry) ((size_t)((entry) >> 18))

/* Making an entry takes as long as decoding this many bytes without the table. */
#define ENTRY_NBYTES 8

static u32 make_entry(const struct ck_markov_model *model, size_t history, unsigned int bits, unsigned int window)
{
    unsigned int differences = 0, count = 0, length = 0;

    while (length + length_of_bits[bits & 7] <= window) {
        const unsigned int difference = model->rows[history] >> 2 * rank_of_bits[bits & 7] & 3;

        length += length_of_bits[bits & 7];
        bits >>= length_of_bits[bits & 7];
        differences |= difference << 2 * count++;
        history = next_history(history, difference, model->order);
    }
    return ENTRY(differences, count, length, history);
}

int ck_markov_make_decoder(struct ck_markov_model *model, u64 nbytes)
{
    const size_t rows = num_rows(model->order);
    unsigned int window = MAX_WINDOW;

    while (window >= MIN_WINDOW && ((u64)rows << window) * ENTRY_NBYTES > nbytes)
        window--;
    if (window < MIN_WINDOW || model->order > MAX_DECODER_ORDER)
        return 1;
    model->decoder = ck_malloc((u64)rows << window, sizeof(*model->decoder));
    if (!model->decoder)
        return 0;
    model->window = window;
    for (size_t history = 0; history < rows; history++)
        for (unsigned int bits = 0; bits < 1u << window; bits++)
            model->decoder[history << window | bits] = make_entry(model, history, bits, window);
    return 1;
}

/* The state of decoding: bits of input, and differences of output. */
struct decoding {
    const u8 *in, *end;
    u64 bits;            /* not yet decoded; the next is the lowest; garbage follows */
    unsigned int count;  /* number of valid bits in 'bits' */
    size_t history;
    u8 *out;
    u64 packed;          /* not yet written; the first is the lowest */
    unsigned int filled; /* number of bits in 'packed', less than 8 */
};

/* Decode with the table, as long as eight bytes can be read at once. */
static void decode_by_table(const struct ck_markov_model *model, struct decoding *state)
{
    const unsigned int window = model->window;
    const u64 mask = ck_low_bits(window);
    const u32 *const entries = model->decoder;
    struct decoding d = *state;

    while (d.end - d.in >= 8) {
        /* Load at least 56 bits. Bits that do not fit are read again later. */
        d.bits |= ck_load64(d.in) << d.count;
        d.in += (63 - d.count) >> 3;
        d.count |= 56;
        /* Four entries take at most 24 bits and give at most 48. */
        for (int twice = 0; twice < 2; twice++) {
            for (int i = 0; i < 4; i++) {
                const u32 entry = entries[d.history << window | (d.bits & mask)];

                d.packed |= (u64)ENTRY_DIFFERENCES(entry) << d.filled;
                d.filled += 2 * ENTRY_COUNT(entry);
                d.bits >>= ENTRY_LENGTH(entry);
                d.count -= ENTRY_LENGTH(entry);
                d.history = ENTRY_HISTORY(entry);
            }
            ck_store64(d.out, d.packed);
            d.out += d.filled >> 3;
            d.packed >>= d.filled & ~7u;
            d.filled &= 7;
        }
    }
    *state = d;
}

static inline void put_difference(struct decoding *d, unsigned int difference)
{
    d->packed |= (u64)difference << d->filled;
    *d->out = (u8)d->packed;
    d->filled += 2;
    if (d->filled == 8) {
        d->out++;
        d->packed = 0;
        d->filled = 0;
    }
}

/* Decode one difference at a time, to the end. */
static void decode_singly(const struct ck_markov_model *model, struct decoding *state)
{
    struct decoding d = *state;

    d.bits &= ck_low_bits(d.count);
    for (;;) {
        unsigned int length, difference;

        if (d.count < 3) {
            if (d.end - d.in >= 4) {
                d.bits |= (u64)ck_load32(d.in) << d.count;
                d.in += 4;
                d.count += 32;
            } else {
                for (; d.in < d.end; d.count += 8)
                    d.bits |= (u64)*d.in++ << d.count;
            }
        }
        length = length_of_bits[d.bits & 7];
        if (CK_UNLIKELY(length > d.count))
            break;
        difference = model->rows[d.history] >> 2 * rank_of_bits[d.bits & 7] & 3;
        d.bits >>= length;
        d.count -= length;
        d.history = next_history(d.history, difference, model->order);
        put_difference(&d, difference);
    }
    *state = d;
}

size_t ck_markov_decode(const struct ck_markov_model *model, const u8 *in, size_t nbytes, u8 *packed)
{
    struct decoding d = {0};
    unsigned int first;

    if (nbytes == 0)
        return 0;
    first = *in & 3;
    d.in = in + 1;
    d.end = in + nbytes;
    d.bits = *in >> 2;
    d.count = 6;
    d.history = next_history(0, first, model->order);
    d.out = packed;
    put_difference(&d, first);
    if (model->decoder)
        decode_by_table(model, &d);
    decode_singly(model, &d);
    return (size_t)(d.out - packed) * 4 + d.filled / 2;
}

/* --------------------------------- Encoding -------------------------------- */

static inline unsigned int difference_at(const struct ck_differences *slice, u64 i)
{
    return slice->packed[i / 4] >> 2 * (i % 4) & 3;
}

/*
 * How often each difference follows each of the histories [first, first + num_histories).  Adding to the same count again
 * and again waits for the sum just written, and segmentations mostly go straight on.  So if histories are few, there are
 * several tables, which take turns.
 */
struct counting {
    unsigned int order, num_tables;
    size_t first, num_histories;
    u32 *counts;    /* of difference d after history h: at d * num_histories + h - first; table behind table */
};

#define MAX_HISTORIES_OF_TURNS 1024

static int init_counting(struct counting *c, unsigned int order, size_t num_histories)
{
    c->order = order;
    c->num_tables = num_histories <= MAX_HISTORIES_OF_TURNS ? 4 : 1;
    c->first = 0;
    c->num_histories = num_histories;
    c->counts = ck_malloc((u64)num_histories * c->num_tables, 4 * sizeof(*c->counts));
    return c->counts != NULL;
}

/* 'history' and, in the two bits above it, the difference that follows. */
CK_FORCEINLINE void count_one(const struct counting *c, u32 *table, u64 difference_and_history, int are_all)
{
    const size_t history = (size_t)difference_and_history & (num_rows(c->order) - 1);
    const size_t difference = (size_t)(difference_and_history >> 2 * c->order) & 3;

    if (are_all)
        table[(size_t)difference_and_history & (num_rows(c->order + 1) - 1)]++;
    else if (history - c->first < c->num_histories)
        table[difference * c->num_histories + history - c->first]++;
}

/* 'are_all': whether the counts are of all histories. */
CK_FORCEINLINE void count_slice(const struct counting *c, const struct ck_differences *slice, int are_all)
{
    const size_t next_table = c->num_tables > 1 ? 4 * c->num_histories : 0;
    const unsigned int order = c->order;
    u32 *const counts = c->counts;
    u64 history, i = 1;

    if (slice->count == 0)
        return;
    history = next_history(0, difference_at(slice, 0), order);
    while (i < slice->count) {
        if (i % 4 == 0 && i + 4 <= slice->count) {
            const u64 bits = history | (u64)slice->packed[i / 4] << 2 * order;

            count_one(c, counts, bits, are_all);
            count_one(c, counts + next_table, bits >> 2, are_all);
            count_one(c, counts + 2 * next_table, bits >> 4, are_all);
            count_one(c, counts + 3 * next_table, bits >> 6, are_all);
            history = bits >> 8;
            i += 4;
        } else {
            const u64 bits = history | (u64)difference_at(slice, i) << 2 * order;

            count_one(c, counts, bits, are_all);
            history = bits >> 2;
            i++;
        }
    }
}

/* Count the differences of all slices; four billion are enough. */
static void count_differences(const struct counting *c, const struct ck_differences *slices, size_t num_slices,
                              const volatile int32_t *stop)
{
    const size_t num_counts = 4 * c->num_histories;
    u64 total = 0;

    memset(c->counts, 0, num_counts * c->num_tables * sizeof(*c->counts));
    for (size_t z = 0; z < num_slices && !ck_is_set(stop); z++) {
        struct ck_differences slice = slices[z];

        slice.count = slice.count < UINT32_MAX - total ? slice.count : UINT32_MAX - total;
        total += slice.count;
        if (c->num_histories == num_rows(c->order))
            count_slice(c, &slice, 1);
        else
            count_slice(c, &slice, 0);
    }
    for (size_t table = 1; table < c->num_tables; table++)
        for (size_t i = 0; i < num_counts; i++)
            c->counts[i] += c->counts[table * num_counts + i];
}

/* The differences by falling count. 'counts' are 'stride' apart. */
static u8 rank_differences(const u32 *counts, size_t stride)
{
    unsigned int row = 0;

    for (unsigned int d = 0; d < 4; d++) {
        unsigned int rank = 0;

        for (unsigned int other = 0; other < 4; other++)
            rank += counts[other * stride] > counts[d * stride] ||
                    (counts[other * stride] == counts[d * stride] && other > d);
        row |= d << 2 * rank;
    }
    return (u8)row;
}

crackle_status ck_markov_train(struct ck_markov_model *model, unsigned int order,
                               const struct ck_differences *slices, size_t num_slices,
                               const volatile int32_t *stop)
{
    /* Counts for 4^10 histories take 16 MiB. Higher orders pass over the slices several times. */
    const size_t total = num_rows(order);
    struct counting c;
    const int ok = init_counting(&c, order, total < num_rows(10) ? total : num_rows(10));

    memset(model, 0, sizeof(*model));
    model->order = order;
    model->rows = ck_malloc(total, 1);
    if (!ok || !model->rows) {
        free(c.counts);
        ck_markov_free(model);
        return CRACKLE_NO_MEMORY;
    }
    for (; c.first < total && !ck_is_set(stop); c.first += c.num_histories) {
        count_differences(&c, slices, num_slices, stop);
        for (size_t i = 0; i < c.num_histories; i++)
            model->rows[c.first + i] = rank_differences(c.counts + i, c.num_histories);
    }
    free(c.counts);
    if (ck_is_set(stop)) {
        ck_markov_free(model);
        return CRACKLE_STOPPED;
    }
    return CRACKLE_OK;
}

/* The bits of the counted differences, in the codes of the model that the counts give. */
static u64 cost_of_counts(const u32 *counts, size_t rows)
{
    u64 bits = 0;

    for (size_t i = 0; i < rows; i++) {
        const unsigned int row = rank_differences(counts + i, rows);

        for (unsigned int rank = 0; rank < 4; rank++)
            bits += (u64)counts[(row >> 2 * rank & 3) * rows + i] * length_of_rank[rank];
    }
    return bits;
}

crackle_status ck_markov_choose_order(const struct ck_differences *slices, size_t num_slices, unsigned int max_order,
                                      const volatile int32_t *stop, unsigned int *order_ret)
{
    u64 least = UINT64_MAX;
    struct counting c;

    if (!init_counting(&c, max_order, num_rows(max_order)))
        return CRACKLE_NO_MEMORY;
    count_differences(&c, slices, num_slices, stop);
    for (unsigned int order = max_order; order >= 1 && !ck_is_set(stop); order--) {
        const size_t rows = num_rows(order);
        const u64 bits = cost_of_counts(c.counts, rows) + (u64)rows * CK_BITS_PER_MARKOV_ROW;

        if (bits <= least) {
            least = bits;
            *order_ret = order;
        }
        /* The lowest digit of a history is its oldest difference. Dropping it merges four rows into one. */
        for (size_t i = 0; i < rows; i++) {
            u32 *const merged = c.counts + 4 * i;

            c.counts[i] = merged[0] + merged[1] + merged[2] + merged[3];
        }
    }
    free(c.counts);
    return ck_is_set(stop) ? CRACKLE_STOPPED : CRACKLE_OK;
}

/* The inverse of every row: bits 2 d and 2 d + 1 are the rank of difference d. */
static void make_ranks(u8 ranks_of_row[256])
{
    for (unsigned int i = 0; i < CK_PERMUTATIONS; i++) {
        unsigned int ranks = 0;

        for (unsigned int rank = 0; rank < 4; rank++)
            ranks |= rank << 2 * (permutations[i] >> 2 * rank & 3);
        ranks_of_row[permutations[i]] = (u8)ranks;
    }
}

int ck_markov_costs(const struct ck_markov_model *model, struct ck_step_costs *costs)
{
    const size_t rows = num_rows(model->order);

    costs->order = model->order;
    costs->bits = ck_malloc(rows, 4);
    if (!costs->bits)
        return 0;
    for (size_t history = 0; history < rows; history++)
        for (unsigned int rank = 0; rank < 4; rank++)
            costs->bits[history << 2 | (model->rows[history] >> 2 * rank & 3)] = length_of_rank[rank];
    return 1;
}

/* The bits of the differences [from, to). 'from' is at least 1. */
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
    int after_control = 1;      /* whether no codepoint precedes with which the next could pair */

    make_ranks(ranks_of_row);
    for (u64 i = 0; i + 1 < count; i++) {
        const unsigned int first = (codepoint + differences[i]) & 3;

        if (differences[i + 1] == 2) {
            /* The first half of the other spelling is one step away: UP and LEFT, DOWN and RIGHT. */
            const unsigned int change = first == CK_UP || first == CK_DOWN ? 3 : 1;
            const unsigned int other = (differences[i] + change) & 3;
            const u64 end = i + 3 + order < count ? i + 3 + order : count;

            /* The first difference of a slice is not coded with the model, so it gains nothing. */
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

/*
 * The encoder table has an entry per history and pair of differences: the code of both, and above it the number of its
 * bits.
 */
#define PAIR_BITS 6
#define MAX_ENCODER_ORDER 6
CK_STATIC_ASSERT(window_of_pairs_fits, 2 * MAX_ENCODER_ORDER + 32 + 6 <= 64);
#define FIRST_BY_TABLE MAX_ENCODER_ORDER /* the first difference that has a whole history before it */

int ck_markov_make_encoder(struct ck_markov_model *model, u64 count)
{
    const size_t rows = num_rows(model->order);
    u8 ranks_of_row[256];

    if (model->order > MAX_ENCODER_ORDER || (u64)rows * 16 > count)
        return 1;
    model->encoder = ck_malloc((u64)rows * 16, sizeof(*model->encoder));
    if (!model->encoder)
        return 0;
    make_ranks(ranks_of_row);
    for (size_t history = 0; history < rows; history++)
        for (unsigned int pair = 0; pair < 16; pair++) {
            const size_t second_history = next_history(history, pair & 3, model->order);
            const unsigned int first = ranks_of_row[model->rows[history]] >> 2 * (pair & 3) & 3;
            const unsigned int second = ranks_of_row[model->rows[second_history]] >> 2 * (pair >> 2) & 3;
            const unsigned int code = code_of_rank[first] | code_of_rank[second] << length_of_rank[first];

            model->encoder[pair << 2 * model->order | history] =
                (u16)(code | (length_of_rank[first] + length_of_rank[second]) << PAIR_BITS);
        }
    return 1;
}

/* The output of encoding. */
struct encoding {
    u64 bits;
    unsigned int count; /* at most seven after flush() */
    u8 *out;
};

/* Write the whole bytes. Has no branch: nobody can predict how many there are. */
CK_FORCEINLINE void flush(struct encoding *e)
{
    ck_store64(e->out, e->bits);
    e->out += e->count / 8;
    e->bits >>= e->count & ~7u;
    e->count &= 7;
}

/* Add two pairs of differences. The lower bits of 'window' are the first pair, below it its history. */
CK_FORCEINLINE void put_pairs(const u16 *encoder, u64 mask, u64 window, struct encoding *e)
{
    const u64 first = encoder[window & mask], second = encoder[window >> 4 & mask];
    const u64 codes = (first & ck_low_bits(PAIR_BITS)) | (second & ck_low_bits(PAIR_BITS)) << (first >> PAIR_BITS);

    e->bits |= codes << e->count;
    e->count += (unsigned int)(first >> PAIR_BITS) + (unsigned int)(second >> PAIR_BITS);
}

/*
 * Encode the differences from 'i' on, sixteen at a time, and return where it stopped.  'i' is at least the order.  A
 * history and the pair that follows it are consecutive bits of the differences, so no pair waits for the one before.
 */
CK_FORCEINLINE u64 encode_pairs(const struct ck_markov_model *model, const struct ck_differences *slice, u64 i,
                                struct encoding *encoding)
{
    const u64 mask = ck_low_bits(2 * model->order + 4);
    struct encoding e = *encoding;

    for (; i + 32 <= slice->count; i += 16) { /* eight bytes end at most 31 differences behind i */
        const u64 first = i - model->order;
        const u64 window = ck_load64(slice->packed + first / 4) >> 2 * (first % 4);

        /* Eight take 24 bits at most.  Sixteen would fit, too, but GCC has too few registers for them. */
        put_pairs(model->encoder, mask, window, &e);
        put_pairs(model->encoder, mask, window >> 8, &e);
        flush(&e);
        put_pairs(model->encoder, mask, window >> 16, &e);
        put_pairs(model->encoder, mask, window >> 24, &e);
        flush(&e);
    }
    *encoding = e;
    return i;
}

#if CK_MAYBE_V3

/* With BMI2, shifts take fewer registers. */
CK_TARGET_V3 static u64 encode_pairs_v3(const struct ck_markov_model *model, const struct ck_differences *slice, u64 i,
                                        struct encoding *encoding)
{
    return encode_pairs(model, slice, i, encoding);
}

#endif

static u64 encode_by_table(const struct ck_markov_model *model, const struct ck_differences *slice, u64 i,
                           struct encoding *encoding)
{
#if CK_MAYBE_V3
    if (ck_cpu_has_v3())
        return encode_pairs_v3(model, slice, i, encoding);
#endif
    return encode_pairs(model, slice, i, encoding);
}

crackle_status ck_markov_encode(const struct ck_markov_model *model, const struct ck_differences *slice,
                                struct ck_bytes *out)
{
    struct encoding e;
    u8 ranks_of_row[256];
    size_t history;

    if (slice->count == 0)
        return CRACKLE_OK;
    if (slice->count > UINT64_MAX / 4 || !ck_bytes_reserve(out, slice->count * 3 / 8 + 16))
        return CRACKLE_NO_MEMORY;
    make_ranks(ranks_of_row);
    e.bits = difference_at(slice, 0);
    e.count = 2;
    e.out = out->data + out->size;
    history = next_history(0, (unsigned int)e.bits, model->order);
    for (u64 i = 1; i < slice->count; i++) {
        unsigned int difference, rank;

        if (i == FIRST_BY_TABLE && model->encoder) {
            i = encode_by_table(model, slice, i, &e);
            for (u64 k = i - model->order; k < i; k++)
                history = next_history(history, difference_at(slice, k), model->order);
        }
        difference = difference_at(slice, i);
        rank = ranks_of_row[model->rows[history]] >> 2 * difference & 3;
        e.bits |= (u64)code_of_rank[rank] << e.count;
        e.count += length_of_rank[rank];
        flush(&e);
        history = next_history(history, difference, model->order);
    }
    if (e.count > 0)
        *e.out++ = (u8)e.bits;
    out->size = (size_t)(e.out - out->data);
    return CRACKLE_OK;
}
