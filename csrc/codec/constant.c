/*
 * constant.c - the stream of a volume with one label, without the volume
 *
 * Every slice is one component without cracks.  Its component image is all zeros, so the checksum is the initial state
 * multiplied by x^32 once per voxel (crc.h).  Repeated squaring does that in a number of steps that grows with the
 * logarithm of the slice.
 */
#include "../base/crc.h"
#include "../crackle.h"
#include "format.h"
#include "header.h"
#include "label_table.h"
#include "moves.h"
#include "volume.h"

/* a * b modulo the polynomial of the CRC. */
static u32 multiply(u32 a, u32 b)
{
    return ck_crc_reduce(ck_clmul_portable(a, b));
}

/* CRC32C of this many zero words. */
static u32 crc_of_zeros(u64 words)
{
    u32 power = ck_crc_word(CK_CRC_ONE), state = 0xffffffff;

    for (; words; words /= 2) {
        if (words % 2)
            state = multiply(state, power);
        power = multiply(power, power);
    }
    return ~state;
}

/* The crack code of a slice without cracks. */
static crackle_status put_empty_code(u32 sx, u32 sy, struct ck_bytes *out)
{
    const struct ck_chains chains = {NULL, 0, 0, NULL, 0, 0};
    struct ck_bitmaps shape;

    memset(&shape, 0, sizeof(shape)); /* nothing reads the bits, because there are no chains */
    shape.sx = sx;
    shape.sy = sy;
    shape.stride = 64;
    return ck_write_crack_code(&chains, &shape, out);
}

/* The bytes of the labels section: the table, and per slice the number of components and one key. */
static u64 labels_nbytes(const struct crackle_header *h)
{
    return 8 + h->stored_width + (u64)h->sz * (ck_width((u64)h->sx * h->sy) + 1);
}

static crackle_status put_slices(struct crackle_header *h, u64 label, struct ck_bytes *out)
{
    struct ck_bytes code = {NULL, 0, 0};
    u64 *counts = ck_malloc(h->sz, sizeof(*counts));
    crackle_status status = counts ? put_empty_code(h->sx, h->sy, &code) : CRACKLE_NO_MEMORY;
    const size_t index = out->size;
    size_t labels;
    u32 crc;

    if (status != CRACKLE_OK)
        goto out;
    status = CRACKLE_NO_MEMORY;
    for (u32 z = 0; z < h->sz; z++)
        counts[z] = 1;
    if (!ck_bytes_reserve(out, (u64)h->sz * (8 + code.size) + CK_CRC_NBYTES))
        goto out;
    for (u32 z = 0; z < h->sz; z++)
        ck_bytes_put(out, code.size, 4);
    if (h->format_version >= 1)
        ck_bytes_put(out, ck_crc32c(out->data + index, out->size - index), CK_CRC_NBYTES);
    labels = out->size;
    if (!ck_put_table(out, &label, 1, h->stored_width, counts, h->sz, (u64)h->sx * h->sy))
        goto out;
    for (u32 z = 0; z < h->sz; z++)
        if (!ck_bytes_put(out, 0, 1)) /* the key of the only component */
            goto out;
    h->num_label_bytes = out->size - labels;
    crc = ck_crc32c(out->data + labels, (size_t)h->num_label_bytes);
    if (!ck_bytes_reserve(out, (u64)h->sz * (code.size + CK_CRC_NBYTES) + CK_CRC_NBYTES))
        goto out;
    for (u32 z = 0; z < h->sz; z++) {
        memcpy(out->data + out->size, code.data, code.size);
        out->size += code.size;
    }
    if (h->format_version >= 1) {
        ck_bytes_put(out, crc, CK_CRC_NBYTES);
        crc = crc_of_zeros((u64)h->sx * h->sy);
        for (u32 z = 0; z < h->sz; z++)
            ck_bytes_put(out, crc, CK_CRC_NBYTES);
    }
    status = CRACKLE_OK;
out:
    free(counts);
    free(code.data);
    return status;
}

crackle_status crackle_encode_constant(const struct crackle_volume *volume, uint64_t label,
                                       unsigned int format_version, uint8_t **out_ret, size_t *out_nbytes_ret)
{
    struct crackle_header h = {0};
    struct ck_bytes out = {NULL, 0, 0};
    crackle_status status = CRACKLE_OK;
    u64 voxels;

    if ((volume->width != 1 && volume->width != 2 && volume->width != 4 && volume->width != 8) ||
        format_version > CK_MAX_VERSION)
        return CRACKLE_BAD_ARGUMENT;
    h.sx = volume->sx;
    h.sy = volume->sy;
    h.sz = volume->sz;
    h.format_version = (u8)format_version;
    h.data_width = volume->width;
    h.is_signed = volume->is_signed != 0;
    h.fortran_order = volume->fortran_order != 0;
    h.is_sorted = 1;
    h.stored_width = (u8)ck_stored_width(&label, 1, h.is_signed);
    if (h.stored_width > h.data_width)
        return CRACKLE_DOES_NOT_FIT;
    if (ck_is_empty(&h))
        h.stored_width = 1;
    else if (!ck_mul((u64)h.sx * h.sy, h.sz, &voxels) || (format_version == 0 && labels_nbytes(&h) > UINT32_MAX))
        return CRACKLE_TOO_LARGE;
    if (!ck_bytes_reserve(&out, ck_header_nbytes(format_version)))
        return CRACKLE_NO_MEMORY;
    out.size = ck_header_nbytes(format_version);
    if (!ck_is_empty(&h))
        status = put_slices(&h, label, &out);
    if (status != CRACKLE_OK) {
        free(out.data);
        return status;
    }
    ck_write_header(&h, out.data);
    *out_ret = out.data;
    *out_nbytes_ret = out.size;
    return CRACKLE_OK;
}
