/*
 * ring.h - a priority queue for steps that are neither long nor short: buckets of equal width, in a ring
 *
 * What is taken out never decreases by more than a bucket's width, and what is put in is at most the longest step
 * beyond it, so that a ring of a few buckets holds all (Dial: Algorithm 360, 1969).  Within a bucket there is no order.
 * Unlike a heap, a ring knows what comes next, and its places can be fetched ahead.
 */
#ifndef CK_RING_H
#define CK_RING_H

#include "heap.h"

/* Rings with more buckets are left to heaps. */
#define CK_MAX_RING 4096

struct ck_ring {
    struct ck_bucket *buckets;
    size_t size;       /* a power of two */
    size_t allocated;
    u64 current;       /* the bucket that is taken out; modulo 'size' */
    u64 waiting;       /* entries */
    float per_width;
};

/* Whether a ring of buckets of 'width' can hold steps of up to 'longest'. */
int ck_ring_fits(double longest, double width);

/* Empty a ring, and set its width. False when there is no memory. */
int ck_ring_reset(struct ck_ring *r, double longest, double width);
void ck_ring_free(struct ck_ring *r);

/* Put an entry into the bucket of 'distance', or into the current one if that is later. False without memory. */
static inline int ck_ring_put(struct ck_ring *r, float distance, float key, u32 place, u32 seed)
{
    const u64 number = (u64)(distance * r->per_width);
    struct ck_bucket *b = &r->buckets[(number < r->current ? r->current : number) & (r->size - 1)];
    struct ck_entry *e;

    if (CK_UNLIKELY(b->count == b->capacity) && !ck_bucket_grow(b))
        return 0;
    e = &b->entries[b->count++];
    e->key = key;
    e->place = place;
    e->seed = seed;
    r->waiting++;
    return 1;
}

/* The current bucket, after empty ones are passed. There must be an entry. */
static inline struct ck_bucket *ck_ring_next(struct ck_ring *r)
{
    while (r->buckets[r->current & (r->size - 1)].count == 0)
        r->current++;
    return &r->buckets[r->current & (r->size - 1)];
}

/* Empty the current bucket, whose entries were all taken out, and go on. */
static inline void ck_ring_done(struct ck_ring *r)
{
    struct ck_bucket *b = &r->buckets[r->current & (r->size - 1)];

    r->waiting -= b->count;
    b->count = 0;
    r->current++;
}

#endif /* CK_RING_H */
