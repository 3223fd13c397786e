/*
 * decode.c - stream -> labels
 *
 *   take apart -> moves -> bitmaps -> components -> { checksum ; label map } -> paint
 *
 * This is the mirror of encode.c, slice by slice. reading.c gets as far as the label table entry of every component.
 * This file turns entries into values, which are the labels of the stream or values of the caller, and values into
 * voxels.
 *
 * The size in a header alone never leads to an allocation: the caller's volume must have the same sx and sy before
 * memory for a slice is allocated.
 */
#include "../crackle.h"
#include "copy_lines.h"
#include "header.h"
#include "paint.h"
#include "reading.h"
#include "volume.h"

/* Slices of a C-order volume are painted together, but no more at a time than have this many patches. */
#define MAX_PENDING_PATCHES ((size_t)1 << 20)
#define COLUMNS_AT_ONCE ((u32)64)

CK_STATIC_ASSERT(columns_and_a_line_of_bytes, COLUMNS_AT_ONCE + CK_LINE_NBYTES <= CK_MAX_COLUMNS);

/* A slice that is read and will be painted together with others. */
struct pending_slice {
    struct ck_components components;
    u64 *labels;
    size_t labels_capacity;
};

struct decoder {
    struct ck_reading reading;
    const u64 *values;       /* per entry; NULL: use the labels */
    u8 *selected;              /* flat labels only: per entry, whether its value is not 0; NULL if 'values' is */
    u64 *scratch;            /* for painting */
    size_t scratch_capacity;
    enum ck_paint_to to;
    struct pending_slice *pending; /* NULL unless the volume is in C order */
    u32 max_pending;
};

static void free_decoder(struct decoder *d)
{
    ck_reading_free(&d->reading);
    free(d->selected);
    free(d->scratch);
    for (u32 i = 0; d->pending && i < d->max_pending; i++) {
        ck_components_free(&d->pending[i].components);
        free(d->pending[i].labels);
    }
    free(d->pending);
}

/* Call free_decoder() whatever the status is. */
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
        d->selected = ck_malloc(count, 1);
        if (!d->selected)
            return CRACKLE_NO_MEMORY;
        for (u64 i = 0; i < count; i++)
            d->selected[i] = values[i] != 0;
    }
    return CRACKLE_OK;
}

static crackle_status reserve_scratch(struct decoder *d, u64 count)
{
    void *scratch = d->scratch;
    int ok = ck_reserve(&scratch, &d->scratch_capacity, count, sizeof(*d->scratch));

    d->scratch = scratch;
    return ok ? CRACKLE_OK : CRACKLE_NO_MEMORY;
}

/* Whether the keys of slice 'z', the next one, show that all its values are 0. If so, it is not decoded. */
static int skip_zeros(struct decoder *d, u32 z)
{
    if (!d->selected || ck_label_map_slice_has(&d->reading.map, d->selected))
        return 0;
    ck_reading_skip(&d->reading, z);
    return 1;
}

/* Read slice 'z', the next one. r->entries then hold the values to paint. */
static crackle_status read_slice(struct decoder *d, u32 z, struct crackle_where *where)
{
    struct ck_reading *r = &d->reading;
    crackle_status status = ck_reading_next(r, z, where);

    if (status != CRACKLE_OK)
        return status;
    if (d->values)
        for (size_t i = 0; i < r->components.count; i++)
            r->entries[i] = d->values[r->entries[i]];
    else
        ck_labels_of_entries(&r->header, &r->map.table, r->components.count, r->entries);
    return CRACKLE_OK;
}

static crackle_status decode_slice(struct decoder *d, u32 z, unsigned int width, void *slice,
                                   struct crackle_where *where)
{
    const struct ck_reading *r = &d->reading;
    crackle_status status;

    if (skip_zeros(d, z)) {
        memset(slice, 0, (size_t)r->header.sx * r->header.sy * width);
        return CRACKLE_OK;
    }
    status = read_slice(d, z, where);
    if (status == CRACKLE_OK)
        status = reserve_scratch(d, ck_paint_scratch(r->header.sx, 1));
    if (status == CRACKLE_OK)
        ck_paint(&r->components, r->entries, slice, width, d->to, d->scratch);
    return status;
}

/* Read slice 'z', the next one, into 'w'. */
static crackle_status read_pending_slice(struct decoder *d, u32 z, struct pending_slice *w, struct crackle_where *where)
{
    struct ck_reading *r = &d->reading;
    struct pending_slice swap;
    crackle_status status;

    if (!w->components.row_buffer && !ck_components_init(&w->components, r->header.sx, r->header.sy))
        return CRACKLE_NO_MEMORY;
    if (skip_zeros(d, z)) {
        void *labels = w->labels;
        int ok = ck_reserve(&labels, &w->labels_capacity, 1, sizeof(*w->labels));

        w->labels = labels;
        if (!ok || !ck_components_whole(&w->components))
            return CRACKLE_NO_MEMORY;
        w->labels[0] = 0;
        return CRACKLE_OK;
    }
    status = read_slice(d, z, where);
    swap = *w;
    w->components = r->components;
    w->labels = r->entries;
    w->labels_capacity = r->entries_capacity;
    r->components = swap.components;
    r->entries = swap.labels;
    r->entries_capacity = swap.labels_capacity;
    return status;
}

