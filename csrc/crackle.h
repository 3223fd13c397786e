/*
 * crackle.h - Crackle streams: dense label volumes, compressed, readable in parts
 *
 * A label volume is a box of sx * sy * sz integers, each the name ("label") of
 * the object its voxel belongs to.  A Crackle stream stores it as a table of
 * labels and, per slice of constant z, the boundaries between labels as crack
 * codes.  docs/format.md describes the bytes; this file is the manual of the
 * library.
 *
 * Conventions
 *   - x is the fastest axis of a stream, then y; slices are planes of constant z.
 *   - Every function returns a crackle_status.  Results go to '*_ret'
 *     parameters, which are written only when CRACKLE_OK is returned, unless
 *     a function says otherwise.
 *   - 'where' may be NULL.  On failure it receives the section and the slice in
 *     which the fault was found.
 *   - Labels travel as uint64_t.  A signed label is sign-extended to 64 bits
 *     and reinterpreted, so (uint64_t)-1 is the label -1.
 *   - What takes long is given to this library in ranges of slices, between which a caller may stop.  Where that is
 *     not possible, 'stop' is NULL or points to a number that is 0: when another thread changes it, the call ends
 *     with CRACKLE_STOPPED at the next slice or the like, or normally if it is nearly done.
 *   - Nothing is global and nothing is kept between calls: any number of threads
 *     may call at once, also on the same stream.
 *   - No claim of a stream is trusted: sizes are checked before they are
 *     multiplied, allocated or followed, and memory beyond the caller's buffers is
 *     bounded by the size of the input and of one slice that the caller asked for.
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
    CRACKLE_UNSUPPORTED = 4,       /* a format version or feature that this library does not know */
    CRACKLE_TRUNCATED = 5,         /* the stream ends before its sections do */
    CRACKLE_EXCESS = 6,            /* the stream goes on after its sections end */
    CRACKLE_BAD_CHECKSUM = 7,      /* bytes or voxels do not match their checksum */
    CRACKLE_CORRUPT = 8,           /* the bytes contradict themselves or the format */
    CRACKLE_TOO_LARGE = 9,         /* the volume needs a number that the format cannot hold */
    CRACKLE_DOES_NOT_FIT = 10,     /* a label does not fit the integers that were asked for */
    CRACKLE_STOPPED = 11           /* the caller changed what 'stop' points to */
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

/* The slice number where no single slice is at fault. */
#define CRACKLE_NO_SLICE 0xffffffff

struct crackle_where {
    crackle_section section;
    uint32_t slice;
};

/* A sentence part such as "does not match its checksum"; never NULL. */
const char *crackle_status_message(crackle_status status);

/* "header", "crack index", "labels", ...; never NULL. */
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
    uint8_t permissible;        /* the coded cracks lie between EQUAL labels */
    uint8_t label_format;       /* 0 flat, 2 condensed pins */
    uint8_t fortran_order;      /* memory order to render: 1 = x fastest, 0 = z fastest */
    uint8_t is_signed;
    uint8_t markov_order;       /* 0 = no model */
    uint8_t is_sorted;          /* 0: the label table is not ascending and may repeat */
    uint64_t num_label_bytes;
};

/*
 * Where the sections of a stream lie, as offsets from its first byte.  A section
 * ends where the next begins; 'end' is the length of the whole stream.
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
 * 'in' holds the first 'in_nbytes' bytes of a stream; 29 are always enough.
 */
crackle_status crackle_read_header(const void *in, size_t in_nbytes, struct crackle_header *header_ret,
                                   struct crackle_where *where);

/*
 * crackle_prefix_nbytes() - how many bytes crackle_read_layout() needs
 *
 * The header, the crack index and its checksum.  Needs nothing but the header.
 */
uint64_t crackle_prefix_nbytes(const struct crackle_header *header);

