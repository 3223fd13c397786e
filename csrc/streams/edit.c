/*
 * edit.c - new labels for a stream, without decoding a crack
 *
 * The crack codes, the model and the checksums of the slices do not depend on labels.  Only the header and the labels
 * section change.  Labels that become equal are merged in the table, so that it stays sorted and without repeats.  The
 * cracks between them stay in the crack codes.
 */
#include "../base/crc.h"
#include "../base/sort.h"
#include "../codec/format.h"
#include "../codec/header.h"
#include "../codec/pin_list.h"
#include "edit.h"

/* Whether all labels fit 'width' bytes. */
static int all_fit(const u64 *labels, u64 count, unsigned int width, int is_signed)
{
    for (u64 i = 0; i < count; i++)
        if ((is_signed ? ck_signed_width(labels[i]) : ck_width(labels[i])) > width)
            return 0;
    return 1;
}

/* The counts per slice, in the form that ck_put_table() takes. */
static u64 *copy_counts(const struct crackle_header *h, const struct ck_label_table *table)
{
    u64 *counts = ck_malloc(h->sz, sizeof(*counts));

    if (counts)
        for (u32 z = 0; z < h->sz; z++)
            counts[z] = ck_component_count(table, z);
    return counts;
}

static crackle_status relabel_flat(const struct crackle_header *h, const struct ck_label_table *old,
                                   const u64 *unique, size_t num_unique, unsigned int stored_width,
                                   const u32 *rank, const u64 *counts, u64 num_components, struct ck_bytes *out)
{
    const unsigned int old_width = ck_width(old->num_unique);
    const unsigned int new_width = ck_width(num_unique);
    struct ck_reader r = old->rest;
    const u8 *keys;

    if (!ck_get_array(&r, num_components, old_width, &keys) || ck_left(&r) != 0)
        return CRACKLE_CORRUPT;
    if (!ck_put_table(out, unique, num_unique, stored_width, counts, h->sz, (u64)h->sx * h->sy) ||
        !ck_bytes_reserve(out, num_components * new_width))
        return CRACKLE_NO_MEMORY;
    for (u64 i = 0; i < num_components; i++) {
        u64 key = ck_load(keys + i * old_width, old_width);

        if (key >= old->num_unique)
            return CRACKLE_CORRUPT;
        ck_store(out->data + out->size, rank[key], new_width);
        out->size += new_width;
    }
    return CRACKLE_OK;
}

/* 'rank' holds indices into 'unique', which includes the background. */
static crackle_status relabel_pins(const struct crackle_header *h, const struct ck_label_table *old, u64 *unique,
                                   size_t num_unique, unsigned int stored_width, const u32 *rank,
                                   const u64 *counts, u64 num_components, struct ck_bytes *out)
{
    struct ck_pin_list list = {NULL, 0, 0, NULL, 0, 0};
    crackle_status status = ck_read_pin_list(h, old, num_components, &list);

    for (size_t i = 0; i < list.num_pins; i++)
        list.pins[i].label = rank[1 + list.pins[i].label];
    for (size_t i = 0; i < list.num_singles; i++)
        list.singles[i].label = rank[1 + list.singles[i].label];
    if (status == CRACKLE_OK)
        status = ck_put_pins(out, unique, num_unique, rank[0], stored_width, counts, h->sz, (u64)h->sx * h->sy, &list);
    ck_pin_list_free(&list);
    return status;
}

/* Append a labels section with a new table, and set the fields of the header for it. */
static crackle_status new_labels(struct crackle_header *h, const struct ck_label_table *old, const u64 *table,
                                 int is_signed, struct ck_bytes *out)
{
    size_t num_unique = (size_t)old->num_unique + (size_t)old->has_background;
    u64 *unique = ck_malloc(num_unique, sizeof(*unique));
    u32 *rank = ck_malloc(num_unique, sizeof(*rank));
    u64 *counts = copy_counts(h, old);
    crackle_status status = CRACKLE_NO_MEMORY;
    unsigned int stored_width;
    u64 num_components;

    if (!unique || !rank || !counts)
        goto out;
    memcpy(unique, table, num_unique * sizeof(*unique));
    if (!ck_sort_labels(unique, &num_unique, is_signed, rank))
        goto out;
    stored_width = ck_stored_width(unique, num_unique, is_signed);
    status = CRACKLE_CORRUPT;
    if (!ck_sum_counts(h, old, 0, h->sz, &num_components))
        goto out;
    if (old->has_background)
        status = relabel_pins(h, old, unique, num_unique, stored_width, rank, counts, num_components, out);
    else
        status = relabel_flat(h, old, unique, num_unique, stored_width, rank, counts, num_components, out);
    h->stored_width = (u8)stored_width;
out:
    free(unique);
    free(rank);
    free(counts);
    return status;
}

