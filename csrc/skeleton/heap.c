/* heap.c - the memory of a heap; see heap.h */
#include "heap.h"

int ck_bucket_grow(struct ck_bucket *b)
{
    void *entries = b->entries;
    const int ok = ck_reserve(&entries, &b->capacity, (u64)b->count + 1, sizeof(*b->entries));

    b->entries = entries;
    return ok;
}

void ck_heap_free(struct ck_heap *h)
{
    for (int i = 0; i < CK_HEAP_BUCKETS; i++)
        free(h->buckets[i].entries);
}