/*
 * crackle_read_layout() - find the sections
 *
 * 'in' holds at least the first crackle_prefix_nbytes() bytes.  The crack index
 * is checked against its checksum (version 1).  'layout_ret->end' is what the
 * stream's length must be; the caller compares it where it knows the length.
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
 * A stream, whole or in the parts that a question needs.
 *   head      from the first byte to the end of the Markov model: header, crack
 *             index, labels, model
 *   codes     the crack codes of some consecutive slices, 'codes_z' being the first
 *   tail      the checksums section: everything behind the crack codes.  Empty in
 *             version 0
 * Functions that decode no cracks look at 'head' and 'tail' only.
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

/* crackle_split() - the parts of a stream that is there whole.  Checks the length. */
crackle_status crackle_split(const void *in, size_t in_nbytes, struct crackle_parts *parts_ret,
                             struct crackle_where *where);

/* ------------------------------------------------------------------------ */
/*                                 Volumes                                   */
/* ------------------------------------------------------------------------ */

/*
 * A label volume in memory: sx * sy * sz little- or big-endian integers as the
 * machine has them, contiguous.  'fortran_order' 1: x fastest, then y;
 * 0: z fastest, then y.  'voxels' is only read when encoding.
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

/* Do not verify the checksums of the labels and of the slices. */
#define CRACKLE_NO_VERIFY 1

/* crackle_contacts(): leave out the label 0, which is most of the work where it lies between all others. */
#define CRACKLE_NO_BACKGROUND 2

/* crackle_measure(): count voxels, and do not ask where they lie. */
#define CRACKLE_ONLY_COUNTS 4

/*
 * crackle_decode() - decode the slices [z_start, z_end) into a volume
 *
 * 'out' has the stream's sx, sy and width; its slice 0 is the stream's slice
 * 'out_z', so a caller may decode disjoint ranges into one volume from
 * several threads.  'out->fortran_order' is free: it need not be the stream's.
 * On failure the slices of the range hold unspecified values.
 * Time is linear in the voxels; memory is some bytes per voxel of one slice.
 */
crackle_status crackle_decode(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                              unsigned int flags, const struct crackle_volume *out, uint32_t out_z,
                              struct crackle_where *where);

/*
 * crackle_decode_as() - like crackle_decode(), but with values of the caller's for labels
 *
 * A voxel of the label in entry 'i' of the label table becomes values[i]; entries are counted
 * as crackle_read_table() lists them, and 'count' is how many it lists.  'out->width' is
 * free; values are cut to it.  Slices of which the labels section says that all their
 * values are 0 are not decoded, and their crack codes not looked at.
 */
crackle_status crackle_decode_as(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                 unsigned int flags, const uint64_t *values, uint64_t count,
                                 const struct crackle_volume *out, uint32_t out_z, struct crackle_where *where);

/*
 * crackle_decode_mask() - like crackle_decode(), but one byte per voxel: 1 where
 * the voxel has the label, 0 elsewhere.  'out->width' is 1.
 */
crackle_status crackle_decode_mask(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                   unsigned int flags, uint64_t label, const struct crackle_volume *out,
                                   uint32_t out_z, struct crackle_where *where);

/*
 * crackle_check_slice() - verify one slice without the labels
 *
 * Walks the crack codes of slice 'z', counts its components and compares their
 * checksum (version 1).  The labels section is not looked at: where it is damaged, its
 * slices can still be judged.
 */
crackle_status crackle_check_slice(const struct crackle_parts *parts, uint32_t z, uint64_t *components_ret,
                                   struct crackle_where *where);

/* ------------------------------------------------------------------------ */
/*                                 Measuring                                 */
/* ------------------------------------------------------------------------ */

/* Some voxels: how many, their bounding box and the sums of their coordinates, along x, y and z. */
struct crackle_extent {
    uint64_t voxels;
    uint32_t start[3];          /* half-open; all 0 where there are no voxels */
    uint32_t stop[3];
    uint64_t sum[3];
};

/*
 * crackle_measure() - the extents of every label within a window of the volume
 *
 * The window is [x_start, x_end) x [y_start, y_end) x [z_start, z_end); coordinates are those of the volume.
 * 'extents' has an element per entry of the label table, as crackle_read_table() lists them, and 'count' is how
 * many it lists.  Repeated labels have an extent per entry.  The slices are decoded as far as their components,
 * and no voxel is painted: time is linear in the boundaries.  What is verified is what crackle_decode() verifies.
 * CRACKLE_TOO_LARGE: a sum might pass 64 bits; ask for smaller windows.  With CRACKLE_ONLY_COUNTS in 'flags', all
 * but 'voxels' stay 0, which takes less time.  On failure 'extents' hold unspecified values.
 */
