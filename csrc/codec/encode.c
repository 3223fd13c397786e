/*
 * encode.c - labels -> stream
 *
 *   labels -> bitmaps -> { components -> label map, checksum ; trace -> moves -> bytes } -> assemble
 *
 * The slices of a volume are independent but for the label table and the Markov model, so
 * the work is done in parts, ranges of slices that may be encoded at once.  A part holds
 * finished crack codes of order 0 and, for every component, a key into a table of
 * the labels that the part met.  Assembling merges the tables, and writes the crack
 * codes once more where a Markov model is wanted: the model needs to have seen them all.
 */
#include "../base/crc.h"
#include "choose_pins.h"
#include "components.h"
#include "encode.h"
#include "format.h"
#include "header.h"
#include "label_map.h"
#include "moves.h"
#include "remodel.h"
#include "transpose.h"
#include "volume.h"

/* How many voxels the crack format is guessed from. */
#define GUESS_VOXELS 2048

/* What the bitmaps of several slices may take. */
#define MOST_BATCH_NBYTES ((u64)16 << 20)

/* ---------------------------- One slice at a time -------------------------- */

/* The slices of a volume with x fastest, one after the other. */
int ck_slices_init(struct ck_slices *s, const struct crackle_volume *volume, u32 most)
{
    s->volume = volume;
    s->stride = (size_t)volume->sx * volume->sy * volume->width;
    s->batch = NULL;
    s->batch_z = s->batch_count = 0;
    s->batch_most = 0;
    if (volume->fortran_order)
        return 1;
    s->batch_most = ck_batch_slices(volume);
    if (s->batch_most > most)
        s->batch_most = most;
    s->stride = ck_batch_stride(volume);
    s->batch = ck_malloc(s->batch_most, s->stride);
    return s->batch != NULL;
}

void ck_slices_free(struct ck_slices *s)
{
    free(s->batch);
    s->batch = NULL;
}

const void *ck_slice_at(struct ck_slices *s, u32 z)
{
    if (s->volume->fortran_order)
        return (const u8 *)s->volume->voxels + z * s->stride;
    if (z < s->batch_z || z - s->batch_z >= s->batch_count) {
        u32 left;

        /* Who goes backwards will ask for the slices before this one. */
        s->batch_z = z >= s->batch_z ? z : z + 1 > s->batch_most ? z + 1 - s->batch_most : 0;
        left = s->volume->sz - s->batch_z;
        s->batch_count = left < s->batch_most ? left : s->batch_most;
        ck_gather_slices(s->volume, s->batch_z, s->batch_count, s->batch);
    }
    return s->batch + (z - s->batch_z) * s->stride;
}

/* ----------------------------------- Parts --------------------------------- */

/* What encoding a slice needs besides the part; kept from slice to slice. */
struct workspace {
    struct ck_bitmaps bitmaps;
    struct ck_components components;
    struct ck_image_crc image_crc;
    struct ck_tracer tracer;
    struct ck_chains chains;
    u64 *labels;             /* per component */
    size_t labels_capacity;
};

static void free_workspace(struct workspace *w)
{
    ck_bitmaps_free(&w->bitmaps);
    ck_components_free(&w->components);
    ck_image_crc_free(&w->image_crc);
    ck_tracer_free(&w->tracer);
    ck_chains_free(&w->chains);
    free(w->labels);
}

static int init_workspace(struct workspace *w, u32 sx, u32 sy)
{
    memset(w, 0, sizeof(*w));
    return ck_bitmaps_init(&w->bitmaps, sx, sy) && ck_components_init(&w->components, sx, sy) &&
           ck_image_crc_init(&w->image_crc, sx) && ck_tracer_init(&w->tracer, &w->bitmaps);
}

