/*
 * stream.c - inputs that are streams: split, repaired on request, and mutated
 *
 * Checksums detect most damage, and a fuzzer cannot guess them.  So this file repairs checksums, and lengths that must
 * add up.  Damage then reaches the code behind them.
 */
#include "codec/header.h"
#include "codec/reading.h"
#include "fuzz.h"
#include "repair.h"
#include "volumes.h"

/* ------------------------------- Repairing -------------------------------- */

/* Make the sections add up to 'nbytes': change the length of the last crack code, or else of the labels section. */
static void repair_lengths(u8 *stream, size_t nbytes, const struct crackle_header *h, const struct crackle_layout *l)
{
    const u64 excess = (u64)nbytes - l->end;
    u8 *last = stream + l->crack_index + 4 * ((size_t)h->sz - 1);
    const u64 last_nbytes = ck_load32(last) + excess;

    if (last_nbytes <= nbytes) {
        ck_store32(last, (u32)last_nbytes);
    } else if (h->num_label_bytes + excess <= nbytes) {
        ck_store32(stream + CK_AT_LABEL_BYTES, (u32)(h->num_label_bytes + excess));
        if (h->format_version == 1)
            ck_store32(stream + CK_AT_LABEL_BYTES + 4, 0);
    }
}

static void repair(u8 *stream, size_t nbytes)
{
    struct crackle_header h;
    struct crackle_layout l;

    repair_prefix(stream, nbytes);
    if (crackle_read_header(stream, nbytes, &h, NULL) != CRACKLE_OK || h.sx == 0 || h.sy == 0 || h.sz == 0 ||
        crackle_read_layout(stream, nbytes, &l, NULL) != CRACKLE_OK)
        return;
    if (l.end != nbytes) {
        repair_lengths(stream, nbytes, &h, &l);
        repair_prefix(stream, nbytes);
    }
    repair_labels(stream, nbytes);
}

/* Recompute the checksums of slices, up to the first that does not decode. */
static void forge(u8 *stream, size_t nbytes)
{
    struct crackle_parts parts;
    struct crackle_header h;
    struct ck_reading r;
    struct ck_image_crc image_crc = {0};
    u8 *crcs;

    if (crackle_split(stream, nbytes, &parts, NULL) != CRACKLE_OK ||
        crackle_read_header(stream, nbytes, &h, NULL) != CRACKLE_OK || h.format_version == 0 || ck_is_empty(&h) ||
        (u64)h.sx * h.sy > FUZZ_MAX_VOXELS || h.sz > FUZZ_MAX_VOXELS)
        return;
    crcs = stream + (parts.tail - stream) + CK_CRC_NBYTES;
    if (ck_reading_open(&r, &parts, CRACKLE_NO_VERIFY, NULL) == CRACKLE_OK &&
        ck_reading_begin(&r, &parts, 0, h.sz, NULL) == CRACKLE_OK && ck_image_crc_init(&image_crc, h.sx))
        for (u32 z = 0; z < h.sz && ck_reading_next(&r, z, NULL) == CRACKLE_OK; z++)
            ck_store32(crcs + 4 * (size_t)z, ck_components_crc(&image_crc, &r.components));
    ck_image_crc_free(&image_crc);
    ck_reading_free(&r);
}

/* ------------------------------- Splitting -------------------------------- */

void fuzz_read_input(struct fuzz_stream *s, const u8 *data, size_t nbytes)
{
    memset(s, 0, sizeof(*s));
    s->nbytes = nbytes < NUM_CONTROL_BYTES ? nbytes : nbytes - NUM_CONTROL_BYTES;
    if (nbytes >= NUM_CONTROL_BYTES)
        memcpy(s->control, data + s->nbytes, NUM_CONTROL_BYTES);
    s->flags = s->control[0] & CONTROL_NO_VERIFY ? CRACKLE_NO_VERIFY : 0;
    s->bytes = guard_copy(GUARD_STREAM, data, s->nbytes);
    if (s->control[0] & CONTROL_REPAIR)
        repair(s->bytes, s->nbytes);
    if (s->control[0] & CONTROL_FORGE)
        forge(s->bytes, s->nbytes);
}

int fuzz_open(struct fuzz_stream *s, const u8 *data, size_t nbytes)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    struct crackle_parts whole;
    crackle_status status;

    fuzz_read_input(s, data, nbytes);
    status = crackle_split(s->bytes, s->nbytes, &whole, &where);
    fuzz_status(status, &where);
    if (status != CRACKLE_OK)
        return 0;
    FUZZ_CHECK(crackle_read_header(s->bytes, s->nbytes, &s->header, NULL) == CRACKLE_OK);
    if ((u64)s->header.sx * s->header.sy > FUZZ_MAX_VOXELS || s->header.sz > FUZZ_MAX_VOXELS ||
        (u64)s->header.sx * s->header.sy * s->header.sz > FUZZ_MAX_VOXELS)
        return 0;
    s->num_voxels = (size_t)s->header.sx * s->header.sy * s->header.sz;
    s->parts = whole;
    s->parts.head = guard_copy(GUARD_HEAD, whole.head, whole.head_nbytes);
    s->parts.codes = guard_copy(GUARD_CODES, whole.codes, whole.codes_nbytes);
    s->parts.tail = guard_copy(GUARD_TAIL, whole.tail, whole.tail_nbytes);
    return 1;
}

