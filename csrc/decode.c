/*
 * decode.c - stream -> labels
 *
 *   take apart -> moves -> bitmaps -> components -> { checksum ; label map } -> paint
 *
 * the mirror of encode.c, slice by slice.  reading.c goes as far as the entry of every component in the
 * label table; here entries become values, the stream's labels or others that the caller gives them, and
 * values voxels.  Nothing is allocated on the word of the stream alone: the caller's volume has to have
 * the stream's size in x and y before anything of the size of a slice is set up.
 */
#include "crackle.h"
#include "header.h"
#include "paint.h"
#include "reading.h"
#include "transpose.h"
#include "volume.h"

struct decoder {
    struct ck_reading reading;
    const u64 *values;       /* per entry; NULL: the labels themselves */
    u8 *wanted;              /* per entry of flat labels, whether its value is not 0; NULL where values is */
    u64 *scratch;            /* of painting */
    size_t scratch_capacity;
    enum ck_paint_to to;
};

static void free_decoder(struct decoder *d)
{
    ck_reading_free(&d->reading);
    free(d->wanted);
    free(d->scratch);
}

/* Free the decoder whatever comes back. */
static crackle_status open_decoder(struct decoder *d, const struct crackle_parts *parts, u32 z_start, u32 z_end,
                                   unsigned int flags, const u64 *values, u64 count,
                                   const struct crackle_volume *out, u32 out_z, struct crackle_where *where)
{
    const struct crackle_header *h = &d->reading.header;
    crackle_status status;

    memset(d, 0, sizeof(*d));
    status = ck_reading_open(&d->reading, parts, flags, where);
    if (status != CRACKLE_OK)
        return status;
    if (!ck_is_volume(out) || out->sx != h->sx || out->sy != h->sy || (!values && out->width != h->data_width) ||
        z_start > z_end || z_end > h->sz || z_start < out_z || z_end - out_z > out->sz)
        return CRACKLE_BAD_ARGUMENT;
    if (ck_is_empty(h) || z_start == z_end)
        return CRACKLE_OK;
    status = ck_reading_begin(&d->reading, parts, z_start, z_end, where);
    if (status != CRACKLE_OK || !values)
        return status;
    if (count != ck_num_entries(&d->reading.map.table))
        return CRACKLE_BAD_ARGUMENT;
    d->values = values;
    if (!d->reading.map.pins) {
        d->wanted = ck_malloc(count, 1);
        if (!d->wanted)
            return CRACKLE_NO_MEMORY;
        for (u64 i = 0; i < count; i++)
            d->wanted[i] = values[i] != 0;
    }
    return CRACKLE_OK;
}

/* Make the voxels of slice 'z', which is next. */
static crackle_status decode_slice(struct decoder *d, u32 z, unsigned int width, void *slice,
                                   struct crackle_where *where)
{
    struct ck_reading *r = &d->reading;
    void *scratch = d->scratch;
    crackle_status status;
    int ok;

    /* A slice of zeros is left undecoded where its keys say so. */
    if (d->wanted && !ck_flat_slice_has(&r->map, d->wanted)) {
        ck_reading_skip(r, z);
        memset(slice, 0, (size_t)r->header.sx * r->header.sy * width);
        return CRACKLE_OK;
    }
    status = ck_reading_next(r, z, where);
    if (status != CRACKLE_OK)
        return status;
    ok = ck_reserve(&scratch, &d->scratch_capacity, ck_paint_scratch(&r->components), sizeof(*d->scratch));
    d->scratch = scratch;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    if (d->values)
        for (size_t i = 0; i < r->components.count; i++)
            r->entries[i] = d->values[r->entries[i]];
    else
        ck_labels_of_entries(&r->header, &r->map.table, r->components.count, r->entries);
    ck_paint(&r->components, r->entries, slice, width, d->to, d->scratch);
    return CRACKLE_OK;
}

static crackle_status decode(const struct crackle_parts *parts, u32 z_start, u32 z_end, unsigned int flags,
                             const u64 *values, u64 count, const struct crackle_volume *out, u32 out_z,
                             struct crackle_where *where)
{
    struct decoder d;
    crackle_status status = open_decoder(&d, parts, z_start, z_end, flags, values, count, out, out_z, where);
    size_t slice_nbytes, stride;
    u8 *batch = NULL;
    u32 most = 1;

    if (status != CRACKLE_OK || out->nbytes == 0)
        goto out;
    slice_nbytes = (size_t)out->sx * out->sy * out->width;
    stride = out->fortran_order ? slice_nbytes : ck_batch_stride(out);
    if (!out->fortran_order) {
        most = ck_batch_slices(out);
        most = most < z_end - z_start ? most : z_end - z_start;
        batch = ck_malloc(most, stride);
        if (!batch) {
            status = CRACKLE_NO_MEMORY;
            goto out;
        }
    }
    d.to = !batch && (u64)(z_end - z_start) * slice_nbytes > CK_MOST_IN_CACHE ? CK_TO_MEMORY : CK_TO_CACHE;
    for (u32 z = z_start; z < z_end;) {
        u32 number = z_end - z < most ? z_end - z : most;
        u8 *slices = batch ? batch : (u8 *)out->voxels + (z - out_z) * slice_nbytes;

        for (u32 i = 0; i < number; i++) {
            status = decode_slice(&d, z + i, out->width, slices + i * stride, where);
            if (status != CRACKLE_OK)
                goto out;
        }
        if (batch)
            ck_scatter_slices(batch, out, z - out_z, number);
        z += number;
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
    return decode(parts, z_start, z_end, flags, NULL, 0, out, out_z, where);
}

crackle_status crackle_decode_as(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                 unsigned int flags, const uint64_t *values, uint64_t count,
                                 const struct crackle_volume *out, uint32_t out_z, struct crackle_where *where)
{
    if (!values)
        return CRACKLE_BAD_ARGUMENT;
    return decode(parts, z_start, z_end, flags, values, count, out, out_z, where);
}

crackle_status crackle_decode_mask(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                   unsigned int flags, uint64_t label, const struct crackle_volume *out,
                                   uint32_t out_z, struct crackle_where *where)
{
    u64 count = 0, *values;
    crackle_status status = crackle_table_size(parts, &count, where);

    if (status != CRACKLE_OK)
        return status;
    if (out->width != 1)
        return CRACKLE_BAD_ARGUMENT;
    values = ck_malloc(count, sizeof(*values));
    if (!values)
        return CRACKLE_NO_MEMORY;
    /* Decoding verifies what is read here. */
    status = crackle_read_table(parts, CRACKLE_NO_VERIFY, values, count, where);
    for (u64 i = 0; status == CRACKLE_OK && i < count; i++)
        values[i] = values[i] == label;
    if (status == CRACKLE_OK)
        status = decode(parts, z_start, z_end, flags, values, count, out, out_z, where);
    free(values);
    return status;
}
