/*
 * test_sizes_header.c - numbers at and past 2^31, 2^32 and 2^63 in the header, the crack index and the crack codes
 */
#include "sizes.h"

static void test_label_bytes(unsigned int version)
{
    const struct sections sound = small_sections(version, 0);

    for (size_t i = 0; i < LENGTH(edge_values); i++) {
        struct sections s = sound;
        const u64 claim = version ? edge_values[i] : edge_values[i] & 0xffffffff;
        const u64 prefix = version ? CK_HEADER_NBYTES_V1 + 4 * 3 + 4 : CK_HEADER_NBYTES_V0 + 4 * 3;
        const u64 behind = s.codes_nbytes + (version ? 4 + 4 * 3 : 0);
        const int wraps = claim > UINT64_MAX - prefix - behind;
        struct crackle_header h;
        struct crackle_layout l;
        struct crackle_parts parts = {NULL, 0, NULL, 0, 0, NULL, 0};
        struct crackle_where where;
        size_t nbytes;
        u64 number, table[3];
        u8 *stream;

        if (claim < 3)
            continue;
        s.claims_label_bytes = 1;
        s.label_bytes = claim;
        stream = joined(&s, &nbytes);
        CHECK_OF(crackle_read_header(stream, nbytes, &h, NULL) == CRACKLE_OK && h.num_label_bytes == claim, claim);
        CHECK_OF(crackle_prefix_nbytes(&h) == prefix, claim);
        CHECK_OF(crackle_read_layout(stream, nbytes, &l, &where) == (wraps ? CRACKLE_CORRUPT : CRACKLE_OK), claim);
        if (!wraps)
            CHECK_OF(l.markov_model == prefix + claim && l.end == prefix + claim + behind, claim);
        CHECK_OF(crackle_split(stream, nbytes, &parts, &where) == (wraps ? CRACKLE_CORRUPT : CRACKLE_TRUNCATED), claim);
        CHECK_OF(where.section == (wraps ? CRACKLE_SECTION_HEADER : CRACKLE_SECTION_LABELS), claim);
        parts.head = stream;
        parts.head_nbytes = nbytes;
        CHECK_OF(crackle_component_counts(&parts, table, &where) == (wraps ? CRACKLE_CORRUPT : CRACKLE_TRUNCATED),
                 claim);
        if (!wraps) {
            /* The table is complete, the rest of the section is not. */
            CHECK_OF(crackle_table_nbytes(stream, nbytes, &number, NULL) == CRACKLE_OK, claim);
            CHECK_OF(number == prefix + 8 + 3 * 2, claim);
            CHECK_OF(crackle_read_table(&parts, CRACKLE_NO_VERIFY, table, 3, NULL) == CRACKLE_OK, claim);
            CHECK_OF(crackle_read_table(&parts, 0, table, 3, NULL) == CRACKLE_TRUNCATED, claim);
        }
        free(stream);
    }
}

static void test_axes(unsigned int version)
{
    const struct sections sound = small_sections(version, 0);
    u32 *axis;

    for (size_t i = 0; i < LENGTH(edge_values_32); i++)
        for (int k = 0; k < 3; k++) {
            struct sections s = sound;
            struct crackle_header h;
            struct crackle_layout l;
            struct crackle_parts parts;
            struct crackle_where where;
            size_t nbytes;
            u64 begin, end;
            u8 *stream;

            axis = k == 0 ? &s.sx : k == 1 ? &s.sy : &s.sz;
            *axis = edge_values_32[i];
            stream = joined(&s, &nbytes);
            CHECK(crackle_read_header(stream, nbytes, &h, NULL) == CRACKLE_OK);
            CHECK(h.sx == s.sx && h.sy == s.sy && h.sz == s.sz);
            CHECK(crackle_prefix_nbytes(&h) == (version ? CK_HEADER_NBYTES_V1 + 4u : CK_HEADER_NBYTES_V0) +
                                                   4 * (u64)s.sz);
            if (k == 2) {
                CHECK(crackle_read_layout(stream, nbytes, &l, &where) == CRACKLE_TRUNCATED);
                CHECK(where.section == CRACKLE_SECTION_CRACK_INDEX);
                CHECK(crackle_codes_range(stream, nbytes, 0, s.sz, &begin, &end, NULL) == CRACKLE_TRUNCATED);
                CHECK(crackle_split(stream, nbytes, &parts, NULL) == CRACKLE_TRUNCATED);
                CHECK(crackle_table_nbytes(stream, nbytes, &end, NULL) == CRACKLE_TRUNCATED);
            } else {
                /* Counts of such large slices are wider, so the section is too short. */
                CHECK(crackle_split(stream, nbytes, &parts, NULL) == CRACKLE_OK);
                check_label_reading(&s, CRACKLE_CORRUPT, edge_values_32[i]);
            }
            free(stream);
        }
}