void fuzz_status(crackle_status status, const struct crackle_where *where)
{
    FUZZ_CHECK((int)status >= CRACKLE_OK && status <= CRACKLE_DOES_NOT_FIT);
    FUZZ_CHECK(where->section <= CRACKLE_SECTION_CHECKSUMS);
    if (status >= CRACKLE_NOT_CRACKLE && status <= CRACKLE_CORRUPT && status != CRACKLE_EXCESS)
        FUZZ_CHECK(where->section != CRACKLE_SECTION_NONE);
}

void fuzz_range(const struct fuzz_stream *s, u32 *z_start, u32 *z_end)
{
    const u32 sz = s->header.sz;

    *z_start = sz ? s->control[1] % sz : 0;
    *z_end = sz ? *z_start + 1 + s->control[2] % (sz - *z_start) : 0;
}

int fuzz_table(const struct fuzz_stream *s, u64 **table_ret, u64 *count_ret)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    crackle_status status = crackle_table_size(&s->parts, count_ret, &where);

    fuzz_status(status, &where);
    if (status != CRACKLE_OK || *count_ret > FUZZ_MAX_VOXELS)
        return 0;
    *table_ret = (u64 *)(void *)guard_room(GUARD_TABLE, (size_t)*count_ret * 8);
    status = crackle_read_table(&s->parts, s->flags, *table_ret, *count_ret, &where);
    fuzz_status(status, &where);
    if (status == CRACKLE_OK)
        guard_is_written(*table_ret, (size_t)*count_ret * 8);
    return status == CRACKLE_OK;
}

/* --------------------------------- Volumes -------------------------------- */

struct crackle_volume fuzz_volume(const struct fuzz_stream *s, enum guard_place place, unsigned int width,
                                  int fortran_order, u32 num_slices)
{
    const size_t nbytes = (size_t)s->header.sx * s->header.sy * num_slices * width;
    struct crackle_volume v = {NULL,       nbytes,      s->header.sx,        s->header.sy,
                               num_slices, (u8)width, s->header.is_signed, (u8)fortran_order};

    v.voxels = guard_room(place, nbytes);
    return v;
}

u64 fuzz_voxel(const struct crackle_volume *v, size_t i)
{
    const size_t x = i % v->sx, y = i / v->sx % v->sy, z = i / v->sx / v->sy;

    return get_label(v->voxels, v->fortran_order ? i : z + v->sz * (y + v->sy * x), v->width, v->is_signed);
}

int fuzz_whole(const struct fuzz_stream *s, struct crackle_volume *whole)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    crackle_status status;

    *whole = fuzz_volume(s, GUARD_VOXELS, s->header.data_width, 1, s->header.sz);
    status = crackle_decode(&s->parts, 0, s->header.sz, s->flags, whole, 0, &where);
    fuzz_status(status, &where);
    return status == CRACKLE_OK;
}

void fuzz_decode_own(const u8 *stream, size_t nbytes, unsigned int flags, const struct crackle_volume *out)
{
    struct crackle_parts parts;

    FUZZ_CHECK(crackle_split(stream, nbytes, &parts, NULL) == CRACKLE_OK);
    FUZZ_CHECK(crackle_decode(&parts, 0, out->sz, flags, out, 0, NULL) == CRACKLE_OK);
    guard_is_written(out->voxels, out->nbytes);
}

/* -------------------------------- Mutating -------------------------------- */

size_t fuzz_mutate(u8 *data, size_t nbytes, size_t max_nbytes, unsigned int seed)
{
    u8 control[NUM_CONTROL_BYTES] = {0};
    size_t stream_nbytes = nbytes;

    if (max_nbytes < 2 * NUM_CONTROL_BYTES)
        return fuzz_mutate_bytes(data, nbytes, max_nbytes);
    if (nbytes >= NUM_CONTROL_BYTES) {
        stream_nbytes -= NUM_CONTROL_BYTES;
        memcpy(control, data + stream_nbytes, NUM_CONTROL_BYTES);
    }
    /* Mostly mutate the stream, and sometimes the control bytes. */
    if (seed % 8 == 0)
        fuzz_mutate_bytes(control, NUM_CONTROL_BYTES, NUM_CONTROL_BYTES);
    else
        stream_nbytes = fuzz_mutate_bytes(data, stream_nbytes, max_nbytes - NUM_CONTROL_BYTES);
    memcpy(data + stream_nbytes, control, NUM_CONTROL_BYTES);
    return stream_nbytes + NUM_CONTROL_BYTES;
}
