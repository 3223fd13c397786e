/*
 * rewrite.h - streams made from the boundaries of other streams
 *
 * The encoder takes the boundaries of a slice and a label per component from any source (encode_part.h).  The
 * operations here take them from streams that they read, and paint no voxel:
 *
 *   recompress   the cracks, except those between voxels of one label
 *   overlay      the cracks of either of two streams; a label is the pair of entries that meet there
 *   pool         the boundaries of a slice a quarter of the size, or an eighth, with the most frequent labels
 */
#ifndef CK_REWRITE_H
#define CK_REWRITE_H

#include "../codec/encode_part.h"
#include "../codec/header.h"

/* Whether [z_start, z_end) is a range of the 'sz' slices of a new stream, and not empty. */
static inline int ck_is_part_range(const struct crackle_header *h, u32 z_start, u32 z_end, u32 sz)
{
    return !ck_is_empty(h) && z_start < z_end && z_end <= sz;
}

#endif /* CK_REWRITE_H */
