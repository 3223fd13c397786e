/*
 * test_sizes.c - numbers at and past 2^31, 2^32 and 2^63 in every field of a stream and in every argument
 *
 * Checksums are made good, so that a number gets as far as the code that adds, multiplies or follows it; streams end
 * where their allocation ends.  Every case has the one status that crackle.h gives it.  Nothing here needs memory: a
 * claim of gigabytes has to be refused before they are asked for, or by an allocator that is told to refuse them.
 */
#if !defined(_WIN32)
#  define _XOPEN_SOURCE 700
#  include <sys/resource.h>
#endif

#include "base/common.h"
#include "base/crc.h"
#include "codec/format.h"
#include "volumes.h"

#if defined(__has_feature)
#  if __has_feature(address_sanitizer)
#    define HAVE_ASAN 1
#  endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#  define HAVE_ASAN 1
#endif

#define MOST_MEGABYTES 512

#ifdef HAVE_ASAN
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1:max_allocation_size_mb=512";
}
#endif

#define P(bits) ((u64)1 << (bits))

/* On either side of what 31, 32, 61, 62, 63 and 64 bits hold. */
static const u64 telling[] = {
    P(31) - 1, P(31), P(31) + 1, P(32) - 1, P(32), P(32) + 1, P(61) - 1, P(61), P(61) + 1, P(62) - 1, P(62),
    P(62) + 1, P(63) - 1, P(63), P(63) + 1, UINT64_MAX - 40, UINT64_MAX - 8, UINT64_MAX - 1, UINT64_MAX};
static const u32 telling32[] = {0x7ffffffe, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff};

#define LENGTH(array) (sizeof(array) / sizeof(*(array)))

/* Name the case, too. */
#define CHECK_OF(condition, number)                                                        \
    do {                                                                                   \
        const int is_true = (condition);                                                   \
                                                                                           \
        if (!is_true)                                                                      \
            fprintf(stderr, "%s, of 0x%08x%08x\n", #condition,                             \
                    (unsigned int)((u64)(number) >> 32),                                   \
                    (unsigned int)((u64)(number) & 0xffffffff));                           \
        CHECK(is_true);                                                                    \
    } while (0)

/* What memory is refused is known: then claims that no machine can hold are tried, too. */
static int memory_is_limited;

static void limit_memory(void)
{
    void *much;

#if !defined(_WIN32) && !defined(HAVE_ASAN)
    const struct rlimit limit = {(rlim_t)MOST_MEGABYTES << 20, (rlim_t)MOST_MEGABYTES << 20};

    setrlimit(RLIMIT_AS, &limit);
#endif
    much = malloc((size_t)1 << 30);
    memory_is_limited = much == NULL;
    free(much);
}

/* ------------------------------- Made streams ------------------------------ */

/* A stream in its sections; joined, with checksums that match. */
struct sections {
    unsigned int version;
    unsigned int format;        /* the field of 16 bits */
    u32 sx, sy, sz;
    u8 grid;
    int claims_label_bytes;     /* 'label_bytes' stands in the header; else the length of the section */
    u64 label_bytes;
    u32 index[8];
    u8 labels[200], codes[200]; /* the model is the first of 'codes' */
    size_t labels_nbytes, codes_nbytes;
    u32 crcs[8];
};

static void put(u8 *section, size_t *nbytes, u64 v, unsigned int width)
{
    ck_store(section + *nbytes, v, width);
    *nbytes += width;
}

static u8 *joined(const struct sections *s, size_t *nbytes_ret)
{
    const size_t header = s->version ? CK_HEADER_NBYTES_V1 : CK_HEADER_NBYTES_V0;
    const u32 slices = s->sz < LENGTH(s->index) ? s->sz : (u32)LENGTH(s->index);
    u8 *out = calloc(1, 600), *exact;
    size_t n = header, index;

    memcpy(out, CK_MAGIC, CK_MAGIC_NBYTES);
    out[CK_AT_VERSION] = (u8)s->version;
    ck_store16(out + CK_AT_FORMAT, (u16)s->format);
    ck_store32(out + CK_AT_SX, s->sx);
    ck_store32(out + CK_AT_SY, s->sy);
    ck_store32(out + CK_AT_SZ, s->sz);
    out[CK_AT_GRID] = s->grid;
    ck_store(out + CK_AT_LABEL_BYTES, s->claims_label_bytes ? s->label_bytes : s->labels_nbytes, s->version ? 8 : 4);
    if (s->version)
        out[CK_AT_CRC8] = ck_crc8(out + CK_AT_FORMAT, CK_AT_CRC8 - CK_AT_FORMAT);
    index = n;
    for (u32 z = 0; z < slices; z++)
        put(out, &n, s->index[z], 4);
    if (s->version)
        put(out, &n, ck_crc32c(out + index, n - index), 4);
    memcpy(out + n, s->labels, s->labels_nbytes);
    n += s->labels_nbytes;
    memcpy(out + n, s->codes, s->codes_nbytes);
    n += s->codes_nbytes;
    if (s->version) {
        put(out, &n, ck_crc32c(s->labels, s->labels_nbytes), 4);
        for (u32 z = 0; z < slices; z++)
            put(out, &n, s->crcs[z], 4);
    }
    exact = exact_copy(out, n);
    free(out);
    *nbytes_ret = n;
    return exact;
}

/* The sections of a stream that is sound and small. */
static struct sections sections_of(const u8 *stream, size_t nbytes)
{
    struct sections s;
    struct crackle_header h;
    struct crackle_layout l;

    memset(&s, 0, sizeof(s));
    CHECK(crackle_read_header(stream, nbytes, &h, NULL) == CRACKLE_OK);
    CHECK(crackle_read_layout(stream, nbytes, &l, NULL) == CRACKLE_OK && l.end == nbytes);
    s.version = h.format_version;
    s.format = ck_load16(stream + CK_AT_FORMAT);
    s.sx = h.sx;
    s.sy = h.sy;
    s.sz = h.sz;
    s.grid = stream[CK_AT_GRID];
    for (u32 z = 0; z < h.sz; z++)
        s.index[z] = ck_load32(stream + l.crack_index + 4 * (size_t)z);
    s.labels_nbytes = (size_t)(l.markov_model - l.labels);
    memcpy(s.labels, stream + l.labels, s.labels_nbytes);
    s.codes_nbytes = (size_t)(l.checksums - l.markov_model);
    memcpy(s.codes, stream + l.markov_model, s.codes_nbytes);
    for (u32 z = 0; s.version && z < h.sz; z++)
        s.crcs[z] = ck_load32(stream + l.checksums + CK_CRC_NBYTES + 4 * (size_t)z);
    return s;
}

