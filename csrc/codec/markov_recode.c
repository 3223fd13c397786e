/*
 * markov_recode.c - a Markov model for crack codes of order 0, and the crack codes written with it
 *
 * The model must have seen all slices before the first can be written.  So parts hold codes of order 0, four codepoints
 * per byte, and this file writes them a second time.
 *
 * A model with few histories is trained on a sample of slices, spread over the volume: a million moves show the likely
 * ones as well as all moves do.
 *
 * The length of the coded slices depends on choices that the format leaves to the writer.  Each control symbol has two
 * spellings.  A first model chooses the spellings, and the final model is trained on the result.  A walk may also turn
 * either way first, and take cracks twice (trace.h).  A volume with few moves is tried with all trace rules, one with many
 * moves with the best.  These choices take longer than writing the codes, so only the orders that users pick for small
 * size make them.
 */
#include "header.h"
#include "markov_recode.h"
#include "moves.h"
#include "part.h"
#include "trace.h"

/*
 * From these orders on, control symbols are respelled, and slices are traced again.  CRACKLE_MARKOV_AUTO does so at every
 * order.  Very few moves are traced again at lower orders too, because it takes less than a millisecond; but not at the
 * default order.
 */
#define PATIENT_ORDER 5
#define RETRACING_ORDER 6
#define DEFAULT_ORDER 3

/* How often control symbols are respelled for the model that the previous spelling gave. */
#define RESPELLINGS 2

/* A model is trained on at least this many differences per history, or on all. */
#define DIFFERENCES_PER_HISTORY 4096

/* The highest order that CRACKLE_MARKOV_AUTO tries. Models of higher orders take megabytes. */
#define MAX_TRIED_ORDER 9

/* Up to this many codepoints, all trace rules are tried: the second below PATIENT_ORDER. */
#define FEW_CODEPOINTS 100000
#define VERY_FEW_CODEPOINTS 8000
#define ALL_TRACE_RULES ((1u << CK_NUM_TRACE_RULES) - 1)
#define FEW_HISTORIES_ORDER 8 /* not for models that are larger than the codes */

/* The state of writing crack codes with a model. */
struct recoder {
    const u8 **codes;               /* per slice: its code of order 0 */
    struct ck_differences *slices;  /* per slice: its differences */
    struct ck_differences *sample;  /* the slices that train the model, as they are or respelled */
    size_t num_sampled;
    const volatile int32_t *stop;
    u8 *respelled;                  /* the respelled sample, four differences to a byte; later, one respelled slice */
    u8 *unpacked;                   /* the differences of one slice, one to a byte */
};

static void free_recoder(struct recoder *r)
{
    free((void *)r->codes);
    free(r->slices);
    free(r->sample);
    free(r->respelled);
    free(r->unpacked);
    memset(r, 0, sizeof(*r));
}

/* The bytes of 'count' differences, four to a byte. */
static u64 packed_nbytes(u64 count)
{
    return count / 4 + 1;
}

/* Take every n-th slice, so that the sample is large enough for the order. */
static void choose_sample(struct recoder *r, unsigned int order, u32 sz, u64 num_differences)
{
    const u64 enough = (u64)DIFFERENCES_PER_HISTORY << 2 * order;
    const u64 every = num_differences / enough ? num_differences / enough : 1;

    r->num_sampled = 0;
    for (u64 z = every / 2; z < sz; z += every)
        r->sample[r->num_sampled++] = r->slices[z];
    if (r->num_sampled == 0)
        r->sample[r->num_sampled++] = r->slices[sz / 2];
}

static crackle_status init_recoder(struct recoder *r, unsigned int order, u32 sz, crackle_part *const *parts,
                                   size_t num_parts, const volatile int32_t *stop, int respells)
{
    u64 total = 0, longest = 0, sampled = 0;
    u32 z = 0;

    memset(r, 0, sizeof(*r));
    r->stop = stop;
    r->codes = ck_malloc(sz, sizeof(*r->codes));
    r->slices = ck_malloc(sz, sizeof(*r->slices));
    r->sample = ck_malloc(sz, sizeof(*r->sample));
    if (!r->codes || !r->slices || !r->sample)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < num_parts; i++) {
        const u8 *code = parts[i]->codes.data;

        for (u32 k = 0; k < parts[i]->z_end - parts[i]->z_start; k++, z++) {
            const struct ck_part_slice *s = &parts[i]->slices[k];

            r->codes[z] = code;
            r->slices[z].packed = code + ck_chain_index_nbytes(code, s->code_nbytes);
            r->slices[z].count = s->num_codepoints;
            code += s->code_nbytes;
            total += s->num_codepoints;
            longest = s->num_codepoints > longest ? s->num_codepoints : longest;
        }
    }
    choose_sample(r, order, sz, total);
    if (!respells)
        return CRACKLE_OK;
    for (size_t i = 0; i < r->num_sampled; i++)
        sampled += packed_nbytes(r->sample[i].count);
    r->respelled = ck_malloc(sampled > packed_nbytes(longest) ? sampled : packed_nbytes(longest), 1);
    r->unpacked = ck_malloc(longest, 1);
    return r->respelled && r->unpacked ? CRACKLE_OK : CRACKLE_NO_MEMORY;
}

