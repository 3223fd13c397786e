/*
 * sizes.h - streams whose fields claim any size, with valid checksums
 */
#ifndef SIZES_H
#define SIZES_H

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

#define MAX_MEGABYTES 512

#ifdef HAVE_ASAN
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1:max_allocation_size_mb=512";
}
#endif

#define P(bits) ((u64)1 << (bits))

/* On both sides of the limits of 31, 32, 61, 62, 63 and 64 bits. */
static const u64 edge_values[] = {
    P(31) - 1, P(31), P(31) + 1, P(32) - 1, P(32), P(32) + 1, P(61) - 1, P(61), P(61) + 1, P(62) - 1, P(62),
    P(62) + 1, P(63) - 1, P(63), P(63) + 1, UINT64_MAX - 40, UINT64_MAX - 8, UINT64_MAX - 1, UINT64_MAX};
static const u32 edge_values_32[] = {0x7ffffffe, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff};

#define LENGTH(array) (sizeof(array) / sizeof(*(array)))

/* A CHECK that also prints the case. */
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

/* Whether large allocations are known to fail. Only then are sizes tested that some machines can hold. */
static int memory_is_limited;

static inline void limit_memory(void)
{
    void *much;

#if !defined(_WIN32) && !defined(HAVE_ASAN)
    const struct rlimit limit = {(rlim_t)MAX_MEGABYTES << 20, (rlim_t)MAX_MEGABYTES << 20};

    setrlimit(RLIMIT_AS, &limit);
#endif
    much = malloc((size_t)1 << 30);
    memory_is_limited = much == NULL;
    free(much);
}

/* --------------------------- Hand-made streams ---------------------------- */

/* The sections of a stream. joined() makes a stream of them, with valid checksums. */
struct sections {
    unsigned int version;
    unsigned int format;        /* the format field */
    u32 sx, sy, sz;
    u8 grid;
    int claims_label_bytes;     /* 1: the header states 'label_bytes'; 0: the true length of the section */
    u64 label_bytes;
    u32 index[8];
    u8 labels[200], codes[200]; /* 'codes' begins with the model */
    size_t labels_nbytes, codes_nbytes;
    u32 crcs[8];
};

static inline void put(u8 *section, size_t *nbytes, u64 v, unsigned int width)
{
    ck_store(section + *nbytes, v, width);
    *nbytes += width;
}

static inline u8 *joined(const struct sections *s, size_t *nbytes_ret)
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

/* Split a small, valid stream into sections. */
static inline struct sections sections_of(const u8 *stream, size_t nbytes)
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

/* 4 x 3 x 3 voxels of 16 bits, with boundaries in every slice; flat labels or pins. */
static inline struct sections small_sections(unsigned int version, unsigned int pins)
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
 * A shape of any size with pins, the background 5, the label 9, one component per slice, and empty crack codes.  The
 * caller appends the bytes behind the widths byte.
 */
static inline struct sections pins_sections(u32 sx, u32 sy, u32 sz, unsigned int widths)
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

/* Functions that read the labels section, but no cracks, must return the status. */
static inline void check_label_reading(const struct sections *s, crackle_status expected, u64 number)
{
    size_t nbytes, edited_nbytes;
    u8 *stream = joined(s, &nbytes), *edited = NULL;
    struct crackle_parts whole, parts;
    struct crackle_where where;
    u8 selected[400] = {0}, slices[8];
    u64 count = 0, table[400] = {0};
    crackle_status status;

    CHECK_OF(crackle_split(stream, nbytes, &whole, NULL) == CRACKLE_OK, number);
    parts = exact_parts(&whole);
    status = crackle_table_size(&parts, &count, &where);
    if (status != CRACKLE_OK) {
        CHECK_OF(status == expected && where.section == CRACKLE_SECTION_LABELS, number);
        CHECK_OF(crackle_slices_with(&parts, 0, selected, 2, slices, &where) == expected, number);
    } else if (count <= LENGTH(selected)) {
        memset(selected, 1, sizeof(selected));
        status = crackle_slices_with(&parts, 0, selected, count, slices, &where);
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

/* Decoding the stream, whose real size is small, must return the status, with the section at fault. */
static inline void check_decoding(const struct sections *s, crackle_status expected, crackle_section section,
                                  u64 number)
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

#endif /* SIZES_H */