/* 4 x 3 x 3 voxels of 16 bits, flat or pins, in which every slice has boundaries. */
static struct sections small_sections(unsigned int version, unsigned int pins)
{
    uint16_t voxels[36];
    struct crackle_volume v = {voxels, sizeof(voxels), 4, 3, 3, 2, 0, 1};
    const struct crackle_options options = {(u8)version, 0, (u8)pins, 0, 0};
    struct sections s;
    size_t nbytes;
    u8 *stream;

    for (unsigned int i = 0; i < 36; i++)
        voxels[i] = (uint16_t)(i % 4 < 2 ? 500 : i / 24 ? 7 : 300);
    CHECK(crackle_encode(&v, &options, &stream, &nbytes) == CRACKLE_OK);
    s = sections_of(stream, nbytes);
    crackle_free(stream);
    return s;
}

/*
 * Pins of a shape of any size, the labels 5, which is the background, and 9: one component in each slice, and a crack
 * code that says nothing.  What follows the widths is the caller's to put.
 */
static struct sections pins_sections(u32 sx, u32 sy, u32 sz, unsigned int widths)
{
    struct sections s;

    memset(&s, 0, sizeof(s));
    s.version = 1;
    s.format = CK_LABELS_PINS << CK_BIT_LABEL_FORMAT;
    s.sx = sx;
    s.sy = sy;
    s.sz = sz;
    s.grid = CK_WHOLE_SLICE_GRID;
    put(s.labels, &s.labels_nbytes, 5, 1);
    put(s.labels, &s.labels_nbytes, 1, 8);
    put(s.labels, &s.labels_nbytes, 9, 1);
    for (u32 z = 0; z < sz; z++)
        put(s.labels, &s.labels_nbytes, 1, ck_width((u64)sx * sy));
    put(s.labels, &s.labels_nbytes, widths, 1);
    return s;
}

/* Everything that reads the labels section and no crack gives the status. */
static void ask_labels(const struct sections *s, crackle_status expected, u64 number)
{
    size_t nbytes, edited_nbytes;
    u8 *stream = joined(s, &nbytes), *edited = NULL;
    struct crackle_parts whole, parts;
    struct crackle_where where;
    u8 wanted[400] = {0}, slices[8];
    u64 count = 0, table[400] = {0};
    crackle_status status;

    CHECK_OF(crackle_split(stream, nbytes, &whole, NULL) == CRACKLE_OK, number);
    parts = exact_parts(&whole);
    status = crackle_table_size(&parts, &count, &where);
    if (status != CRACKLE_OK) {
        CHECK_OF(status == expected && where.section == CRACKLE_SECTION_LABELS, number);
        CHECK_OF(crackle_slices_with(&parts, 0, wanted, 2, slices, &where) == expected, number);
    } else if (count <= LENGTH(wanted)) {
        memset(wanted, 1, sizeof(wanted));
        status = crackle_slices_with(&parts, 0, wanted, count, slices, &where);
        CHECK_OF(status == expected, number);
        CHECK_OF(status == CRACKLE_OK || where.section == CRACKLE_SECTION_LABELS, number);
        status = crackle_relabel(stream, nbytes, table, count, 8, 0, 1, &edited, &edited_nbytes, &where);
        CHECK_OF(status == expected, number);
        if (status == CRACKLE_OK)
            crackle_free(edited);
    }
    free_parts(&parts);
    free(stream);
}

/* Decoding a small stream, whatever it says of its shape, gives the status in the section. */
static void ask_voxels(const struct sections *s, crackle_status expected, crackle_section section, u64 number)
{
    size_t nbytes;
    u8 *stream = joined(s, &nbytes);
    struct labels size = {s->sx, s->sy, s->sz, (size_t)s->sx * s->sy * s->sz, NULL};
    struct crackle_volume out = new_volume(&size, 2, 0, 1);
    struct crackle_parts whole, parts;
    struct crackle_where where;
    crackle_status status;

    CHECK_OF(crackle_split(stream, nbytes, &whole, NULL) == CRACKLE_OK, number);
    parts = exact_parts(&whole);
    for (unsigned int flags = 0; flags <= CRACKLE_NO_VERIFY; flags++) {
        status = crackle_decode(&parts, 0, s->sz, flags, &out, 0, &where);
        CHECK_OF(status == expected && (status == CRACKLE_OK || where.section == section), number);
    }
    free_parts(&parts);
    free(out.voxels);
    free(stream);
}

/* --------------------------------- The header ------------------------------ */

