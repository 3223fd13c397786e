/*
 * crackle_streams.h - questions about Crackle streams, and new streams from old ones
 *
 * A part of crackle.h, which includes this file and has the conventions.  No function here paints the voxels of a
 * stream.
 */
#ifndef CRACKLE_STREAMS_H
#define CRACKLE_STREAMS_H

#ifndef CRACKLE_H
#  error "include crackle.h instead"
#endif

/* cffi: begin */

/* ------------------------------------------------------------------------ */
/*                               The label table                             */
/* ------------------------------------------------------------------------ */

/*
 * crackle_table_size() - how many labels the label table lists
 *
 * The background label of a stream with pins counts as one of them.
 */
crackle_status crackle_table_size(const struct crackle_parts *parts, uint64_t *count_ret,
                                  struct crackle_where *where);

/*
 * crackle_read_table() - the label table in stored order
 *
 * 'count' is the result of crackle_table_size().  In a stream with pins, the first label is the background.
 * The checksum of the labels section is verified unless 'flags' has CRACKLE_NO_VERIFY.  Verifying needs the whole
 * labels section, and the first 4 bytes of 'parts->tail'.  Without verifying, 'parts->head' may end at
 * crackle_table_nbytes().
 */
crackle_status crackle_read_table(const struct crackle_parts *parts, unsigned int flags, uint64_t *labels,
                                  uint64_t count, struct crackle_where *where);

/*
 * crackle_contains() - whether the label table lists a label
 *
 * Needs the same bytes as crackle_read_table().  Bisects a table that the header calls sorted.  If bisection does not
 * find the label, the whole table is searched, unless CRACKLE_NO_VERIFY is set.
 */
crackle_status crackle_contains(const struct crackle_parts *parts, unsigned int flags, uint64_t label,
                                int *found_ret, struct crackle_where *where);

/*
 * crackle_table_nbytes() - where the label table ends, in bytes from the first byte of the stream
 *
 * 'in' holds at least the first crackle_prefix_nbytes() + 16 bytes, or the whole stream.
 */
crackle_status crackle_table_nbytes(const void *in, size_t in_nbytes, uint64_t *nbytes_ret,
                                    struct crackle_where *where);

/* crackle_component_counts() - components per slice: sz numbers from the labels section */
crackle_status crackle_component_counts(const struct crackle_parts *parts, uint64_t *counts,
                                        struct crackle_where *where);

/*
 * crackle_slices_with() - the slices that have some of the labels
 *
 * 'selected' has a byte per entry of the label table, as crackle_read_table() lists them, and 'count' is their number.
 * Sets slices[z] to 1 if slice z has a selected entry, else to 0.  Reads no crack codes.  With pins the result is an
 * upper bound, because the background may occur in any slice.
 */
crackle_status crackle_slices_with(const struct crackle_parts *parts, unsigned int flags, const uint8_t *selected,
                                   uint64_t count, uint8_t *slices, struct crackle_where *where);

/*
 * crackle_entries_in() - the entries of the label table that occur in the slices [z_start, z_end)
 *
 * Sets present[i] to 1 if entry i occurs, else to 0.  Reads no crack codes.  That is not possible with pins, for which
 * it returns CRACKLE_UNSUPPORTED.
 */
crackle_status crackle_entries_in(const struct crackle_parts *parts, unsigned int flags, uint32_t z_start,
                                  uint32_t z_end, uint8_t *present, uint64_t count, struct crackle_where *where);

/* ------------------------------------------------------------------------ */
/*                                 Measuring                                 */
/* ------------------------------------------------------------------------ */

/* A flag of crackle_contacts(): leave out the label 0.  Where it lies between all others, it is most of the work. */
#define CRACKLE_NO_BACKGROUND 2

/* A flag of crackle_measure() and crackle_contacts(): count voxels, or faces, only. */
#define CRACKLE_ONLY_COUNTS 4

/* The number of some voxels, their bounding box and the sums of their coordinates, along x, y and z. */
struct crackle_extent {
    uint64_t voxels;
    uint32_t start[3];          /* half-open; all 0 if there are no voxels */
    uint32_t stop[3];
    uint64_t sum[3];
};

