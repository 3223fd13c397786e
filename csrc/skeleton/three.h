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

/* Of three items of 16 bytes that begin with two floats; bit i: the first of item i plus 'number' is below the second. */
static inline unsigned int ck_three_sums_below(const void *items, float number)
{
    const float *const floats = items;
    const __m128 a = _mm_loadu_ps(floats), b = _mm_loadu_ps(floats + 4), c = _mm_loadu_ps(floats + 8);
    const __m128 ab = _mm_unpacklo_ps(a, b), cc = _mm_unpacklo_ps(c, c);
    const __m128 sums = _mm_add_ps(_mm_movelh_ps(ab, cc), _mm_set1_ps(number));

    return (unsigned int)_mm_movemask_ps(_mm_cmplt_ps(sums, _mm_movehl_ps(cc, ab))) & 7;
}

/* Bit i: number i is less than values[i] and than 'limit'. A fourth value must be readable. */
static inline unsigned int ck_three_below(ck_three t, const float *values, float limit)
{
    const __m128 below = _mm_cmplt_ps(t, _mm_min_ps(_mm_loadu_ps(values), _mm_set1_ps(limit)));

    return (unsigned int)_mm_movemask_ps(below) & 7;
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

static inline unsigned int ck_three_sums_below(const void *items, float number)
{
    unsigned int below = 0;

    for (unsigned int i = 0; i < 3; i++) {
        float two[2], sum;

        memcpy(two, (const u8 *)items + (size_t)16 * i, sizeof(two));
        sum = two[0] + number;
        below |= (unsigned int)(sum < two[1]) << i;
    }
    return below;
}
#endif

#endif /* CK_THREE_H */
