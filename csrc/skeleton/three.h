/*
 * three.h - the numbers of a place and its two neighbours along x, compared at once
 *
 * Neighbours of a voxel are found three at a time: p - 1, p and p + 1 in each of nine rows.  With vector instructions that
 * are part of every x86-64, three comparisons cost what one does.  Results are the same to the bit.
 */
#ifndef CK_THREE_H
#define CK_THREE_H

#include "../base/common.h"

#if CK_HAVE_SSE2
#  include <emmintrin.h>

typedef __m128 ck_three; /* the fourth number is unspecified */

static inline ck_three ck_three_of(float a, float b, float c)
{
    return _mm_setr_ps(a, b, c, 0);
}

static inline ck_three ck_three_plus(ck_three t, float number)
{
    return _mm_add_ps(t, _mm_set1_ps(number));
}

/* Bit i: number i is less than values[i] and than 'limit'. A fourth value must be readable. */
static inline unsigned int ck_three_below(ck_three t, const float *values, float limit)
{
    const __m128 below = _mm_cmplt_ps(t, _mm_min_ps(_mm_loadu_ps(values), _mm_set1_ps(limit)));

    return (unsigned int)_mm_movemask_ps(below) & 7;
}

static inline void ck_three_store(ck_three t, float *out)
{
    _mm_storeu_ps(out, t);
}
#else

typedef struct {
    float of[3];
} ck_three;

static inline ck_three ck_three_of(float a, float b, float c)
{
    ck_three t;

    t.of[0] = a;
    t.of[1] = b;
    t.of[2] = c;
    return t;
}

static inline ck_three ck_three_plus(ck_three t, float number)
{
    return ck_three_of(t.of[0] + number, t.of[1] + number, t.of[2] + number);
}

static inline unsigned int ck_three_below(ck_three t, const float *values, float limit)
{
    unsigned int below = 0;

    for (unsigned int i = 0; i < 3; i++)
        below |= (unsigned int)(t.of[i] < values[i] && t.of[i] < limit) << i;
    return below;
}

static inline void ck_three_store(ck_three t, float *out)
{
    memcpy(out, t.of, sizeof(t.of));
}
#endif

#endif /* CK_THREE_H */
