/*
 * header.c - bytes <-> header, and the positions of the sections
 *
 * The header and the crack index determine the length of everything else.  So this file adds up the sizes first, with
 * every sum checked in 64 bits.  Nothing is allocated or followed before all sections are known to lie within the given
 * bytes.
 */
#include "../base/crc.h"
#include "format.h"
#include "header.h"

const char *crackle_status_message(crackle_status status)
{
    switch (status) {
    case CRACKLE_OK:
        return "no error";
    case CRACKLE_BAD_ARGUMENT:
        return "an argument is outside its range";
    case CRACKLE_NO_MEMORY:
        return "not enough memory";
    case CRACKLE_NOT_CRACKLE:
        return "it does not begin with \"crkl\"";
    case CRACKLE_UNSUPPORTED:
        return "it uses a format version or a feature that this library does not know";
    case CRACKLE_TRUNCATED:
        return "it ends too early";
    case CRACKLE_EXCESS:
        return "it goes on after its last section";
    case CRACKLE_BAD_CHECKSUM:
        return "a checksum does not match";
    case CRACKLE_CORRUPT:
        return "its bytes contradict the format";
    case CRACKLE_TOO_LARGE:
        return "the volume needs a number that the format cannot hold";
    case CRACKLE_DOES_NOT_FIT:
        return "a label does not fit the integer type";
    case CRACKLE_STOPPED:
        return "it was stopped";
    }
    return "unknown status";
}

const char *crackle_section_name(crackle_section section)
{
    switch (section) {
    case CRACKLE_SECTION_NONE:
        return "none";
    case CRACKLE_SECTION_HEADER:
        return "header";
    case CRACKLE_SECTION_CRACK_INDEX:
        return "crack index";
    case CRACKLE_SECTION_LABELS:
        return "labels";
    case CRACKLE_SECTION_MARKOV_MODEL:
        return "markov model";
    case CRACKLE_SECTION_CRACK_CODES:
        return "crack codes";
    case CRACKLE_SECTION_CHECKSUMS:
        return "checksums";
    }
    return "unknown section";
}

unsigned int ck_header_nbytes(unsigned int format_version)
{
    return format_version == 0 ? CK_HEADER_NBYTES_V0 : CK_HEADER_NBYTES_V1;
}

u64 ck_model_nbytes(unsigned int order)
{
    return order == 0 ? 0 : ((CK_BITS_PER_MARKOV_ROW << (2 * order)) + 7) / 8;
}

/* ------------------------------- The header ------------------------------- */

void ck_write_header(const struct crackle_header *h, u8 *out)
{
    unsigned int format = ck_log2_width(h->data_width) << CK_BIT_DATA_WIDTH |
                          ck_log2_width(h->stored_width) << CK_BIT_STORED_WIDTH |
                          (unsigned int)h->permissible << CK_BIT_PERMISSIBLE |
                          (unsigned int)h->label_format << CK_BIT_LABEL_FORMAT |
                          (unsigned int)h->fortran_order << CK_BIT_FORTRAN |
                          (unsigned int)h->is_signed << CK_BIT_SIGNED |
                          (unsigned int)h->markov_order << CK_BIT_MARKOV_ORDER |
                          (unsigned int)!h->is_sorted << CK_BIT_UNSORTED;

    memcpy(out, CK_MAGIC, CK_MAGIC_NBYTES);
    out[CK_AT_VERSION] = h->format_version;
    ck_store16(out + CK_AT_FORMAT, (u16)format);
    ck_store32(out + CK_AT_SX, h->sx);
    ck_store32(out + CK_AT_SY, h->sy);
    ck_store32(out + CK_AT_SZ, h->sz);
    out[CK_AT_GRID] = CK_WHOLE_SLICE_GRID;
    if (h->format_version == 0) {
        ck_store32(out + CK_AT_LABEL_BYTES, (u32)h->num_label_bytes);
    } else {
        ck_store64(out + CK_AT_LABEL_BYTES, h->num_label_bytes);
        out[CK_AT_CRC8] = ck_crc8(out + CK_AT_FORMAT, CK_AT_CRC8 - CK_AT_FORMAT);
    }
}

