/*
 * remodel.c - crack codes of order 0 -> a Markov model, and crack codes written with it
 *
 * A model has to have seen all slices before the first can be written, so the parts hold codes of
 * order 0, four codepoints a byte, and they are written once more here.
 *
 * What a model makes of a walk depends on how the walk is written down, where the format leaves
 * that free.  Each control symbol has two spellings; a first model decides between them and the
 * model in use is made of the result.  And a walk may go either way first.  For a volume of many moves
 * one habit is as good as another; for one of few, all are tried.
 */
#include "remodel.h"
#include "encode.h"
#include "header.h"
#include "markov.h"
#include "moves.h"

/* How often control symbols are spelled anew for the model that the last spelling gave. */
#define RESPELLINGS 2

/* Up to so many codepoints all habits of tracing are tried for a Markov model: some milliseconds. */
#define FEW_CODEPOINTS 100000
#define FEW_HISTORIES_ORDER 8 /* not for models that are larger than the codes */

/* What writing the crack codes once more, with a model, works on. */
struct remodel {
    const u8 **codes;               /* per slice, of order 0 */
    struct ck_differences *slices;  /* of the codes, or respelled */
    u8 *respelled;                  /* all differences again, four to a byte */
    u8 *unpacked;                   /* those of a slice, one to a byte */
};

static void free_remodel(struct remodel *r)
{
    free((void *)r->codes);
    free(r->slices);
    free(r->respelled);
    free(r->unpacked);
    memset(r, 0, sizeof(*r));
}

static crackle_status init_remodel(struct remodel *r, u32 sz, crackle_part *const *parts, size_t num_parts)
{
    u64 total = 0, most = 0;
    u32 z = 0;

    memset(r, 0, sizeof(*r));
    r->codes = ck_malloc(sz, sizeof(*r->codes));
    r->slices = ck_malloc(sz, sizeof(*r->slices));
    if (!r->codes || !r->slices)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < num_parts; i++) {
        const u8 *code = parts[i]->codes.data;

        for (u32 k = 0; k < parts[i]->z_end - parts[i]->z_start; k++, z++) {
            const struct ck_part_slice *s = &parts[i]->slices[k];

            r->codes[z] = code;
            r->slices[z].packed = code + ck_chain_index_nbytes(code, s->code_nbytes);
            r->slices[z].count = s->num_codepoints;
            code += s->code_nbytes;
            total += s->num_codepoints / 4 + 1;
            most = s->num_codepoints > most ? s->num_codepoints : most;
        }
    }
    r->respelled = ck_malloc(total, 1);
    r->unpacked = ck_malloc(most, 1);
    return r->respelled && r->unpacked ? CRACKLE_OK : CRACKLE_NO_MEMORY;
}

/* Spell the control symbols of all slices anew, for the model. */
static void respell(struct remodel *r, const struct ck_markov_model *model, u32 sz)
{
    u8 *to = r->respelled;

    for (u32 z = 0; z < sz; z++) {
        const u64 count = r->slices[z].count;

        for (u64 i = 0; i < count; i++)
            r->unpacked[i] = r->slices[z].packed[i / 4] >> 2 * (i % 4) & 3;
        ck_markov_respell(model, r->unpacked, count);
        r->slices[z].packed = to;
        memset(to, 0, (size_t)(count / 4 + 1));
        for (u64 i = 0; i < count; i++)
            to[i / 4] |= (u8)(r->unpacked[i] << 2 * (i % 4));
        to += count / 4 + 1;
    }
}

