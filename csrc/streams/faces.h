/*
 * faces.h - where voxels of different labels meet: a slice, the one before it, and a bit per face
 *
 * A face lies between two voxels that are neighbours along an axis, and counts where their labels
 * differ.  Within a slice, faces are the cracks, but for those that two labels left behind when they became
 * one.  Between slices they are found without painting either: whether the voxels of a row differ
 * from those of the slice before is known from the row above, except where a patch of one of the two
 * slices lies.  So everything here is in proportion to the boundaries.
 *
 * Labels are compared as numbers, 0, 1, 2 ... in the order of the label table; entries that repeat a
 * label have its number.
 */
#ifndef CK_FACES_H
#define CK_FACES_H

#include "../base/sort.h"
#include "../codec/reading.h"

/* A slice: its components and the number of the label that each has. */
struct ck_layer {
    struct ck_components components;
    u32 *numbers;
    size_t numbers_capacity;
};

struct ck_faces {
    struct ck_reading reading;
    struct ck_label_set labels;   /* by number */
    u32 *number_of_entry;
    u8 *differ;                   /* per voxel of a row, whether it differs from that of the slice before */
    struct ck_layer layers[2];
    struct ck_layer *layer;       /* the slice that was read last ... */
    struct ck_layer *before;      /* ... and the one before it; NULL: none has been read */
};

/*
 * Everything up to slice 'z_start' of [z_start, z_end), which is not empty, of a stream that is opened.  Free
 * whatever comes back.
 */
crackle_status ck_faces_begin(struct ck_faces *f, const struct crackle_parts *parts, u32 z_start, u32 z_end,
                              struct crackle_where *where);
void ck_faces_free(struct ck_faces *f);

/* Read slice 'z', which is next. */
crackle_status ck_faces_next(struct ck_faces *f, u32 z, struct crackle_where *where);

/*
 * The faces of the slice that was read last, along x in 'b->vertical' and along y in 'b->horizontal': its cracks,
 * but for those between equal labels.  'z', unless it is NULL, receives a bit per voxel, in rows of b->words words:
 * whether its label differs from that of the voxel in the slice before; clear where there is none.
 */
void ck_find_faces(const struct ck_faces *f, struct ck_bitmaps *b, u64 *z);

/*
 * The next row of a layer, as numbers, in components.row; '*patch' begins at components.patches.  The row
 * above must be there still.
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
