/*
 * decode.c - stream -> labels
 *
 *   take apart -> moves -> bitmaps -> components -> { checksum ; label map } -> paint
 *
 * the mirror of encode.c, slice by slice.  Nothing is allocated on the word of the stream alone:
 * the caller's volume has to have the stream's size in x and y before anything of the size of
 * a slice is set up, and a slice's crack code is no longer than the bytes that are there.
 */
#include "components.h"
#include "crackle.h"
#include "format.h"
#include "header.h"
#include "label_map.h"
#include "markov.h"
#include "moves.h"
#include "paint.h"
#include "transpose.h"
#include "volume.h"

struct decoder {
    struct crackle_header header;
    struct crackle_layout layout;
    const u8 *codes;         /* of the slice that comes next */
    const u8 *crack_index;
    const u8 *slice_crcs;    /* NULL: not to be verified */
    struct ck_markov_model model;
    struct ck_label_map map;
    struct ck_bitmaps bitmaps;
    struct ck_chains chains;
    struct ck_components components;
    struct ck_image_crc image_crc;
    u64 *labels;             /* per component of a slice */
    void *narrow;            /* the same in the width of the voxels */
    size_t labels_capacity, narrow_capacity;
};

static void free_decoder(struct decoder *d)
{
    ck_markov_free(&d->model);
    ck_label_map_free(&d->map);
    ck_bitmaps_free(&d->bitmaps);
    ck_chains_free(&d->chains);
    ck_components_free(&d->components);
    ck_image_crc_free(&d->image_crc);
    free(d->labels);
    free(d->narrow);
}

/* The crack codes of [z_start, z_end) must be there, and the model before them. */
static crackle_status find_codes(struct decoder *d, const struct crackle_parts *parts, u32 z_start, u32 z_end,
                                 struct crackle_where *where)
{
    u64 skip = 0, need = 0;

    if (parts->codes_z > z_start)
        return CRACKLE_BAD_ARGUMENT;
    for (u32 z = parts->codes_z; z < z_end; z++)
        *(z < z_start ? &skip : &need) += ck_load32(d->crack_index + 4 * (size_t)z);
    if (parts->codes_nbytes < skip || parts->codes_nbytes - skip < need)
        return ck_fail(where, CRACKLE_TRUNCATED, CRACKLE_SECTION_CRACK_CODES, CRACKLE_NO_SLICE);
    d->codes = parts->codes + skip;
    if (d->header.markov_order == 0)
        return CRACKLE_OK;
    if (parts->head_nbytes < d->layout.crack_codes)
        return ck_fail(where, CRACKLE_TRUNCATED, CRACKLE_SECTION_MARKOV_MODEL, CRACKLE_NO_SLICE);
    return ck_fail(where, ck_markov_read(&d->model, d->header.markov_order, parts->head + d->layout.markov_model),
                   CRACKLE_SECTION_MARKOV_MODEL, CRACKLE_NO_SLICE);
}

/* What decode_components() works in. */
static int init_slices(struct decoder *d)
{
    const struct crackle_header *h = &d->header;

    return ck_bitmaps_init(&d->bitmaps, h->sx, h->sy) && ck_components_init(&d->components, h->sx, h->sy) &&
           (!d->slice_crcs || ck_image_crc_init(&d->image_crc, h->sx));
}

/* Everything up to the first slice.  Free the decoder whatever comes back. */
static crackle_status open_decoder(struct decoder *d, const struct crackle_parts *parts, u32 z_start, u32 z_end,
                                   unsigned int flags, const struct crackle_volume *out, u32 out_z, int as_mask,
                                   struct crackle_where *where)
{
    const int verify = !(flags & CRACKLE_NO_VERIFY);
    struct crackle_header *h = &d->header;
    crackle_status status;

    memset(d, 0, sizeof(*d));
    status = ck_open_labels(parts, verify, h, &d->layout, where);
    if (status != CRACKLE_OK)
        return status;
    if (!ck_is_volume(out) || out->sx != h->sx || out->sy != h->sy || out->width != (as_mask ? 1 : h->data_width) ||
        z_start > z_end || z_end > h->sz || z_start < out_z || z_end - out_z > out->sz)
        return CRACKLE_BAD_ARGUMENT;
    if (ck_is_empty(h) || z_start == z_end)
        return CRACKLE_OK;
    d->crack_index = parts->head + d->layout.crack_index;
    if (verify && h->format_version >= 1)
        d->slice_crcs = parts->tail + CK_CRC_NBYTES;

