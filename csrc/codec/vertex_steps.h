/*
 * vertex_steps.h - boundary bitmaps -> a byte per vertex: the cracks that are still to be walked from it
 *
 * The byte is 0 where no crack is left.  Where a vertex has two cracks it is CK_STEPS_TURN and how a heading
 * changes there, which is the same in both directions; at ends and junctions it is CK_STEPS_LISTED and
 * the set of directions, bit d for direction d.
 *
 * A heading is a direction in the bits 4 and 5, as the place of a step among four steps of 16 bits; arriving
 * with 'heading', one leaves a vertex of two cracks with 'heading ^ byte', whatever that makes of bit 6.
 */
#ifndef CK_VERTEX_STEPS_H
#define CK_VERTEX_STEPS_H

#include "../base/bitmaps.h"

#define CK_STEPS_SET 0x0fu
#define CK_STEPS_TURN 0x40u
#define CK_STEPS_LISTED 0x80u

#define CK_HEADING(direction) ((unsigned int)(direction) << 4)
#define CK_DIRECTION_OF_HEADING(heading) ((heading) >> 4 & 3u)

/*
 * Set the bytes of the vertices of 'b' that have cracks; those of all others are 0 already.  'vertex_steps' has
 * (sy + 1) * stride bytes, and a vertex is a place in it.
 */
void ck_spread_steps(const struct ck_bitmaps *b, u8 *vertex_steps);

/* The set of directions in which 'vertex' has cracks. */
unsigned int ck_cracks_at(const struct ck_bitmaps *b, size_t vertex);

/* The first vertex at 'vertex' or behind it that has cracks left; 'end', a multiple of 64, where none has. */
size_t ck_next_vertex_with_steps(const u8 *vertex_steps, size_t vertex, size_t end);

#endif /* CK_VERTEX_STEPS_H */