crackle_status crackle_measure(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                               unsigned int flags, uint32_t x_start, uint32_t x_end, uint32_t y_start,
                               uint32_t y_end, struct crackle_extent *extents, uint64_t count,
                               struct crackle_where *where);

/*
 * crackle_surface() - the voxels of labels that have a neighbour of another label, or none
 *
 * A neighbour shares a face; beyond the rim of the volume there is none.  'selected' has a byte per entry of the
 * label table, and 'count' is how many it lists.  '*points_ret' receives the surface voxels of the slices
 * [z_start, z_end) as x, y and z, integers of 'width' bytes, 2 or 4: those of the first entry that is wanted, by x,
 * then y, then z, then those of the next.  per_entry[i] is how many entry 'i' has; of entries that repeat a label,
 * the first has all.  It is to be given to crackle_free().  The slice before and the one after are read too.
 * Memory: some more than the result, beside it.
 */
crackle_status crackle_surface(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                               unsigned int flags, const uint8_t *selected, uint64_t count, unsigned int width,
                               const volatile int32_t *stop, void **points_ret, uint64_t *per_entry,
                               struct crackle_where *where);

/*
 * crackle_connectivity() - which ways lead from a voxel to others of the same label
 *
 * A byte per voxel: bits 0 to 5 stand for +x, -x, +y, -y, +z and -z, and are clear where the neighbour has another
 * label.  Ways out of the volume are open.  'connectivity' is 6, or 4 to leave out +z and -z, which are clear then.
 * 'out' as in crackle_decode(), of width 1.
 * The slice before and the one after the range are read too.
 */
crackle_status crackle_connectivity(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                    unsigned int flags, unsigned int connectivity,
                                    const struct crackle_volume *out, uint32_t out_z, struct crackle_where *where);

/* Two labels that touch, and the number of faces along x, y and z over which they do. */
struct crackle_contact {
    uint64_t a, b;
    uint64_t faces[3];
};

/*
 * crackle_contacts() - which labels touch
 *
 * Faces along z are those between a slice of [z_start, z_end) and the one before it, so ranges add up to the volume.
 * The pairs are in no order, and so are 'a' and 'b'.  '*out_ret' is to be given to crackle_free().
 */
crackle_status crackle_contacts(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                unsigned int flags, struct crackle_contact **out_ret, uint64_t *count_ret,
                                struct crackle_where *where);

/* A label of one volume and one of another, and how many voxels have both. */
struct crackle_overlap {
    uint64_t a, b;
    uint64_t voxels;
};

/* crackle_overlaps() - which labels of two streams of one shape meet, in the slices [z_start, z_end) */
crackle_status crackle_overlaps(const struct crackle_parts *a, const struct crackle_parts *b, uint32_t z_start,
                                uint32_t z_end, unsigned int flags, struct crackle_overlap **out_ret,
                                uint64_t *count_ret, struct crackle_where *where);

/*
 * crackle_equal() - whether two streams of one shape hold the same labels in the slices [z_start, z_end)
 *
 * However they are encoded, and whatever the widths and signs of their labels.
 */
crackle_status crackle_equal(const struct crackle_parts *a, const struct crackle_parts *b, uint32_t z_start,
                             uint32_t z_end, unsigned int flags, int *equal_ret, struct crackle_where *where);

/* ------------------------------------------------------------------------ */
/*                                 Encoding                                  */
/* ------------------------------------------------------------------------ */

/* The order that makes the stream smallest. */
#define CRACKLE_MARKOV_AUTO 255

