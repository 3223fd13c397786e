/*
 * assemble.c - parts -> a stream
 *
 * Merges the label tables of the parts, writes the labels section, and concatenates the crack codes.  With a Markov
 * model the crack codes are written a second time (markov_recode.c): the model must have seen all of them first.
 */
#include "../base/crc.h"
#include "assemble.h"
#include "choose_pins.h"
#include "format.h"
#include "header.h"
#include "label_table.h"
#include "markov_recode.h"
#include "volume.h"

/* The labels of the volume, merged from the parts. */
struct merged_labels {
    u64 *unique;         /* ascending */
    size_t num_unique;
    u32 **rank_of_key;   /* per part: for each of its keys, the index of the label in 'unique' */
    u32 *ranks;          /* the memory of 'rank_of_key' */
    u64 *counts;         /* components per slice */
};

static void free_merged(struct merged_labels *m)
{
    free(m->unique);
    free(m->rank_of_key);
    free(m->ranks);
    free(m->counts);
}

static int merge_labels(struct merged_labels *m, const struct crackle_volume *v, crackle_part *const *parts,
                        size_t num_parts)
{
    u64 total = 0;
    size_t n = 0, z = 0;

    memset(m, 0, sizeof(*m));
    for (size_t i = 0; i < num_parts; i++)
        total += parts[i]->labels.count;
    m->unique = ck_malloc(total, sizeof(*m->unique));
    m->ranks = ck_malloc(total, sizeof(*m->ranks));
    m->rank_of_key = ck_malloc(num_parts, sizeof(*m->rank_of_key));
    m->counts = ck_malloc(v->sz, sizeof(*m->counts));
    if (!m->unique || !m->ranks || !m->rank_of_key || !m->counts)
        return 0;
    for (size_t i = 0; i < num_parts; i++) {
        m->rank_of_key[i] = m->ranks + n;
        if (parts[i]->labels.count)
            memcpy(m->unique + n, parts[i]->labels.labels, parts[i]->labels.count * sizeof(*m->unique));
        n += parts[i]->labels.count;
        for (u32 k = 0; k < parts[i]->z_end - parts[i]->z_start; k++)
            m->counts[z++] = parts[i]->slices[k].num_components;
    }
    m->num_unique = n;
    return ck_sort_labels(m->unique, &m->num_unique, v->is_signed, m->ranks);
}

static int put_flat_labels(struct ck_bytes *out, const struct merged_labels *m, unsigned int stored_width,
                           const struct crackle_volume *v, crackle_part *const *parts, size_t num_parts)
{
    unsigned int key_width = ck_width(m->num_unique);

    if (!ck_put_table(out, m->unique, m->num_unique, stored_width, m->counts, v->sz, (u64)v->sx * v->sy))
        return 0;
    for (size_t i = 0; i < num_parts; i++) {
        if (!ck_bytes_reserve(out, (u64)parts[i]->num_keys * key_width))
            return 0;
        for (size_t k = 0; k < parts[i]->num_keys; k++) {
            ck_store(out->data + out->size, m->rank_of_key[i][parts[i]->keys[k]], key_width);
            out->size += key_width;
        }
    }
    return 1;
}

/*
 * Append the labels section in the requested format.  Pins pay off only if objects are larger than a voxel.  They are
 * not tried if more than three quarters of the neighbours along x differ, and not used if flat labels are no longer.
 */
static crackle_status put_labels(struct ck_bytes *out, struct crackle_header *h, const struct crackle_volume *v,
                                 const struct crackle_options *options, crackle_part *const *parts,
                                 size_t num_parts, const volatile int32_t *stop,
                                 const struct ck_pins_writer *pins_writer)
{
    struct merged_labels m;
    struct ck_bytes pins = {NULL, 0, 0};
    crackle_status status = CRACKLE_NO_MEMORY;
    u64 num_vertical = 0;

    for (size_t i = 0; i < num_parts; i++)
        num_vertical += parts[i]->num_vertical;
    if (!merge_labels(&m, v, parts, num_parts))
        goto out;
    h->stored_width = (u8)ck_stored_width(m.unique, m.num_unique, v->is_signed);
    if (!put_flat_labels(out, &m, h->stored_width, v, parts, num_parts))
        goto out;
    status = CRACKLE_OK;
    if (pins_writer) {
        status = pins_writer->write(pins_writer->self, m.unique, m.num_unique, h->stored_width, m.counts, &pins);
    } else if (options->pins && num_vertical <= (u64)(v->sx - 1) * v->sy * v->sz / 4 * 3) {
        struct ck_pin_task task;

        task.volume = v;
        task.unique = m.unique;
        task.num_unique = m.num_unique;
        task.counts = m.counts;
        task.has_background = options->has_background;
        task.background = options->background;
        task.effort = options->pins;
        task.parts = parts;
        task.num_parts = num_parts;
        task.rank_of_key = m.rank_of_key;
        task.stop = stop;
        status = ck_choose_pins(&task, h->stored_width, &pins);
    }
    if (status == CRACKLE_OK && pins.size && pins.size < out->size) {
        struct ck_bytes swap = *out;

        *out = pins;
        pins = swap;
        h->label_format = CK_LABELS_PINS;
    }
out:
    free(pins.data);
    free_merged(&m);
    return status;
}

