/*
 * paint.c - components and their labels -> voxels
 *
 * A row is the row above it with some patches: copying the row and laying the patches over
 * it runs at the speed of memory, and no voxel is ever asked what it is.
 */
#include "paint.h"

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

void ck_paint(const struct ck_components *c, const u64 *labels, void *slice, unsigned int width, void *scratch)
{
    switch (width) {
    case 1:
        paint_u8(c, labels, slice, scratch);
        break;
    case 2:
        paint_u16(c, labels, slice, scratch);
        break;
    case 4:
        paint_u32(c, labels, slice, scratch);
        break;
    default:
        paint_u64(c, labels, slice, scratch);
        break;
    }
}
