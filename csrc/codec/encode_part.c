/*
 * encode_part.c - slices -> a part
 *
 *   boundary bitmaps -> { components -> keys of labels, checksum ; trace -> moves -> bytes }
 *
 * Works on one slice at a time, and keeps its scratch memory from slice to slice.
 */
#include "encode_part.h"
#include "moves.h"

/* Scratch memory, kept from slice to slice. */
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

/* Add the keys of the components of a slice. */
static crackle_status put_keys(struct workspace *w, crackle_part *part, const struct ck_slice_source *source)
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
    status = source->read_labels(source->self, c, w->labels);
    if (status != CRACKLE_OK)
        return status;
    for (size_t i = 0; i < c->count; i++) {
        if (!ck_label_set_add(&part->labels, w->labels[i], &part->keys[part->num_keys]))
            return CRACKLE_NO_MEMORY;
        part->num_keys++;
    }
    return CRACKLE_OK;
}

static crackle_status encode_slice(struct workspace *w, crackle_part *part, const struct ck_slice_source *source,
                                   u32 z, struct crackle_where *where)
{
    struct ck_part_slice *out = &part->slices[z - part->z_start];
    size_t begin = part->codes.size;
    crackle_status status = source->find_boundaries(source->self, z, &w->bitmaps, where);
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
    status = put_keys(w, part, source);
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

crackle_status ck_encode_part(const struct ck_slice_source *source, u32 sx, u32 sy, u32 z_start, u32 z_end,
                              int permissible, crackle_part **part_ret, struct crackle_where *where)
{
    struct workspace w;
    crackle_part *part = ck_part_new(z_start, z_end, permissible);
    crackle_status status = CRACKLE_OK;

    if (!part)
        return CRACKLE_NO_MEMORY;
    part->slices = ck_calloc(z_end - z_start, sizeof(*part->slices));
    if (!init_workspace(&w, sx, sy) || !part->slices)
        status = CRACKLE_NO_MEMORY;
    for (u32 z = z_start; status == CRACKLE_OK && z < z_end; z++)
        status = encode_slice(&w, part, source, z, where);
    free_workspace(&w);
    if (status == CRACKLE_OK)
        *part_ret = part;
    else
        crackle_part_free(part);
    return status;
}