static void test_grid_and_format(void)
{
    const struct sections sound = small_sections(1, 0);
    struct crackle_header h;
    size_t nbytes;

    for (unsigned int grid = 0; grid < 256; grid++)
        for (u64 sx = 1; sx <= P(32); sx *= 2)
            for (int more = -1; more <= 1; more++) {
                struct sections s = sound;
                const u64 size = more < 0 ? sx - 1 : sx + (u64)more;
                crackle_status expected = CRACKLE_OK;
                u8 *stream;

                if (size > UINT32_MAX || size < s.sy)
                    continue;
                s.sx = (u32)size;
                s.grid = (u8)grid;
                if (grid > 31)
                    expected = CRACKLE_CORRUPT;
                else if (grid < 31 && size > P(grid))
                    expected = CRACKLE_UNSUPPORTED;
                stream = joined(&s, &nbytes);
                CHECK_OF(crackle_read_header(stream, nbytes, &h, NULL) == expected, size);
                free(stream);
                if (grid > 40)
                    break;
            }
    for (unsigned int format = 0; format < 0x10000; format++) {
        struct sections s = sound;
        const unsigned int labels = format >> CK_BIT_LABEL_FORMAT & 3, order = format >> CK_BIT_MARKOV_ORDER & 15;
        u8 *stream;

        s.format = format;
        stream = joined(&s, &nbytes);
        CHECK_OF(crackle_read_header(stream, nbytes, &h, NULL) ==
                     (format >> CK_BIT_RESERVED || labels == 3 ? CRACKLE_CORRUPT
                      : labels == CK_LABELS_FIXED_PINS || order > CRACKLE_MAX_MARKOV_ORDER ? CRACKLE_UNSUPPORTED
                                                                                          : CRACKLE_OK),
                 format);
        free(stream);
    }
}

/* The order determines the length of the model. */
static void test_models(void)
{
    for (unsigned int order = 1; order <= CRACKLE_MAX_MARKOV_ORDER; order++) {
        struct sections s = small_sections(1, 0);
        const u64 need = ((u64)5 << 2 * order) / 8 + (((u64)5 << 2 * order) % 8 != 0);
        struct crackle_layout l;
        struct crackle_parts parts;
        struct crackle_where where;
        size_t nbytes;
        u8 *stream;

        s.format |= order << CK_BIT_MARKOV_ORDER;
        stream = joined(&s, &nbytes);
        CHECK_OF(crackle_read_layout(stream, nbytes, &l, NULL) == CRACKLE_OK, order);
        CHECK_OF(l.crack_codes - l.markov_model == need, order);
        CHECK_OF(crackle_split(stream, nbytes, &parts, &where) == CRACKLE_TRUNCATED, order);
        CHECK_OF(order < 5 || where.section == CRACKLE_SECTION_MARKOV_MODEL, order);
        /* Parts without the model. */
        parts.head = stream;
        parts.head_nbytes = (size_t)l.markov_model;
        parts.codes = stream;
        parts.codes_nbytes = 100;
        parts.codes_z = 0;
        parts.tail = stream + nbytes - 16;
        parts.tail_nbytes = 16;
        CHECK_OF(crackle_check_slice(&parts, 0, &l.end, &where) == CRACKLE_TRUNCATED, order);
        CHECK_OF(where.section == CRACKLE_SECTION_MARKOV_MODEL, order);
        free(stream);
    }
}

/* ------------------------- Crack index and crack codes --------------------- */