static crackle_status parse_header(const u8 *in, size_t in_nbytes, struct crackle_header *h)
{
    unsigned int format, grid;

    if (memcmp(in, CK_MAGIC, in_nbytes < CK_MAGIC_NBYTES ? in_nbytes : CK_MAGIC_NBYTES) != 0)
        return CRACKLE_NOT_CRACKLE;
    if (in_nbytes <= CK_AT_VERSION)
        return CRACKLE_TRUNCATED;
    h->format_version = in[CK_AT_VERSION];
    if (h->format_version > CK_MAX_VERSION)
        return CRACKLE_UNSUPPORTED;
    if (in_nbytes < ck_header_nbytes(h->format_version))
        return CRACKLE_TRUNCATED;
    if (h->format_version >= 1 && ck_crc8(in + CK_AT_FORMAT, CK_AT_CRC8 - CK_AT_FORMAT) != in[CK_AT_CRC8])
        return CRACKLE_BAD_CHECKSUM;

    format = ck_load16(in + CK_AT_FORMAT);
    h->data_width = (u8)(1u << (format >> CK_BIT_DATA_WIDTH & 3));
    h->stored_width = (u8)(1u << (format >> CK_BIT_STORED_WIDTH & 3));
    h->permissible = format >> CK_BIT_PERMISSIBLE & 1;
    h->label_format = format >> CK_BIT_LABEL_FORMAT & 3;
    h->fortran_order = format >> CK_BIT_FORTRAN & 1;
    h->is_signed = format >> CK_BIT_SIGNED & 1;
    h->markov_order = format >> CK_BIT_MARKOV_ORDER & 15;
    h->is_sorted = !(format >> CK_BIT_UNSORTED & 1);
    h->sx = ck_load32(in + CK_AT_SX);
    h->sy = ck_load32(in + CK_AT_SY);
    h->sz = ck_load32(in + CK_AT_SZ);
    h->num_label_bytes = h->format_version == 0 ? ck_load32(in + CK_AT_LABEL_BYTES)
                                                : ck_load64(in + CK_AT_LABEL_BYTES);
    grid = in[CK_AT_GRID];

    if (format >> CK_BIT_RESERVED)
        return CRACKLE_CORRUPT;
    if (h->label_format != CK_LABELS_FLAT && h->label_format != CK_LABELS_PINS)
        return h->label_format == CK_LABELS_FIXED_PINS ? CRACKLE_UNSUPPORTED : CRACKLE_CORRUPT;
    if (grid > CK_WHOLE_SLICE_GRID)
        return CRACKLE_CORRUPT;
    /* No document describes slices that are cut into grids, and no known writer makes them. */
    if (h->markov_order > CRACKLE_MAX_MARKOV_ORDER ||
        (grid < CK_WHOLE_SLICE_GRID && (h->sx > (u32)1 << grid || h->sy > (u32)1 << grid)))
        return CRACKLE_UNSUPPORTED;
    return CRACKLE_OK;
}

crackle_status crackle_read_header(const void *in, size_t in_nbytes, struct crackle_header *header_ret,
                                   struct crackle_where *where)
{
    struct crackle_header h;
    crackle_status status = parse_header(in, in_nbytes, &h);

    if (status != CRACKLE_OK)
        return ck_fail(where, status, CRACKLE_SECTION_HEADER, CRACKLE_NO_SLICE);
    *header_ret = h;
    return CRACKLE_OK;
}

/* ------------------------------ The sections ------------------------------ */

uint64_t crackle_prefix_nbytes(const struct crackle_header *h)
{
    unsigned int nbytes = ck_header_nbytes(h->format_version);

    if (ck_is_empty(h))
        return nbytes;
    return nbytes + 4 * (u64)h->sz + (h->format_version >= 1 ? CK_CRC_NBYTES : 0);
}

/* Parse the header and the layout from the prefix of a stream. */
static crackle_status parse_layout(const u8 *in, size_t in_nbytes, struct crackle_header *h,
                                   struct crackle_layout *l, struct crackle_where *where)
{
    crackle_status status = crackle_read_header(in, in_nbytes, h, where);
    u64 prefix, codes = 0;

    if (status != CRACKLE_OK)
        return status;
    l->crack_index = ck_header_nbytes(h->format_version);
    if (ck_is_empty(h)) {
        if (h->num_label_bytes != 0)
            return ck_fail(where, CRACKLE_CORRUPT, CRACKLE_SECTION_HEADER, CRACKLE_NO_SLICE);
        l->labels = l->markov_model = l->crack_codes = l->checksums = l->end = l->crack_index;
        return CRACKLE_OK;
    }
    prefix = crackle_prefix_nbytes(h);
    if (in_nbytes < prefix)
        return ck_fail(where, CRACKLE_TRUNCATED, CRACKLE_SECTION_CRACK_INDEX, CRACKLE_NO_SLICE);
    if (h->format_version >= 1 && ck_crc32c(in + l->crack_index, 4 * (size_t)h->sz) !=
                                      ck_load32(in + prefix - CK_CRC_NBYTES))
        return ck_fail(where, CRACKLE_BAD_CHECKSUM, CRACKLE_SECTION_CRACK_INDEX, CRACKLE_NO_SLICE);
    /* Cannot overflow: 2^32 slices of 2^32 bytes, and the other sections of bounded size, stay below 2^64. */
    for (u32 z = 0; z < h->sz; z++)
        codes += ck_load32(in + l->crack_index + 4 * (size_t)z);

