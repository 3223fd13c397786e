/*
 * envelope.h - squared distances along a line: the lower envelope of parabolas
 *
 * The distance field is separable: what is known along one axis becomes the squared distance in two axes when a parabola
 * is put on every value of a line, and the lowest is taken everywhere (Felzenszwalb and Huttenlocher, Distance
 * Transforms of Sampled Functions, 2012).
 *
 * Cost: linear in the length.
 */
#ifndef CK_ENVELOPE_H
#define CK_ENVELOPE_H

#include "../base/common.h"

#include <math.h>

/* Scratch. */
struct ck_envelope {
    double *sites, *heights, *begins;
};

/* For lines of up to 'length' values. False when there is no memory; ck_envelope_free() may be called then too. */
int ck_envelope_init(struct ck_envelope *e, u64 length);
void ck_envelope_free(struct ck_envelope *e);

/*
 * Replace squared distances along a line by the lower envelope of the parabolas over them.  'edge' is the distance of
 * two values.  The value 0 lies 'before' the first value and 'behind' the last, in units of 'edge'; 0: it does not.
 */
void ck_lower_envelope(float *values, u32 length, double edge, double before, double behind,
                       struct ck_envelope *scratch);

#endif /* CK_ENVELOPE_H */
