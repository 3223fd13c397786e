/*
 * crackle.h - Crackle streams: dense label volumes, compressed, readable in parts
 *
 * A label volume is a box of sx * sy * sz integers.  Each integer is the number ("label") of the object to which its
 * voxel belongs.  A Crackle stream stores a table of labels and, per slice of constant z, the boundaries between
 * labels as crack codes.  docs/format.md describes the bytes.
 *
 * This file is the manual of the library.  It has encoding and decoding, and includes the rest:
 *   crackle_streams.h   questions about streams, and new streams from old ones
 *
 * Conventions
 *   - x is the fastest axis of a stream, then y.  Slices are planes of constant z.
 *   - Most functions return a crackle_status.  Results go to '*_ret' parameters.  They are written only when
 *     CRACKLE_OK is returned, unless a function says otherwise.
 *   - 'where' may be NULL.  On failure it receives the section and the slice that are at fault.
 *   - Labels are passed as uint64_t.  A signed label is sign-extended to 64 bits and reinterpreted, so (uint64_t)-1 is
 *     the label -1.
 *   - Long operations work on ranges of slices, and the caller may stop between two ranges.  Where that is not
 *     possible there is a parameter 'stop': NULL, or a pointer to a number that is 0.  When another thread changes the
 *     number, the call returns CRACKLE_STOPPED after the current slice (or a similar amount of work), or returns
 *     normally if it is nearly done.
 *   - The library has no global state and keeps nothing between calls.  Any number of threads may call it at once,
 *     also on the same stream.
 *   - The library trusts no number in a stream.  It checks sizes before it multiplies, allocates or follows them.
 *     Besides the caller's buffers, memory is bounded by the size of the input and of one requested slice.
 */
#ifndef CRACKLE_H
#define CRACKLE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef CRACKLE_API
#define CRACKLE_API
#endif

/* cffi: begin */

/* ------------------------------------------------------------------------ */
/*                             Status and place                              */
/* ------------------------------------------------------------------------ */

typedef enum crackle_status {
    CRACKLE_OK = 0,
    CRACKLE_BAD_ARGUMENT = 1,      /* a parameter is outside its range: the caller's mistake */
    CRACKLE_NO_MEMORY = 2,         /* malloc() returned NULL */
    CRACKLE_NOT_CRACKLE = 3,       /* the first four bytes are not "crkl" */
    CRACKLE_UNSUPPORTED = 4,       /* this library does not know the format version or a feature */
    CRACKLE_TRUNCATED = 5,         /* the stream ends before its last section does */
    CRACKLE_EXCESS = 6,            /* bytes follow the last section */
    CRACKLE_BAD_CHECKSUM = 7,      /* bytes or voxels do not match their checksum */
    CRACKLE_CORRUPT = 8,           /* the bytes contradict each other or the format */
    CRACKLE_TOO_LARGE = 9,         /* the volume needs a number that the format cannot hold */
    CRACKLE_DOES_NOT_FIT = 10,     /* a label does not fit the requested integer type */
    CRACKLE_STOPPED = 11           /* the caller changed the number to which 'stop' points */
} crackle_status;

typedef enum crackle_section {
    CRACKLE_SECTION_NONE = 0,
    CRACKLE_SECTION_HEADER = 1,
    CRACKLE_SECTION_CRACK_INDEX = 2,
    CRACKLE_SECTION_LABELS = 3,
    CRACKLE_SECTION_MARKOV_MODEL = 4,
    CRACKLE_SECTION_CRACK_CODES = 5,
    CRACKLE_SECTION_CHECKSUMS = 6
} crackle_section;

/* The slice number when no single slice is at fault. */
#define CRACKLE_NO_SLICE 0xffffffff

struct crackle_where {
    crackle_section section;
    uint32_t slice;
};

/* Part of a sentence, such as "a checksum does not match".  Never NULL. */
const char *crackle_status_message(crackle_status status);

/* "header", "crack index", "labels", ...  Never NULL. */
const char *crackle_section_name(crackle_section section);

/* ------------------------------------------------------------------------ */
/*                        The header and the sections                        */
/* ------------------------------------------------------------------------ */

#define CRACKLE_MAX_MARKOV_ORDER 12

struct crackle_header {
    uint32_t sx, sy, sz;
    uint8_t format_version;     /* 0 or 1 */
    uint8_t data_width;         /* bytes per voxel: 1, 2, 4, 8 */
    uint8_t stored_width;       /* bytes per label in the label table */
    uint8_t permissible;        /* 1: the coded cracks lie between EQUAL labels */
    uint8_t label_format;       /* 0 flat, 2 condensed pins */
    uint8_t fortran_order;      /* memory order of the decoded volume: 1 = x fastest, 0 = z fastest */
    uint8_t is_signed;
    uint8_t markov_order;       /* 0 = no model */
    uint8_t is_sorted;          /* 0: the label table does not ascend, and may repeat labels */
    uint64_t num_label_bytes;
};

