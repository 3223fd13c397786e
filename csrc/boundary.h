/*
 * boundary.h - labels of a slice -> boundary bitmaps
 */
#ifndef CK_BOUNDARY_H
#define CK_BOUNDARY_H

#include "bitmaps.h"

/*
 * Set the bitmaps to the boundaries of a slice of sx * sy labels of 'width' bytes, x
 * fastest.  Rows above the bitmaps' own are not touched; the guards stay clear.
 */
void ck_find_boundaries(const void *slice, unsigned int width, struct ck_bitmaps *b);

#endif /* CK_BOUNDARY_H */