crackle_status ck_put_modelled_code(struct ck_bytes *out, const struct ck_markov_model *model, const u8 *code,
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
 * The model, and the crack codes written with it; 'lengths' are those of the codes.  A first model
 * decides how control symbols are spelled, the model in use is made of the result.
 */
static crackle_status put_codes(struct ck_bytes *out, unsigned int order, u32 sz, crackle_part *const *parts,
                                       size_t num_parts, int respellings, u32 *lengths)
{
    struct ck_markov_model model = {0, NULL};
    struct remodel r;
    crackle_status status = init_remodel(&r, sz, parts, num_parts);

    if (status == CRACKLE_OK)
        status = ck_markov_train(&model, order, r.slices, sz);
    for (int round = 0; round < respellings && status == CRACKLE_OK; round++) {
        respell(&r, &model, sz);
        ck_markov_free(&model);
        status = ck_markov_train(&model, order, r.slices, sz);
    }
    if (status == CRACKLE_OK && !ck_bytes_reserve(out, ck_model_nbytes(order)))
        status = CRACKLE_NO_MEMORY;
    if (status != CRACKLE_OK)
        goto out;
    ck_markov_write(&model, out->data + out->size);
    out->size += (size_t)ck_model_nbytes(order);
    for (u32 z = 0; z < sz && status == CRACKLE_OK; z++)
        status = ck_put_modelled_code(out, &model, r.codes[z], &r.slices[z], &lengths[z]);
out:
    ck_markov_free(&model);
    free_remodel(&r);
    return status;
}

/* Trace the crack codes of a part anew with another habit: a part that has codes and nothing else. */
static crackle_status retrace(const crackle_part *part, u32 sx, u32 sy, enum ck_habit habit, crackle_part *retraced)
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
    tracer.habit = habit;
    status = CRACKLE_OK;
    for (u32 k = 0; k < part->z_end - part->z_start && status == CRACKLE_OK; k++) {
        const size_t begin = retraced->codes.size;

        status = ck_read_crack_code(code, part->slices[k].code_nbytes, NULL, &b, &chains);
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

/*
 * Volumes of few moves: a model of them depends so much on chance that it pays to try all habits,
 * and to try controls as they are; it takes no time.  'out' and 'lengths' are replaced where another habit is shorter.
 */
static crackle_status try_habits(struct ck_bytes *out, unsigned int order, const struct crackle_volume *v,
                                 crackle_part *const *parts, size_t num_parts, u32 *lengths)
{
    crackle_part **retraced = ck_calloc(num_parts, sizeof(*retraced));
    u32 *new_lengths = ck_malloc(v->sz, sizeof(*new_lengths));
    crackle_status status = retraced && new_lengths ? CRACKLE_OK : CRACKLE_NO_MEMORY;

    for (int habit = 0; habit < CK_NUM_HABITS && status == CRACKLE_OK; habit++) {
        for (size_t i = 0; i < num_parts && status == CRACKLE_OK; i++) {
            retraced[i] = ck_calloc(1, sizeof(**retraced));
            status = retraced[i] ? retrace(parts[i], v->sx, v->sy, (enum ck_habit)habit, retraced[i])
                                 : CRACKLE_NO_MEMORY;
        }
        for (int respellings = 0; respellings <= RESPELLINGS && status == CRACKLE_OK; respellings += RESPELLINGS) {
            struct ck_bytes codes = {NULL, 0, 0};

            status = put_codes(&codes, order, v->sz, retraced, num_parts, respellings, new_lengths);
            if (status == CRACKLE_OK && codes.size < out->size) {
                struct ck_bytes swap = *out;

                *out = codes;
                codes = swap;
                memcpy(lengths, new_lengths, v->sz * sizeof(*lengths));
            }
            free(codes.data);
        }
        for (size_t i = 0; i < num_parts; i++) {
            crackle_part_free(retraced[i]);
            retraced[i] = NULL;
        }
    }
    free(retraced);
    free(new_lengths);
    return status;
}

crackle_status ck_put_markov_codes(struct ck_bytes *out, unsigned int order, const struct crackle_volume *v,
                                   crackle_part *const *parts, size_t num_parts, u32 *lengths)
{
    crackle_status status = put_codes(out, order, v->sz, parts, num_parts, RESPELLINGS, lengths);
    u64 num_codepoints = 0;

    for (size_t i = 0; i < num_parts; i++)
        for (u32 k = 0; k < parts[i]->z_end - parts[i]->z_start; k++)
            num_codepoints += parts[i]->slices[k].num_codepoints;
    if (status == CRACKLE_OK && num_codepoints <= FEW_CODEPOINTS && order <= FEW_HISTORIES_ORDER)
        status = try_habits(out, order, v, parts, num_parts, lengths);
    return status;
}
