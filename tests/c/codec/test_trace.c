/*
 * test_trace.c - cracks -> chains -> bytes and back, with all trace rules and Markov models
 */
#include "codec/markov.h"
#include "codec/moves.h"
#include "codec/trace.h"
#include "cracks.h"

/* Count BRANCH symbols to which the walk returns without walking a crack. */
static size_t spurious_branches(const struct ck_chains *chains)
{
    size_t spurious = 0, size = chains->num_codepoints;

    /* Such a stretch has no move: its TERMINATE directly follows another control symbol. */
    for (size_t i = 0; i + 3 < size;) {
        int control = chains->codepoints[i] == (chains->codepoints[i + 1] ^ 2);

        if (!control) {
            i++;
            continue;
        }
        i += 2;
        if (chains->codepoints[i] == (chains->codepoints[i + 1] ^ 2) &&
            (chains->codepoints[i] == 1 || chains->codepoints[i] == 2))
            spurious++;
    }
    return spurious;
}

/* Trace with the cost of steps in the code of a model; the chains walk the cracks 'before'. */
static void test_costs(struct ck_bitmaps *b, struct ck_tracer *tracer, const struct ck_markov_model *model,
                       const u64 *before)
{
    struct ck_chains chains = {NULL, 0, 0, NULL, 0, 0};
    struct ck_step_costs costs;

    CHECK(ck_markov_costs(model, &costs));
    tracer->costs = &costs;
    CHECK(ck_trace(tracer, b, ck_count_horizontal(b) + ck_count_vertical(b), &chains) == CRACKLE_OK);
    CHECK(spurious_branches(&chains) == 0);
    CHECK(ck_walk(&chains, b) == CRACKLE_OK);
    CHECK(memcmp(before, b->buffer, b->buffer_words * sizeof(u64)) == 0);
    tracer->costs = NULL;
    free(costs.bits);
    ck_chains_free(&chains);
}

static void test_trace(struct ck_bitmaps *b)
{
    const size_t nbytes = b->buffer_words * sizeof(u64);
    u64 *before = malloc(nbytes);
    struct ck_chains chains = {NULL, 0, 0, NULL, 0, 0};
    struct ck_tracer tracer;

    memcpy(before, b->buffer, nbytes);
    CHECK(ck_tracer_init(&tracer, b));
    for (int rule = 0; rule < CK_NUM_TRACE_RULES; rule++) {
        struct ck_bytes code = {NULL, 0, 0};
        u8 *exact;

        tracer.rule = (enum ck_trace_rule)rule;
        CHECK(ck_trace(&tracer, b, ck_count_horizontal(b) + ck_count_vertical(b), &chains) == CRACKLE_OK);
        CHECK(spurious_branches(&chains) == 0);
        for (size_t i = 0; i < ((size_t)b->sy + 1) * b->stride; i++)
            if (tracer.vertex_steps[i] != 0) {
                CHECK(!"tracing leaves no crack open");
                break;
            }
        CHECK(ck_write_crack_code(&chains, b, &code) == CRACKLE_OK);
        exact = malloc(code.size);
        memcpy(exact, code.data, code.size);
        CHECK(ck_read_crack_code(exact, code.size, NULL, b, &chains) == CRACKLE_OK);
        CHECK(ck_walk(&chains, b) == CRACKLE_OK);
        CHECK(memcmp(before, b->buffer, nbytes) == 0);
        for (unsigned int order = 1; order <= 6; order++) {
            struct ck_markov_model model, again;
            struct ck_differences slice;
            struct ck_bytes coded = {NULL, 0, 0};
            u8 packed_model[2560];
            size_t index = (size_t)ck_chain_index_nbytes(exact, code.size);

            slice.packed = exact + index;
            slice.count = (code.size - index) * 4;
            CHECK(ck_markov_train(&model, order, &slice, 1, NULL) == CRACKLE_OK);
            ck_markov_write(&model, packed_model);
            CHECK(ck_markov_read(&again, order, packed_model) == CRACKLE_OK);
            CHECK(memcmp(model.rows, again.rows, (size_t)1 << 2 * order) == 0);
            CHECK(ck_bytes_reserve(&coded, index));
            memcpy(coded.data, exact, index);
            coded.size = index;
            CHECK(ck_markov_encode(&model, &slice, &coded) == CRACKLE_OK);
            CHECK(ck_read_crack_code(coded.data, coded.size, &again, b, &chains) == CRACKLE_OK);
            CHECK(ck_walk(&chains, b) == CRACKLE_OK && memcmp(before, b->buffer, nbytes) == 0);
            if (rule == CK_FEW_CONTROLS)
                test_costs(b, &tracer, &model, before);
            ck_markov_free(&model);
            ck_markov_free(&again);
            free(coded.data);
        }
        free(exact);
        free(code.data);
    }
    ck_tracer_free(&tracer);
    ck_chains_free(&chains);
    free(before);
}

/* Test the cracks of both crack formats. */
static void test_both_formats(struct ck_bitmaps *b)
{
    test_trace(b);
    ck_complement(b);
    test_trace(b);
}

int main(void)
{
    for_random_bitmaps(60, test_both_formats);
    return report("trace");
}