static int put_codes(struct ck_bytes *out, crackle_part *const *parts, size_t num_parts, u32 *lengths)
{
    u32 z = 0;

    for (size_t i = 0; i < num_parts; i++) {
        if (!ck_bytes_reserve(out, parts[i]->codes.size))
            return 0;
        if (parts[i]->codes.size)
            memcpy(out->data + out->size, parts[i]->codes.data, parts[i]->codes.size);
        out->size += parts[i]->codes.size;
        for (u32 k = 0; k < parts[i]->z_end - parts[i]->z_start; k++)
            lengths[z++] = parts[i]->slices[k].code_nbytes;
    }
    return 1;
}

static int are_parts_of(const struct crackle_volume *v, crackle_part *const *parts, size_t num_parts)
{
    u32 z = 0;

    for (size_t i = 0; i < num_parts; i++) {
        if (parts[i]->z_start != z || parts[i]->permissible != parts[0]->permissible ||
            (!parts[i]->slices && parts[i]->z_end > z && v->sx != 0 && v->sy != 0)) /* a part without voxels has none */
            return 0;
        z = parts[i]->z_end;
    }
    return z == v->sz;
}

crackle_status ck_assemble(const struct crackle_volume *volume, const struct crackle_options *options,
                           crackle_part *const *parts, size_t num_parts, const volatile int32_t *stop,
                           const struct ck_pins_writer *pins, u8 **out_ret, size_t *out_nbytes_ret)
{
    struct crackle_header h = {0};
    struct ck_bytes out = {NULL, 0, 0}, labels = {NULL, 0, 0}, codes = {NULL, 0, 0};
    u32 *lengths = NULL;
    crackle_status status;
    u64 num_codepoints = 0;

    if (!(options->pins ? ck_is_volume(volume) : ck_is_shape(volume)) ||
        options->format_version > CK_MAX_VERSION || options->pins > 2 ||
        !ck_is_markov_order(options->markov_order) || !are_parts_of(volume, parts, num_parts))
        return CRACKLE_BAD_ARGUMENT;
    h.sx = volume->sx;
    h.sy = volume->sy;
    h.sz = volume->sz;
    h.format_version = options->format_version;
    h.data_width = volume->width;
    h.stored_width = 1;
    h.fortran_order = volume->fortran_order != 0;
    h.is_signed = volume->is_signed != 0;
    h.is_sorted = 1;

    status = CRACKLE_NO_MEMORY;
    if (!ck_is_empty(&h)) {
        h.permissible = (u8)parts[0]->permissible;
        lengths = ck_malloc(h.sz, sizeof(*lengths));
        if (!lengths)
            goto out;
        status = put_labels(&labels, &h, volume, options, parts, num_parts, stop, pins);
        if (status != CRACKLE_OK)
            goto out;
        h.num_label_bytes = labels.size;
        status = CRACKLE_TOO_LARGE;
        if (h.format_version == 0 && labels.size > UINT32_MAX)
            goto out;

        /* Without cracks there is nothing to model. */
        for (size_t i = 0; i < num_parts; i++)
            for (u32 k = 0; k < parts[i]->z_end - parts[i]->z_start; k++)
                num_codepoints += parts[i]->slices[k].num_codepoints;
        status = CRACKLE_OK;
        if (options->markov_order && num_codepoints)
            status = ck_put_markov_codes(&codes, options->markov_order, volume, parts, num_parts, stop, lengths,
                                         &h.markov_order);
        if (status == CRACKLE_OK && h.markov_order == 0)
            status = put_codes(&codes, parts, num_parts, lengths) ? CRACKLE_OK : CRACKLE_NO_MEMORY;
        if (status != CRACKLE_OK)
            goto out;
    }

    status = CRACKLE_NO_MEMORY;
    /* A volume without voxels may have any number of slices; they take no bytes. */
    if (!ck_bytes_reserve(&out, crackle_prefix_nbytes(&h) + (u64)labels.size + codes.size +
                                    (ck_is_empty(&h) ? 0 : CK_CRC_NBYTES + 4 * (u64)h.sz)))
        goto out;
    ck_write_header(&h, out.data);
    out.size = ck_header_nbytes(h.format_version);
    if (!ck_is_empty(&h)) {
        size_t index = out.size;

        for (u32 z = 0; z < h.sz; z++)
            ck_bytes_put(&out, lengths[z], 4);
        if (h.format_version >= 1)
            ck_bytes_put(&out, ck_crc32c(out.data + index, out.size - index), CK_CRC_NBYTES);
        memcpy(out.data + out.size, labels.data, labels.size);
        out.size += labels.size;
        memcpy(out.data + out.size, codes.data, codes.size);
        out.size += codes.size;
        if (h.format_version >= 1) {
            ck_bytes_put(&out, ck_crc32c(labels.data, labels.size), CK_CRC_NBYTES);
            for (size_t i = 0; i < num_parts; i++)
                for (u32 k = 0; k < parts[i]->z_end - parts[i]->z_start; k++)
                    ck_bytes_put(&out, parts[i]->slices[k].crc, CK_CRC_NBYTES);
        }
    }
    *out_ret = out.data;
    *out_nbytes_ret = out.size;
    out.data = NULL;
    status = CRACKLE_OK;
out:
    free(out.data);
    free(labels.data);
    free(codes.data);
    free(lengths);
    return status;
}

crackle_status crackle_assemble(const struct crackle_volume *volume, const struct crackle_options *options,
                                crackle_part *const *parts, size_t num_parts, const volatile int32_t *stop,
                                uint8_t **out_ret, size_t *out_nbytes_ret)
{
    return ck_assemble(volume, options, parts, num_parts, stop, NULL, out_ret, out_nbytes_ret);
}
