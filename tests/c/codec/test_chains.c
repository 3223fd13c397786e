/*
 * test_chains.c - crack codes, read by a reader written from docs/format.md alone
 *
 * The reader below takes one bit and one codepoint at a time, and counts how often every crack is walked.  It shares no
 * code with csrc/, so it detects a mistake that the library makes in both writing and reading.  The writer must walk
 * every crack exactly once, or at least once with the rule CK_FEW_CONTROLS, and no other crack.  It must write no BRANCH
 * to which the walk does not return.
 */
#include "codec/boundary.h"
#include "codec/markov.h"
#include "codec/moves.h"
#include "codec/trace.h"
#include "cracks.h"
#include "volumes.h"

/* ------------------------------ The plain reader --------------------------- */

struct reader {
    const uint8_t *bytes;
    size_t num_bits, bit;
    unsigned int order;               /* 0: no model */
    const uint8_t *model;
    unsigned int past[16];            /* differences, the newest first */
    size_t num_differences;
    unsigned int codepoint;           /* the last one */
};

/* -1 at the end */
static int next_bit(struct reader *r)
{
    if (r->bit >= r->num_bits)
        return -1;
    r->bit++;
    return r->bytes[(r->bit - 1) / 8] >> (r->bit - 1) % 8 & 1;
}

/* The difference of a rank in row 'row', which is a numbered permutation of 0, 1, 2, 3. */
static unsigned int ranked(const uint8_t *model, size_t row, unsigned int rank)
{
    static const unsigned int factorial[4] = {6, 2, 1, 1};
    unsigned int number = 0, left[4] = {0, 1, 2, 3};

    for (size_t i = 0; i < 5; i++)
        number |= (unsigned int)(model[(5 * row + i) / 8] >> (5 * row + i) % 8 & 1) << i;
    for (unsigned int place = 0;; place++) {
        unsigned int k = number / factorial[place], chosen = left[k];

        if (place == rank)
            return chosen;
        number %= factorial[place];
        for (; k < 3; k++)
            left[k] = left[k + 1];
    }
}

/* -1 at the end */
static int next_codepoint(struct reader *r)
{
    int difference;

    if (r->order == 0 || r->num_differences == 0) {
        int low = next_bit(r), high = next_bit(r);

        if (high < 0)
            return -1;
        difference = low + 2 * high;
    } else {
        unsigned int rank = 0;
        size_t row = 0;
        int bit = 1;

        while (rank < 3 && (bit = next_bit(r)) == 1)
            rank++;
        if (bit < 0)
            return -1;
        for (unsigned int k = 1; k <= r->order; k++)
            row += (size_t)r->past[k - 1] << 2 * (r->order - k);
        difference = (int)ranked(r->model, row, rank);
    }
    memmove(r->past + 1, r->past, 15 * sizeof(*r->past));
    r->past[0] = (unsigned int)difference;
    r->num_differences++;
    r->codepoint = (r->codepoint + (unsigned int)difference) % 4;
    return (int)r->codepoint;
}

/* How often a walk passes each crack, to the right of and below each vertex; and counts of symbols. */
struct walked {
    size_t width;                     /* vertices per row */
    unsigned char *right, *below;
    size_t branches, terminates, idle, chains;
};

static void free_walked(struct walked *w)
{
    free(w->right);
    free(w->below);
}

static size_t width_of(size_t n)
{
    return n < 256 ? 1 : n < 65536 ? 2 : 4;
}

static size_t get(const uint8_t **at, size_t width)
{
    size_t n = 0;

    for (size_t i = 0; i < width; i++)
        n |= (size_t)*(*at)++ << 8 * i;
    return n;
}

