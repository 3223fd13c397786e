/*
 * stack_codes.c - the crack codes of a stack
 *
 * Crack codes are copied where possible.  A stream has one crack format and one Markov model, so pieces with another
 * format or model are traced again.
 */
#include "../codec/markov_recode.h"
#include "../codec/moves.h"
#include "../codec/reading.h"
#include "../codec/trace.h"
#include "stack.h"

/* Whether the crack codes of a piece can be copied, and their checksums exist if the stack needs them. */
static int can_copy_codes(const struct ck_stack *s, const struct ck_piece *p)
{
    const struct crackle_header *h = &p->header;
    const size_t nbytes = (size_t)ck_model_nbytes(h->markov_order);

    if (h->permissible != s->header.permissible || h->markov_order != s->header.markov_order ||
        (h->format_version == 0 && s->header.format_version > 0))
        return 0;
    return memcmp(p->bytes + p->layout.markov_model, s->model->bytes + s->model->layout.markov_model, nbytes) == 0;
}

/* Scratch memory for tracing crack codes again. */
struct retracer {
    struct ck_reading reading;       /* its components replace the missing checksums of version 0 */
    struct ck_image_crc image_crc;
    struct ck_markov_model model;    /* of the stack */
    struct ck_tracer tracer;
    struct ck_bytes plain;           /* a crack code of order 0 */
};

static void free_retracer(struct retracer *r)
{
    ck_reading_free(&r->reading);
    ck_image_crc_free(&r->image_crc);
    ck_markov_free(&r->model);
    ck_tracer_free(&r->tracer);
    free(r->plain.data);
}

static crackle_status retrace_slice(const struct ck_stack *s, struct retracer *r, u32 z, struct ck_bytes *codes,
                                    u32 *nbytes_ret, u32 *crc_ret, struct crackle_where *where)
{
    struct ck_bitmaps *b = &r->reading.bitmaps;
    struct ck_chains *chains = &r->reading.chains;
    const size_t begin = codes->size;
    crackle_status status = ck_reading_next(&r->reading, z, where);

    if (status != CRACKLE_OK)
        return status;
    *crc_ret = ck_components_crc(&r->image_crc, &r->reading.components);
    if (s->header.permissible)
        ck_complement(b);
    status = ck_trace(&r->tracer, b, ck_count_horizontal(b) + ck_count_vertical(b), chains);
    if (status != CRACKLE_OK)
        return status;
    if (s->header.markov_order == 0) {
        status = ck_write_crack_code(chains, b, codes);
        *nbytes_ret = (u32)(codes->size - begin);
        return status == CRACKLE_OK && codes->size - begin > UINT32_MAX ? CRACKLE_TOO_LARGE : status;
    }
    r->plain.size = 0;
    status = ck_write_crack_code(chains, b, &r->plain);
    if (status == CRACKLE_OK) {
        struct ck_differences differences;

        differences.packed = r->plain.data + ck_chain_index_nbytes(r->plain.data, r->plain.size);
        differences.count = chains->num_codepoints;
        status = ck_put_markov_code(codes, &r->model, r->plain.data, &differences, nbytes_ret);
    }
    return status;
}

static crackle_status retrace(const struct ck_stack *s, const struct ck_piece *p, struct ck_bytes *codes, u32 *lengths,
                              u32 *crcs, struct crackle_where *where)
{
    struct retracer r;
    crackle_status status;

    memset(&r, 0, sizeof(r));
    status = ck_reading_open(&r.reading, &p->parts, 0, where);
    if (status != CRACKLE_OK)
        return status;
    status = ck_reading_begin(&r.reading, &p->parts, p->z_start, p->z_end, where);
    if (status == CRACKLE_OK &&
        !(ck_image_crc_init(&r.image_crc, s->header.sx) && ck_tracer_init(&r.tracer, &r.reading.bitmaps)))
        status = CRACKLE_NO_MEMORY;
    if (status == CRACKLE_OK && s->header.markov_order)
        status = ck_fail(where,
                         ck_markov_read(&r.model, s->header.markov_order,
                                        s->model->bytes + s->model->layout.markov_model),
                         CRACKLE_SECTION_MARKOV_MODEL, CRACKLE_NO_SLICE);
    for (u32 z = p->z_start; status == CRACKLE_OK && z < p->z_end; z++)
        status = retrace_slice(s, &r, z, codes, lengths + (z - p->z_start), crcs + (z - p->z_start), where);
    free_retracer(&r);
    return status;
}

/* The crack codes of a piece, their lengths and their checksums. */
crackle_status ck_stack_codes(const struct ck_stack *s, const struct ck_piece *p, struct ck_bytes *codes, u32 *lengths,
                              u32 *crcs, struct crackle_where *where)
{
    const size_t nbytes = (size_t)(p->code_end - p->code_begin);

    if (p->num_components == 0)
        return CRACKLE_OK;
    if (!can_copy_codes(s, p))
        return retrace(s, p, codes, lengths + p->out_z, crcs + p->out_z, where);
    if (!ck_bytes_reserve(codes, nbytes))
        return CRACKLE_NO_MEMORY;
    if (nbytes)
        memcpy(codes->data + codes->size, p->bytes + p->code_begin, nbytes);
    codes->size += nbytes;
    for (u32 z = p->z_start; z < p->z_end; z++) {
        lengths[p->out_z + z - p->z_start] = ck_load32(p->bytes + p->layout.crack_index + 4 * (size_t)z);
        if (s->header.format_version >= 1)
            crcs[p->out_z + z - p->z_start] = ck_load32(p->parts.tail + CK_CRC_NBYTES + 4 * (size_t)z);
    }
    return CRACKLE_OK;
}