/*
 * crackle_measure() - the extents of every label within a window of the volume
 *
 * The window is [x_start, x_end) x [y_start, y_end) x [z_start, z_end).  Coordinates are those of the volume.
 * 'extents' has an element per entry of the label table, as crackle_read_table() lists them, and 'count' is their
 * number.  Entries that repeat a label have separate extents.  Verifies the same checksums as crackle_decode().
 * Time is linear in the boundaries: slices are decoded to components, and no further.
 * CRACKLE_TOO_LARGE: a sum might exceed 64 bits; use smaller windows.  With CRACKLE_ONLY_COUNTS in 'flags', all fields
 * but 'voxels' stay 0, which takes less time.  On failure 'extents' hold unspecified values.
 */
crackle_status crackle_measure(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                               unsigned int flags, uint32_t x_start, uint32_t x_end, uint32_t y_start,
                               uint32_t y_end, struct crackle_extent *extents, uint64_t count,
                               struct crackle_where *where);

/* A label and its extent. */
struct crackle_label_extent {
    uint64_t label;             /* sign-extended if the volume is signed */
    struct crackle_extent extent;
};

/*
 * crackle_measure_volume() - the extents of every label in the slices [z_start, z_end) of a volume in memory
 *
 * The volume is in Fortran order, else CRACKLE_UNSUPPORTED: of one in C order, pass its transpose, and turn the answers
 * around.  '*rows_ret' receives a row for each label that occurs, in the order in which a scan meets them; free it with
 * crackle_free().  With CRACKLE_ONLY_COUNTS in 'flags', all fields of extents but 'voxels' stay 0.
 * CRACKLE_TOO_LARGE: a sum might exceed 64 bits; use fewer slices.
 * Time is one comparison of all voxels, then linear in the boundaries: no stream is made.
 */
crackle_status crackle_measure_volume(const struct crackle_volume *volume, uint32_t z_start, uint32_t z_end,
                                      unsigned int flags, struct crackle_label_extent **rows_ret,
                                      uint64_t *count_ret);

/* The most axes of totals, and the most bytes of a row that crackle_order_rows() moves. */
#define CRACKLE_TOTALS_MAX_NDIM 64
#define CRACKLE_ORDER_MAX_NBYTES 4096

/*
 * Rows of labels, added up by label.  The memory is the caller's.  A row is a label of 'label_nbytes' (1, 2, 4 or 8), and
 * uint64_t behind it without padding: the number of voxels; 'ndim' first and 'ndim' last-but-one coordinates; the low
 * halves of 'ndim' sums of coordinates; and their high halves, which totals without 'has_high' lack.
 */
struct crackle_totals {
    void *rows;                 /* room for 'capacity' rows, which is less than 2^32 - 1 */
    uint64_t capacity;
    uint64_t count;             /* how many rows there are */
    uint32_t *slots;            /* a hash table of 'num_slots', a power of two; at most 3 of 4 are used */
    uint64_t num_slots;
    uint64_t multiplier;        /* of the hash; crackle_totals_index() sets it */
    uint32_t label_nbytes;
    uint32_t ndim;
    int has_high;
};

/* crackle_totals_index() - fill the slots anew: before the first addition, and after they were replaced */
crackle_status crackle_totals_index(struct crackle_totals *totals);

/*
 * crackle_totals_add() - add rows, which have high halves, in any order; a label may have several
 *
 * Stops at a new label for which there is no room, or no slot.  '*taken_ret' is the number of rows that were added: if
 * it is less than 'num_rows', enlarge the memory and add the rest.
 */
crackle_status crackle_totals_add(struct crackle_totals *totals, const void *rows, uint64_t num_rows,
                                  uint64_t *taken_ret);

/*
 * crackle_order_rows() - put rows of 'nbytes' each in another order, without a copy of them
 *
 * Row i becomes what was row order[i].  CRACKLE_BAD_ARGUMENT: 'order' is no permutation; the rows are then in no
 * particular order.  'order' is overwritten.
 */
crackle_status crackle_order_rows(void *rows, size_t nbytes, uint64_t *order, uint64_t count);

/*
 * crackle_volume_labels() - the labels that occur in the slices [z_start, z_end) of a volume in memory, ascending
 *
 * The volume is in Fortran order, else CRACKLE_UNSUPPORTED.  Labels are sign-extended if it is signed.  Free
 * '*labels_ret' with crackle_free().
 */
crackle_status crackle_volume_labels(const struct crackle_volume *volume, uint32_t z_start, uint32_t z_end,
                                     uint64_t **labels_ret, uint64_t *count_ret);