/* Walk one chain from (x, y). False if it leaves the slice or does not end. */
static int walk_chain(struct reader *r, size_t x, size_t y, size_t sx, size_t sy, struct walked *w)
{
    size_t open = 1, depth = 0, moves = 0;
    size_t *stack = malloc((4 * r->num_bits + 4) * sizeof(*stack));
    int first = next_codepoint(r), ok = 0;

    while (first >= 0) {
        struct reader before = *r;
        int second = next_codepoint(r);

        if (second >= 0 && (first ^ second) == 2) {
            if (first == 0 || first == 3) {
                stack[depth++] = y * w->width + x;
                open++;
                w->branches++;
            } else {
                w->terminates++;
                w->idle += moves == 0;
                moves = 0;
                if (--open == 0) {
                    ok = 1;
                    break;
                }
                if (depth) {
                    depth--;
                    x = stack[depth] % w->width;
                    y = stack[depth] / w->width;
                }
            }
            first = next_codepoint(r);
            continue;
        }
        *r = before;
        moves++;
        /* Must not leave the slice or walk along its rim. */
        if (first == 0 || first == 2) {
            if (x == 0 || x == sx || (first == 0 ? y == 0 : y == sy))
                break;
            y -= first == 0;
            w->below[y * w->width + x]++;
            y += first == 2;
        } else {
            if (y == 0 || y == sy || (first == 3 ? x == 0 : x == sx))
                break;
            x -= first == 3;
            w->right[y * w->width + x]++;
            x += first == 1;
        }
        first = next_codepoint(r);
    }
    free(stack);
    return ok;
}

static int read_plainly(const uint8_t *code, size_t nbytes, size_t sx, size_t sy, unsigned int order,
                        const uint8_t *model, struct walked *w)
{
    const size_t xw = width_of(sx + 1), yw = width_of(sy + 1);
    const uint8_t *at = code;
    size_t index, rows, y = 0;
    struct reader r = {0};
    int ok = 1;

    memset(w, 0, sizeof(*w));
    w->width = sx + 1;
    w->right = calloc((sx + 1) * (sy + 1), 1);
    w->below = calloc((sx + 1) * (sy + 1), 1);
    index = get(&at, 4) + 4;
    if (nbytes < index)
        return 0;
    r.bytes = code + index;
    r.num_bits = 8 * (nbytes - index);
    r.order = order;
    r.model = model;
    rows = get(&at, yw);
    for (size_t row = 0; row < rows && ok; row++) {
        size_t step = get(&at, yw), starts = get(&at, xw), x = 0;

        ok = (row == 0 || step > 0) && starts > 0;
        y += step;
        for (size_t i = 0; i < starts && ok; i++, w->chains++) {
            step = get(&at, xw);
            ok = i == 0 || step > 0;
            x += step;
            ok = ok && walk_chain(&r, x, y, sx, sy, w);
        }
    }
    /* The index must fill its length, and only padding may follow the last chain. */
    return ok && at == code + index && r.num_bits - r.bit < 8 && (w->chains || r.num_bits == 0);
}

/* ------------------------------- Tracing alone ----------------------------- */

/* Whether a crack is walked as often as it must be. */
static int is_walked(unsigned int times, int is_crack, int may_repeat)
{
    return may_repeat && is_crack ? times > 0 : times == (unsigned int)is_crack;
}

static void check_code(const struct ck_bytes *code, const struct ck_bitmaps *b, enum ck_trace_rule rule,
                       unsigned int order, const u8 *model)
{
    u8 *exact = exact_copy(code->data, code->size);
    struct walked w;
    size_t wrong = 0;

    CHECK(read_plainly(exact, code->size, b->sx, b->sy, order, model, &w));
    for (size_t y = 0; y <= b->sy; y++)
        for (size_t x = 0; x <= b->sx; x++)
            wrong += !is_walked(w.right[y * w.width + x], get_bit(ck_horizontal(b, y), x), rule == CK_FEW_CONTROLS) ||
                     !is_walked(w.below[y * w.width + x], get_bit(ck_vertical(b, y), x), rule == CK_FEW_CONTROLS);
    CHECK(wrong == 0);
    CHECK(w.terminates == w.branches + w.chains && w.idle == 0);
    free_walked(&w);
    free(exact);
}

/* Train a model on random differences, so that it expects any spelling. */
static crackle_status train_at_random(struct ck_markov_model *model, unsigned int order)
{
    u8 packed[4000];
    struct ck_differences any = {packed, 4 * sizeof(packed)};

    for (size_t i = 0; i < sizeof(packed); i++)
        packed[i] = (u8)random_number(256);
    return ck_markov_train(model, order, &any, 1, NULL);
}

/*
 * Check Markov orders 1 to 6, with the original spelling and respelled.  Six models fit the code, and six are random.
 */
