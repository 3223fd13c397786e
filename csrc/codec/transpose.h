/*
 * transpose.h - volumes with z fastest <-> slices with x fastest
 *
 * Streams are made of slices of constant z.  In a C-order volume (x, y, z) the voxels
 * of a slice lie sz apart, so slices are moved in batches, to use whole cache lines.
 */
#ifndef CK_TRANSPOSE_H
#define CK_TRANSPOSE_H

#include "../base/common.h"
#include "../crackle.h"

/* Slices that a batch should have: about 16 MiB, and at least one slice. */
u32 ck_batch_slices(const struct crackle_volume *v);

/* How many bytes from one slice of a batch to the next: some more than it has, for the sake of the cache. */
size_t ck_batch_stride(const struct crackle_volume *v);

/* The slices [z, z + count) of the C-order volume 'v' to 'slices', ck_batch_stride() apart. */
void ck_gather_slices(const struct crackle_volume *v, u32 z, u32 count, void *slices);

/*
 * Row 'y' of the slices [z, z + count), 'stride' labels apart, to the C-order volume 'v'.  The stores may wait until
 * ck_scatter_ends().
 */
void ck_scatter_rows(const void *rows, size_t stride, const struct crackle_volume *v, u64 y, u32 z, u32 count);
void ck_scatter_ends(void);

/* The inverse of ck_gather_slices(). */
void ck_scatter_slices(const void *slices, const struct crackle_volume *v, u32 z, u32 count);

#endif /* CK_TRANSPOSE_H */