/* Respell the control symbols of a slice for the model; the result goes to 'to'. */
static void respell(struct recoder *r, const struct ck_markov_model *model, struct ck_differences *slice, u8 *to)
{
    for (u64 i = 0; i < slice->count; i++)
        r->unpacked[i] = slice->packed[i / 4] >> 2 * (i % 4) & 3;
    ck_markov_respell(model, r->unpacked, slice->count);
    slice->packed = to;
    memset(to, 0, (size_t)packed_nbytes(slice->count));
    for (u64 i = 0; i < slice->count; i++)
        to[i / 4] |= (u8)(r->unpacked[i] << 2 * (i % 4));
}

/* Respell all slices of the sample. */
static void respell_sample(struct recoder *r, const struct ck_markov_model *model)
{
    u8 *to = r->respelled;

    for (size_t i = 0; i < r->num_sampled && !ck_is_set(r->stop); i++) {
        respell(r, model, &r->sample[i], to);
        to += packed_nbytes(r->sample[i].count);
    }
}

/* Make the model of the sample, which 'respellings' rounds of spellings change. */
static crackle_status train(struct recoder *r, unsigned int order, int respellings, struct ck_markov_model *model)
{
    crackle_status status = ck_markov_train(model, order, r->sample, r->num_sampled, r->stop);

    for (int round = 0; round < respellings && status == CRACKLE_OK; round++) {
        respell_sample(r, model);
        ck_markov_free(model);
        status = ck_markov_train(model, order, r->sample, r->num_sampled, r->stop);
    }
    return status;
}

crackle_status ck_put_markov_code(struct ck_bytes *out, const struct ck_markov_model *model, const u8 *code,
                                  const struct ck_differences *differences, u32 *nbytes_ret)
{
    const size_t begin = out->size;
    const u64 index_nbytes = ck_chain_index_nbytes(code, UINT32_MAX);
    crackle_status status;

    if (!ck_bytes_reserve(out, index_nbytes))
        return CRACKLE_NO_MEMORY;
    memcpy(out->data + out->size, code, (size_t)index_nbytes);
    out->size += (size_t)index_nbytes;
    status = ck_markov_encode(model, differences, out);
    if (status == CRACKLE_OK && out->size - begin > UINT32_MAX)
        status = CRACKLE_TOO_LARGE;
    *nbytes_ret = (u32)(out->size - begin);
    return status;
}

/*
 * Append the model and the crack codes written with it, and set the lengths of the codes.  'respellings' is the number
 * of rounds in which a model chooses the spellings for the next.
 */
static crackle_status put_codes(struct ck_bytes *out, unsigned int order, u32 sz, crackle_part *const *parts,
                                size_t num_parts, const volatile int32_t *stop, int respellings, u32 *lengths)
{
    struct ck_markov_model model = {0};
    struct recoder r;
    crackle_status status = init_recoder(&r, order, sz, parts, num_parts, stop, respellings > 0);
    u64 total = 0;

    if (status == CRACKLE_OK)
        status = train(&r, order, respellings, &model);
    for (u32 z = 0; status == CRACKLE_OK && z < sz; z++)
        total += r.slices[z].count;
    if (status == CRACKLE_OK &&
        !(ck_markov_make_encoder(&model, total) && ck_bytes_reserve(out, ck_model_nbytes(order))))
        status = CRACKLE_NO_MEMORY;
    if (status != CRACKLE_OK)
        goto out;
    ck_markov_write(&model, out->data + out->size);
    out->size += (size_t)ck_model_nbytes(order);
    for (u32 z = 0; z < sz && status == CRACKLE_OK; z++) {
        if (respellings)
            respell(&r, &model, &r.slices[z], r.respelled);
        status = ck_is_set(stop) ? CRACKLE_STOPPED
                                 : ck_put_markov_code(out, &model, r.codes[z], &r.slices[z], &lengths[z]);
    }
out:
    ck_markov_free(&model);
    free_recoder(&r);
    return status;
}