/* A model with which the crack codes would be longer than without is left out: the stream then has order 0. */
struct crackle_options {
    uint8_t format_version;     /* 0 or 1 */
    uint8_t markov_order;       /* 0 to CRACKLE_MAX_MARKOV_ORDER, or CRACKLE_MARKOV_AUTO */
    uint8_t pins;               /* 0 flat labels, 1 pins, 2 pins chosen with more effort */
    uint8_t has_background;     /* 'background' is to be the pins' background label */
    uint64_t background;
};

/* Some consecutive slices, encoded but not yet assembled. */
typedef struct crackle_part crackle_part;

/*
 * crackle_guess_crack_format() - which crack format will need fewer cracks
 *
 * 1 permissible, 0 impermissible, from a few slices.  crackle_fewer_cracks() has
 * the exact answer afterwards.
 */
int crackle_guess_crack_format(const struct crackle_volume *volume);

/*
 * crackle_encode_part() - encode the slices [z_start, z_end) of a volume
 *
 * Parts of one volume may be made at once in several threads.  Free each with
 * crackle_part_free().
 */
crackle_status crackle_encode_part(const struct crackle_volume *volume, uint32_t z_start, uint32_t z_end,
                                   int permissible, crackle_part **part_ret);

void crackle_part_free(crackle_part *part);

/*
 * crackle_fewer_cracks() - which crack format has fewer cracks to code, exactly
 *
 * When it is not the one that the parts were made with, make them again.
 */
int crackle_fewer_cracks(crackle_part *const *parts, size_t num_parts);

/*
 * crackle_assemble() - make the stream of parts that together are the volume
 *
 * 'parts' are in the order of z and cover the volume without gaps.  The voxels of
 * 'volume' are read again when pins are chosen, and need not be there when not.
 * '*out_ret' is to be given to crackle_free().
 */
crackle_status crackle_assemble(const struct crackle_volume *volume, const struct crackle_options *options,
                                crackle_part *const *parts, size_t num_parts, const volatile int32_t *stop,
                                uint8_t **out_ret, size_t *out_nbytes_ret);

/* crackle_encode() - all of the above in one call and one thread. */
crackle_status crackle_encode(const struct crackle_volume *volume, const struct crackle_options *options,
                              uint8_t **out_ret, size_t *out_nbytes_ret);

/*
 * crackle_encode_constant() - the stream of a volume whose voxels all have one label
 *
 * Of 'volume' the shape, the width, the sign and the order are looked at, the voxels are not.  The time and the
 * length of the stream are those of its slices' number.
 */
crackle_status crackle_encode_constant(const struct crackle_volume *volume, uint64_t label,
                                       unsigned int format_version, uint8_t **out_ret, size_t *out_nbytes_ret);

/* ------------------------------------------------------------------------ */
/*                           Streams from streams                            */
/* ------------------------------------------------------------------------ */

/*
 * Parts that are made of the boundaries of other streams, and no voxel is decoded.  Parts for the slices
 * [z_start, z_end), which are not empty, may be made at once in several threads.
 */

/*
 * crackle_recompress_part() - the same labels, without the cracks between equal ones
 *
 * Such cracks stay where labels were merged by crackle_relabel().  The parts are for crackle_reassemble().
 */
crackle_status crackle_recompress_part(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                       unsigned int flags, int permissible, crackle_part **part_ret,
                                       struct crackle_where *where);

/*
 * crackle_reassemble() - the stream of recompressed parts
 *
 * 'in' is the stream that they were made of: the new one has its shape, type, order and format version, and its
 * pins, where it has any and flat labels are not shorter.  'markov_order' is as in crackle_options.
 */
crackle_status crackle_reassemble(const void *in, size_t in_nbytes, unsigned int markov_order,
                                  crackle_part *const *parts, size_t num_parts, const volatile int32_t *stop,
                                  uint8_t **out_ret, size_t *out_nbytes_ret, struct crackle_where *where);

/*
 * crackle_overlay_part() - two streams of one shape, laid upon each other
 *
 * The label of a voxel is (i << 32 | j), where 'i' is the entry of its label in the label table of 'a', as
 * crackle_read_table() lists it, and 'j' that in 'b'.  Assemble the parts as unsigned labels of 8 bytes.
 */
