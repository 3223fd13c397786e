/*
 * stack.c - stack slices of streams along z, and cut streams apart, decoding as few cracks as possible
 *
 * Slices depend on each other only through the label table, the list of pins and the Markov model.  So a range of
 * slices makes a stream of its own, and several ranges can be stacked. stack_labels.c makes the labels section,
 * stack_codes.c the crack codes.
 */
#include "../base/crc.h"
#include "stack.h"

static void free_stack(struct ck_stack *s)
{
    for (size_t i = 0; s->pieces && i < s->num_pieces; i++) {
        free(s->pieces[i].place);
        ck_pin_list_free(&s->pieces[i].list);
    }
    free(s->pieces);
    free(s->unique);
    free(s->counts);
}

/* --------------------------------- Opening --------------------------------- */

static crackle_status open_piece(struct ck_piece *p, const struct crackle_piece *from, struct crackle_where *where)
{
    crackle_status status = crackle_split(from->bytes, from->nbytes, &p->parts, where);

    if (status == CRACKLE_OK)
        status = ck_open_labels(&p->parts, 1, &p->header, &p->layout, where);
    if (status != CRACKLE_OK)
        return status;
    if (from->z_start > from->z_end || from->z_end > p->header.sz)
        return CRACKLE_BAD_ARGUMENT;
    p->bytes = from->bytes;
    p->z_start = from->z_start;
    p->z_end = from->z_end;
    if (ck_is_empty(&p->header) || p->z_start == p->z_end)
        return CRACKLE_OK;
    status = crackle_codes_range(from->bytes, from->nbytes, p->z_start, p->z_end, &p->code_begin, &p->code_end, where);
    if (status == CRACKLE_OK)
        status = ck_fail(where, ck_label_table_open(&p->header, p->bytes + p->layout.labels, &p->table),
                         CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
    if (status != CRACKLE_OK)
        return status;
    p->num_entries = ck_num_entries(&p->table);
    if (p->num_entries >= CK_ABSENT)
        return CRACKLE_UNSUPPORTED;
    if (!ck_sum_counts(&p->header, &p->table, 0, p->z_start, &p->first_component) ||
        !ck_sum_counts(&p->header, &p->table, p->z_start, p->z_end, &p->num_components))
        return ck_fail(where, CRACKLE_CORRUPT, CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
    p->place = ck_malloc(p->num_entries, sizeof(*p->place));
    if (!p->place)
        return CRACKLE_NO_MEMORY;
    for (u64 i = 0; i < p->num_entries; i++)
        p->place[i] = CK_ABSENT;
    return CRACKLE_OK;
}

static crackle_status open_pieces(struct ck_stack *s, const struct crackle_piece *from, size_t model, size_t *piece_ret,
                                  struct crackle_where *where)
{
    u64 z = 0, components = 0, most_nbytes = 0, voxels;
    int is_chosen = 0;

    s->pieces = ck_calloc(s->num_pieces, sizeof(*s->pieces));
    if (!s->pieces)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < s->num_pieces; i++) {
        struct ck_piece *p = &s->pieces[i];
        crackle_status status;

        *piece_ret = i;
        status = open_piece(p, &from[i], where);
        if (status == CRACKLE_OK &&
            (p->header.sx != s->pieces[0].header.sx || p->header.sy != s->pieces[0].header.sy))
            status = CRACKLE_BAD_ARGUMENT;
        if (status != CRACKLE_OK)
            return status;
        p->out_z = (u32)z;
        p->out_component = components;
        z += p->z_end - p->z_start;
        if (z > UINT32_MAX || !ck_add(components, p->num_components, &components))
            return CRACKLE_TOO_LARGE;
        if (i == 0 || p->header.format_version > s->header.format_version)
            s->header.format_version = p->header.format_version;
        /* A stream without voxels is a header only. Its model is missing, whatever the header says. */
        if (!ck_is_empty(&p->header) &&
            (i == model || !s->model || (!is_chosen && p->code_end - p->code_begin > most_nbytes))) {
            s->model = p;
            is_chosen |= i == model;
            most_nbytes = p->code_end - p->code_begin;
        }
        if (!s->has_pins && ck_has_pins(p) && p->num_components) {
            s->has_pins = 1;
            s->background = p->table.background;
        }
    }
    s->header.sx = s->pieces[0].header.sx;
    s->header.sy = s->pieces[0].header.sy;
    s->header.sz = (u32)z;
    if (s->model) {
        s->header.permissible = s->model->header.permissible;
        s->header.markov_order = s->model->header.markov_order;
    }
    if (s->has_pins && !ck_mul((u64)s->header.sx * s->header.sy, z, &voxels))
        return CRACKLE_TOO_LARGE; /* pins number the voxels */
    return CRACKLE_OK;
}

/* -------------------------------- Assembling ------------------------------- */

static int put_stream(const struct ck_stack *s, const struct ck_bytes *labels, const struct ck_bytes *codes,
                      const u32 *lengths, const u32 *crcs, struct ck_bytes *out)
{
    const struct crackle_header *h = &s->header;
    const u64 model_nbytes = ck_model_nbytes(h->markov_order);
    size_t index;

    if (!ck_bytes_reserve(out, crackle_prefix_nbytes(h) + labels->size + model_nbytes + codes->size + CK_CRC_NBYTES +
                                   4 * (u64)h->sz))
        return 0;
    ck_write_header(h, out->data);
    out->size = index = ck_header_nbytes(h->format_version);
    for (u32 z = 0; z < h->sz; z++)
        ck_bytes_put(out, lengths[z], 4);
    if (h->format_version >= 1)
        ck_bytes_put(out, ck_crc32c(out->data + index, out->size - index), CK_CRC_NBYTES);
    memcpy(out->data + out->size, labels->data, labels->size);
    out->size += labels->size;
    memcpy(out->data + out->size, s->model->bytes + s->model->layout.markov_model, (size_t)model_nbytes);
    out->size += (size_t)model_nbytes;
    if (codes->size)
        memcpy(out->data + out->size, codes->data, codes->size);
    out->size += codes->size;
    if (h->format_version >= 1) {
        ck_bytes_put(out, ck_crc32c(labels->data, labels->size), CK_CRC_NBYTES);
        for (u32 z = 0; z < h->sz; z++)
            ck_bytes_put(out, crcs[z], CK_CRC_NBYTES);
    }
    return 1;
}

/* Make the stream of a stack that has voxels. */
static crackle_status put_stack(struct ck_stack *s, size_t *piece_ret, struct ck_bytes *out,
                                struct crackle_where *where)
{
    struct ck_bytes labels = {NULL, 0, 0}, codes = {NULL, 0, 0};
    u32 *lengths = ck_malloc(s->header.sz, sizeof(*lengths));
    u32 *crcs = ck_calloc(s->header.sz, sizeof(*crcs));
    crackle_status status = lengths && crcs ? ck_stack_labels(s, &labels, piece_ret, where) : CRACKLE_NO_MEMORY;

    s->header.num_label_bytes = labels.size;
    if (status == CRACKLE_OK && s->header.format_version == 0 && labels.size > UINT32_MAX)
        status = CRACKLE_TOO_LARGE;
    for (size_t i = 0; status == CRACKLE_OK && i < s->num_pieces; i++) {
        *piece_ret = i;
        status = ck_stack_codes(s, &s->pieces[i], &codes, lengths, crcs, where);
    }
    if (status == CRACKLE_OK && !put_stream(s, &labels, &codes, lengths, crcs, out))
        status = CRACKLE_NO_MEMORY;
    free(labels.data);
    free(codes.data);
    free(lengths);
    free(crcs);
    return status;
}

crackle_status crackle_stack(const struct crackle_piece *pieces, size_t num_pieces, size_t model,
                             unsigned int data_width, int is_signed, int fortran_order, uint8_t **out_ret,
                             size_t *out_nbytes_ret, size_t *piece_ret, struct crackle_where *where)
{
    struct ck_stack s;
    struct ck_bytes out = {NULL, 0, 0};
    crackle_status status;
    size_t piece = 0;

    if (num_pieces == 0 || model > num_pieces ||
        (data_width != 1 && data_width != 2 && data_width != 4 && data_width != 8))
        return CRACKLE_BAD_ARGUMENT;
    memset(&s, 0, sizeof(s));
    s.num_pieces = num_pieces;
    s.header.data_width = (u8)data_width;
    s.header.is_signed = is_signed != 0;
    s.header.fortran_order = fortran_order != 0;
    s.header.is_sorted = 1;
    status = open_pieces(&s, pieces, model, &piece, where);
    if (status == CRACKLE_OK && !ck_is_empty(&s.header)) {
        status = put_stack(&s, &piece, &out, where);
    } else if (status == CRACKLE_OK) {
        s.header.stored_width = 1;
        s.header.permissible = s.header.markov_order = 0;
        if (ck_bytes_reserve(&out, ck_header_nbytes(s.header.format_version))) {
            ck_write_header(&s.header, out.data);
            out.size = ck_header_nbytes(s.header.format_version);
        } else {
            status = CRACKLE_NO_MEMORY;
        }
    }
    free_stack(&s);
    *piece_ret = piece;
    if (status != CRACKLE_OK) {
        free(out.data);
        return status;
    }
    *out_ret = out.data;
    *out_nbytes_ret = out.size;
    return CRACKLE_OK;
}