/*
 * Where the sections of a stream lie, as offsets from its first byte.  A section ends where the next one begins;
 * 'end' is the length of the whole stream.
 */
struct crackle_layout {
    uint64_t crack_index;
    uint64_t labels;
    uint64_t markov_model;
    uint64_t crack_codes;
    uint64_t checksums;
    uint64_t end;
};

/*
 * crackle_read_header() - read and check the header
 *
 * 'in' holds the first 'in_nbytes' bytes of a stream; 29 bytes are always enough.
 */
crackle_status crackle_read_header(const void *in, size_t in_nbytes, struct crackle_header *header_ret,
                                   struct crackle_where *where);

/*
 * crackle_prefix_nbytes() - how many bytes crackle_read_layout() needs
 *
 * That is the length of the header, the crack index and its checksum.
 */
uint64_t crackle_prefix_nbytes(const struct crackle_header *header);

/*
 * crackle_read_layout() - find the sections
 *
 * 'in' holds at least the first crackle_prefix_nbytes() bytes.  Verifies the checksum of the crack index (version 1).
 * 'layout_ret->end' is the length that the stream must have; the caller compares it when it knows the length.
 */
crackle_status crackle_read_layout(const void *in, size_t in_nbytes, struct crackle_layout *layout_ret,
                                   struct crackle_where *where);

/*
 * crackle_codes_range() - find the crack codes of the slices [z_start, z_end)
 *
 * Needs the same bytes as crackle_read_layout().
 */
crackle_status crackle_codes_range(const void *in, size_t in_nbytes, uint32_t z_start, uint32_t z_end,
                                   uint64_t *begin_ret, uint64_t *end_ret, struct crackle_where *where);

/*
 * A stream, either whole or only the bytes that an operation needs.
 *   head      from the first byte to the end of the Markov model: header, crack index, labels, model
 *   codes     the crack codes of consecutive slices, the first of which is 'codes_z'
 *   tail      the checksums section: all bytes behind the crack codes.  Empty in version 0
 * Functions that decode no cracks read only 'head' and 'tail'.
 */
struct crackle_parts {
    const uint8_t *head;
    size_t head_nbytes;
    const uint8_t *codes;
    size_t codes_nbytes;
    uint32_t codes_z;
    const uint8_t *tail;
    size_t tail_nbytes;
};

/* crackle_split() - split a whole stream into its parts, after checking its length */
crackle_status crackle_split(const void *in, size_t in_nbytes, struct crackle_parts *parts_ret,
                             struct crackle_where *where);

/* ------------------------------------------------------------------------ */
/*                                 Volumes                                   */
/* ------------------------------------------------------------------------ */

/*
 * A label volume in memory: sx * sy * sz contiguous integers in the machine's byte order.  With 'fortran_order' = 1,
 * x is the fastest axis, then y; with 0, z is the fastest, then y.  Encoding only reads 'voxels'.
 */
struct crackle_volume {
    void *voxels;
    size_t nbytes;              /* must be sx * sy * sz * width */
    uint32_t sx, sy, sz;
    uint8_t width;              /* 1, 2, 4, 8 */
    uint8_t is_signed;
    uint8_t fortran_order;
};

/* ------------------------------------------------------------------------ */
/*                                 Decoding                                  */
/* ------------------------------------------------------------------------ */

/* A flag: do not verify the checksums of the labels and of the slices. */
#define CRACKLE_NO_VERIFY 1

/*
 * A flag for decoding into memory that was just allocated: its pages have not been written yet.  The system clears each
 * page when it is first written, so the page is in the cache then.  Stores that bypass the cache, which are faster for
 * large outputs otherwise, would write it to memory twice.
 */
#define CRACKLE_NEW_PAGES 2

/*
 * crackle_decode() - decode the slices [z_start, z_end) into a volume
 *
 * 'out' has the sx, sy and width of the stream.  Slice 0 of 'out' is slice 'out_z' of the stream, so several threads
 * may decode disjoint ranges into one volume.  'out->fortran_order' need not be that of the stream.
 * On failure the slices of the range hold unspecified values.
 * Time is linear in the voxels; memory is some bytes per voxel of one slice.
 */
crackle_status crackle_decode(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                              unsigned int flags, const struct crackle_volume *out, uint32_t out_z,
                              struct crackle_where *where);

/*
 * crackle_decode_stream() - decode a whole stream into a volume of its shape and type
 *
 * In one call what crackle_split() and crackle_decode() do for all slices.  CRACKLE_BAD_ARGUMENT: the stream has another
 * shape or type than 'out'; crackle_read_header() says which.
 */
