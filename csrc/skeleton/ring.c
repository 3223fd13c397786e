/* ring.c - the memory of a ring; see ring.h */
#include "ring.h"

int ck_ring_fits(double longest, double width)
{
    return longest / width + 2 <= CK_MAX_RING;
}

int ck_ring_reset(struct ck_ring *r, double longest, double width)
{
    size_t size = 4;

    while ((double)size < longest / width + 2)
        size *= 2;
    if (size > r->allocated) {
        struct ck_bucket *buckets = ck_calloc(size, sizeof(*buckets));

        if (!buckets)
            return 0;
        if (r->allocated)
            memcpy(buckets, r->buckets, r->allocated * sizeof(*buckets)); /* with their entries */
        free(r->buckets);
        r->buckets = buckets;
        r->allocated = size;
    }
    for (size_t i = 0; i < r->allocated; i++) /* a call that was stopped may have left some */
        r->buckets[i].count = 0;
    r->size = size;
    r->current = r->waiting = 0;
    r->per_width = (float)(1 / width);
    return 1;
}

void ck_ring_free(struct ck_ring *r)
{
    for (size_t i = 0; i < r->allocated; i++)
        free(r->buckets[i].entries);
    free(r->buckets);
}