/* Trace the crack codes of a part again with another rule. 'retraced' gets codes, and nothing else of a part. */
static crackle_status retrace(const crackle_part *part, u32 sx, u32 sy, enum ck_trace_rule rule, const struct ck_step_costs *costs,
                              const volatile int32_t *stop, crackle_part *retraced)
{
    struct ck_bitmaps b;
    struct ck_chains chains = {NULL, 0, 0, NULL, 0, 0};
    struct ck_tracer tracer = {0};
    const u8 *code = part->codes.data;
    crackle_status status = CRACKLE_NO_MEMORY;

    retraced->z_start = part->z_start;
    retraced->z_end = part->z_end;
    retraced->slices = ck_calloc(part->z_end - part->z_start, sizeof(*retraced->slices));
    if (!ck_bitmaps_init(&b, sx, sy) || !ck_tracer_init(&tracer, &b) || !retraced->slices)
        goto out;
    tracer.rule = rule;
    tracer.costs = costs;
    status = CRACKLE_OK;
    for (u32 k = 0; k < part->z_end - part->z_start && status == CRACKLE_OK; k++) {
        const size_t begin = retraced->codes.size;

        status = ck_is_set(stop) ? CRACKLE_STOPPED
                                 : ck_read_crack_code(code, part->slices[k].code_nbytes, NULL, &b, &chains);
        code += part->slices[k].code_nbytes;
        if (status == CRACKLE_OK)
            status = ck_walk(&chains, &b);
        if (status == CRACKLE_OK)
            status = ck_trace(&tracer, &b, ck_count_horizontal(&b) + ck_count_vertical(&b), &chains);
        if (status == CRACKLE_OK)
            status = ck_write_crack_code(&chains, &b, &retraced->codes);
        retraced->slices[k].code_nbytes = (u32)(retraced->codes.size - begin);
        retraced->slices[k].num_codepoints = chains.num_codepoints;
    }
out:
    ck_bitmaps_free(&b);
    ck_chains_free(&chains);
    ck_tracer_free(&tracer);
    return status;
}

/* Codes of the parts, traced again. Free them with free_retraced(). */
static crackle_status retrace_all(const struct crackle_volume *v, crackle_part *const *parts, size_t num_parts,
                                  enum ck_trace_rule rule, const struct ck_step_costs *costs,
                                  const volatile int32_t *stop, crackle_part **retraced)
{
    crackle_status status = CRACKLE_OK;

    for (size_t i = 0; i < num_parts && status == CRACKLE_OK; i++) {
        retraced[i] = ck_calloc(1, sizeof(**retraced));
        status = retraced[i] ? retrace(parts[i], v->sx, v->sy, rule, costs, stop, retraced[i]) : CRACKLE_NO_MEMORY;
    }
    return status;
}

static void free_retraced(crackle_part **retraced, size_t num_parts)
{
    for (size_t i = 0; i < num_parts; i++) {
        crackle_part_free(retraced[i]);
        retraced[i] = NULL;
    }
}

/*
 * Write the codes of 'parts' with respelled control symbols, and with 'also_as_is' with unchanged ones too.  Replaces
 * 'out' and 'lengths' whenever the codes become shorter.
 */
static crackle_status try_codes(struct ck_bytes *out, unsigned int order, u32 sz, crackle_part *const *parts,
                                size_t num_parts, const volatile int32_t *stop, int also_as_is, u32 *lengths)
{
    u32 *new_lengths = ck_malloc(sz, sizeof(*new_lengths));
    crackle_status status = new_lengths ? CRACKLE_OK : CRACKLE_NO_MEMORY;

    for (int respellings = also_as_is ? 0 : RESPELLINGS; respellings <= RESPELLINGS && status == CRACKLE_OK;
         respellings += RESPELLINGS) {
        struct ck_bytes codes = {NULL, 0, 0};

        status = put_codes(&codes, order, sz, parts, num_parts, stop, respellings, new_lengths);
        if (status == CRACKLE_OK && codes.size < out->size) {
            struct ck_bytes swap = *out;

            *out = codes;
            codes = swap;
            memcpy(lengths, new_lengths, sz * sizeof(*lengths));
        }
        free(codes.data);
    }
    free(new_lengths);
    return status;
}

/* The cost of steps in the code of the model that would be written for 'parts'. */
static crackle_status learn_costs(unsigned int order, u32 sz, crackle_part *const *parts, size_t num_parts,
                                  const volatile int32_t *stop, struct ck_step_costs *costs)
{
    struct ck_markov_model model = {0};
    struct recoder r;
    crackle_status status = init_recoder(&r, order, sz, parts, num_parts, stop, 1);

    if (status == CRACKLE_OK)
        status = train(&r, order, RESPELLINGS, &model);
    if (status == CRACKLE_OK && !ck_markov_costs(&model, costs))
        status = CRACKLE_NO_MEMORY;
    ck_markov_free(&model);
    free_recoder(&r);
    return status;
}

