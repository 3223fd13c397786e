/*
 * slices.c - the slices of a volume in memory, each with x fastest
 *
 * A slice of a Fortran-order volume already lies like that, and needs no copy.  Slices of a C-order volume are
 * transposed in batches, because one cache line of such a volume holds voxels of several slices.
 */
#include "slices.h"
#include "transpose.h"

int ck_slices_init(struct ck_slices *s, const struct crackle_volume *volume)
{
    s->volume = volume;
    s->stride = (size_t)volume->sx * volume->sy * volume->width;
    s->batch = NULL;
    s->batch_z = s->batch_count = 0;
    s->batch_capacity = 0;
    if (volume->fortran_order)
        return 1;
    s->batch_capacity = ck_batch_slices(volume);
    if (s->batch_capacity > volume->sz)
        s->batch_capacity = volume->sz;
    s->stride = ck_batch_stride(volume);
    s->batch = ck_malloc(s->batch_capacity, s->stride);
    return s->batch != NULL;
}

void ck_slices_free(struct ck_slices *s)
{
    free(s->batch);
    s->batch = NULL;
}

const void *ck_slice_at(struct ck_slices *s, u32 z)
{
    if (s->volume->fortran_order)
        return (const u8 *)s->volume->voxels + z * s->stride;
    if (z < s->batch_z || z - s->batch_z >= s->batch_count) {
        u32 left;

        /* A caller that walks z downwards asks for the preceding slices next. */
        s->batch_z = z >= s->batch_z ? z : z + 1 > s->batch_capacity ? z + 1 - s->batch_capacity : 0;
        left = s->volume->sz - s->batch_z;
        s->batch_count = left < s->batch_capacity ? left : s->batch_capacity;
        ck_gather_slices(s->volume, s->batch_z, s->batch_count, s->batch);
    }
    return s->batch + (z - s->batch_z) * s->stride;
}
