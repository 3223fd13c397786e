/*
 * transpose.c - volumes with z fastest <-> slices with x fastest
 *
 * For each y, tiles of 16 voxels in x by the batch's slices in z: on the C-order side every
 * x of a tile is a run of consecutive bytes, on the other side every slice is.
 */
#include "transpose.h"

#define BATCH_NBYTES ((u64)16 << 20)
#define TILE 16

u32 ck_batch_slices(const struct crackle_volume *v)
{
    u64 slice_nbytes = (u64)v->sx * v->sy * v->width; /* fits: the volume is in memory */
    u64 count = BATCH_NBYTES / slice_nbytes;

    return count < 1 ? 1 : count > 64 ? 64 : (u32)count;
}

/*
 * Both directions for one type.  'c_order' is the voxel (0, 0, z) of the volume, whose columns
 * along z are 'sz' long.
 */
#define CK_TRANSPOSE(type)                                                                             \
    static void gather_##type(const type *c_order, u64 sz, u32 sx, u32 sy, u32 count, type *slices)    \
    {                                                                                                  \
        for (u64 y = 0; y < sy; y++)                                                                   \
            for (u64 x0 = 0; x0 < sx; x0 += TILE) {                                                    \
                u64 x1 = x0 + TILE < sx ? x0 + TILE : sx;                                              \
                                                                                                       \
                for (u64 z = 0; z < count; z++)                                                        \
                    for (u64 x = x0; x < x1; x++)                                                      \
                        slices[(z * sy + y) * sx + x] = c_order[(x * sy + y) * sz + z];                \
            }                                                                                          \
    }                                                                                                  \
                                                                                                       \
    static void scatter_##type(const type *slices, type *c_order, u64 sz, u32 sx, u32 sy, u32 count)   \
    {                                                                                                  \
        for (u64 y = 0; y < sy; y++)                                                                   \
            for (u64 x0 = 0; x0 < sx; x0 += TILE) {                                                    \
                u64 x1 = x0 + TILE < sx ? x0 + TILE : sx;                                              \
                                                                                                       \
                for (u64 x = x0; x < x1; x++)                                                          \
                    for (u64 z = 0; z < count; z++)                                                    \
                        c_order[(x * sy + y) * sz + z] = slices[(z * sy + y) * sx + x];                \
            }                                                                                          \
    }

CK_TRANSPOSE(u8)
CK_TRANSPOSE(u16)
CK_TRANSPOSE(u32)
CK_TRANSPOSE(u64)

void ck_gather_slices(const struct crackle_volume *v, u32 z, u32 count, void *slices)
{
    switch (v->width) {
    case 1:
        gather_u8((const u8 *)v->voxels + z, v->sz, v->sx, v->sy, count, slices);
        break;
    case 2:
        gather_u16((const u16 *)v->voxels + z, v->sz, v->sx, v->sy, count, slices);
        break;
    case 4:
        gather_u32((const u32 *)v->voxels + z, v->sz, v->sx, v->sy, count, slices);
        break;
    default:
        gather_u64((const u64 *)v->voxels + z, v->sz, v->sx, v->sy, count, slices);
        break;
    }
}

void ck_scatter_slices(const void *slices, const struct crackle_volume *v, u32 z, u32 count)
{
    switch (v->width) {
    case 1:
        scatter_u8(slices, (u8 *)v->voxels + z, v->sz, v->sx, v->sy, count);
        break;
    case 2:
        scatter_u16(slices, (u16 *)v->voxels + z, v->sz, v->sx, v->sy, count);
        break;
    case 4:
        scatter_u32(slices, (u32 *)v->voxels + z, v->sz, v->sx, v->sy, count);
        break;
    default:
        scatter_u64(slices, (u64 *)v->voxels + z, v->sz, v->sx, v->sy, count);
        break;
    }
}