/* The keys of the components of a slice. */
static crackle_status put_keys(struct workspace *w, crackle_part *part, const struct ck_slice_maker *maker)
{
    const struct ck_components *c = &w->components;
    void *keys = part->keys, *labels = w->labels;
    int ok = ck_reserve(&keys, &part->keys_capacity, (u64)part->num_keys + c->count, sizeof(*part->keys));
    crackle_status status;

    ok = ck_reserve(&labels, &w->labels_capacity, c->count, sizeof(*w->labels)) && ok;
    part->keys = keys;
    w->labels = labels;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    status = maker->labels(maker->self, c, w->labels);
    if (status != CRACKLE_OK)
        return status;
    for (size_t i = 0; i < c->count; i++) {
        if (!ck_label_set_add(&part->labels, w->labels[i], &part->keys[part->num_keys]))
            return CRACKLE_NO_MEMORY;
        part->num_keys++;
    }
    return CRACKLE_OK;
}

static crackle_status encode_slice(struct workspace *w, crackle_part *part, const struct ck_slice_maker *maker,
                                   u32 z, struct crackle_where *where)
{
    struct ck_part_slice *out = &part->slices[z - part->z_start];
    size_t begin = part->codes.size;
    crackle_status status = maker->boundaries(maker->self, z, &w->bitmaps, where);
    u64 vertical, boundaries, interior, nbytes;

    if (status != CRACKLE_OK)
        return status;
    vertical = ck_count_vertical(&w->bitmaps);
    boundaries = vertical + ck_count_horizontal(&w->bitmaps);
    interior = ck_interior_cracks(&w->bitmaps);
    part->num_vertical += vertical;
    part->num_boundaries += boundaries;
    part->num_interior += interior;

    status = ck_find_components(&w->components, &w->bitmaps);
    if (status != CRACKLE_OK)
        return status;
    out->num_components = w->components.count;
    out->crc = ck_components_crc(&w->image_crc, &w->components);
    status = put_keys(w, part, maker);
    if (status != CRACKLE_OK)
        return status;

    if (part->permissible)
        ck_complement(&w->bitmaps);
    status = ck_trace(&w->tracer, &w->bitmaps, part->permissible ? interior - boundaries : boundaries, &w->chains);
    if (status == CRACKLE_OK)
        status = ck_write_crack_code(&w->chains, &w->bitmaps, &part->codes);
    if (status != CRACKLE_OK)
        return status;
    nbytes = part->codes.size - begin;
    if (nbytes > UINT32_MAX)
        return CRACKLE_TOO_LARGE;
    out->code_nbytes = (u32)nbytes;
    out->num_codepoints = w->chains.num_codepoints;
    return CRACKLE_OK;
}

/* A part of slices that are still to be encoded; NULL when there is no memory. */
static crackle_part *new_part(u32 z_start, u32 z_end, int permissible)
{
    crackle_part *part = ck_calloc(1, sizeof(*part));

    if (part) {
        part->z_start = z_start;
        part->z_end = z_end;
        part->permissible = permissible != 0;
    }
    return part;
}

crackle_status ck_encode_part(const struct ck_slice_maker *maker, u32 sx, u32 sy, u32 z_start, u32 z_end,
                              int permissible, crackle_part **part_ret, struct crackle_where *where)
{
    struct workspace w;
    crackle_part *part = new_part(z_start, z_end, permissible);
    crackle_status status = CRACKLE_OK;

    if (!part)
        return CRACKLE_NO_MEMORY;
    part->slices = ck_calloc(z_end - z_start, sizeof(*part->slices));
    if (!init_workspace(&w, sx, sy) || !part->slices)
        status = CRACKLE_NO_MEMORY;
    for (u32 z = z_start; status == CRACKLE_OK && z < z_end; z++)
        status = encode_slice(&w, part, maker, z, where);
    free_workspace(&w);
    if (status == CRACKLE_OK)
        *part_ret = part;
    else
        crackle_part_free(part);
    return status;
}

/* Slices of a volume. */
struct volume_maker {
    const struct crackle_volume *volume;
    u32 z;                          /* the slice that was asked for last */
    /* Of a C-order volume the boundaries of several slices are found at once. */
    struct ck_bitmaps *batch;
    u32 batch_z, batch_count, batch_most;
    void *scratch;
};

