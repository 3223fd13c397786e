/*
 * reading.c - stream -> the components of its slices, and their label table entries, slice by slice
 *
 * Nothing as large as a slice is allocated before ck_reading_begin(), so a caller can first compare the size in the
 * header with the size it expects.  A crack code is never longer than the bytes that are there.
 */
#include "format.h"
#include "header.h"
#include "reading.h"

void ck_reading_free(struct ck_reading *r)
{
    ck_markov_free(&r->model);
    ck_label_map_free(&r->map);
    ck_bitmaps_free(&r->bitmaps);
    ck_chains_free(&r->chains);
    ck_components_free(&r->components);
    ck_image_crc_free(&r->image_crc);
    free(r->entries);
}

crackle_status ck_reading_open(struct ck_reading *r, const struct crackle_parts *parts, unsigned int flags,
                              struct crackle_where *where)
{
    const int verify = !(flags & CRACKLE_NO_VERIFY);
    crackle_status status;

    memset(r, 0, sizeof(*r));
    status = ck_open_labels(parts, verify, &r->header, &r->layout, where);
    if (status != CRACKLE_OK || ck_is_empty(&r->header) || !verify || r->header.format_version == 0)
        return status;
    if (parts->tail_nbytes != r->layout.end - r->layout.checksums)
        return ck_fail(where, CRACKLE_TRUNCATED, CRACKLE_SECTION_CHECKSUMS, CRACKLE_NO_SLICE);
    r->slice_crcs = parts->tail + CK_CRC_NBYTES;
    return CRACKLE_OK;
}

/* Find the crack codes of [z_start, z_end), and read the model. */
static crackle_status find_codes(struct ck_reading *r, const struct crackle_parts *parts, u32 z_start, u32 z_end,
                                 struct crackle_where *where)
{
    u64 skip = 0, need = 0;
    crackle_status status;

    if (parts->codes_z > z_start)
        return CRACKLE_BAD_ARGUMENT;
    for (u32 z = parts->codes_z; z < z_end; z++)
        *(z < z_start ? &skip : &need) += ck_load32(r->crack_index + 4 * (size_t)z);
    if (parts->codes_nbytes < skip || parts->codes_nbytes - skip < need)
        return ck_fail(where, CRACKLE_TRUNCATED, CRACKLE_SECTION_CRACK_CODES, CRACKLE_NO_SLICE);
    r->codes = parts->codes + skip;
    if (r->header.markov_order == 0)
        return CRACKLE_OK;
    if (parts->head_nbytes < r->layout.crack_codes)
        return ck_fail(where, CRACKLE_TRUNCATED, CRACKLE_SECTION_MARKOV_MODEL, CRACKLE_NO_SLICE);
    status = ck_markov_read(&r->model, r->header.markov_order, parts->head + r->layout.markov_model);
    if (status == CRACKLE_OK && !ck_markov_make_decoder(&r->model, need))
        status = CRACKLE_NO_MEMORY;
    return ck_fail(where, status, CRACKLE_SECTION_MARKOV_MODEL, CRACKLE_NO_SLICE);
}

/* Allocate the memory for find_components(). */
static crackle_status init_slices(struct ck_reading *r)
{
    const struct crackle_header *h = &r->header;

    return ck_bitmaps_init(&r->bitmaps, h->sx, h->sy) && ck_components_init(&r->components, h->sx, h->sy) &&
                   (!r->slice_crcs || ck_image_crc_init(&r->image_crc, h->sx))
               ? CRACKLE_OK
               : CRACKLE_NO_MEMORY;
}

crackle_status ck_reading_begin(struct ck_reading *r, const struct crackle_parts *parts, u32 z_start, u32 z_end,
                               struct crackle_where *where)
{
    crackle_status status;

    r->crack_index = parts->head + r->layout.crack_index;
    status = find_codes(r, parts, z_start, z_end, where);
    if (status != CRACKLE_OK)
        return status;
    status = ck_label_map_open(&r->map, &r->header, parts->head + r->layout.labels, z_start, z_end);
    if (status != CRACKLE_OK)
        return ck_fail(where, status, CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
    return init_slices(r);
}

static inline u32 code_nbytes(const struct ck_reading *r, u32 z)
{
    return ck_load32(r->crack_index + 4 * (size_t)z);
}

static crackle_status find_components(struct ck_reading *r, u32 z, struct crackle_where *where)
{
    const u32 nbytes = code_nbytes(r, z);
    crackle_status status;

    status = ck_read_crack_code(r->codes, nbytes, r->model.rows ? &r->model : NULL, &r->bitmaps, &r->chains);
    r->codes += nbytes;
    if (status == CRACKLE_OK)
        status = ck_walk(&r->chains, &r->bitmaps);
    if (status != CRACKLE_OK)
        return ck_fail(where, status, CRACKLE_SECTION_CRACK_CODES, z);
    if (r->header.permissible)
        ck_complement(&r->bitmaps);
    status = ck_find_components(&r->components, &r->bitmaps);
    if (status != CRACKLE_OK)
        return status;
    if (r->slice_crcs &&
        ck_components_crc(&r->image_crc, &r->components) != ck_load32(r->slice_crcs + 4 * (size_t)z))
        return ck_fail(where, CRACKLE_BAD_CHECKSUM, CRACKLE_SECTION_CRACK_CODES, z);
    return CRACKLE_OK;
}

crackle_status ck_reading_next(struct ck_reading *r, u32 z, struct crackle_where *where)
{
    crackle_status status = find_components(r, z, where);
    void *entries = r->entries;
    int ok;

    if (status != CRACKLE_OK)
        return status;
    ok = ck_reserve(&entries, &r->entries_capacity, r->components.count, sizeof(*r->entries));
    r->entries = entries;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    return ck_fail(where, ck_label_map_next(&r->map, &r->components, r->entries), CRACKLE_SECTION_LABELS, z);
}

void ck_reading_skip(struct ck_reading *r, u32 z)
{
    ck_label_map_skip(&r->map);
    r->codes += code_nbytes(r, z);
}

crackle_status crackle_check_slice(const struct crackle_parts *parts, uint32_t z, uint64_t *components_ret,
                                   struct crackle_where *where)
{
    struct ck_reading r;
    const struct crackle_header *h = &r.header;
    crackle_status status;

    memset(&r, 0, sizeof(r));
    status = ck_open_labels(parts, 0, &r.header, &r.layout, where);
    if (status != CRACKLE_OK)
        return status;
    if (z >= h->sz || ck_is_empty(h))
        return CRACKLE_BAD_ARGUMENT;
    if (h->format_version >= 1 && parts->tail_nbytes != r.layout.end - r.layout.checksums)
        return ck_fail(where, CRACKLE_TRUNCATED, CRACKLE_SECTION_CHECKSUMS, CRACKLE_NO_SLICE);
    r.crack_index = parts->head + r.layout.crack_index;
    if (h->format_version >= 1)
        r.slice_crcs = parts->tail + CK_CRC_NBYTES;

    status = find_codes(&r, parts, z, z + 1, where);
    if (status == CRACKLE_OK)
        status = init_slices(&r);
    if (status == CRACKLE_OK)
        status = find_components(&r, z, where);
    if (status == CRACKLE_OK)
        *components_ret = r.components.count;
    ck_reading_free(&r);
    return status;
}
