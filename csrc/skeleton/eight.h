/*
 * eight.h - eight numbers side by side, lowered and compared at once
 *
 * With vector instructions that are part of every x86-64, or as plain C.  Results are the same to the bit.
 */
#ifndef CK_EIGHT_H
#define CK_EIGHT_H

#include "../base/common.h"

#define CK_EIGHT 8

#if CK_HAVE_SSE2
#  include <emmintrin.h>

struct ck_eight {
    __m128 low, high;
};

static inline struct ck_eight ck_eight_load(const float *values)
{
    struct ck_eight e;

    e.low = _mm_loadu_ps(values);
    e.high = _mm_loadu_ps(values + 4);
    return e;
}

static inline void ck_eight_store(struct ck_eight e, float *values)
{
    _mm_storeu_ps(values, e.low);
    _mm_storeu_ps(values + 4, e.high);
}

/* The lower ones of 'e' and values + number. */
static inline struct ck_eight ck_eight_lower(struct ck_eight e, const float *values, float number)
{
    const __m128 all = _mm_set1_ps(number);

    e.low = _mm_min_ps(e.low, _mm_add_ps(_mm_loadu_ps(values), all));
    e.high = _mm_min_ps(e.high, _mm_add_ps(_mm_loadu_ps(values + 4), all));
    return e;
}

/* Whether one of the numbers is above 'limit'. */
static inline int ck_eight_above(struct ck_eight e, float limit)
{
    return _mm_movemask_ps(_mm_cmpgt_ps(_mm_max_ps(e.low, e.high), _mm_set1_ps(limit))) != 0;
}
#else

struct ck_eight {
    float of[CK_EIGHT];
};

static inline struct ck_eight ck_eight_load(const float *values)
{
    struct ck_eight e;

    memcpy(e.of, values, sizeof(e.of));
    return e;
}

static inline void ck_eight_store(struct ck_eight e, float *values)
{
    memcpy(values, e.of, sizeof(e.of));
}

static inline struct ck_eight ck_eight_lower(struct ck_eight e, const float *values, float number)
{
    for (int i = 0; i < CK_EIGHT; i++) {
        const float offer = values[i] + number;

        e.of[i] = offer < e.of[i] ? offer : e.of[i];
    }
    return e;
}

static inline int ck_eight_above(struct ck_eight e, float limit)
{
    int above = 0;

    for (int i = 0; i < CK_EIGHT; i++)
        above |= e.of[i] > limit;
    return above;
}
#endif

#endif /* CK_EIGHT_H */
