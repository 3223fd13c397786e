/* stack.h - the pieces of a stack, for the files that make its sections */
#ifndef CK_STACK_H
#define CK_STACK_H

#include "../codec/format.h"
#include "../codec/header.h"
#include "../codec/pin_list.h"

/* The place of an entry that does not occur. */
#define CK_ABSENT UINT32_MAX

struct ck_piece {
    const u8 *bytes;
    struct crackle_parts parts;
    struct crackle_header header;
    struct crackle_layout layout;
    struct ck_label_table table;
    u32 z_start, z_end;
    u32 out_z;                   /* z of its first slice in the stack */
    u64 first_component;         /* of the range, numbered through the piece's own stream */
    u64 num_components;
    u64 out_component;           /* the same component's number in the stack */
    u64 code_begin, code_end;    /* offsets of the range's crack codes in its stream */
    u64 num_entries;
    u32 *place;                  /* per entry: the index of its label in 'unique', or CK_ABSENT */
    struct ck_pin_list list;     /* of the range, as the stack has it; labels are entries */
};

struct ck_stack {
    struct ck_piece *pieces;
    size_t num_pieces;
    struct crackle_header header;
    const struct ck_piece *model;   /* gives the crack format and the Markov model; NULL: no piece has voxels */
    int has_pins;
    u64 background;              /* of the pins */
    u64 *unique;
    size_t num_unique;
    u64 *counts;
};

static inline int ck_has_pins(const struct ck_piece *p)
{
    return p->header.label_format == CK_LABELS_PINS;
}

/* Find the labels that occur in the pieces, and append the labels section. */
crackle_status ck_stack_labels(struct ck_stack *s, struct ck_bytes *out, size_t *piece_ret,
                               struct crackle_where *where);

/* Append the crack codes of a piece, and set the lengths and checksums of its slices. */
crackle_status ck_stack_codes(const struct ck_stack *s, const struct ck_piece *p, struct ck_bytes *codes, u32 *lengths,
                              u32 *crcs, struct crackle_where *where);

#endif /* CK_STACK_H */
