/*
 * paint.h - components and their labels -> voxels
 */
#ifndef CK_PAINT_H
#define CK_PAINT_H

#include "components.h"

/*
 * Give every voxel of a slice the label of its component.  'labels' are one per
 * component; 'slice' receives sx * sy labels of 'width' bytes, x fastest.
 * 'scratch' has room for c->count labels of that width.
 */
void ck_paint(const struct ck_components *c, const u64 *labels, void *slice, unsigned int width, void *scratch);

#endif /* CK_PAINT_H */