static void test_crack_index(unsigned int version)
{
    const struct sections sound = small_sections(version, 0);

    for (size_t i = 0; i < LENGTH(edge_values_32); i++)
        for (u32 slices = 1; slices < 8; slices++) { /* bit z: slice z has the false length */
            struct sections s = sound;
            struct crackle_layout l;
            struct crackle_parts parts;
            struct crackle_where where;
            u64 sum = 0, begin, end;
            size_t nbytes;
            u8 *stream;

            for (u32 z = 0; z < 3; z++) {
                if (slices >> z & 1)
                    s.index[z] = edge_values_32[i];
                sum += s.index[z];
            }
            stream = joined(&s, &nbytes);
            CHECK(crackle_read_layout(stream, nbytes, &l, NULL) == CRACKLE_OK);
            CHECK(l.checksums - l.crack_codes == sum && l.end == l.checksums + (version ? 16 : 0));
            CHECK(crackle_codes_range(stream, nbytes, 1, 3, &begin, &end, NULL) == CRACKLE_OK);
            CHECK(begin == l.crack_codes + s.index[0] && end == l.checksums);
            CHECK(crackle_split(stream, nbytes, &parts, &where) == CRACKLE_TRUNCATED);
            CHECK(where.section == CRACKLE_SECTION_CRACK_CODES);
            /* Parts that lack only these bytes. */
            {
                struct labels size = {4, 3, 3, 36, NULL};
                struct crackle_volume out = new_volume(&size, 2, 0, 1);
                const size_t tail = version ? 16 : 0;
                const struct crackle_parts whole = {stream, (size_t)l.crack_codes, stream + l.crack_codes,
                                                    s.codes_nbytes, 0, stream + nbytes - tail, tail};

                parts = exact_parts(&whole);
                CHECK(crackle_decode(&parts, 0, 3, 0, &out, 0, &where) == CRACKLE_TRUNCATED);
                CHECK(where.section == CRACKLE_SECTION_CRACK_CODES);
                CHECK(crackle_decode(&parts, 2, 3, 0, &out, 0, &where) == CRACKLE_TRUNCATED);
                free_parts(&parts);
                free(out.voxels);
            }
            free(stream);
        }
}

/* Set the length of the chain index of slice 1 to each edge value. */
static void test_index_length(void)
{
    for (size_t i = 0; i < LENGTH(edge_values_32); i++) {
        struct sections s = small_sections(1, 0);

        ck_store32(s.codes + s.index[0], edge_values_32[i]); /* slice 1 */
        check_decoding(&s, CRACKLE_CORRUPT, CRACKLE_SECTION_CRACK_CODES, edge_values_32[i]);
    }
}

/* Set the numbers of rows and of starts, and the distances between them, which take four bytes each. */
static void test_index_fields(void)
{
    for (int wide = 0; wide < 2; wide++)
        for (size_t field = 0; field < 4; field++)
            for (size_t i = 0; i < LENGTH(edge_values_32); i++) {
                struct sections s;
                const unsigned int xw = wide ? 4 : 1, yw = wide ? 1 : 4;
                size_t n = 0;

                memset(&s, 0, sizeof(s));
                s.version = 1;
                s.format = 1; /* 16 bits */
                s.sx = wide ? 70000 : 2;
                s.sy = wide ? 2 : 70000;
                s.sz = 1;
                s.grid = CK_WHOLE_SLICE_GRID;
                put(s.labels, &s.labels_nbytes, 1, 8);
                put(s.labels, &s.labels_nbytes, 3, 1);
                put(s.labels, &s.labels_nbytes, 1, 4);
                put(s.labels, &s.labels_nbytes, 0, 1);
                put(s.codes, &n, yw + yw + xw + xw, 4);
                put(s.codes, &n, field == 0 ? edge_values_32[i] : 1, yw);
                put(s.codes, &n, field == 1 ? edge_values_32[i] : 1, yw);
                put(s.codes, &n, field == 2 ? edge_values_32[i] : 1, xw);
                put(s.codes, &n, field == 3 ? edge_values_32[i] : 1, xw);
                put(s.codes, &n, 0, 2);
                s.codes_nbytes = n;
                s.index[0] = (u32)n;
                /* A one-byte field cannot hold the value. */
                if (((field == 0 || field == 1) && yw == 1) || ((field == 2 || field == 3) && xw == 1))
                    continue;
                check_decoding(&s, CRACKLE_CORRUPT, CRACKLE_SECTION_CRACK_CODES, edge_values_32[i]);
            }
}

int main(void)
{
    limit_memory();
    for (unsigned int version = 0; version < 2; version++) {
        test_label_bytes(version);
        test_axes(version);
        test_crack_index(version);
    }
    test_grid_and_format();
    test_models();
    test_index_length();
    test_index_fields();
    return report("sizes in the header");
}
