/*
 * faces.h - faces between different labels, within a slice and to the previous slice
 *
 * A face lies between two voxels that are neighbours along an axis and have different labels.  Within a slice, the
 * faces are its cracks, except cracks that are left over from a merge of labels.  Faces between slices are found
 * without painting either slice.  Whether a voxel differs from the voxel in the previous slice is known from the row
 * above, except where a patch of one of the two slices lies.
 *
 * Labels are compared as numbers 0, 1, 2 ... in the order of the label table.  Entries that repeat a label have the
 * same number.
 *
 * Cost: linear in the boundaries.
 */
#ifndef CK_FACES_H
#define CK_FACES_H

#include "../base/sort.h"
#include "../codec/reading.h"

/* A slice: its components, and the number of each component's label. */
struct ck_layer {
    struct ck_components components;
    u32 *numbers;
    size_t numbers_capacity;
};

struct ck_faces {
    struct ck_reading reading;
    struct ck_label_set labels;   /* by number */
    u32 *number_of_entry;
    u8 *differ;                   /* per voxel of a row: whether it differs from that of the previous slice */
    struct ck_layer layers[2];
    struct ck_layer *layer;       /* the current slice */
    struct ck_layer *before;      /* the previous slice, or NULL */
};

/*
 * Get ready to read the slices [z_start, z_end), which are not empty, of a stream opened by ck_reading_open().  Call
 * ck_faces_free() whatever the status is.
 */
crackle_status ck_faces_begin(struct ck_faces *f, const struct crackle_parts *parts, u32 z_start, u32 z_end,
                              struct crackle_where *where);
void ck_faces_free(struct ck_faces *f);

/* Read slice 'z', the next one. */
crackle_status ck_faces_next(struct ck_faces *f, u32 z, struct crackle_where *where);

/*
 * Find the faces of the current slice, along x in 'b->vertical' and along y in 'b->horizontal'.  'z', unless it is
 * NULL, receives a bit per voxel, in rows of b->words words: whether the label differs from that in the previous slice.
 * All bits are clear if there is no previous slice.
 */
void ck_find_faces(const struct ck_faces *f, struct ck_bitmaps *b, u64 *z);

/*
 * Advance components.row to row 'y', as numbers.  The row must hold row y - 1, and '*patch' must point to the patches
 * of row 'y' (components.patches for row 0).
 */
static inline void ck_next_row(const struct ck_layer *layer, u64 y, const struct ck_patch **patch)
{
    const struct ck_components *c = &layer->components;
    const struct ck_patch *const end = c->patches + c->row_end[y];

    for (; *patch < end; ++*patch) {
        const u32 number = layer->numbers[(*patch)->component];
        u32 x = (*patch)->begin;

        do /* a patch is not empty */
            c->row[x] = number;
        while (++x < (*patch)->end);
    }
}

#endif /* CK_FACES_H */
