/*
 * sets.h - disjoint sets of numbers, united by their lowest members
 *
 * parent[i] is a member of i's set that is not higher than i; the lowest is its own parent.  Paths are halved on the way
 * (Wu, Otoo, Suzuki: Optimizing two-pass connected-component labeling algorithms, 2009).
 */
#ifndef CK_SETS_H
#define CK_SETS_H

#include "common.h"

/* The lowest member of the set of 'i'. */
static inline u32 ck_find_root(u32 *parent, u32 i)
{
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

/* Unite two sets. False if they were one. */
static inline int ck_unite(u32 *parent, u32 a, u32 b)
{
    a = ck_find_root(parent, a);
    b = ck_find_root(parent, b);
    if (a == b)
        return 0;
    if (a < b)
        parent[b] = a;
    else
        parent[a] = b;
    return 1;
}

#endif /* CK_SETS_H */