static void check_models(const struct ck_bytes *code, u64 num_codepoints, const struct ck_bitmaps *b,
                         enum ck_trace_rule rule)
{
    const size_t index = (size_t)ck_chain_index_nbytes(code->data, code->size);
    u8 *unpacked = malloc((size_t)num_codepoints + 1);
    u8 *packed = exact_copy(code->data + index, code->size - index);

    for (unsigned int round = 0; round < 12; round++) {
        const unsigned int order = 1 + round % 6;
        struct ck_differences slice = {packed, num_codepoints};
        struct ck_markov_model model;
        size_t nbytes[2];

        CHECK((round < 6 ? ck_markov_train(&model, order, &slice, 1, NULL) : train_at_random(&model, order)) ==
              CRACKLE_OK);
        for (int respelled = 0; respelled < 2; respelled++) {
            struct ck_bytes coded = {NULL, 0, 0};
            u8 bytes[2560];

            ck_markov_write(&model, bytes);
            CHECK(ck_bytes_reserve(&coded, index));
            memcpy(coded.data, code->data, index);
            coded.size = index;
            CHECK(ck_markov_encode(&model, &slice, &coded) == CRACKLE_OK);
            check_code(&coded, b, rule, order, bytes);
            nbytes[respelled] = coded.size;
            free(coded.data);

            for (u64 i = 0; i < num_codepoints; i++)
                unpacked[i] = packed[i / 4] >> 2 * (i % 4) & 3;
            ck_markov_respell(&model, unpacked, num_codepoints);
            memset(packed, 0, code->size - index);
            for (u64 i = 0; i < num_codepoints; i++)
                packed[i / 4] |= (u8)(unpacked[i] << 2 * (i % 4));
        }
        CHECK(nbytes[1] <= nbytes[0]); /* symbols are respelled only if that is shorter */
        memcpy(packed, code->data + index, code->size - index);
        ck_markov_free(&model);
    }
    free(unpacked);
    free(packed);
}

static void check_trace(struct ck_tracer *t, const struct ck_bitmaps *b, int models)
{
    struct ck_chains chains = {NULL, 0, 0, NULL, 0, 0};

    for (int rule = 0; rule < CK_NUM_TRACE_RULES; rule++) {
        struct ck_bytes code = {NULL, 0, 0};

        t->rule = (enum ck_trace_rule)rule;
        CHECK(ck_trace(t, b, ck_count_horizontal(b) + ck_count_vertical(b), &chains) == CRACKLE_OK);
        CHECK(ck_write_crack_code(&chains, b, &code) == CRACKLE_OK);
        check_code(&code, b, t->rule, 0, NULL);
        if (models)
            check_models(&code, chains.num_codepoints, b, t->rule);
        free(code.data);
    }
    ck_chains_free(&chains);
}

static void set_crack(struct ck_bitmaps *b, int vertical, u64 x, u64 y)
{
    if (x < b->sx && y < b->sy && (vertical ? x : y) > 0)
        (vertical ? ck_vertical(b, y) : ck_horizontal(b, y))[x / 64] |= (u64)1 << x % 64;
}

/* Draw overlapping boxes, at the rim or not: outlines with junctions, and few cracks with loose ends. */
static void draw_islands(struct ck_bitmaps *b)
{
    const u64 sx = b->sx, sy = b->sy, margin = sx > 2 && sy > 2 ? random_number(2) : 0;
    u8 *labels = calloc((size_t)(sx * sy), 1);

    for (u64 n = 1 + random_number(12); n; n--) {
        u64 x0 = margin + random_number(sx - 2 * margin), y0 = margin + random_number(sy - 2 * margin);
        u64 x1 = x0 + 1 + random_number(4), y1 = y0 + 1 + random_number(4);

        for (u64 y = y0; y < y1 && y < sy - margin; y++)
            for (u64 x = x0; x < x1 && x < sx - margin; x++)
                labels[y * sx + x] = (u8)n;
    }
    ck_find_boundaries(labels, 1, b);
    free(labels);
}

enum pattern { ALL, GRID, DIAGONAL, FRAMES, LINES, ISLANDS, SPARSE, HALF, DENSE, NUM_PATTERNS };

