/*
 * part.h - some consecutive slices of a stream, encoded but not yet assembled
 *
 * The slices of a volume depend on each other only through the label table and the Markov model.  Several threads
 * can therefore encode a part each.  A part holds finished crack codes of Markov order 0 and, for every component, a
 * key into a table of the labels that occur in the part.
 *
 * Only data lives here: encode_part.c fills a part, assemble.c makes a stream of parts.
 */
#ifndef CK_PART_H
#define CK_PART_H

#include "../base/common.h"
#include "../base/sort.h"
#include "../crackle.h"

struct ck_part_slice {
    u32 code_nbytes;
    u32 crc;                         /* CRC32C of the component image */
    u64 num_codepoints;
    u64 num_components;
};

struct crackle_part {
    u32 z_start, z_end;
    int permissible;
    struct ck_bytes codes;           /* the crack codes, slice after slice */
    struct ck_part_slice *slices;    /* NULL in a part without voxels */
    struct ck_label_set labels;      /* the labels that occur, in order of first occurrence */
    u32 *keys;                       /* per component: the number of its label in 'labels' */
    size_t num_keys, keys_capacity;
    u64 num_boundaries;              /* cracks between different labels */
    u64 num_vertical;                /* the vertical ones of these */
    u64 num_interior;                /* all cracks of the slices */
    /* Recompressed parts only: for each component of the old slices, the number of its new component. */
    u32 *moved;
    size_t num_moved;
};

/* A part without slices or codes yet.  NULL when there is no memory. */
crackle_part *ck_part_new(u32 z_start, u32 z_end, int permissible);

/* Whether 'order' is a valid crackle_options.markov_order. */
static inline int ck_is_markov_order(unsigned int order)
{
    return order <= CRACKLE_MAX_MARKOV_ORDER || order == CRACKLE_MARKOV_AUTO;
}

#endif /* CK_PART_H */
