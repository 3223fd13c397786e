/* target_header.c - functions that need only the first bytes of a stream, with these bytes and with fewer */
#include "fuzz.h"

static void read_prefix(const u8 *bytes, size_t nbytes, const struct fuzz_stream *s)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    struct crackle_header h;
    struct crackle_layout l;
    u64 begin, end, table_end;
    crackle_status status = crackle_read_header(bytes, nbytes, &h, &where);
    u32 z_start, z_end;

    fuzz_status(status, &where);
    if (status != CRACKLE_OK)
        return;
    FUZZ_CHECK(h.format_version <= 1 && h.markov_order <= CRACKLE_MAX_MARKOV_ORDER);
    FUZZ_CHECK(crackle_prefix_nbytes(&h) >= CK_HEADER_NBYTES_V0);
    status = crackle_read_layout(bytes, nbytes, &l, &where);
    fuzz_status(status, &where);
    FUZZ_CHECK(status != CRACKLE_OK || crackle_prefix_nbytes(&h) <= nbytes);
    if (status == CRACKLE_OK) {
        FUZZ_CHECK(l.crack_index <= l.labels && l.labels <= l.markov_model && l.markov_model <= l.crack_codes);
        FUZZ_CHECK(l.crack_codes <= l.checksums && l.checksums <= l.end);
        status = crackle_table_nbytes(bytes, nbytes, &table_end, &where);
        fuzz_status(status, &where);
        FUZZ_CHECK(status != CRACKLE_OK || table_end <= l.markov_model);
    }
    z_start = ck_load32(s->control) % (h.sz ? h.sz : 1);
    z_end = s->control[1] & 1 ? h.sz : z_start;
    status = crackle_codes_range(bytes, nbytes, z_start, z_end, &begin, &end, &where);
    fuzz_status(status, &where);
    if (status == CRACKLE_OK && crackle_read_layout(bytes, nbytes, &l, NULL) == CRACKLE_OK)
        FUZZ_CHECK(l.crack_codes <= begin && begin <= end && end <= l.checksums);
}

void fuzz_one(const u8 *data, size_t nbytes)
{
    struct crackle_parts parts;
    struct crackle_header h;
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    struct fuzz_stream s;
    crackle_status status;
    u64 need = CK_HEADER_NBYTES_V1;

    fuzz_read_input(&s, data, nbytes);
    if (crackle_read_header(s.bytes, s.nbytes, &h, NULL) == CRACKLE_OK)
        need = crackle_prefix_nbytes(&h) + (s.control[0] & 8 ? 16 : 0);
    if (need > s.nbytes)
        need = s.nbytes;
    read_prefix(guard_copy(GUARD_HEAD, s.bytes, (size_t)need), (size_t)need, &s);
    need = ck_load32(s.control) % (s.nbytes + 1);
    read_prefix(guard_copy(GUARD_HEAD, s.bytes, (size_t)need), (size_t)need, &s);
    status = crackle_split(guard_copy(GUARD_BYTES, s.bytes, s.nbytes), s.nbytes, &parts, &where);
    fuzz_status(status, &where);
    if (status == CRACKLE_OK)
        FUZZ_CHECK(parts.head_nbytes + parts.codes_nbytes + parts.tail_nbytes == s.nbytes);
}