    status = find_codes(d, parts, z_start, z_end, where);
    if (status != CRACKLE_OK)
        return status;
    status = ck_label_map_open(&d->map, h, parts->head + d->layout.labels, z_start);
    if (status != CRACKLE_OK)
        return ck_fail(where, status, CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
    return init_slices(d) ? CRACKLE_OK : CRACKLE_NO_MEMORY;
}

static inline u32 code_nbytes(const struct decoder *d, u32 z)
{
    return ck_load32(d->crack_index + 4 * (size_t)z);
}

/* The components of slice 'z', whose code is next. */
static crackle_status decode_components(struct decoder *d, u32 z, struct crackle_where *where)
{
    const u32 nbytes = code_nbytes(d, z);
    crackle_status status;

    status = ck_read_crack_code(d->codes, nbytes, d->model.rows ? &d->model : NULL, &d->bitmaps, &d->chains);
    d->codes += nbytes;
    if (status == CRACKLE_OK)
        status = ck_walk(&d->chains, &d->bitmaps);
    if (status != CRACKLE_OK)
        return ck_fail(where, status, CRACKLE_SECTION_CRACK_CODES, z);
    if (d->header.permissible)
        ck_complement(&d->bitmaps);
    status = ck_find_components(&d->components, &d->bitmaps);
    if (status != CRACKLE_OK)
        return status;
    if (d->slice_crcs &&
        ck_components_crc(&d->image_crc, &d->components) != ck_load32(d->slice_crcs + 4 * (size_t)z))
        return ck_fail(where, CRACKLE_BAD_CHECKSUM, CRACKLE_SECTION_CRACK_CODES, z);
    return CRACKLE_OK;
}

/* The labels of these components. */
static crackle_status decode_labels(struct decoder *d, u32 z, struct crackle_where *where)
{
    void *labels = d->labels;
    int ok;

    ok = ck_reserve(&labels, &d->labels_capacity, d->components.count, sizeof(*d->labels));
    d->labels = labels;
    if (!ok || !ck_reserve(&d->narrow, &d->narrow_capacity, d->components.count, sizeof(u64)))
        return CRACKLE_NO_MEMORY;
    return ck_fail(where, ck_label_map_next(&d->map, &d->components, d->labels), CRACKLE_SECTION_LABELS, z);
}

/* Make the voxels of slice 'z'; with 'mask', ones where the label is '*mask'. */
static crackle_status decode_slice(struct decoder *d, u32 z, const u64 *mask, unsigned int width, void *slice,
                                   struct crackle_where *where)
{
    crackle_status status;

    /* A slice without the label is left undecoded where its keys say so. */
    if (mask && !d->map.pins && !ck_flat_slice_has(&d->map, *mask)) {
        ck_label_map_skip(&d->map);
        d->codes += code_nbytes(d, z);
        memset(slice, 0, (size_t)d->header.sx * d->header.sy);
        return CRACKLE_OK;
    }
    status = decode_components(d, z, where);
    if (status == CRACKLE_OK)
        status = decode_labels(d, z, where);
    if (status != CRACKLE_OK)
        return status;
    if (mask)
        for (size_t i = 0; i < d->components.count; i++)
            d->labels[i] = d->labels[i] == *mask;
    ck_paint(&d->components, d->labels, slice, width, d->narrow);
    return CRACKLE_OK;
}

static crackle_status decode(const struct crackle_parts *parts, u32 z_start, u32 z_end, unsigned int flags,
                             const u64 *mask, const struct crackle_volume *out, u32 out_z,
                             struct crackle_where *where)
{
    struct decoder d;
    crackle_status status = open_decoder(&d, parts, z_start, z_end, flags, out, out_z, mask != NULL, where);
    size_t slice_nbytes;
    u8 *batch = NULL;
    u32 most = 1;

    if (status != CRACKLE_OK || out->nbytes == 0)
        goto out;
    slice_nbytes = (size_t)out->sx * out->sy * out->width;
    if (!out->fortran_order) {
        most = ck_batch_slices(out);
        most = most < z_end - z_start ? most : z_end - z_start;
        batch = ck_malloc(most, slice_nbytes);
        if (!batch) {
            status = CRACKLE_NO_MEMORY;
            goto out;
        }
    }
    for (u32 z = z_start; z < z_end;) {
        u32 count = z_end - z < most ? z_end - z : most;
        u8 *slices = batch ? batch : (u8 *)out->voxels + (z - out_z) * slice_nbytes;

        for (u32 i = 0; i < count; i++) {
            status = decode_slice(&d, z + i, mask, out->width, slices + i * slice_nbytes, where);
            if (status != CRACKLE_OK)
                goto out;
        }
        if (batch)
            ck_scatter_slices(batch, out, z - out_z, count);
        z += count;
    }
out:
    free(batch);
    free_decoder(&d);
    return status;
}

crackle_status crackle_decode(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                              unsigned int flags, const struct crackle_volume *out, uint32_t out_z,
                              struct crackle_where *where)
{
    return decode(parts, z_start, z_end, flags, NULL, out, out_z, where);
}

crackle_status crackle_decode_mask(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                   unsigned int flags, uint64_t label, const struct crackle_volume *out,
                                   uint32_t out_z, struct crackle_where *where)
{
    return decode(parts, z_start, z_end, flags, &label, out, out_z, where);
}

crackle_status crackle_check_slice(const struct crackle_parts *parts, uint32_t z, uint64_t *components_ret,
                                   struct crackle_where *where)
{
    struct decoder d;
    struct crackle_header *h = &d.header;
    crackle_status status;

    memset(&d, 0, sizeof(d));
    status = ck_open_labels(parts, 0, h, &d.layout, where);
    if (status != CRACKLE_OK)
        return status;
    if (z >= h->sz || ck_is_empty(h))
        return CRACKLE_BAD_ARGUMENT;
    if (h->format_version >= 1 && parts->tail_nbytes != d.layout.end - d.layout.checksums)
        return ck_fail(where, CRACKLE_TRUNCATED, CRACKLE_SECTION_CHECKSUMS, CRACKLE_NO_SLICE);
    d.crack_index = parts->head + d.layout.crack_index;
    if (h->format_version >= 1)
        d.slice_crcs = parts->tail + CK_CRC_NBYTES;

    status = find_codes(&d, parts, z, z + 1, where);
    if (status == CRACKLE_OK)
        status = init_slices(&d) ? decode_components(&d, z, where) : CRACKLE_NO_MEMORY;
    if (status == CRACKLE_OK)
        *components_ret = d.components.count;
    free_decoder(&d);
    return status;
}