    l->labels = prefix;
    if (!ck_add(l->labels, h->num_label_bytes, &l->markov_model) ||
        !ck_add(l->markov_model, ck_model_nbytes(h->markov_order), &l->crack_codes) ||
        !ck_add(l->crack_codes, codes, &l->checksums) ||
        !ck_add(l->checksums, h->format_version >= 1 ? CK_CRC_NBYTES + 4 * (u64)h->sz : 0, &l->end))
        return ck_fail(where, CRACKLE_CORRUPT, CRACKLE_SECTION_HEADER, CRACKLE_NO_SLICE);
    return CRACKLE_OK;
}

crackle_status crackle_read_layout(const void *in, size_t in_nbytes, struct crackle_layout *layout_ret,
                                   struct crackle_where *where)
{
    struct crackle_header h;
    struct crackle_layout l;
    crackle_status status = parse_layout(in, in_nbytes, &h, &l, where);

    if (status == CRACKLE_OK)
        *layout_ret = l;
    return status;
}

crackle_status crackle_codes_range(const void *in, size_t in_nbytes, uint32_t z_start, uint32_t z_end,
                                   uint64_t *begin_ret, uint64_t *end_ret, struct crackle_where *where)
{
    struct crackle_header h;
    struct crackle_layout l;
    crackle_status status = parse_layout(in, in_nbytes, &h, &l, where);
    u64 begin, end;

    if (status != CRACKLE_OK)
        return status;
    if (z_start > z_end || z_end > h.sz)
        return CRACKLE_BAD_ARGUMENT;
    begin = l.crack_codes;
    if (!ck_is_empty(&h))
        for (u32 z = 0; z < z_start; z++)
            begin += ck_load32((const u8 *)in + l.crack_index + 4 * (size_t)z);
    end = begin;
    if (!ck_is_empty(&h))
        for (u32 z = z_start; z < z_end; z++)
            end += ck_load32((const u8 *)in + l.crack_index + 4 * (size_t)z);
    *begin_ret = begin;
    *end_ret = end;
    return CRACKLE_OK;
}

crackle_status crackle_split(const void *in, size_t in_nbytes, struct crackle_parts *parts_ret,
                             struct crackle_where *where)
{
    const u8 *bytes = in;
    struct crackle_header h;
    struct crackle_layout l;
    crackle_status status = parse_layout(bytes, in_nbytes, &h, &l, where);

    if (status != CRACKLE_OK)
        return status;
    if (in_nbytes < l.end) {
        crackle_section section = in_nbytes < l.markov_model ? CRACKLE_SECTION_LABELS
                                  : in_nbytes < l.crack_codes ? CRACKLE_SECTION_MARKOV_MODEL
                                  : in_nbytes < l.checksums   ? CRACKLE_SECTION_CRACK_CODES
                                                              : CRACKLE_SECTION_CHECKSUMS;
        return ck_fail(where, CRACKLE_TRUNCATED, section, CRACKLE_NO_SLICE);
    }
    if (in_nbytes > l.end)
        return ck_fail(where, CRACKLE_EXCESS, CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE);
    parts_ret->head = bytes;
    parts_ret->head_nbytes = (size_t)l.crack_codes;
    parts_ret->codes = bytes + l.crack_codes;
    parts_ret->codes_nbytes = (size_t)(l.checksums - l.crack_codes);
    parts_ret->codes_z = 0;
    parts_ret->tail = bytes + l.checksums;
    parts_ret->tail_nbytes = (size_t)(l.end - l.checksums);
    return CRACKLE_OK;
}

crackle_status ck_open_sections(const struct crackle_parts *parts, struct crackle_header *header_ret,
                                struct crackle_layout *layout_ret, struct crackle_where *where)
{
    return parse_layout(parts->head, parts->head_nbytes, header_ret, layout_ret, where);
}

crackle_status ck_open_labels(const struct crackle_parts *parts, int verify, struct crackle_header *header_ret,
                              struct crackle_layout *layout_ret, struct crackle_where *where)
{
    struct crackle_header h;
    struct crackle_layout l;
    crackle_status status = parse_layout(parts->head, parts->head_nbytes, &h, &l, where);

    if (status != CRACKLE_OK)
        return status;
    if (parts->head_nbytes < l.markov_model)
        return ck_fail(where, CRACKLE_TRUNCATED, CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
    if (verify && h.format_version >= 1 && !ck_is_empty(&h)) {
        if (parts->tail_nbytes < CK_CRC_NBYTES)
            return ck_fail(where, CRACKLE_TRUNCATED, CRACKLE_SECTION_CHECKSUMS, CRACKLE_NO_SLICE);
        if (ck_crc32c(parts->head + l.labels, (size_t)h.num_label_bytes) != ck_load32(parts->tail))
            return ck_fail(where, CRACKLE_BAD_CHECKSUM, CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
    }
    *header_ret = h;
    *layout_ret = l;
    return CRACKLE_OK;
}
