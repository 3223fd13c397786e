/*
 * heap.h - a monotone priority queue of places: a radix heap on the bits of a float
 *
 * What Dijkstra's algorithm takes out never decreases.  Bits of floats that are not negative sort as their values do.
 * An entry lies in bucket b if bit b - 1 is the highest in which its key differs from the last key taken out, and in
 * bucket 0 if it equals it.  When bucket 0 is empty, the lowest bucket that is not is distributed anew over those below
 * it, so an entry moves at most 32 times, towards bucket 0, and in bulk (Ahuja, Mehlhorn, Orlin, Tarjan: Faster
 * algorithms for the shortest path problem, 1990).
 *
 * A key below the last one is taken for equal to it.
 */
#ifndef CK_HEAP_H
#define CK_HEAP_H

#include "../base/common.h"

#define CK_HEAP_BUCKETS 33

struct ck_entry {
    float key;
    u32 place;
    u32 seed;        /* the caller's */
};

struct ck_bucket {
    struct ck_entry *entries;
    size_t count, capacity;
};

struct ck_heap {
    struct ck_bucket buckets[CK_HEAP_BUCKETS];
    u32 last;        /* bits of the last key taken out */
    size_t count;
    int is_out_of_memory;
};

void ck_heap_free(struct ck_heap *h);

static inline u32 ck_float_bits(float key)
{
    u32 bits;

    memcpy(&bits, &key, sizeof(bits));
    return bits;
}

static inline void ck_heap_clear(struct ck_heap *h)
{
    for (int i = 0; i < CK_HEAP_BUCKETS; i++)
        h->buckets[i].count = 0;
    h->last = 0;
    h->count = 0;
    h->is_out_of_memory = 0;
}

int ck_bucket_grow(struct ck_bucket *b);

static inline unsigned int ck_bucket_of(const struct ck_heap *h, float key)
{
    const u32 bits = ck_float_bits(key);

    if (bits <= h->last)
        return 0;
#if defined(__GNUC__) || defined(__clang__)
    return 32 - (unsigned int)__builtin_clz(bits ^ h->last);
#else
    {
        unsigned int b = 0;

        for (u32 left = bits ^ h->last; left; left >>= 1)
            b++;
        return b;
    }
#endif
}

/* Put an entry in. When there is no memory for it, h->is_out_of_memory is set, and the entry is lost. */
static inline void ck_heap_put(struct ck_heap *h, float key, u32 place, u32 seed)
{
    struct ck_bucket *b = &h->buckets[ck_bucket_of(h, key)];
    struct ck_entry *e;

    if (CK_UNLIKELY(b->count == b->capacity) && !ck_bucket_grow(b)) {
        h->is_out_of_memory = 1;
        return;
    }
    e = &b->entries[b->count++];
    e->key = key;
    e->place = place;
    e->seed = seed;
    h->count++;
}

/* Move the lowest entries to bucket 0, which is empty. False if the heap is empty. */
static inline int ck_heap_settle(struct ck_heap *h)
{
    struct ck_bucket *from;
    unsigned int lowest = 1;
    float least;

    if (h->count == 0)
        return 0;
    while (h->buckets[lowest].count == 0)
        lowest++;
    from = &h->buckets[lowest];
    least = from->entries[0].key;
    for (size_t i = 1; i < from->count; i++)
        least = from->entries[i].key < least ? from->entries[i].key : least;
    h->last = ck_float_bits(least);
    h->count -= from->count;
    for (size_t i = 0; i < from->count; i++)
        ck_heap_put(h, from->entries[i].key, from->entries[i].place, from->entries[i].seed);
    from->count = 0;
    return 1;
}

/* Take out an entry with the lowest key. False if the heap is empty. */
static inline int ck_heap_take(struct ck_heap *h, struct ck_entry *out)
{
    struct ck_bucket *lowest = &h->buckets[0];

    if (lowest->count == 0 && !ck_heap_settle(h))
        return 0;
    *out = lowest->entries[--lowest->count];
    h->count--;
    return 1;
}

/* The lowest key of a heap that is not empty. */
static inline float ck_heap_lowest(struct ck_heap *h)
{
    if (h->buckets[0].count == 0)
        ck_heap_settle(h);
    return h->buckets[0].entries[h->buckets[0].count - 1].key;
}

#endif /* CK_HEAP_H */