static int init_volume_maker(struct volume_maker *m, const struct crackle_volume *v, u32 num_slices)
{
    const u64 bitmaps_nbytes = (u64)v->sx * v->sy / 4 + 1;

    memset(m, 0, sizeof(*m));
    m->volume = v;
    if (v->fortran_order)
        return 1;
    m->batch_most = num_slices < CK_COLUMN_SLICES ? num_slices : CK_COLUMN_SLICES;
    while (m->batch_most > 1 && m->batch_most * bitmaps_nbytes > MOST_BATCH_NBYTES)
        m->batch_most--;
    m->batch = ck_calloc(m->batch_most, sizeof(*m->batch));
    m->scratch = ck_malloc(CK_COLUMNS_SCRATCH_NBYTES, 1);
    for (u32 i = 0; m->batch && i < m->batch_most; i++)
        if (!ck_bitmaps_init(&m->batch[i], v->sx, v->sy))
            return 0;
    return m->batch && m->scratch;
}

static void free_volume_maker(struct volume_maker *m)
{
    for (u32 i = 0; m->batch && i < m->batch_most; i++)
        ck_bitmaps_free(&m->batch[i]);
    free(m->batch);
    free(m->scratch);
}

static crackle_status boundaries_of_volume(void *self, u32 z, struct ck_bitmaps *b, struct crackle_where *where)
{
    struct volume_maker *m = self;
    const struct crackle_volume *v = m->volume;
    struct ck_bitmaps swap = *b;

    (void)where;
    m->z = z;
    if (v->fortran_order) {
        ck_find_boundaries((const u8 *)v->voxels + z * ((size_t)v->sx * v->sy * v->width), v->width, b);
        return CRACKLE_OK;
    }
    if (z < m->batch_z || z - m->batch_z >= m->batch_count) {
        m->batch_z = z;
        m->batch_count = v->sz - z < m->batch_most ? v->sz - z : m->batch_most;
        ck_find_boundaries_of_columns(v, z, m->batch_count, m->batch, m->scratch);
    }
    *b = m->batch[z - m->batch_z];
    m->batch[z - m->batch_z] = swap;
    return CRACKLE_OK;
}

static crackle_status labels_of_volume(void *self, const struct ck_components *c, u64 *labels)
{
    const struct volume_maker *m = self;
    const struct crackle_volume *v = m->volume;
    const u64 slice = m->z * (u64)v->sx * v->sy;

    for (size_t i = 0; i < c->count; i++) {
        const u64 first = c->first[i];
        const u64 voxel = v->fortran_order ? slice + first : (first % v->sx * v->sy + first / v->sx) * v->sz + m->z;

        labels[i] = ck_native_label(v->voxels, voxel, v->width, v->is_signed);
    }
    return CRACKLE_OK;
}

crackle_status crackle_encode_part(const struct crackle_volume *volume, uint32_t z_start, uint32_t z_end,
                                   int permissible, crackle_part **part_ret)
{
    struct volume_maker m;
    struct ck_slice_maker maker;
    crackle_status status = CRACKLE_NO_MEMORY;

    if (!ck_is_volume(volume) || z_start > z_end || z_end > volume->sz)
        return CRACKLE_BAD_ARGUMENT;
    if (volume->nbytes == 0 || z_start == z_end) {
        crackle_part *part = new_part(z_start, z_end, permissible);

        if (!part)
            return CRACKLE_NO_MEMORY;
        *part_ret = part;
        return CRACKLE_OK;
    }
    if (init_volume_maker(&m, volume, z_end - z_start)) {
        maker.self = &m;
        maker.boundaries = boundaries_of_volume;
        maker.labels = labels_of_volume;
        status = ck_encode_part(&maker, volume->sx, volume->sy, z_start, z_end, permissible, part_ret, NULL);
    }
    free_volume_maker(&m);
    return status;
}

void crackle_part_free(crackle_part *part)
{
    if (!part)
        return;
    free(part->slices);
    free(part->keys);
    free(part->moved);
    free(part->codes.data);
    ck_label_set_free(&part->labels);
    free(part);
}