static void draw(struct ck_bitmaps *b, enum pattern pattern)
{
    const unsigned int percent = pattern == SPARSE ? 5 : pattern == HALF ? 50 : 95;

    ck_bitmaps_clear(b);
    if (pattern == ISLANDS) {
        draw_islands(b);
        return;
    }
    for (u64 y = 0; y < b->sy; y++)
        for (u64 x = 0; x < b->sx; x++)
            for (int vertical = 0; vertical < 2; vertical++)
                if (pattern == ALL || (pattern == GRID && (vertical ? x % 3 == 0 : y % 4 == 0)) ||
                    (pattern == DIAGONAL && (x + y) % 5 == 0) ||
                    (pattern == FRAMES && (vertical ? (x % 4 == 1 || x % 4 == 3) && y % 4 != 3 && y % 4 != 0
                                                    : (y % 4 == 1 || y % 4 == 3) && x % 4 != 3 && x % 4 != 0)) ||
                    (pattern == LINES && !vertical && y % 2) ||
                    (pattern >= SPARSE && random_number(100) < percent))
                    set_crack(b, vertical, x, y);
}

static void test_patterns(u32 sx, u32 sy)
{
    struct ck_bitmaps b;
    struct ck_tracer t;

    CHECK(ck_bitmaps_init(&b, sx, sy) && ck_tracer_init(&t, &b));
    for (int pattern = 0; pattern < NUM_PATTERNS; pattern++) {
        draw(&b, (enum pattern)pattern);
        CHECK(ck_only_interior(&b));
        check_trace(&t, &b, sx * sy < 200);
        ck_complement(&b);
        check_trace(&t, &b, 0);
    }
    ck_tracer_free(&t);
    ck_bitmaps_free(&b);
}

static void test_islands(u32 sx, u32 sy)
{
    struct ck_bitmaps b;
    struct ck_tracer t;

    CHECK(ck_bitmaps_init(&b, sx, sy) && ck_tracer_init(&t, &b));
    for (int i = 0; i < 6; i++) {
        draw_islands(&b);
        check_trace(&t, &b, 1);
    }
    ck_tracer_free(&t);
    ck_bitmaps_free(&b);
}

/* Encode and decode random differences that are no chains. */
static void test_model(void)
{
    for (int round = 0; round < 600; round++) {
        const unsigned int order = 1 + (unsigned int)random_number(7), skew = 1 + (unsigned int)random_number(4);
        const size_t count = (size_t)random_number(round % 3 ? 300 : 5000);
        u8 *packed = calloc(count / 4 + 1, 1), *decoded;
        u8 bytes[10240];
        struct ck_differences slice = {packed, count};
        struct ck_markov_model model, again;
        struct ck_bytes coded = {NULL, 0, 0};
        u8 *exact;
        size_t n;

        for (size_t i = 0; i < count; i++) {
            unsigned int difference = (unsigned int)(random_number(4) % skew);

            packed[i / 4] |= (u8)(difference << 2 * (i % 4));
        }
        CHECK(ck_markov_train(&model, order, &slice, 1, NULL) == CRACKLE_OK);
        ck_markov_write(&model, bytes);
        CHECK(ck_markov_read(&again, order, bytes) == CRACKLE_OK);
        CHECK(memcmp(model.rows, again.rows, (size_t)1 << 2 * order) == 0);
        CHECK(ck_markov_encode(&model, &slice, &coded) == CRACKLE_OK);
        exact = exact_copy(coded.data, coded.size);
        decoded = malloc((size_t)ck_markov_packed_nbytes(coded.size)); /* the guaranteed size, no more */
        for (int by_table = 0; by_table < 2; by_table++) {
            struct ck_bytes again_coded = {NULL, 0, 0};

            n = ck_markov_decode(&again, exact, coded.size, decoded);
            CHECK(n >= count && n <= count + 7);
            for (size_t i = 0; i < count; i++)
                CHECK((decoded[i / 4] >> 2 * (i % 4) & 3) == (packed[i / 4] >> 2 * (i % 4) & 3));
            CHECK(ck_markov_encode(&again, &slice, &again_coded) == CRACKLE_OK);
            CHECK(again_coded.size == coded.size &&
                  (count == 0 || memcmp(again_coded.data, coded.data, coded.size) == 0));
            free(again_coded.data);
            if (by_table == 0) {
                /* Make the tables that a stream of megabytes gets, or the smallest ones. */
                const u64 nbytes = round % 2 ? UINT32_MAX : (u64)64 << 2 * order;

                CHECK(ck_markov_make_decoder(&again, nbytes) && ck_markov_make_encoder(&again, nbytes));
                CHECK(again.decoder != NULL && (again.encoder != NULL) == (order <= 6));
            }
        }
        ck_markov_free(&model);
        ck_markov_free(&again);

        /* Numbers 24 to 31 are not permutations. */
        bytes[0] = (u8)((bytes[0] & 0xe0) | (24 + random_number(8)));
        CHECK(ck_markov_read(&again, order, bytes) == CRACKLE_CORRUPT && again.rows == NULL);
        free(decoded);
        free(exact);
        free(coded.data);
        free(packed);
    }
}

