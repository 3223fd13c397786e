/*
 * exports.c - what JavaScript calls: a few functions of crackle.h, with plain numbers instead of structures
 *
 * JavaScript copies a stream into the module's memory and passes its address and length.  Results go to
 * memory that JavaScript has allocated.  Every function splits the stream anew, which reads the header and
 * the crack index, so no structure lives between two calls.
 *
 * Functions return a crackle_status.  On failure 'where' has received a section and a slice.
 */
#include "crackle.h"

#define EXPORT(name) __attribute__((export_name(#name)))

/*
 * header() - the header of a stream as 32-bit numbers
 *
 * 'fields' has room for 14: sx, sy, sz, format version, data width, stored width, permissible, label format,
 * Fortran order, is signed, Markov order, is sorted, and the low and the high half of the number of label
 * bytes.
 */
EXPORT(header)
crackle_status wasm_header(const uint8_t *in, size_t in_nbytes, uint32_t *fields, struct crackle_where *where)
{
    struct crackle_header h;
    crackle_status status = crackle_read_header(in, in_nbytes, &h, where);

    if (status != CRACKLE_OK)
        return status;
    fields[0] = h.sx;
    fields[1] = h.sy;
    fields[2] = h.sz;
    fields[3] = h.format_version;
    fields[4] = h.data_width;
    fields[5] = h.stored_width;
    fields[6] = h.permissible;
    fields[7] = h.label_format;
    fields[8] = h.fortran_order;
    fields[9] = h.is_signed;
    fields[10] = h.markov_order;
    fields[11] = h.is_sorted;
    fields[12] = (uint32_t)h.num_label_bytes;
    fields[13] = (uint32_t)(h.num_label_bytes >> 32);
    return CRACKLE_OK;
}

/* table_size() - how many labels the label table lists */
EXPORT(table_size)
crackle_status wasm_table_size(const uint8_t *in, size_t in_nbytes, uint64_t *count_ret,
                               struct crackle_where *where)
{
    struct crackle_parts parts;
    crackle_status status = crackle_split(in, in_nbytes, &parts, where);

    return status == CRACKLE_OK ? crackle_table_size(&parts, count_ret, where) : status;
}

/* read_table() - the 'count' labels of the label table in stored order, as 64-bit numbers */
EXPORT(read_table)
crackle_status wasm_read_table(const uint8_t *in, size_t in_nbytes, uint64_t *labels, uint32_t count,
                               struct crackle_where *where)
{
    struct crackle_parts parts;
    crackle_status status = crackle_split(in, in_nbytes, &parts, where);

    return status == CRACKLE_OK ? crackle_read_table(&parts, 0, labels, count, where) : status;
}

/* contains() - whether the label table lists a label */
EXPORT(contains)
crackle_status wasm_contains(const uint8_t *in, size_t in_nbytes, uint64_t label, int *found_ret,
                             struct crackle_where *where)
{
    struct crackle_parts parts;
    crackle_status status = crackle_split(in, in_nbytes, &parts, where);

    return status == CRACKLE_OK ? crackle_contains(&parts, 0, label, found_ret, where) : status;
}

/* The slices [z_start, z_end), x fastest, in 'voxels' of 'nbytes'. */
static crackle_status volume_of(const uint8_t *in, size_t in_nbytes, uint32_t z_start, uint32_t z_end,
                                void *voxels, size_t nbytes, struct crackle_volume *volume,
                                struct crackle_where *where)
{
    struct crackle_header h;
    crackle_status status = crackle_read_header(in, in_nbytes, &h, where);

    if (status != CRACKLE_OK)
        return status;
    if (z_start > z_end || z_end > h.sz)
        return CRACKLE_BAD_ARGUMENT;
    volume->voxels = voxels;
    volume->nbytes = nbytes;
    volume->sx = h.sx;
    volume->sy = h.sy;
    volume->sz = z_end - z_start;
    volume->width = h.data_width;
    volume->is_signed = h.is_signed;
    volume->fortran_order = 1;
    return CRACKLE_OK;
}

/* decode() - the labels of the slices [z_start, z_end), x fastest; 'nbytes' is their exact size */
EXPORT(decode)
crackle_status wasm_decode(const uint8_t *in, size_t in_nbytes, uint32_t z_start, uint32_t z_end,
                           void *voxels, size_t nbytes, struct crackle_where *where)
{
    struct crackle_parts parts;
    struct crackle_volume volume;
    crackle_status status = crackle_split(in, in_nbytes, &parts, where);

    if (status == CRACKLE_OK)
        status = volume_of(in, in_nbytes, z_start, z_end, voxels, nbytes, &volume, where);
    return status == CRACKLE_OK ? crackle_decode(&parts, z_start, z_end, 0, &volume, z_start, where) : status;
}

/* decode_mask() - like decode(), but one byte per voxel: 1 where the voxel has the label, else 0 */
EXPORT(decode_mask)
crackle_status wasm_decode_mask(const uint8_t *in, size_t in_nbytes, uint32_t z_start, uint32_t z_end,
                                uint64_t label, void *voxels, size_t nbytes, struct crackle_where *where)
{
    struct crackle_parts parts;
    struct crackle_volume volume;
    crackle_status status = crackle_split(in, in_nbytes, &parts, where);

    if (status == CRACKLE_OK)
        status = volume_of(in, in_nbytes, z_start, z_end, voxels, nbytes, &volume, where);
    if (status != CRACKLE_OK)
        return status;
    volume.width = 1;
    return crackle_decode_mask(&parts, z_start, z_end, 0, label, &volume, z_start, where);
}

/* Texts of the library, which end with a zero byte. */
EXPORT(status_message)
const char *wasm_status_message(crackle_status status)
{
    return crackle_status_message(status);
}

EXPORT(section_name)
const char *wasm_section_name(crackle_section section)
{
    return crackle_section_name(section);
}
