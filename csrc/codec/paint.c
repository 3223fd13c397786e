/*
 * paint.c - components and their labels -> voxels
 *
 * A row is the row above with some patches written into it.  The code keeps one row, which stays in the L1 cache,
 * writes the patches of each row into it, and copies it to the volume.  So it never looks up the label of a single
 * voxel.
 *
 * When a processor writes part of a cache line, it first loads the line.  For a large volume, that doubles the memory
 * traffic.  Stores that bypass the cache avoid the load: painting a volume larger than the cache takes half the time.
 * Small outputs stay in cache, where the caller reads them next.
 */
#include "paint.h"

#include "copy_lines.h"
#include "transpose.h"

#define CK_LABEL u8
#define CK_NAME(name) name##_u8
#include "paint_template.h"

#define CK_LABEL u16
#define CK_NAME(name) name##_u16
#include "paint_template.h"

#define CK_LABEL u32
#define CK_NAME(name) name##_u32
#include "paint_template.h"

#define CK_LABEL u64
#define CK_NAME(name) name##_u64
#include "paint_template.h"

void ck_paint(const struct ck_components *c, const u64 *labels, void *slice, unsigned int width,
              enum ck_paint_to to, u64 *scratch)
{
    switch (width) {
    case 1:
        paint_u8(c, labels, slice, to, (u8 *)scratch);
        break;
    case 2:
        paint_u16(c, labels, slice, to, (u16 *)scratch);
        break;
    case 4:
        paint_u32(c, labels, slice, to, (u32 *)scratch);
        break;
    default:
        paint_u64(c, labels, slice, to, scratch);
        break;
    }
}

void ck_paint_columns(const struct ck_slice_to_paint *slices, u32 count, const struct crackle_volume *out, u32 z,
                      u64 *scratch)
{
    switch (out->width) {
    case 1:
        paint_columns_u8(slices, count, out, z, (u8 *)scratch);
        break;
    case 2:
        paint_columns_u16(slices, count, out, z, (u16 *)scratch);
        break;
    case 4:
        paint_columns_u32(slices, count, out, z, (u32 *)scratch);
        break;
    default:
        paint_columns_u64(slices, count, out, z, scratch);
        break;
    }
    ck_copy_ends();
}