crackle_status crackle_overlay_part(const struct crackle_parts *a, const struct crackle_parts *b, uint32_t z_start,
                                    uint32_t z_end, unsigned int flags, int permissible, crackle_part **part_ret,
                                    struct crackle_where *where);

/*
 * crackle_pool_part() - every block of 2 x 2 x depth voxels becomes one, of its most frequent label
 *
 * 'depth' is 1 or 2; the slices are those of the result, whose axes are halved and rounded up.  Of a tie with a
 * depth of 1 the label of the voxel (0,0) is taken, if (1,0) or (0,1) has it, too; else that of (1,0), if (0,1) has
 * it; else that of (1,1).  With a depth of 2 it is the label that comes first, x fastest.  'sparse': the label 0
 * counts only where there is no other; then of four that all differ, the first is taken where the last is 0.
 */
crackle_status crackle_pool_part(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                 unsigned int flags, unsigned int depth, int sparse, int permissible,
                                 crackle_part **part_ret, struct crackle_where *where);

/*
 * The connected components of a volume as a stream of its own, made in steps, so that a caller can tell how far it is
 * or stop: begin, next for all slices, finish.  Memory: two slices, and 8 bytes for every component of every slice.
 */
typedef struct crackle_joiner crackle_joiner;

/*
 * crackle_joiner_begin() - get ready to join components
 *
 * 'in' is a whole stream, which has to stay.  Voxels of one label belong together where they share a face, or
 * with a 'connectivity' of 26 instead of 6 an edge or a corner as well; 'is_binary': as if all labels but 0 were one.
 * '*joiner_ret' is to be given to crackle_joiner_free().
 */
crackle_status crackle_joiner_begin(const void *in, size_t in_nbytes, unsigned int flags, unsigned int connectivity,
                                    int is_binary, crackle_joiner **joiner_ret, struct crackle_where *where);

void crackle_joiner_free(crackle_joiner *joiner);

/* crackle_joiner_next() - take in the next slices.  After a failure the joiner can only be freed. */
crackle_status crackle_joiner_next(crackle_joiner *joiner, uint32_t num_slices, struct crackle_where *where);

/*
 * crackle_joiner_finish() - the stream of components, when all slices are in
 *
 * Components are numbered from 1 on in the order of the volume, x fastest; label 0 is the background, and 0.  The
 * crack codes are those of 'in'.  (*labels_ret)[i] is the label of component i + 1, at its first voxel, and
 * '*count_ret' how many there are.  Both results are to be given to crackle_free().  The joiner can only be freed
 * afterwards.
 */
crackle_status crackle_joiner_finish(crackle_joiner *joiner, const void *in, uint8_t **out_ret,
                                     size_t *out_nbytes_ret, uint64_t **labels_ret, uint64_t *count_ret);

/* Some slices of a whole stream. */
struct crackle_piece {
    const uint8_t *bytes;
    size_t nbytes;
    uint32_t z_start, z_end;
};

/*
 * crackle_stack() - slices of one or more streams, one upon the other
 *
 * The streams have equal sx and sy; the result has labels of the width and sign given, and is rendered in that
 * order.  Its label table lists what occurs.  Piece 'model', of which no slices need be taken, says what crack format
 * and Markov model the stack has; 'num_pieces' stands for the one with the most bytes.  Crack codes are copied,
 * but those of pieces with another format or model, and of version 0 where others have checksums, which are coded
 * anew.  On failure '*piece_ret' is the piece at fault.
 */
crackle_status crackle_stack(const struct crackle_piece *pieces, size_t num_pieces, size_t model,
                             unsigned int data_width, int is_signed, int fortran_order, uint8_t **out_ret,
                             size_t *out_nbytes_ret, size_t *piece_ret, struct crackle_where *where);

void crackle_free(void *buffer);

/* ------------------------------------------------------------------------ */
/*                                  Queries                                  */
/* ------------------------------------------------------------------------ */

/*
 * crackle_table_size() - how many labels the label table lists
 *
 * The background label of a pins stream counts as one of them.
 */
crackle_status crackle_table_size(const struct crackle_parts *parts, uint64_t *count_ret,
                                  struct crackle_where *where);