crackle_status ck_replace_labels(const u8 *in, const struct crackle_layout *l, struct crackle_header *h,
                                 const struct ck_bytes *labels, u8 **out_ret, size_t *out_nbytes_ret)
{
    const size_t behind = (size_t)(l->end - l->markov_model);
    struct ck_bytes out = {NULL, 0, 0};

    h->num_label_bytes = labels->size;
    if (h->format_version == 0 && labels->size > UINT32_MAX)
        return CRACKLE_TOO_LARGE;
    if (!ck_bytes_reserve(&out, l->labels + labels->size + behind))
        return CRACKLE_NO_MEMORY;
    memcpy(out.data, in, (size_t)l->labels);
    ck_write_header(h, out.data);
    out.size = (size_t)l->labels;
    if (labels->size)
        memcpy(out.data + out.size, labels->data, labels->size);
    out.size += labels->size;
    memcpy(out.data + out.size, in + l->markov_model, behind);
    if (h->format_version >= 1 && !ck_is_empty(h))
        ck_store32(out.data + out.size + (l->checksums - l->markov_model), ck_crc32c(labels->data, labels->size));
    out.size += behind;
    *out_ret = out.data;
    *out_nbytes_ret = out.size;
    return CRACKLE_OK;
}

crackle_status crackle_relabel(const void *in, size_t in_nbytes, const uint64_t *table, uint64_t count,
                               unsigned int data_width, int is_signed, int fortran_order, uint8_t **out_ret,
                               size_t *out_nbytes_ret, struct crackle_where *where)
{
    const u8 *bytes = in;
    struct crackle_header h, old_h;
    struct crackle_layout l;
    struct crackle_parts parts;
    struct ck_label_table old;
    struct ck_bytes labels = {NULL, 0, 0};
    crackle_status status = crackle_split(in, in_nbytes, &parts, where);

    if (status == CRACKLE_OK)
        status = ck_open_labels(&parts, 1, &old_h, &l, where);
    if (status != CRACKLE_OK)
        return status;
    if (data_width != 1 && data_width != 2 && data_width != 4 && data_width != 8)
        return CRACKLE_BAD_ARGUMENT;
    h = old_h;
    h.data_width = (u8)data_width;
    h.is_signed = is_signed != 0;
    h.fortran_order = fortran_order != 0;
    h.is_sorted = 1;
    if (ck_is_empty(&h)) {
        h.stored_width = 1;
        if (count != 0)
            return CRACKLE_BAD_ARGUMENT;
    } else {
        status = ck_label_table_open(&old_h, bytes + l.labels, &old);
        if (status == CRACKLE_OK && count != old.num_unique + (u64)old.has_background)
            return CRACKLE_BAD_ARGUMENT;
        if (status == CRACKLE_OK && !all_fit(table, count, data_width, is_signed))
            return CRACKLE_DOES_NOT_FIT;
        if (status == CRACKLE_OK && count > UINT32_MAX)
            status = CRACKLE_UNSUPPORTED;
        if (status == CRACKLE_OK) {
            /* new_labels() reads the old table by the old widths and signs. */
            struct crackle_header reading = old_h;

            status = new_labels(&reading, &old, table, h.is_signed, &labels);
            h.stored_width = reading.stored_width;
        }
        if (status != CRACKLE_OK) {
            free(labels.data);
            return ck_fail(where, status, CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
        }
    }
    status = ck_replace_labels(bytes, &l, &h, &labels, out_ret, out_nbytes_ret);
    free(labels.data);
    return status;
}

crackle_status crackle_relabel_in_place(void *stream, size_t nbytes, const uint64_t *table, uint64_t count,
                                        struct crackle_where *where)
{
    u8 *bytes = stream;
    struct crackle_header h;
    struct crackle_layout l;
    struct crackle_parts parts;
    struct ck_label_table old;
    crackle_status status = crackle_split(stream, nbytes, &parts, where);
    u64 flip, first;
    u8 *unique;

    if (status == CRACKLE_OK)
        status = ck_open_labels(&parts, 1, &h, &l, where);
    if (status != CRACKLE_OK)
        return status;
    if (ck_is_empty(&h))
        return count == 0 ? CRACKLE_OK : CRACKLE_BAD_ARGUMENT;
    status = ck_label_table_open(&h, bytes + l.labels, &old);
    if (status != CRACKLE_OK)
        return ck_fail(where, status, CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
    if (count != old.num_unique + (u64)old.has_background)
        return CRACKLE_BAD_ARGUMENT;
    if (!all_fit(table, count, h.stored_width < h.data_width ? h.stored_width : h.data_width, h.is_signed))
        return CRACKLE_DOES_NOT_FIT;

    unique = bytes + (old.unique - bytes);
    if (old.has_background)
        ck_store(bytes + l.labels, table[0], h.stored_width);
    first = (u64)old.has_background;
    flip = h.is_signed ? (u64)1 << 63 : 0;
    h.is_sorted = 1;
    for (u64 i = 0; i < old.num_unique; i++) {
        ck_store(unique + i * h.stored_width, table[first + i], h.stored_width);
        if (i > 0 && (table[first + i] ^ flip) <= (table[first + i - 1] ^ flip))
            h.is_sorted = 0;
        /* A label equal to the background repeats it. */
        if (old.has_background && table[first + i] == table[0])
            h.is_sorted = 0;
    }
    ck_write_header(&h, bytes);
    if (h.format_version >= 1)
        ck_store32(bytes + l.checksums, ck_crc32c(bytes + l.labels, (size_t)h.num_label_bytes));
    return CRACKLE_OK;
}