/*
 * How many of 'left' slices from slice 'z' of 'out' on are painted together: up to the end of a cache line in every
 * column, if lines end at the same z in all of them.  Each line is then written by one call, and bypasses the cache.
 * Some last slices of their own would take as long as many.
 */
static u32 num_together(const struct crackle_volume *out, u32 z, u32 left)
{
    const u32 line = CK_LINE_NBYTES / out->width;
    const u64 place = (uintptr_t)out->voxels / out->width + z;

    if (left <= COLUMNS_AT_ONCE + line)
        return left;
    return out->sz % line == 0 ? COLUMNS_AT_ONCE - (u32)(place % line) : COLUMNS_AT_ONCE;
}

/* Decode several slices from 'z' on; '*count_ret' is their number. */
static crackle_status decode_columns(struct decoder *d, u32 z, u32 z_end, const struct crackle_volume *out, u32 out_z,
                                     u32 *count_ret, struct crackle_where *where)
{
    struct ck_slice_to_paint slices[CK_MAX_COLUMNS];
    const u32 most = num_together(out, z - out_z, z_end - z);
    size_t num_patches = 0;
    crackle_status status;
    u32 count = 0;

    while (count < most && num_patches < MAX_PENDING_PATCHES) {
        struct pending_slice *w = &d->pending[count];

        status = read_pending_slice(d, z + count, w, where);
        if (status != CRACKLE_OK)
            return status;
        num_patches += w->components.row_end[out->sy - 1];
        slices[count].components = &w->components;
        slices[count].labels = w->labels;
        count++;
    }
    status = reserve_scratch(d, ck_paint_scratch(out->sx, count * ck_rows_at_once(out, count)));
    if (status != CRACKLE_OK)
        return status;
    ck_paint_columns(slices, count, out, z - out_z, d->scratch);
    *count_ret = count;
    return CRACKLE_OK;
}

static crackle_status decode(const struct crackle_parts *parts, u32 z_start, u32 z_end, unsigned int flags,
                             const u64 *values, u64 count, const struct crackle_volume *out, u32 out_z,
                             struct crackle_where *where)
{
    struct decoder d;
    crackle_status status = open_decoder(&d, parts, z_start, z_end, flags, values, count, out, out_z, where);
    u32 number = 1;

    if (status != CRACKLE_OK || out->nbytes == 0 || z_start == z_end)
        goto out;
    d.to = (u64)(z_end - z_start) * out->sx * out->sy * out->width > CK_CACHE_NBYTES && !(flags & CRACKLE_NEW_PAGES)
               ? CK_TO_MEMORY
               : CK_TO_CACHE;
    if (!out->fortran_order) {
        d.max_pending = z_end - z_start < CK_MAX_COLUMNS ? z_end - z_start : CK_MAX_COLUMNS;
        d.pending = ck_calloc(d.max_pending, sizeof(*d.pending));
        if (!d.pending)
            status = CRACKLE_NO_MEMORY;
    }
    for (u32 z = z_start; status == CRACKLE_OK && z < z_end; z += number) {
        if (d.pending)
            status = decode_columns(&d, z, z_end, out, out_z, &number, where);
        else
            status = decode_slice(&d, z, out->width,
                                  (u8 *)out->voxels + (z - out_z) * ((size_t)out->sx * out->sy * out->width), where);
    }
out:
    free_decoder(&d);
    return status;
}

crackle_status crackle_decode(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                              unsigned int flags, const struct crackle_volume *out, uint32_t out_z,
                              struct crackle_where *where)
{
    return decode(parts, z_start, z_end, flags, NULL, 0, out, out_z, where);
}

crackle_status crackle_decode_stream(const void *in, size_t in_nbytes, unsigned int flags,
                                     const struct crackle_volume *out, struct crackle_where *where)
{
    struct crackle_parts parts;
    struct crackle_header h;
    crackle_status status = crackle_split(in, in_nbytes, &parts, where);

    if (status == CRACKLE_OK)
        status = crackle_read_header(in, in_nbytes, &h, where);
    if (status != CRACKLE_OK)
        return status;
    if (h.sx != out->sx || h.sy != out->sy || h.sz != out->sz || h.data_width != out->width ||
        !h.is_signed != !out->is_signed)
        return CRACKLE_BAD_ARGUMENT;
    return crackle_decode(&parts, 0, h.sz, flags, out, 0, where);
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
    /* decode() verifies the checksums. */
    status = crackle_read_table(parts, CRACKLE_NO_VERIFY, values, count, where);
    for (u64 i = 0; status == CRACKLE_OK && i < count; i++)
        values[i] = values[i] == label;
    if (status == CRACKLE_OK)
        status = decode(parts, z_start, z_end, flags, values, count, out, out_z, where);
    free(values);
    return status;
}