/* Count the boundaries between some voxels and their neighbours in x and y, and all pairs that were looked at. */
static void sample_voxels(const struct crackle_volume *v, u64 *boundaries, u64 *pairs)
{
    u64 random = 1;

    for (u32 i = 0; i < GUESS_VOXELS; i++) {
        const u64 step_x = v->fortran_order ? 1 : (u64)v->sy * v->sz;
        const u64 step_y = v->fortran_order ? v->sx : v->sz;
        const u64 step_z = v->fortran_order ? (u64)v->sx * v->sy : 1;
        u64 x, y, voxel, label;

        random = random * 6364136223846793005u + 1442695040888963407u; /* Knuth's; the high bits are good */
        x = (random >> 32) % v->sx;
        y = (random >> 20) % v->sy;
        voxel = x * step_x + y * step_y + (random >> 40) % v->sz * step_z;
        label = ck_native_label(v->voxels, voxel, v->width, 0);
        if (x > 0)
            *boundaries += label != ck_native_label(v->voxels, voxel - step_x, v->width, 0);
        if (y > 0)
            *boundaries += label != ck_native_label(v->voxels, voxel - step_y, v->width, 0);
        *pairs += (u64)(x > 0) + (y > 0);
    }
}

int crackle_guess_crack_format(const struct crackle_volume *v)
{
    u64 boundaries = 0, pairs = 0;

    if (!ck_is_volume(v) || v->nbytes == 0)
        return 0;
    sample_voxels(v, &boundaries, &pairs);
    return boundaries > pairs / 2;
}

int crackle_fewer_cracks(crackle_part *const *parts, size_t num_parts)
{
    u64 boundaries = 0, interior = 0;

    for (size_t i = 0; i < num_parts; i++) {
        boundaries += parts[i]->num_boundaries;
        interior += parts[i]->num_interior;
    }
    return boundaries > interior - boundaries;
}

/* -------------------------------- Assembling ------------------------------- */

/* The volume's labels, merged from the parts. */
struct merged_labels {
    u64 *unique;         /* ascending */
    size_t num_unique;
    u32 **rank_of_key;   /* per part: the place in 'unique' of each of the part's keys */
    u32 *ranks;          /* all of the above */
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
 * The labels section in the format that was asked for.  Pins pay where objects are larger than
 * a voxel; where three quarters of the neighbours along x differ they are not even tried, and
 * where the section turns out no shorter than that of flat labels, the labels are flat.
 */
static crackle_status put_labels(struct ck_bytes *out, struct crackle_header *h, const struct crackle_volume *v,
                                 const struct crackle_options *options, crackle_part *const *parts,
                                 size_t num_parts, const volatile int32_t *stop, const struct ck_pins_maker *maker)
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
    if (maker) {
        status = maker->put(maker->self, m.unique, m.num_unique, h->stored_width, m.counts, &pins);
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
            (!parts[i]->slices && parts[i]->z_end > z && v->sx != 0 && v->sy != 0)) /* of a volume without voxels */
            return 0;
        z = parts[i]->z_end;
    }
    return z == v->sz;
}

crackle_status ck_assemble(const struct crackle_volume *volume, const struct crackle_options *options,
                           crackle_part *const *parts, size_t num_parts, const volatile int32_t *stop,
                           const struct ck_pins_maker *pins, u8 **out_ret, size_t *out_nbytes_ret)
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

        /* A volume without cracks has nothing to model. */
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
    /* Of slices without voxels there may be any number: they take no byte. */
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

crackle_status crackle_encode(const struct crackle_volume *volume, const struct crackle_options *options,
                              uint8_t **out_ret, size_t *out_nbytes_ret)
{
    int permissible = crackle_guess_crack_format(volume);
    crackle_part *part = NULL;
    crackle_status status = crackle_encode_part(volume, 0, volume->sz, permissible, &part);

    if (status == CRACKLE_OK && crackle_fewer_cracks(&part, 1) != permissible) {
        crackle_part_free(part);
        part = NULL;
        status = crackle_encode_part(volume, 0, volume->sz, !permissible, &part);
    }
    if (status == CRACKLE_OK)
        status = crackle_assemble(volume, options, &part, 1, NULL, out_ret, out_nbytes_ret);
    crackle_part_free(part);
    return status;
}

void crackle_free(void *buffer)
{
    free(buffer);
}
