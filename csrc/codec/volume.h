/* volume.h - checks of a caller's volume, and access to its labels */
#ifndef CK_VOLUME_H
#define CK_VOLUME_H

#include "../base/common.h"
#include "../crackle.h"

/* Whether shape, width and size match. There may be no voxels. */
static inline int ck_is_shape(const struct crackle_volume *v)
{
    u64 nbytes = 0;

    if (v->width != 1 && v->width != 2 && v->width != 4 && v->width != 8)
        return 0;
    if (v->sx != 0 && v->sy != 0 && v->sz != 0 &&
        (!ck_mul((u64)v->sx * v->sy, v->sz, &nbytes) || !ck_mul(nbytes, v->width, &nbytes)))
        return 0;
    return nbytes == v->nbytes;
}

/* The same, and the voxels are present and aligned. */
static inline int ck_is_volume(const struct crackle_volume *v)
{
    return ck_is_shape(v) && (v->nbytes == 0 || (v->voxels && (uintptr_t)v->voxels % v->width == 0));
}

/* Slice 'z' of a Fortran-order volume. */
static inline const void *ck_slice_of(const struct crackle_volume *v, u32 z)
{
    return (const u8 *)v->voxels + z * ((size_t)v->sx * v->sy * v->width);
}

/* A label of 'width' bytes in native byte order, sign-extended if it is signed. */
static inline u64 ck_native_label(const void *labels, u64 i, unsigned int width, int is_signed)
{
    u64 label;

    switch (width) {
    case 1:
        label = ((const u8 *)labels)[i];
        break;
    case 2:
        label = ((const u16 *)labels)[i];
        break;
    case 4:
        label = ((const u32 *)labels)[i];
        break;
    default:
        label = ((const u64 *)labels)[i];
        break;
    }
    return is_signed ? ck_sign_extend(label, width) : label;
}

#endif /* CK_VOLUME_H */