static void test_label_bytes(unsigned int version)
{
    const struct sections sound = small_sections(version, 0);

    for (size_t i = 0; i < LENGTH(telling); i++) {
        struct sections s = sound;
        const u64 claim = version ? telling[i] : telling[i] & 0xffffffff;
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
            /* The table alone is there. */
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

    for (size_t i = 0; i < LENGTH(telling32); i++)
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
            *axis = telling32[i];
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
                /* Counts of slices as large as that are wider: the section is too short. */
                CHECK(crackle_split(stream, nbytes, &parts, NULL) == CRACKLE_OK);
                ask_labels(&s, CRACKLE_CORRUPT, telling32[i]);
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

/* A model is as long as its order says. */
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
        /* Parts that leave the model out. */
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

    for (size_t i = 0; i < LENGTH(telling32); i++)
        for (u32 slices = 1; slices < 8; slices++) { /* bit z: slice z makes the claim */
            struct sections s = sound;
            struct crackle_layout l;
            struct crackle_parts parts;
            struct crackle_where where;
            u64 sum = 0, begin, end;
            size_t nbytes;
            u8 *stream;

            for (u32 z = 0; z < 3; z++) {
                if (slices >> z & 1)
                    s.index[z] = telling32[i];
                sum += s.index[z];
            }
            stream = joined(&s, &nbytes);
            CHECK(crackle_read_layout(stream, nbytes, &l, NULL) == CRACKLE_OK);
            CHECK(l.checksums - l.crack_codes == sum && l.end == l.checksums + (version ? 16 : 0));
            CHECK(crackle_codes_range(stream, nbytes, 1, 3, &begin, &end, NULL) == CRACKLE_OK);
            CHECK(begin == l.crack_codes + s.index[0] && end == l.checksums);
            CHECK(crackle_split(stream, nbytes, &parts, &where) == CRACKLE_TRUNCATED);
            CHECK(where.section == CRACKLE_SECTION_CRACK_CODES);
            /* Parts in which everything is there but these bytes. */
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

/* The length of the chain index, of a slice of three codes of equal length each. */
static void test_index_length(void)
{
    for (size_t i = 0; i < LENGTH(telling32); i++) {
        struct sections s = small_sections(1, 0);

        ck_store32(s.codes + s.index[0], telling32[i]); /* slice 1 */
        ask_voxels(&s, CRACKLE_CORRUPT, CRACKLE_SECTION_CRACK_CODES, telling32[i]);
    }
}

/* Numbers of rows and starts, and steps between them, that take four bytes each. */
static void test_index_fields(void)
{
    for (int wide = 0; wide < 2; wide++)
        for (size_t field = 0; field < 4; field++)
            for (size_t i = 0; i < LENGTH(telling32); i++) {
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
                put(s.codes, &n, field == 0 ? telling32[i] : 1, yw);
                put(s.codes, &n, field == 1 ? telling32[i] : 1, yw);
                put(s.codes, &n, field == 2 ? telling32[i] : 1, xw);
                put(s.codes, &n, field == 3 ? telling32[i] : 1, xw);
                put(s.codes, &n, 0, 2);
                s.codes_nbytes = n;
                s.index[0] = (u32)n;
                /* A byte of one of the numbers above is no large one. */
                if (((field == 0 || field == 1) && yw == 1) || ((field == 2 || field == 3) && xw == 1))
                    continue;
                ask_voxels(&s, CRACKLE_CORRUPT, CRACKLE_SECTION_CRACK_CODES, telling32[i]);
            }
}

/* ----------------------------------- Labels -------------------------------- */

static void test_num_labels(void)
{
    for (unsigned int pins = 0; pins < 2; pins++)
        for (unsigned int log = 0; log < 4; log++)
            for (size_t i = 0; i < LENGTH(telling) + 4; i++) {
                struct sections s = pins ? pins_sections(4, 3, 3, 0) : small_sections(1, 0);
                /* Those that wrap to a few bytes, too. */
                const u64 claim =
                    i < LENGTH(telling) ? telling[i] : (P(63 - log) * 2) + (u64)(i - LENGTH(telling));
                u64 number = 0;
                size_t nbytes;
                u8 *stream;

                if (claim < 40)
                    continue;
                s.format = (s.format & ~(3u << CK_BIT_STORED_WIDTH) & ~3u) | log << CK_BIT_STORED_WIDTH | 3;
                s.labels_nbytes = 150;
                ck_store64(s.labels + (pins ? 1u << log : 0), claim);
                ask_labels(&s, CRACKLE_CORRUPT, claim);
                stream = joined(&s, &nbytes);
                CHECK_OF(crackle_table_nbytes(stream, nbytes, &number, NULL) == CRACKLE_CORRUPT, claim);
                free(stream);
            }
}

/* As many labels as there are bytes for in a section of 2^63 or so, of which the first are there. */
static void test_table_of_a_claim(void)
{
    for (unsigned int log = 0; log < 4; log++) {
        struct sections s = small_sections(1, 0);
        const u64 count = (P(63) - 8) >> log;
        struct crackle_parts parts = {NULL, 0, NULL, 0, 0, NULL, 0};
        size_t nbytes;
        u64 number;
        int found;
        u8 *stream;

        s.format = (s.format & ~(3u << CK_BIT_STORED_WIDTH) & ~3u) | log << CK_BIT_STORED_WIDTH | 3;
        s.claims_label_bytes = 1;
        s.label_bytes = P(63);
        ck_store64(s.labels, count);
        stream = joined(&s, &nbytes);
        CHECK(crackle_table_nbytes(stream, nbytes, &number, NULL) == CRACKLE_OK);
        CHECK(number == CK_HEADER_NBYTES_V1 + 16 + 8 + (count << log));
        parts.head = stream;
        parts.head_nbytes = nbytes;
        CHECK(crackle_table_size(&parts, &number, NULL) == CRACKLE_TRUNCATED);
        CHECK(crackle_contains(&parts, CRACKLE_NO_VERIFY, 3, &found, NULL) == CRACKLE_TRUNCATED);
        free(stream);
    }
}

/* Components per slice, in the four widths that they have. */
static void test_component_counts(void)
{
    static const u32 sides[] = {4, 300, 70000, 0xffffffff};

    for (size_t k = 0; k < LENGTH(sides); k++) {
        const u64 slice_voxels = (u64)sides[k] * sides[k];
        const unsigned int width = ck_width(slice_voxels);
        struct sections s;

        memset(&s, 0, sizeof(s));
        s.version = 1;
        s.format = 1;
        s.sx = s.sy = sides[k];
        s.sz = 3;
        s.grid = CK_WHOLE_SLICE_GRID;
        for (size_t i = 0; i < LENGTH(telling); i++)
            for (unsigned int slices = 1; slices < 8; slices++) {
                const u64 claim = width == 8 ? telling[i] : telling[i] & (P(8 * width) - 1);
                size_t nbytes;
                u64 counts[3];
                struct crackle_parts parts;
                u8 *stream;

                s.labels_nbytes = 0;
                put(s.labels, &s.labels_nbytes, 1, 8);
                put(s.labels, &s.labels_nbytes, 3, 1);
                for (unsigned int z = 0; z < 3; z++)
                    put(s.labels, &s.labels_nbytes, slices >> z & 1 ? claim : 1, width);
                for (unsigned int z = 0; z < 3; z++)
                    put(s.labels, &s.labels_nbytes, 0, 1);
                /* None; more than there are keys; more than there are voxels; more than 64 bits hold. */
                ask_labels(&s, claim == 1 ? CRACKLE_OK : CRACKLE_CORRUPT, claim);
                stream = joined(&s, &nbytes);
                CHECK(crackle_split(stream, nbytes, &parts, NULL) == CRACKLE_OK);
                CHECK(crackle_component_counts(&parts, counts, NULL) == CRACKLE_OK);
                CHECK(counts[0] == (slices & 1 ? claim : 1));
                free(stream);
            }
    }
    /* 2^64 and 3: as many as there are keys, where the sum wraps. */
    {
        struct sections s;
        const u64 half = P(63);

        memset(&s, 0, sizeof(s));
        s.version = 1;
        s.format = 1;
        s.sx = s.sy = 0xffffffff;
        s.sz = 3;
        s.grid = CK_WHOLE_SLICE_GRID;
        put(s.labels, &s.labels_nbytes, 1, 8);
        put(s.labels, &s.labels_nbytes, 3, 1);
        put(s.labels, &s.labels_nbytes, half, 8);
        put(s.labels, &s.labels_nbytes, half, 8);
        put(s.labels, &s.labels_nbytes, 3, 8);
        put(s.labels, &s.labels_nbytes, 0, 2);
        put(s.labels, &s.labels_nbytes, 0, 1);
        ask_labels(&s, CRACKLE_CORRUPT, half);
    }
}

static void test_keys(void)
{
    for (unsigned int key = 0; key < 256; key++) {
        struct sections s = small_sections(1, 0);

        s.labels[s.labels_nbytes - 1] = (u8)key;
        if (key != s.labels[s.labels_nbytes - 2])
            ask_voxels(&s, key < 3 ? CRACKLE_OK : CRACKLE_CORRUPT, CRACKLE_SECTION_LABELS, key);
    }
}

/* ------------------------------------ Pins --------------------------------- */

static void test_pin_widths(void)
{
    for (unsigned int widths = 0; widths < 256; widths++) {
        struct sections s = pins_sections(4, 3, 3, widths);
        const unsigned int count = 1u << (widths & 3);

        put(s.labels, &s.labels_nbytes, 0, count);
        put(s.labels, &s.labels_nbytes, 0, count);
        ask_labels(&s, widths < 64 ? CRACKLE_OK : CRACKLE_CORRUPT, widths);
    }
}

/* How many pins, or singles, of a label, in numbers of eight bytes. */
static void test_pin_counts(void)
{
    for (int singles = 0; singles < 2; singles++)
        for (size_t i = 0; i < LENGTH(telling); i++) {
            struct sections s = pins_sections(4, 3, 3, 3 | 3 << 2 | 3 << 4);

            if (singles)
                put(s.labels, &s.labels_nbytes, 0, 8);
            put(s.labels, &s.labels_nbytes, telling[i], 8);
            s.labels_nbytes += 40;
            ask_labels(&s, CRACKLE_CORRUPT, telling[i]);
        }
}

/* Two pins, the second as far behind the first as a number says, in a volume of 2^63 voxels and a half. */
static void test_pin_places(void)
{
    const u32 side = 0x80000000;

    for (size_t i = 0; i < LENGTH(telling); i++)
        for (size_t k = 0; k < LENGTH(telling); k++)
            for (u64 depth = 0; depth < 3; depth++) {
                struct sections s = pins_sections(side, side, 3, 0);
                const u64 first = telling[i], second = first + telling[k], voxels = 3 * P(62);
                const int fits = first < voxels && telling[k] < voxels - first && depth < 3 - second / P(62);

                put(s.labels, &s.labels_nbytes, 2, 1);
                put(s.labels, &s.labels_nbytes, first, 8);
                put(s.labels, &s.labels_nbytes, telling[k], 8);
                put(s.labels, &s.labels_nbytes, 0, 1);
                put(s.labels, &s.labels_nbytes, depth, 1);
                put(s.labels, &s.labels_nbytes, 0, 1);
                ask_labels(&s, fits ? CRACKLE_OK : CRACKLE_CORRUPT, second);
            }
    /* In which slices they are. */
    {
        struct sections s = pins_sections(side, side, 3, 0);
        u8 wanted[2] = {0, 1}, slices[3];
        struct crackle_parts parts;
        size_t nbytes;
        u8 *stream;

        put(s.labels, &s.labels_nbytes, 1, 1);
        put(s.labels, &s.labels_nbytes, P(62) + 5, 8);
        put(s.labels, &s.labels_nbytes, 1, 1);
        put(s.labels, &s.labels_nbytes, 0, 1);
        stream = joined(&s, &nbytes);
        CHECK(crackle_split(stream, nbytes, &parts, NULL) == CRACKLE_OK);
        CHECK(crackle_slices_with(&parts, 0, wanted, 2, slices, NULL) == CRACKLE_OK);
        CHECK(!slices[0] && slices[1] && slices[2]);
        free(stream);
    }
}

static void test_depths_and_singles(void)
{
    for (size_t i = 0; i < LENGTH(telling); i++) {
        struct sections s = pins_sections(4, 3, 3, 3 << 2);

        put(s.labels, &s.labels_nbytes, 1, 1);
        put(s.labels, &s.labels_nbytes, 0, 1);
        put(s.labels, &s.labels_nbytes, telling[i], 8);
        put(s.labels, &s.labels_nbytes, 0, 1);
        ask_labels(&s, CRACKLE_CORRUPT, telling[i]);
    }
    for (size_t i = 0; i < LENGTH(telling); i++) { /* the second single wraps to a component that there is */
        struct sections s = pins_sections(4, 3, 3, 3 << 4);

        put(s.labels, &s.labels_nbytes, 0, 1);
        put(s.labels, &s.labels_nbytes, 2, 1);
        put(s.labels, &s.labels_nbytes, i % 2 ? 2 : telling[i], 8);
        put(s.labels, &s.labels_nbytes, i % 2 ? telling[i] : 0 - telling[i], 8);
        ask_labels(&s, CRACKLE_CORRUPT, telling[i]);
    }
}

/* The number of voxels, which pins are counted by, past 64 bits: flat labels do without it. */
static void test_too_many_voxels_for_pins(void)
{
    struct sections s = pins_sections(0xffffffff, 0xffffffff, 2, 0);

    put(s.labels, &s.labels_nbytes, 0, 1);
    put(s.labels, &s.labels_nbytes, 0, 1);
    ask_labels(&s, CRACKLE_CORRUPT, 2);
}

/* A background of eight bytes for voxels of one. */
static void test_background(void)
{
    for (size_t i = 0; i < LENGTH(telling); i++)
        for (unsigned int is_signed = 0; is_signed < 2; is_signed++) {
            struct sections s;
            const int fits = is_signed && telling[i] >= (u64)-128;

            memset(&s, 0, sizeof(s));
            s.version = 1;
            s.format = CK_LABELS_PINS << CK_BIT_LABEL_FORMAT | 3 << CK_BIT_STORED_WIDTH | is_signed << CK_BIT_SIGNED;
            s.sx = s.sy = s.sz = 3;
            s.grid = CK_WHOLE_SLICE_GRID;
            put(s.labels, &s.labels_nbytes, telling[i], 8);
            put(s.labels, &s.labels_nbytes, 0, 8);
            put(s.labels, &s.labels_nbytes, 0x010101, 4);
            ask_labels(&s, fits ? CRACKLE_OK : CRACKLE_CORRUPT, telling[i]);
        }
}

/* ----------------------------- Volumes of any size ------------------------- */

/* Sound streams of volumes that no machine holds: what needs no voxel answers, what needs one is refused. */
static void test_giant(u32 sx, u32 sy, u32 sz, unsigned int version)
{
    struct crackle_volume v = {NULL, 0, sx, sy, sz, 1, 0, 1}, out;
    struct crackle_header h;
    struct crackle_parts parts;
    struct crackle_piece pieces[2];
    struct crackle_where where;
    struct crackle_extent extent;
    struct crackle_contact *contacts;
    crackle_joiner *joiner = NULL;
    crackle_part *part = NULL;
    size_t nbytes, edited_nbytes, piece;
    u64 count = 0, counts[8], label = 0;
    u8 *stream, *edited, wanted = 1, slices[8];
    const u64 voxels = (u64)sx * sy * sz;
    int found = 0, equal = 0;
    /* Bitmaps of so many rows are more than can be addressed in bits. */
    const int refused = memory_is_limited || (u64)sy * (sx / 64 + 1) > P(54);
    crackle_status status;

    CHECK(crackle_encode_constant(&v, 200, version, &stream, &nbytes) == CRACKLE_OK);
    CHECK(crackle_read_header(stream, nbytes, &h, NULL) == CRACKLE_OK && h.sx == sx && h.sy == sy && h.sz == sz);
    CHECK(crackle_split(stream, nbytes, &parts, NULL) == CRACKLE_OK);
    CHECK(crackle_table_size(&parts, &count, NULL) == CRACKLE_OK && count == 1);
    CHECK(crackle_read_table(&parts, 0, &label, 1, NULL) == CRACKLE_OK && label == 200);
    CHECK(crackle_contains(&parts, 0, 200, &found, NULL) == CRACKLE_OK && found);
    CHECK(crackle_component_counts(&parts, counts, NULL) == CRACKLE_OK && counts[sz - 1] == 1);
    CHECK(crackle_slices_with(&parts, 0, &wanted, 1, slices, NULL) == CRACKLE_OK && slices[sz - 1] == 1);
    CHECK(crackle_entries_in(&parts, 0, 0, sz, slices, 1, NULL) == CRACKLE_OK && slices[0] == 1);
    label = (u64)-1;
    CHECK(crackle_relabel(stream, nbytes, &label, 1, 8, 1, 0, &edited, &edited_nbytes, NULL) == CRACKLE_OK);
    CHECK(crackle_contains(&parts, 0, 200, &found, NULL) == CRACKLE_OK && found);
    crackle_free(edited);
    label = 255;
    CHECK(crackle_relabel_in_place(stream, nbytes, &label, 1, NULL) == CRACKLE_OK);
    pieces[0].bytes = pieces[1].bytes = stream;
    pieces[0].nbytes = pieces[1].nbytes = nbytes;
    pieces[0].z_start = pieces[1].z_start = sz - 1;
    pieces[0].z_end = pieces[1].z_end = sz;
    CHECK(crackle_stack(pieces, 2, 2, 1, 0, 1, &edited, &edited_nbytes, &piece, &where) == CRACKLE_OK);
    CHECK(crackle_read_header(edited, edited_nbytes, &h, NULL) == CRACKLE_OK && h.sz == 2 && h.sx == sx);
    crackle_free(edited);

    /* A volume that has the size by its own account, but for one byte. */
    out = v;
    out.voxels = slices;
    out.nbytes = (size_t)voxels - 1;
    CHECK(crackle_decode(&parts, 0, sz, 0, &out, 0, &where) == CRACKLE_BAD_ARGUMENT);
    out.nbytes = 0;
    CHECK(crackle_decode(&parts, 0, sz, 0, &out, 0, &where) == CRACKLE_BAD_ARGUMENT);
    /* Empty ranges cost nothing. */
    CHECK(crackle_measure(&parts, 0, sz, 0, 0, 0, 0, sy, &extent, 1, &where) == CRACKLE_OK && extent.voxels == 0);
    CHECK(crackle_measure(&parts, sz, sz, 0, 0, sx, 0, sy, &extent, 1, &where) == CRACKLE_OK);
    status = crackle_measure(&parts, 0, sz, 0, 0, sx, 0, sy, &extent, 1, &where);
    /* Sums are too large first; the coordinates of long axes make them so. */
    if (voxels > UINT64_MAX / ((sx > sy ? sx : sy) - 1))
        CHECK(status == CRACKLE_TOO_LARGE);
    else if (refused)
        CHECK(status == CRACKLE_NO_MEMORY);
    if (!refused)
        goto out;
#if SIZE_MAX > 0xffffffff
    /* And by every account: nothing is written before the slices are found to be too large. */
    out.nbytes = (size_t)voxels;
    CHECK(crackle_decode(&parts, 0, 1, 0, &out, 0, &where) == CRACKLE_NO_MEMORY);
    CHECK(crackle_decode_mask(&parts, 0, 1, 0, 255, &out, 0, &where) == CRACKLE_NO_MEMORY);
    CHECK(crackle_connectivity(&parts, 0, 1, 0, 6, &out, 0, &where) == CRACKLE_NO_MEMORY);
#endif
    CHECK(crackle_measure(&parts, 0, 1, CRACKLE_ONLY_COUNTS, 0, sx, 0, sy, &extent, 1, &where) == CRACKLE_NO_MEMORY);
    CHECK(crackle_check_slice(&parts, 0, counts, &where) == CRACKLE_NO_MEMORY);
    CHECK(crackle_equal(&parts, &parts, 0, sz, 0, &equal, &where) == CRACKLE_NO_MEMORY || equal);
    CHECK(crackle_contacts(&parts, 0, sz, 0, &contacts, &count, &where) == CRACKLE_NO_MEMORY);
    CHECK(crackle_recompress_part(&parts, 0, sz, 0, 0, &part, &where) == CRACKLE_NO_MEMORY);
    CHECK(crackle_overlay_part(&parts, &parts, 0, sz, 0, 0, &part, &where) == CRACKLE_NO_MEMORY);
    CHECK(crackle_pool_part(&parts, 0, 1, 0, 1, 0, 0, &part, &where) == CRACKLE_NO_MEMORY);
    if (crackle_joiner_begin(stream, nbytes, 0, 6, 0, &joiner, &where) == CRACKLE_OK) {
        CHECK(crackle_joiner_next(joiner, sz, &where) == CRACKLE_NO_MEMORY);
        crackle_joiner_free(joiner);
    }
out:
    crackle_free(stream);
}

static void test_giants(void)
{
    for (unsigned int version = 0; version < 2; version++) {
        test_giant(0xffffffff, 0xffffffff, 1, version);
        test_giant(0x80000000, 0x80000000, 2, version);
        test_giant(0x80000000, 0x40000000, 7, version);
        test_giant(0xffffffff, 0x7fffffff, 2, version);
        if (!memory_is_limited)
            continue;
        /* These might fit a large machine. */
        test_giant(0xffffffff, 1, 3, version);
        test_giant(1, 0xffffffff, 3, version);
        test_giant(1u << 21, 1u << 21, 5, version);
    }
}

/* Long in z: the index and the counts of the slices would take the memory. */
static void test_constants(void)
{
    struct crackle_volume v = {NULL, 0, 1, 1, 0xffffffff, 1, 0, 1};
    static const u32 shapes[][3] = {{0xffffffff, 0xffffffff, 2}, {0x80000000, 0x80000000, 4},
                                    {0xffffffff, 0xffffffff, 0xffffffff}, {0x10000, 0x10000, 0xffffffff},
                                    {0x200000, 0x200000, 0x400000}};
    u8 *out;
    size_t nbytes;

    if (memory_is_limited)
        CHECK(crackle_encode_constant(&v, 1, 1, &out, &nbytes) == CRACKLE_NO_MEMORY);
    for (size_t i = 0; i < LENGTH(shapes); i++) {
        v.sx = shapes[i][0];
        v.sy = shapes[i][1];
        v.sz = shapes[i][2];
        if (i == 3) {
            if (memory_is_limited)
                CHECK(crackle_encode_constant(&v, 1, 1, &out, &nbytes) == CRACKLE_NO_MEMORY);
        } else {
            CHECK(crackle_encode_constant(&v, 1, 1, &out, &nbytes) == CRACKLE_TOO_LARGE);
        }
    }
    /* In version 0 the labels section has 32 bits for its length. */
    v.sx = v.sy = 1;
    v.sz = 0x7fffffff - 3; /* one label of a byte takes 9, and every slice two */
    CHECK(crackle_encode_constant(&v, 1, 0, &out, &nbytes) == CRACKLE_TOO_LARGE);
    v.sx = 256;
    v.sz = 0xffffffff / 3 - 2;
    CHECK(crackle_encode_constant(&v, 1, 0, &out, &nbytes) == CRACKLE_TOO_LARGE);
    if (memory_is_limited) {
        v.sz--;
        CHECK(crackle_encode_constant(&v, 1, 0, &out, &nbytes) == CRACKLE_NO_MEMORY);
        v.sx = 1;
        v.sz = 0x7fffffff - 4;
        CHECK(crackle_encode_constant(&v, 1, 0, &out, &nbytes) == CRACKLE_NO_MEMORY);
        v.sz++;
        CHECK(crackle_encode_constant(&v, 1, 1, &out, &nbytes) == CRACKLE_NO_MEMORY);
    }
    v.sx = 1;
    v.sz = 1;
    for (unsigned int bits = 8; bits < 64; bits++) {
        v.width = 1;
        CHECK_OF(crackle_encode_constant(&v, P(bits), 1, &out, &nbytes) == CRACKLE_DOES_NOT_FIT, bits);
        v.width = 8;
        CHECK_OF(crackle_encode_constant(&v, P(bits), 1, &out, &nbytes) == CRACKLE_OK, bits);
        crackle_free(out);
    }
    for (unsigned int version = 2; version; version *= 2)
        CHECK_OF(crackle_encode_constant(&v, 1, version, &out, &nbytes) == CRACKLE_BAD_ARGUMENT, version);
}

/* --------------------------------- Arguments ------------------------------- */

/* Shapes whose bytes, counted in 32 or 64 bits, are as many as 'nbytes' says. */
static void test_shapes(void)
{
    static const struct {
        u32 sx, sy, sz;
        u8 width;
        u64 nbytes;
    } shapes[] = {
        {0x80000000, 0x80000000, 4, 1, 0}, {0x80000000, 0x40000000, 1, 8, 0}, {0x80000000, 0x80000000, 2, 2, 0},
        {0xffffffff, 0xffffffff, 0xffffffff, 1, 0x00000003fffffffdu},
        {0xffffffff, 0xffffffff, 2, 1, 0xfffffffc00000002u},
        {0x10000, 0x10000, 1, 1, 0}, {0x10001, 0x10000, 1, 1, 0x10000}, {0x10000, 0x8000, 1, 2, 0},
        {0x40000000, 1, 1, 4, 0}, {0x20000001, 1, 1, 8, 8}, {1, 1, 0x80000000, 2, 0}, {1, 0xffffffff, 1, 1, 0},
        {0xffffffff, 0xffffffff, 1, 1, 1},
    };
    const struct crackle_options options = {1, 0, 0, 0, 0};
    u64 voxels[8] = {0};
    crackle_part *part = NULL;
    u8 *out = NULL;
    size_t nbytes;

    for (size_t i = 0; i < LENGTH(shapes); i++)
        for (u8 fortran = 0; fortran < 2; fortran++) {
            const struct crackle_volume v = {voxels, (size_t)shapes[i].nbytes, shapes[i].sx, shapes[i].sy, shapes[i].sz,
                                             shapes[i].width, 0, fortran};

            CHECK_OF(crackle_encode(&v, &options, &out, &nbytes) == CRACKLE_BAD_ARGUMENT, i);
            CHECK_OF(crackle_encode_part(&v, 0, 1, 0, &part) == CRACKLE_BAD_ARGUMENT, i);
            CHECK_OF(crackle_assemble(&v, &options, &part, 0, NULL, &out, &nbytes) == CRACKLE_BAD_ARGUMENT, i);
            CHECK_OF(crackle_guess_crack_format(&v) == 0, i);
        }
    for (size_t i = 0; i < LENGTH(telling); i++) {
        const struct crackle_volume v = {voxels, (size_t)telling[i], 2, 2, 2, 8, 0, 1};

        CHECK_OF(crackle_encode(&v, &options, &out, &nbytes) == CRACKLE_BAD_ARGUMENT, telling[i]);
    }
    /* No voxels, however long the other axes are. */
    {
        const struct crackle_volume v = {NULL, 0, 0xffffffff, 0, 0xffffffff, 8, 0, 1};

        CHECK(crackle_encode(&v, &options, &out, &nbytes) == CRACKLE_OK && nbytes == CK_HEADER_NBYTES_V1);
        crackle_free(out);
    }
    /* Parts of such a volume are no parts of one with voxels. */
    {
        const struct crackle_volume none = {NULL, 0, 0, 5, 3, 1, 0, 1}, some = {NULL, 75, 5, 5, 3, 1, 0, 1};
        crackle_part *of_none = NULL;

        CHECK(crackle_encode_part(&none, 0, 3, 0, &of_none) == CRACKLE_OK);
        CHECK(crackle_assemble(&some, &options, &of_none, 1, NULL, &out, &nbytes) == CRACKLE_BAD_ARGUMENT);
        crackle_part_free(of_none);
    }
}

static void test_options(void)
{
    u8 voxels[27] = {0};
    const struct crackle_volume v = {voxels, 27, 3, 3, 3, 1, 0, 1};
    u8 *out;
    size_t nbytes;

    for (unsigned int i = 0; i < 256; i++)
        for (int k = 0; k < 3; k++) {
            const struct crackle_options options = {(u8)(k == 0 ? i : 1), (u8)(k == 1 ? i : 0), (u8)(k == 2 ? i : 0),
                                                    0, 0};
            const int is_order = i <= CRACKLE_MAX_MARKOV_ORDER || i == CRACKLE_MARKOV_AUTO;
            const int good = k == 0 ? i < 2 : k == 1 ? is_order : i < 3;

            CHECK_OF(crackle_encode(&v, &options, &out, &nbytes) == (good ? CRACKLE_OK : CRACKLE_BAD_ARGUMENT), i);
            if (good)
                crackle_free(out);
        }
    for (unsigned int width = 0; width < 256; width++) {
        struct crackle_volume other = v;
        const struct crackle_options options = {1, 0, 0, 0, 0};

        other.width = (u8)width;
        other.nbytes = 27 * (size_t)width;
        if (width != 1 && width != 2 && width != 4 && width != 8)
            CHECK_OF(crackle_encode(&other, &options, &out, &nbytes) == CRACKLE_BAD_ARGUMENT, width);
    }
}

/* The slices [z_start, z_end) of a stream of three, or of its halves, where that is no range of them. */
static void test_range(const struct crackle_parts *parts, const u8 *stream, size_t nbytes, u32 z_start, u32 z_end)
{
    struct labels size = {4, 3, 3, 36, NULL};
    struct crackle_volume out = new_volume(&size, 2, 0, 1), mask = new_volume(&size, 1, 0, 1);
    const struct crackle_piece piece = {stream, nbytes, z_start, z_end};
    struct crackle_extent extents[3];
    struct crackle_contact *contacts;
    struct crackle_overlap *overlaps;
    crackle_part *part = NULL;
    u64 numbers[3] = {0}, number;
    u8 wanted[3] = {1, 1, 1}, *made;
    size_t made_nbytes, at_fault;
    void *points;
    int equal;

#define BAD(call) CHECK_OF((call) == CRACKLE_BAD_ARGUMENT, (u64)z_start << 32 | z_end)
    BAD(crackle_codes_range(stream, nbytes, z_start, z_end, &number, &number, NULL));
    BAD(crackle_decode(parts, z_start, z_end, 0, &out, 0, NULL));
    BAD(crackle_decode(parts, z_start, z_end, 0, &out, z_start, NULL));
    BAD(crackle_decode_as(parts, z_start, z_end, 0, numbers, 3, &out, 0, NULL));
    BAD(crackle_decode_mask(parts, z_start, z_end, 0, 7, &mask, 0, NULL));
    BAD(crackle_measure(parts, z_start, z_end, 0, 0, 4, 0, 3, extents, 3, NULL));
    BAD(crackle_measure(parts, 0, 3, 0, z_start, z_end, 0, 3, extents, 3, NULL));
    BAD(crackle_measure(parts, 0, 3, 0, 0, 4, z_start, z_end, extents, 3, NULL));
    BAD(crackle_surface(parts, z_start, z_end, 0, wanted, 3, 2, NULL, &points, numbers, NULL));
    BAD(crackle_connectivity(parts, z_start, z_end, 0, 6, &mask, 0, NULL));
    BAD(crackle_contacts(parts, z_start, z_end, 0, &contacts, &number, NULL));
    BAD(crackle_overlaps(parts, parts, z_start, z_end, 0, &overlaps, &number, NULL));
    BAD(crackle_equal(parts, parts, z_start, z_end, 0, &equal, NULL));
    BAD(crackle_entries_in(parts, 0, z_start, z_end, wanted, 3, NULL));
    BAD(crackle_encode_part(&out, z_start, z_end, 0, &part));
    BAD(crackle_recompress_part(parts, z_start, z_end, 0, 0, &part, NULL));
    BAD(crackle_overlay_part(parts, parts, z_start, z_end, 0, 0, &part, NULL));
    BAD(crackle_pool_part(parts, z_start, z_end, 0, 1, 0, 0, &part, NULL));
    BAD(crackle_pool_part(parts, z_start, z_end, 0, 2, 0, 0, &part, NULL));
    BAD(crackle_stack(&piece, 1, 0, 2, 0, 1, &made, &made_nbytes, &at_fault, NULL));
    if (z_end > 3) {
        BAD(crackle_check_slice(parts, z_end - 1, &number, NULL));
        BAD(crackle_decode(parts, 0, 3, 0, &out, z_end, NULL)); /* a volume that begins behind the range */
    }
#undef BAD
    free(out.voxels);
    free(mask.voxels);
}

/* More or fewer than the table has. */
static void test_count(const struct crackle_parts *parts, const u8 *stream, size_t nbytes, u64 count)
{
    struct labels size = {4, 3, 3, 36, NULL};
    struct crackle_volume out = new_volume(&size, 2, 0, 1);
    struct crackle_extent extents[3];
    u64 numbers[3] = {0};
    u8 wanted[3] = {1, 1, 1}, slices[3], *made, *copy = exact_copy(stream, nbytes);
    size_t made_nbytes;
    void *points;

#define BAD(call) CHECK_OF((call) == CRACKLE_BAD_ARGUMENT, count)
    BAD(crackle_read_table(parts, 0, numbers, count, NULL));
    BAD(crackle_decode_as(parts, 0, 3, 0, numbers, count, &out, 0, NULL));
    BAD(crackle_measure(parts, 0, 3, 0, 0, 4, 0, 3, extents, count, NULL));
    BAD(crackle_surface(parts, 0, 3, 0, wanted, count, 2, NULL, &points, numbers, NULL));
    BAD(crackle_slices_with(parts, 0, wanted, count, slices, NULL));
    BAD(crackle_entries_in(parts, 0, 0, 3, wanted, count, NULL));
    BAD(crackle_relabel_in_place(copy, nbytes, numbers, count, NULL));
    BAD(crackle_relabel(stream, nbytes, numbers, count, 8, 0, 1, &made, &made_nbytes, NULL));
#undef BAD
    CHECK(memcmp(copy, stream, nbytes) == 0);
    free(copy);
    free(out.voxels);
}

static void test_arguments(void)
{
    const struct sections s = small_sections(1, 0);
    struct crackle_parts whole, parts;
    struct crackle_volume out;
    struct labels size = {4, 3, 3, 36, NULL};
    crackle_joiner *joiner;
    crackle_part *part = NULL;
    size_t nbytes, made_nbytes, at_fault;
    u8 *stream = joined(&s, &nbytes), *made = NULL;
    u64 numbers[3], number;
    u8 wanted[3] = {1, 1, 1};
    void *points;

    CHECK(crackle_split(stream, nbytes, &whole, NULL) == CRACKLE_OK);
    parts = exact_parts(&whole);
    out = new_volume(&size, 2, 0, 1);
    for (size_t i = 0; i < LENGTH(telling32); i++) {
        test_range(&parts, stream, nbytes, 0, telling32[i]);
        test_range(&parts, stream, nbytes, telling32[i], telling32[i]);
        test_range(&parts, stream, nbytes, telling32[i], 2);
        test_range(&parts, stream, nbytes, telling32[i] - 1, telling32[i]);

        parts.codes_z = telling32[i];
        CHECK(crackle_decode(&parts, 0, 3, 0, &out, 0, NULL) == CRACKLE_BAD_ARGUMENT);
        parts.codes_z = 0;
        CHECK(crackle_joiner_begin(stream, nbytes, 0, 6, 0, &joiner, NULL) == CRACKLE_OK);
        CHECK(crackle_joiner_next(joiner, telling32[i], NULL) == CRACKLE_BAD_ARGUMENT);
        CHECK(crackle_joiner_next(joiner, 2, NULL) == CRACKLE_OK);
        CHECK(crackle_joiner_next(joiner, telling32[i], NULL) == CRACKLE_BAD_ARGUMENT);
        crackle_joiner_free(joiner);
        CHECK(crackle_joiner_begin(stream, nbytes, 0, telling32[i], 0, &joiner, NULL) == CRACKLE_BAD_ARGUMENT);
        CHECK(crackle_pool_part(&parts, 0, 1, 0, telling32[i], 0, 0, &part, NULL) == CRACKLE_BAD_ARGUMENT);
        CHECK(crackle_surface(&parts, 0, 3, 0, wanted, 3, telling32[i], NULL, &points, numbers, NULL) ==
              CRACKLE_BAD_ARGUMENT);
        CHECK(crackle_connectivity(&parts, 0, 3, 0, telling32[i], &out, 0, NULL) == CRACKLE_BAD_ARGUMENT);
        CHECK(crackle_reassemble(stream, nbytes, telling32[i], &part, 0, NULL, &made, &made_nbytes, NULL) ==
              CRACKLE_BAD_ARGUMENT);
        CHECK(crackle_relabel(stream, nbytes, numbers, 3, telling32[i], 0, 1, &made, &made_nbytes, NULL) ==
              CRACKLE_BAD_ARGUMENT);
    }
    for (size_t i = 0; i < LENGTH(telling); i++) {
        const struct crackle_piece piece = {stream, nbytes, 0, 3};

        test_count(&parts, stream, nbytes, telling[i]);
        if ((size_t)telling[i] > 1) /* cut to 32 bits, some are pieces */
            CHECK(crackle_stack(&piece, 1, (size_t)telling[i], 2, 0, 1, &made, &made_nbytes, &at_fault, NULL) ==
                  CRACKLE_BAD_ARGUMENT);
        /* Labels that 16 bits do not hold. */
        numbers[0] = numbers[1] = 1;
        numbers[2] = telling[i];
        CHECK(crackle_relabel(stream, nbytes, numbers, 3, 2, 0, 1, &made, &made_nbytes, NULL) ==
              CRACKLE_DOES_NOT_FIT);
        CHECK(crackle_relabel_in_place(stream, nbytes, numbers, 3, NULL) == CRACKLE_DOES_NOT_FIT);
        CHECK(crackle_relabel(stream, nbytes, numbers, 3, 8, 0, 1, &made, &made_nbytes, NULL) == CRACKLE_OK);
        CHECK(crackle_split(made, made_nbytes, &whole, NULL) == CRACKLE_OK);
        CHECK(crackle_read_table(&whole, 0, numbers, 2, NULL) == CRACKLE_OK && numbers[1] == telling[i]);
        crackle_free(made);
    }
    for (u64 count = 0; count < 7; count++)
        if (count != 3)
            test_count(&parts, stream, nbytes, count);
    CHECK(crackle_stack(NULL, 0, 0, 2, 0, 1, &made, &made_nbytes, &at_fault, NULL) == CRACKLE_BAD_ARGUMENT);
    CHECK(crackle_component_counts(&parts, numbers, NULL) == CRACKLE_OK);
    CHECK(crackle_check_slice(&parts, 2, &number, NULL) == CRACKLE_OK && number == numbers[2]);
    free_parts(&parts);
    free(out.voxels);
    free(stream);
}

/* --------------------------------- Stacking -------------------------------- */

/* Slices and voxels that are together more than the format can count. */
static void test_stacks(void)
{
    struct crackle_volume v = {NULL, 0, 0, 5, 0, 1, 0, 1};
    struct crackle_piece pieces[3];
    struct crackle_where where;
    size_t nbytes, made_nbytes, piece;
    u8 *stream, *made;

    /* Slices without voxels cost no byte, so there may be as many as a number says. */
    for (size_t i = 0; i < LENGTH(telling32); i++)
        for (u32 left = 0; left < 3; left++) {
            struct crackle_header h;
            const u64 total = (u64)telling32[i] + left + 1;

            v.sz = telling32[i];
            CHECK(crackle_encode_constant(&v, 0, 1, &stream, &nbytes) == CRACKLE_OK);
            for (int k = 0; k < 3; k++) {
                pieces[k].bytes = stream;
                pieces[k].nbytes = nbytes;
                pieces[k].z_start = 0;
                pieces[k].z_end = k == 0 ? telling32[i] : k == 1 ? left : 1;
            }
            if (total > UINT32_MAX) {
                CHECK_OF(crackle_stack(pieces, 3, 3, 1, 0, 1, &made, &made_nbytes, &piece, &where) ==
                             CRACKLE_TOO_LARGE,
                         total);
            } else {
                CHECK_OF(crackle_stack(pieces, 3, 3, 1, 0, 1, &made, &made_nbytes, &piece, &where) == CRACKLE_OK,
                         total);
                CHECK_OF(crackle_read_header(made, made_nbytes, &h, NULL) == CRACKLE_OK && h.sz == total, total);
                crackle_free(made);
            }
            crackle_free(stream);
        }
    /* Pins count voxels: 2^62 in each of three slices, and once more. */
    {
        struct sections s = pins_sections(0x80000000, 0x80000000, 3, 0);

        put(s.labels, &s.labels_nbytes, 1, 1);
        put(s.labels, &s.labels_nbytes, 5, 8);
        put(s.labels, &s.labels_nbytes, 2, 1);
        put(s.labels, &s.labels_nbytes, 0, 1);
        stream = joined(&s, &nbytes);
        for (int k = 0; k < 2; k++) {
            pieces[k].bytes = stream;
            pieces[k].nbytes = nbytes;
            pieces[k].z_start = 0;
            pieces[k].z_end = 3;
        }
        CHECK(crackle_stack(pieces, 2, 2, 1, 0, 1, &made, &made_nbytes, &piece, &where) == CRACKLE_TOO_LARGE);
        free(stream);
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
    test_num_labels();
    test_table_of_a_claim();
    test_component_counts();
    test_keys();
    test_pin_widths();
    test_pin_counts();
    test_pin_places();
    test_depths_and_singles();
    test_too_many_voxels_for_pins();
    test_background();
    test_giants();
    test_constants();
    test_shapes();
    test_options();
    test_arguments();
    test_stacks();
    return report("sizes");
}