crackle_status crackle_decode_stream(const void *in, size_t in_nbytes, unsigned int flags,
                                     const struct crackle_volume *out, struct crackle_where *where);

/*
 * crackle_decode_as() - like crackle_decode(), but replaces each label by a value of the caller
 *
 * A voxel with the label of entry 'i' of the label table becomes values[i].  Entries are numbered as
 * crackle_read_table() lists them, and 'count' is their number.  'out->width' may be any width; values are truncated
 * to it.  A slice is not decoded, and its crack codes are not read, if the labels section shows that all its values
 * are 0.
 */
crackle_status crackle_decode_as(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                 unsigned int flags, const uint64_t *values, uint64_t count,
                                 const struct crackle_volume *out, uint32_t out_z, struct crackle_where *where);

/*
 * crackle_decode_mask() - like crackle_decode(), but one byte per voxel: 1 where the voxel has the label, else 0
 *
 * 'out->width' is 1.
 */
crackle_status crackle_decode_mask(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                   unsigned int flags, uint64_t label, const struct crackle_volume *out,
                                   uint32_t out_z, struct crackle_where *where);

/*
 * crackle_check_slice() - verify one slice without the labels
 *
 * Decodes the cracks of slice 'z', counts its components and verifies their checksum (version 1).  It does not read
 * the contents of the labels section, so it can check the slices of a stream whose labels section is damaged.
 */
crackle_status crackle_check_slice(const struct crackle_parts *parts, uint32_t z, uint64_t *components_ret,
                                   struct crackle_where *where);

/* ------------------------------------------------------------------------ */
/*                                 Encoding                                  */
/* ------------------------------------------------------------------------ */

/* A Markov order: the one that makes the stream smallest. */
#define CRACKLE_MARKOV_AUTO 255

/* If a Markov model does not make the crack codes shorter, it is left out, and the stream has order 0. */
struct crackle_options {
    uint8_t format_version;     /* 0 or 1 */
    uint8_t markov_order;       /* 0 to CRACKLE_MAX_MARKOV_ORDER, or CRACKLE_MARKOV_AUTO */
    uint8_t pins;               /* 0 flat labels, 1 pins, 2 pins chosen with more effort */
    uint8_t has_background;     /* 1: use 'background' as the background label of pins */
    uint64_t background;
};

/* Some consecutive slices, encoded but not yet assembled. */
typedef struct crackle_part crackle_part;

/*
 * crackle_guess_crack_format() - guess which crack format needs fewer cracks
 *
 * Returns 1 for permissible, 0 for impermissible, from a sample of voxels.  crackle_fewer_cracks() has the exact answer
 * after encoding.
 */
int crackle_guess_crack_format(const struct crackle_volume *volume);

/*
 * crackle_encode_part() - encode the slices [z_start, z_end) of a volume
 *
 * Several threads may encode parts of one volume at once.  Free each part with crackle_part_free().
 */
crackle_status crackle_encode_part(const struct crackle_volume *volume, uint32_t z_start, uint32_t z_end,
                                   int permissible, crackle_part **part_ret);

void crackle_part_free(crackle_part *part);

/*
 * crackle_fewer_cracks() - which crack format has fewer cracks to code, exactly
 *
 * If the parts were encoded with the other format, encode them again.
 */
int crackle_fewer_cracks(crackle_part *const *parts, size_t num_parts);

/*
 * crackle_assemble() - make a stream of the parts of a volume
 *
 * 'parts' are in the order of z and cover the volume without gaps.  Choosing pins reads the voxels of 'volume' again;
 * without pins the voxels may be gone.  Free '*out_ret' with crackle_free().
 */
crackle_status crackle_assemble(const struct crackle_volume *volume, const struct crackle_options *options,
                                crackle_part *const *parts, size_t num_parts, const volatile int32_t *stop,
                                uint8_t **out_ret, size_t *out_nbytes_ret);

/* crackle_encode() - all of the above in one call and one thread */
crackle_status crackle_encode(const struct crackle_volume *volume, const struct crackle_options *options,
                              uint8_t **out_ret, size_t *out_nbytes_ret);

/*
 * crackle_encode_constant() - the stream of a volume in which all voxels have one label
 *
 * Reads the shape, the width, the sign and the order of 'volume', but no voxels.  Time and the length of the stream are
 * linear in the number of slices.
 */
crackle_status crackle_encode_constant(const struct crackle_volume *volume, uint64_t label,
                                       unsigned int format_version, uint8_t **out_ret, size_t *out_nbytes_ret);

/* Frees a result of this library.  'buffer' may be NULL. */
void crackle_free(void *buffer);

/* cffi: end */

#include "crackle_streams.h"
#include "crackle_skeletons.h"

#ifdef __cplusplus
}
#endif

#endif /* CRACKLE_H */