/* ------------------------------- Whole streams ----------------------------- */

/* How many cracks of a slice differ from its labels. No model and the default one walk each crack once. */
static size_t wrong_cracks(const struct walked *w, const uint64_t *slice, const struct crackle_header *h)
{
    const int may_repeat = h->markov_order != 0 && h->markov_order != 3;
    const size_t sx = h->sx, sy = h->sy;
    size_t wrong = 0;

    for (size_t y = 0; y < sy; y++)
        for (size_t x = 0; x < sx; x++) {
            const uint64_t *at = slice + y * sx + x;

            if (y > 0)
                wrong += !is_walked(w->right[y * w->width + x], (at[0] == *(at - sx)) == h->permissible, may_repeat);
            if (x > 0)
                wrong += !is_walked(w->below[y * w->width + x], (at[0] == at[-1]) == h->permissible, may_repeat);
        }
    return wrong;
}

static void test_stream(uint32_t sx, uint32_t sy, uint32_t sz, enum content content)
{
    struct crackle_options options = {(uint8_t)random_number(2), (uint8_t)random_number(7), 0, 0, 0};
    struct labels l = make_labels(sx, sy, sz, content, 2, 0);
    struct crackle_volume v = volume_of(&l, 2, 0, 1);
    struct crackle_header h;
    struct crackle_layout layout;
    uint8_t *stream;
    const uint8_t *code, *at;
    size_t nbytes;

    CHECK(crackle_encode(&v, &options, &stream, &nbytes) == CRACKLE_OK);
    CHECK(crackle_read_header(stream, nbytes, &h, NULL) == CRACKLE_OK);
    CHECK(crackle_read_layout(stream, nbytes, &layout, NULL) == CRACKLE_OK);
    code = stream + layout.crack_codes;
    at = stream + layout.crack_index;
    for (size_t z = 0; z < sz; z++) {
        size_t length = get(&at, 4);
        struct walked w;

        CHECK(read_plainly(code, length, sx, sy, h.markov_order, stream + layout.markov_model, &w));
        CHECK(wrong_cracks(&w, l.at + z * sx * sy, &h) == 0);
        CHECK(w.idle == 0 && w.terminates == w.branches + w.chains);
        free_walked(&w);
        code += length;
    }
    CHECK(code == stream + layout.checksums);
    crackle_free(stream);
    free(v.voxels);
    free(l.at);
}

int main(void)
{
    static const u32 sizes[] = {1, 2, 3, 8, 62, 63, 64, 65, 127, 128, 129, 255, 256};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        test_patterns(sizes[i], 5);
        test_patterns(4, sizes[i]);
        test_stream(sizes[i], 6, 2, BLOBS);
        test_stream(6, sizes[i], 2, NOISE);
    }
    for (int round = 0; round < 30; round++)
        test_patterns((u32)random_number(40) + 1, (u32)random_number(40) + 1);
    for (int round = 0; round < 60 / FEWER; round++) {
        test_patterns((u32)random_number(8) + 1, (u32)random_number(8) + 1);
        test_islands((u32)random_number(12) + 1, (u32)random_number(12) + 1);
    }
    for (int round = 0; round < 400 / FEWER; round++)
        test_stream((u32)random_number(40) + 1, (u32)random_number(40) + 1, (u32)random_number(5) + 1,
                    (enum content)random_number(NUM_CONTENTS));
    test_model();
    return report("chains");
}