/*
 * Whole streams of one shape and type, one after the other in memory.  A stored array has up to millions of small chunks;
 * one call for many of them costs what the work costs, and no call for each.
 */
struct crackle_batch {
    const uint8_t *bytes;
    size_t nbytes;
    const uint64_t *ends;       /* where each stream ends, ascending; the first begins at 0, the others at an end */
    size_t count;               /* streams */
    uint32_t sx, sy, sz;        /* what every stream has to be; another shape or type is CRACKLE_CORRUPT */
    unsigned int width;         /* bytes per voxel */
    int is_signed;
};

/*
 * crackle_batch_tables() - the label tables of many streams, as crackle_read_table() lists each
 *
 * '*labels_ret' receives all labels, stream after stream; free it with crackle_free().  label_ends[i] is the number of
 * labels of the streams up to and including 'i'.  On failure '*stream_ret' is the stream at fault, and 'label_ends' hold
 * unspecified values.
 */
crackle_status crackle_batch_tables(const struct crackle_batch *batch, unsigned int flags, uint64_t **labels_ret,
                                    uint64_t *label_ends, size_t *stream_ret, struct crackle_where *where);

/*
 * crackle_batch_measure() - the extents of every label of many streams
 *
 * Like crackle_measure() for all voxels of each stream, in rows as those of crackle_measure_volume(): a row for each
 * entry of a label table that has voxels.  row_ends[i] is the number of rows of the streams up to and including 'i'; all
 * else is as in crackle_batch_tables().
 */
crackle_status crackle_batch_measure(const struct crackle_batch *batch, unsigned int flags,
                                     struct crackle_label_extent **rows_ret, uint64_t *row_ends, size_t *stream_ret,
                                     struct crackle_where *where);

/*
 * crackle_surface() - the voxels of labels that have a neighbour of another label, or a missing neighbour
 *
 * Neighbours share a face.  A voxel at the rim of the volume has a missing neighbour.
 * 'selected' has a byte per entry of the label table, and 'count' is the number of entries.  '*points_ret' receives the
 * surface voxels of the slices [z_start, z_end) as x, y and z, integers of 'width' bytes (2 or 4).  They are grouped by
 * selected entry; within an entry they are sorted by x, then y, then z.  per_entry[i] is the number of voxels of entry
 * 'i'.  If entries repeat a label, the first has all its voxels.  Free '*points_ret' with crackle_free().
 * The slices before and after the range are read too.  Memory: up to some more than twice the result.
 */
crackle_status crackle_surface(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                               unsigned int flags, const uint8_t *selected, uint64_t count, unsigned int width,
                               const volatile int32_t *stop, void **points_ret, uint64_t *per_entry,
                               struct crackle_where *where);

/*
 * crackle_connectivity() - for every voxel, the directions in which its neighbour has the same label
 *
 * A byte per voxel: bits 0 to 5 stand for +x, -x, +y, -y, +z and -z, and are clear if the neighbour has another label.
 * Bits that point out of the volume are set.  'connectivity' is 6, or 4 to leave out +z and -z, whose bits are then
 * clear.  'out' is as in crackle_decode(), with width 1.
 * The slices before and after the range are read too.
 */
crackle_status crackle_connectivity(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                    unsigned int flags, unsigned int connectivity,
                                    const struct crackle_volume *out, uint32_t out_z, struct crackle_where *where);

/*
 * Two labels that touch, how many faces they share along x, y and z, and the box of the voxels on both sides of those
 * faces, half-open.
 */
struct crackle_contact {
    uint64_t a, b;
    uint64_t faces[3];
    uint32_t start[3];
    uint32_t stop[3];
};

/*
 * crackle_contacts() - which labels touch
 *
 * Faces along z are those between a slice of [z_start, z_end) and the slice before it, so the results of adjacent
 * ranges can be added.  Pairs, and 'a' and 'b' within a pair, are in no particular order.  With CRACKLE_ONLY_COUNTS in
 * 'flags', all boxes stay 0, which takes less time.  Free '*out_ret' with crackle_free().
 */
crackle_status crackle_contacts(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                unsigned int flags, struct crackle_contact **out_ret, uint64_t *count_ret,
                                struct crackle_where *where);

