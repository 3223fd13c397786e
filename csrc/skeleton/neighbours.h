/*
 * neighbours.h - the neighbours of a place for which an offer is an improvement
 *
 * A search offers a distance to each of 26 neighbours, and nearly all have a better one.  Which have not is found without
 * a branch: nine rows of three are compared at once, and the answer is a set of bits, one for each neighbour.
 *
 * The bits are in the order of *slots*: three in the place's own row, then three in each of the 8 rows around.
 */
#ifndef CK_NEIGHBOURS_H
#define CK_NEIGHBOURS_H

#include "places.h"
#include "three.h"

#define CK_SLOTS 27
#define CK_SLOT_ROWS 9

/* The bit of the place itself. */
#define CK_OWN_SLOT ((u32)2)

/* The row among the nine from (dz, dy) = (-1, -1) on, y fastest, of a row of slots. */
static inline u32 ck_row_in_nine(u32 slot_row)
{
    return slot_row == 0 ? CK_OWN_DIRECTION / 3 : slot_row <= 4 ? slot_row - 1 : slot_row;
}

/* The direction of the step to a slot. */
static inline u32 ck_direction_of(u32 slot)
{
    return 3 * ck_row_in_nine(slot / 3) + slot % 3;
}

/* Bits of directions as bits of slots. */
static inline u32 ck_slots_of(u32 directions)
{
    return (directions >> CK_DIRECTION_BEFORE_X & 7) | (directions & 0xFFF) << 3 | (directions & ~(u32)0x7FFF);
}

/* The neighbour in a slot. The segment must have its row. */
static inline u32 ck_neighbour(const struct ck_segment *s, u32 place, u32 slot)
{
    const u32 row = slot / 3;

    return (row == 0 ? place : ck_beside(s, row - 1, place)) + slot % 3 - 1;
}

/*
 * The slots of neighbours of 'place', in segment 's', for which 'is_better' holds: it gets the place before the middle of a
 * row, and the row among those of slots, and returns three bits.
 */
#define CK_BETTER(s, place, is_better)                                   \
    ((is_better((place) - 1, 0) |                                        \
      /* A row that is not there has step 0: the own row is read, and its bits are dropped. */ \
      is_better(ck_beside((s), 0, (place)) - 1, 1) << 3 |                \
      is_better(ck_beside((s), 1, (place)) - 1, 2) << 6 |                \
      is_better(ck_beside((s), 2, (place)) - 1, 3) << 9 |                \
      is_better(ck_beside((s), 3, (place)) - 1, 4) << 12 |               \
      is_better(ck_beside((s), 4, (place)) - 1, 5) << 15 |               \
      is_better(ck_beside((s), 5, (place)) - 1, 6) << 18 |               \
      is_better(ck_beside((s), 6, (place)) - 1, 7) << 21 |               \
      is_better(ck_beside((s), 7, (place)) - 1, 8) << 24) &              \
     (s)->slots)

#endif /* CK_NEIGHBOURS_H */