/*
 * Trace again with a set of rules, bit r for rule r, and try the codes of each.  CK_FEW_CONTROLS is tried twice: the
 * model for the first trails tells the second which way to go at a node.  A third round gains nothing more.
 */
static crackle_status try_trace_rules(struct ck_bytes *out, unsigned int order, const struct crackle_volume *v,
                                      crackle_part *const *parts, size_t num_parts, const volatile int32_t *stop,
                                      unsigned int rules, int also_as_is, u32 *lengths)
{
    crackle_part **retraced = ck_calloc(num_parts, sizeof(*retraced));
    struct ck_step_costs costs = {0, NULL};
    crackle_status status = retraced ? CRACKLE_OK : CRACKLE_NO_MEMORY;

    for (int rule = 0; rule < CK_NUM_TRACE_RULES && status == CRACKLE_OK; rule++) {
        if (!(rules >> rule & 1))
            continue;
        status = retrace_all(v, parts, num_parts, (enum ck_trace_rule)rule, NULL, stop, retraced);
        if (status == CRACKLE_OK && rule == CK_FEW_CONTROLS) {
            if (also_as_is)
                status = try_codes(out, order, v->sz, retraced, num_parts, stop, also_as_is, lengths);
            if (status == CRACKLE_OK)
                status = learn_costs(order, v->sz, retraced, num_parts, stop, &costs);
            free_retraced(retraced, num_parts);
            if (status == CRACKLE_OK)
                status = retrace_all(v, parts, num_parts, CK_FEW_CONTROLS, &costs, stop, retraced);
        }
        if (status == CRACKLE_OK)
            status = try_codes(out, order, v->sz, retraced, num_parts, stop, also_as_is, lengths);
        free_retraced(retraced, num_parts);
    }
    if (retraced)
        free_retraced(retraced, num_parts);
    free(costs.bits);
    free(retraced);
    return status;
}

/*
 * The order for which the model and the codes are shortest.  Orders with models above a quarter of the codes are not
 * tried.
 */
static crackle_status choose_order(u32 sz, crackle_part *const *parts, size_t num_parts, u64 plain_nbytes,
                                   const volatile int32_t *stop, unsigned int *order_ret)
{
    unsigned int max_order = 1;
    struct recoder r;
    crackle_status status;

    while (max_order < MAX_TRIED_ORDER && ck_model_nbytes(max_order + 1) <= plain_nbytes / 4)
        max_order++;
    status = init_recoder(&r, 1, sz, parts, num_parts, stop, 0);
    if (status == CRACKLE_OK)
        status = ck_markov_choose_order(r.slices, sz, max_order, stop, order_ret);
    free_recoder(&r);
    return status;
}

crackle_status ck_put_markov_codes(struct ck_bytes *out, unsigned int order, const struct crackle_volume *v,
                                   crackle_part *const *parts, size_t num_parts, const volatile int32_t *stop,
                                   u32 *lengths, u8 *order_ret)
{
    crackle_status status = CRACKLE_OK;
    u64 num_codepoints = 0, plain_nbytes = 0;
    const int is_auto = order == CRACKLE_MARKOV_AUTO;

    for (size_t i = 0; i < num_parts; i++) {
        plain_nbytes += parts[i]->codes.size;
        for (u32 k = 0; k < parts[i]->z_end - parts[i]->z_start; k++)
            num_codepoints += parts[i]->slices[k].num_codepoints;
    }
    if (is_auto)
        status = choose_order(v->sz, parts, num_parts, plain_nbytes, stop, &order);
    if (status != CRACKLE_OK)
        return status;
    *order_ret = 0;
    if (ck_model_nbytes(order) >= plain_nbytes) /* the model alone would be longer */
        return CRACKLE_OK;
    status = put_codes(out, order, v->sz, parts, num_parts, stop, order >= PATIENT_ORDER ? RESPELLINGS : 0, lengths);
    if (status != CRACKLE_OK)
        return status;
    if (order <= FEW_HISTORIES_ORDER && (is_auto || order != DEFAULT_ORDER) &&
        num_codepoints <= (order >= PATIENT_ORDER ? FEW_CODEPOINTS : VERY_FEW_CODEPOINTS))
        status = try_trace_rules(out, order, v, parts, num_parts, stop, ALL_TRACE_RULES, 1, lengths);
    else if (is_auto || order >= RETRACING_ORDER)
        status = try_trace_rules(out, order, v, parts, num_parts, stop, 1u << CK_FEW_CONTROLS, 0, lengths);
    if (status == CRACKLE_OK && out->size < plain_nbytes)
        *order_ret = (u8)order;
    else
        out->size = 0;
    return status;
}