/*
 * crackle_read_table() - the label table in stored order
 *
 * 'count' is what crackle_table_size() said.  In a pins stream the first is the
 * background label.  The labels checksum is verified unless 'flags' has
 * CRACKLE_NO_VERIFY; it needs the whole labels section, and the first 4 bytes of
 * 'parts->tail'.  Without verifying, 'parts->head' may end where crackle_table_nbytes()
 * says.  The same is true of crackle_contains().
 */
crackle_status crackle_read_table(const struct crackle_parts *parts, unsigned int flags, uint64_t *labels,
                                  uint64_t count, struct crackle_where *where);

/*
 * crackle_contains() - whether the label table lists a label
 *
 * By bisection where the table says that it is sorted; unless CRACKLE_NO_VERIFY is given, a label that is not found
 * so is looked for in all of it.
 */
crackle_status crackle_contains(const struct crackle_parts *parts, unsigned int flags, uint64_t label,
                                int *found_ret, struct crackle_where *where);

/*
 * crackle_table_nbytes() - where the label table ends, in bytes from the stream's first
 *
 * 'in' holds at least the first crackle_prefix_nbytes() + 16 bytes, or the whole stream.
 */
crackle_status crackle_table_nbytes(const void *in, size_t in_nbytes, uint64_t *nbytes_ret,
                                    struct crackle_where *where);

/*
 * crackle_component_counts() - components per slice: sz numbers, as the labels
 * section states them
 */
crackle_status crackle_component_counts(const struct crackle_parts *parts, uint64_t *counts,
                                        struct crackle_where *where);

/*
 * crackle_slices_with() - the slices that have some of the labels
 *
 * 'selected' has a byte per entry of the label table, as crackle_read_table() lists them, and
 * 'count' is how many it lists.  slices[z] becomes 1 where slice z has an entry that is
 * wanted, else 0.  No crack is looked at.  Of pins this is an upper bound: their
 * background may be in any slice.
 */
crackle_status crackle_slices_with(const struct crackle_parts *parts, unsigned int flags, const uint8_t *selected,
                                   uint64_t count, uint8_t *slices, struct crackle_where *where);

/*
 * crackle_entries_in() - the entries of the label table that the slices [z_start, z_end) have
 *
 * present[i] becomes 1 where they have entry i, else 0.  No crack is looked at, and for
 * pins, where that would not do, CRACKLE_UNSUPPORTED is returned.
 */
crackle_status crackle_entries_in(const struct crackle_parts *parts, unsigned int flags, uint32_t z_start,
                                  uint32_t z_end, uint8_t *present, uint64_t count, struct crackle_where *where);

/* ------------------------------------------------------------------------ */
/*                                   Edits                                   */
/* ------------------------------------------------------------------------ */

/*
 * crackle_relabel() - give every entry of the label table a new label
 *
 * 'in' is a whole stream; 'table' replaces what crackle_read_table() gave, entry
 * by entry; entries may become equal.  The new stream has voxels of 'data_width'
 * bytes, signed or not, is rendered in the order given, and its table is sorted
 * and without repeats.  No crack is decoded: the cost is that of the labels section
 * and of copying the rest.  CRACKLE_DOES_NOT_FIT: a label needs more than
 * 'data_width' bytes.
 */
crackle_status crackle_relabel(const void *in, size_t in_nbytes, const uint64_t *table, uint64_t count,
                               unsigned int data_width, int is_signed, int fortran_order,
                               uint8_t **out_ret, size_t *out_nbytes_ret, struct crackle_where *where);

/*
 * crackle_relabel_in_place() - the same within the bytes of the stream itself
 *
 * Length, data type and order stay.  The table is marked unsorted where it no longer
 * ascends.  CRACKLE_DOES_NOT_FIT: a label needs more than the stored width; the
 * stream is then as it was.
 */
crackle_status crackle_relabel_in_place(void *stream, size_t nbytes, const uint64_t *table, uint64_t count,
                                        struct crackle_where *where);

/* cffi: end */

#ifdef __cplusplus
}
#endif

#endif /* CRACKLE_H */
