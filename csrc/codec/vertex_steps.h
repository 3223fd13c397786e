/*
 * vertex_steps.h - boundary bitmaps -> a byte per vertex: its cracks that tracing has not walked yet
 *
 *   0                          no crack is left
 *   CK_STEPS_TURN | change     two cracks are left: how a heading changes at the vertex, in both directions
 *   CK_STEPS_LISTED | set      an end or a junction: the set of directions, bit d for direction d
 *
 * A heading is a direction in bits 4 and 5.  As a number, it is the bit position of a step among four steps of 16 bits.
 * A walk that arrives at a vertex of two cracks with 'heading' leaves it with 'heading ^ byte'.  Bit 6 of the result
 * has no meaning.
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
 * Set the bytes of the vertices of 'b' that have cracks.  The bytes of all others must be 0 already.  'vertex_steps'
 * has (sy + 1) * stride bytes, indexed by vertex.
 */
void ck_spread_steps(const struct ck_bitmaps *b, u8 *vertex_steps);

/* The set of directions in which 'vertex' has cracks. */
unsigned int ck_cracks_at(const struct ck_bitmaps *b, size_t vertex);

/*
 * The first vertex, from 'vertex' on, that has unwalked cracks.  Returns 'end', a multiple of 64, if there is none.
 */
size_t ck_next_vertex_with_steps(const u8 *vertex_steps, size_t vertex, size_t end);

#endif /* CK_VERTEX_STEPS_H */
