/*
 * components.h - boundary bitmaps -> the connected components of a slice
 *
 * The component image of a slice holds, for every voxel, the number of its 4-connected component.  Components are
 * numbered from 0 in the order in which a scan with x fastest meets them.
 *
 * The image is never made.  Instead, each row is stored as its difference to the row above.  A row changes only below
 * horizontal cracks, so a few patches per row suffice.  Copying the row above and writing the patches of the row into
 * it paints the component image, or any other image that is constant on each component, such as labels.
 */
#ifndef CK_COMPONENTS_H
#define CK_COMPONENTS_H

#include "../base/bitmaps.h"
#include "../base/sets.h"
#include "../crackle.h"
#include "patch_rows.h"

/* No component, as outside the slice. */
#define CK_NO_COMPONENT UINT32_MAX

/* The voxels [begin, end) of a row belong to a component. */
struct ck_patch {
    u32 begin, end;
    u32 component;
};

struct ck_components {
    u32 sx, sy;
    size_t count;             /* number of components */
    u64 *first;               /* per component, its first voxel: y * sx + x */
    size_t *row_end;          /* the patches of row y end at row_end[y] */
    struct ck_patch *patches; /* row 0 consists of patches only */

    /* Scratch. */
    u32 *row;                 /* sx numbers: the component of each voxel of the current row */
    u32 *row_buffer;          /* 'row' with a number before it and CK_ROW_SPARE behind it */
    u32 *parent;
    int are_united;           /* whether some component has another parent than itself */
    u32 *pieces;              /* pieces of the current row, for CPUs that handle several at once */
    size_t parent_capacity, first_capacity, patches_capacity;
};

/* Finding components may write this many patches, and components, behind the last. */
#define CK_PATCHES_SPARE 8

/* False when there is no memory; ck_components_free() may be called then too. */
int ck_components_init(struct ck_components *c, u32 sx, u32 sy);
void ck_components_free(struct ck_components *c);

/* CRACKLE_NO_MEMORY, or CRACKLE_TOO_LARGE past 2^32 - 1 components. */
crackle_status ck_find_components(struct ck_components *c, const struct ck_bitmaps *b);

/* Make the whole slice one component. False when there is no memory. */
int ck_components_whole(struct ck_components *c);

static inline size_t ck_row_begin(const struct ck_components *c, u64 y)
{
    return y == 0 ? 0 : c->row_end[y - 1];
}

/* Get the components of voxels, given as y * sx + x in ascending order. Overwrites c->row. */
void ck_components_at(const struct ck_components *c, const u64 *voxels, size_t num_voxels, u32 *components);

/* Write the patches of a row into the row above. 'row' has sx voxels and CK_ROW_SPARE behind them. */
static inline void ck_put_row_patches(u32 *row, const struct ck_patch *patch, const struct ck_patch *end, u32 sx)
{
    if (ck_is_dense((size_t)(end - patch), sx))
        for (; patch < end; patch++)
            ck_put_patch_scalar_u32(row, patch->begin, patch->end, patch->component);
    for (; patch < end; patch++)
        ck_put_patch_u32(row, patch->begin, patch->end, patch->component);
}

/* -------------------- Shared by the ways to find a row -------------------- */

/*
 * Unite the components on both sides of dangling cracks: vertical cracks of the row above that end at row 'y' and so
 * separate nothing.  The patches of row 'y' may have been written or not, because none lies where such a crack ends.
 */
void ck_unite_dangling(struct ck_components *c, const struct ck_bitmaps *b, u64 y);

#if CK_MAYBE_V3
/* Several pieces of a row are handled at once, also behind the last. */
#define CK_PIECES_SPARE 64

/* Add the patches of row 'y' behind the existing 'num_patches', and return the new number. */
size_t ck_find_row_v3(struct ck_components *c, const struct ck_bitmaps *b, u64 y, size_t num_patches);
size_t ck_find_row_v4(struct ck_components *c, const struct ck_bitmaps *b, u64 y, size_t num_patches);
#endif

/* ------------------ The checksum of the component image ------------------- */

struct ck_image_crc {
    u32 *weight;     /* per column x, and behind the row: the factor of a word at x in the CRC of its row */
    u32 row_weight;  /* the factor of a state when a whole row follows */
};

int ck_image_crc_init(struct ck_image_crc *crc, u32 sx);
void ck_image_crc_free(struct ck_image_crc *crc);

/* CRC32C of the component image as little-endian 32-bit words, x fastest. Overwrites c->row. */
u32 ck_components_crc(const struct ck_image_crc *crc, const struct ck_components *c);

#endif /* CK_COMPONENTS_H */