/*
 * crackle_contacts_within() - like crackle_contacts(), but only counts faces between two voxels of a window
 *
 * The window is as in crackle_measure(), so faces to the slice before 'z_start' do not count.  Bits 0 to 2 of 'axes'
 * choose faces along x, y and z.
 */
crackle_status crackle_contacts_within(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                       unsigned int flags, uint32_t x_start, uint32_t x_end, uint32_t y_start,
                                       uint32_t y_end, unsigned int axes, struct crackle_contact **out_ret,
                                       uint64_t *count_ret, struct crackle_where *where);

/* A label of one volume, a label of another, and how many voxels have both. */
struct crackle_overlap {
    uint64_t a, b;
    uint64_t voxels;
};

/*
 * crackle_overlaps() - which labels of two streams of one shape overlap, in the slices [z_start, z_end)
 *
 * Free '*out_ret' with crackle_free().
 */
crackle_status crackle_overlaps(const struct crackle_parts *a, const struct crackle_parts *b, uint32_t z_start,
                                uint32_t z_end, unsigned int flags, struct crackle_overlap **out_ret,
                                uint64_t *count_ret, struct crackle_where *where);

/*
 * crackle_equal() - whether two streams of one shape hold the same labels in the slices [z_start, z_end)
 *
 * The encoding, the widths and the signs of the streams do not matter.
 */
crackle_status crackle_equal(const struct crackle_parts *a, const struct crackle_parts *b, uint32_t z_start,
                             uint32_t z_end, unsigned int flags, int *equal_ret, struct crackle_where *where);

/* ------------------------------------------------------------------------ */
/*                     New labels for the same boundaries                    */
/* ------------------------------------------------------------------------ */

/*
 * crackle_relabel() - give every entry of the label table a new label
 *
 * 'in' is a whole stream.  'table' replaces the result of crackle_read_table(), entry by entry; entries may become
 * equal.  The new stream has voxels of 'data_width' bytes, signed or not, in the given memory order.  Its table is
 * sorted and has no repeats.  No crack is decoded: the cost is that of the labels section and of copying the rest.
 * CRACKLE_DOES_NOT_FIT: a label needs more than 'data_width' bytes.
 */
crackle_status crackle_relabel(const void *in, size_t in_nbytes, const uint64_t *table, uint64_t count,
                               unsigned int data_width, int is_signed, int fortran_order,
                               uint8_t **out_ret, size_t *out_nbytes_ret, struct crackle_where *where);

/*
 * crackle_relabel_in_place() - like crackle_relabel(), but changes the bytes of the stream itself
 *
 * Length, data type and order stay.  The table is marked unsorted if it no longer ascends.  CRACKLE_DOES_NOT_FIT: a
 * label needs more than the stored width; the stream is then unchanged.
 */
crackle_status crackle_relabel_in_place(void *stream, size_t nbytes, const uint64_t *table, uint64_t count,
                                        struct crackle_where *where);

/*
 * The connected components of a volume, as a stream.  It is made in steps, so that a caller can report progress or
 * stop: begin, next until all slices are read, finish.  Memory: two slices, and 16 bytes for every component of every
 * slice.
 */
typedef struct crackle_joiner crackle_joiner;

/* What is joined. */
struct crackle_joining {
    unsigned int connectivity;  /* voxels touch if they share a face (6), or a face, an edge or a corner (26) */
    int is_binary;              /* treat all labels but the background as one */
    int has_background;         /* whether voxels of one label belong to no component */
    uint64_t background;        /* that label */
    uint32_t depth;             /* the volume is a row of images of so many slices, which do not touch; 0: it is one */
};

/*
 * crackle_joiner_begin() - get ready to join components
 *
 * 'in' is a whole stream, which must stay valid.  Free '*joiner_ret' with crackle_joiner_free().
 */
crackle_status crackle_joiner_begin(const void *in, size_t in_nbytes, unsigned int flags,
                                    const struct crackle_joining *how, crackle_joiner **joiner_ret,
                                    struct crackle_where *where);

void crackle_joiner_free(crackle_joiner *joiner);

/* crackle_joiner_next() - read the next slices.  After a failure the joiner can only be freed. */
crackle_status crackle_joiner_next(crackle_joiner *joiner, uint32_t num_slices, struct crackle_where *where);

