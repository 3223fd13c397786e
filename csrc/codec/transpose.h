/*
 * transpose.h - volumes with z fastest <-> slices with x fastest
 *
 * A stream consists of slices of constant z.  In a C-order volume (x, y, z), the voxels of a slice lie sz apart.  So
 * slices are transposed in batches, to use whole cache lines.
 */
#ifndef CK_TRANSPOSE_H
#define CK_TRANSPOSE_H

#include "../base/common.h"
#include "../crackle.h"

/* How many slices a batch should have: about 16 MiB, and at least two slices. */
u32 ck_batch_slices(const struct crackle_volume *v);

/*
 * Bytes from one slice of a batch to the next.  More than a slice, because powers of two fill few lines of a cache.
 */
size_t ck_batch_stride(const struct crackle_volume *v);

/* Copy the slices [z, z + count) of the C-order volume 'v' to 'slices', which lie ck_batch_stride() apart. */
void ck_gather_slices(const struct crackle_volume *v, u32 z, u32 count, void *slices);

/*
 * Copy the rows [y, y + num_rows) of the slices [z, z + count) of the C-order volume 'v' to 'rows', where the slices lie
 * 'stride' labels apart.
 */
void ck_gather_rows(const struct crackle_volume *v, u32 z, u32 count, u64 y, u64 num_rows, void *rows, size_t stride);

/*
 * Copy row 'y' of the slices [z, z + count) to the C-order volume 'v'.  The rows lie 'stride' labels apart.  If
 * these are all slices, the following rows may come along: 'count' is then a multiple of v->sz.
 * Call ck_copy_ends() of copy_lines.h after the last: the stores may be unordered before.
 */
void ck_scatter_rows(const void *rows, size_t stride, const struct crackle_volume *v, u64 y, u32 z, u32 count);

/* The inverse of ck_gather_slices(). */
void ck_scatter_slices(const void *slices, const struct crackle_volume *v, u32 z, u32 count);

#endif /* CK_TRANSPOSE_H */
