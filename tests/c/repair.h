/*
 * repair.h - recompute the checksums of a damaged stream
 *
 * A checksum detects most damage.  Only with valid checksums does damage reach the code behind them.
 */
#ifndef REPAIR_H
#define REPAIR_H

#include "base/crc.h"
#include "codec/format.h"

static int has_checksums(const u8 *stream, size_t nbytes)
{
    return nbytes >= CK_HEADER_NBYTES_V1 && stream[CK_AT_VERSION] == 1;
}

/* Repair the checksums of the header and of the crack index. */
static void repair_prefix(u8 *stream, size_t nbytes)
{
    const u32 sz = has_checksums(stream, nbytes) ? ck_load32(stream + CK_AT_SZ) : 0;
    const u64 index_end = CK_HEADER_NBYTES_V1 + 4 * (u64)sz;

    if (!has_checksums(stream, nbytes))
        return;
    stream[CK_AT_CRC8] = ck_crc8(stream + CK_AT_FORMAT, CK_AT_CRC8 - CK_AT_FORMAT);
    if (index_end + CK_CRC_NBYTES <= nbytes)
        ck_store32(stream + index_end, ck_crc32c(stream + CK_HEADER_NBYTES_V1, 4 * (size_t)sz));
}

/* Repair the checksum of the labels section, if the sections add up to the length of the stream. */
static void repair_labels(u8 *stream, size_t nbytes)
{
    struct crackle_layout l;

    if (has_checksums(stream, nbytes) && crackle_read_layout(stream, nbytes, &l, NULL) == CRACKLE_OK &&
        l.end == nbytes && l.end != l.checksums)
        ck_store32(stream + l.checksums, ck_crc32c(stream + l.labels, (size_t)(l.markov_model - l.labels)));
}

#endif