/*
 * crackle_joiner_finish() - the stream of components, after all slices are read
 *
 * Components are numbered from 1 in the order of the volume, x fastest; the background is 0.  The new stream has the
 * crack codes of 'in'.  (*labels_ret)[i] is the label of component i + 1, at its first voxel, and (*first_ret)[i] is
 * that voxel: (z * sy + y) * sx + x.  '*count_ret' is the number of components.  Free all three results with
 * crackle_free().  Afterwards the joiner can only be freed.
 */
crackle_status crackle_joiner_finish(crackle_joiner *joiner, const void *in, uint8_t **out_ret,
                                     size_t *out_nbytes_ret, uint64_t **labels_ret, uint64_t **first_ret,
                                     uint64_t *count_ret);

/* ------------------------------------------------------------------------ */
/*                     Parts from the boundaries of streams                  */
/* ------------------------------------------------------------------------ */

/*
 * These functions make parts for the slices [z_start, z_end), which must not be empty.  Several threads may make parts
 * of one volume at once.
 */

/*
 * crackle_recompress_part() - the same labels, without the cracks between equal labels
 *
 * Such cracks remain where crackle_relabel() merged labels.  Assemble the parts with crackle_reassemble().
 */
crackle_status crackle_recompress_part(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                       unsigned int flags, int permissible, crackle_part **part_ret,
                                       struct crackle_where *where);

/*
 * crackle_reassemble() - the stream of recompressed parts
 *
 * 'in' is the stream from which the parts were made.  The new stream has its shape, type, order and format version.  It
 * also keeps the pins, if there are any and flat labels are not shorter.  'markov_order' is as in crackle_options.
 */
crackle_status crackle_reassemble(const void *in, size_t in_nbytes, unsigned int markov_order,
                                  crackle_part *const *parts, size_t num_parts, const volatile int32_t *stop,
                                  uint8_t **out_ret, size_t *out_nbytes_ret, struct crackle_where *where);

/*
 * crackle_overlay_part() - combine two streams of one shape
 *
 * The label of a voxel is (i << 32 | j).  'i' is the entry of its label in the label table of 'a', as
 * crackle_read_table() lists it, and 'j' that in the table of 'b'.  Assemble the parts as unsigned labels of 8 bytes.
 */
crackle_status crackle_overlay_part(const struct crackle_parts *a, const struct crackle_parts *b, uint32_t z_start,
                                    uint32_t z_end, unsigned int flags, int permissible, crackle_part **part_ret,
                                    struct crackle_where *where);

/*
 * crackle_pool_part() - replace every block of 2 x 2 x depth voxels by one voxel with its most frequent label
 *
 * 'depth' is 1 or 2.  The slices are those of the result, whose axes are halved and rounded up.
 * Ties with depth 1: the label of voxel (0,0) wins if (1,0) or (0,1) has it too; otherwise that of (1,0) if (0,1) has
 * it; otherwise that of (1,1).  Ties with depth 2: the label that comes first wins, x fastest.
 * 'sparse': the label 0 wins only in a block without other labels.  With depth 1, if all four labels differ and the
 * last is 0, the first wins.
 */
crackle_status crackle_pool_part(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                 unsigned int flags, unsigned int depth, int sparse, int permissible,
                                 crackle_part **part_ret, struct crackle_where *where);

/* ------------------------------------------------------------------------ */
/*                                  Stacking                                 */
/* ------------------------------------------------------------------------ */

/* Some slices of a whole stream. */
struct crackle_piece {
    const uint8_t *bytes;
    size_t nbytes;
    uint32_t z_start, z_end;
};

/*
 * crackle_stack() - stack slices of one or more streams along z
 *
 * The streams have equal sx and sy.  The result has labels of the given width and sign, and the given memory order.
 * Its label table lists the labels that occur.
 * The result takes its crack format and its Markov model from piece 'model', which may have an empty range of slices;
 * 'model' = 'num_pieces' chooses the piece with the most bytes.  Crack codes are copied, with two exceptions, which are
 * traced again: pieces with another format or model, and pieces of version 0 if others have checksums.
 * On failure '*piece_ret' is the piece at fault.
 */
crackle_status crackle_stack(const struct crackle_piece *pieces, size_t num_pieces, size_t model,
                             unsigned int data_width, int is_signed, int fortran_order, uint8_t **out_ret,
                             size_t *out_nbytes_ret, size_t *piece_ret, struct crackle_where *where);

/* cffi: end */

#endif /* CRACKLE_STREAMS_H */
