/* math.h - the declarations that csrc/ uses, for "make check-msvc" */
#ifndef MSVC_MATH_H
#define MSVC_MATH_H

#define INFINITY ((float)(1e300 * 1e300))

#define isfinite(x) ((x) - (x) == 0)

double ceil(double x);
double fabs(double x);
double floor(double x);
double fmax(double x, double y);
double frexp(double x, int *exponent);
double ldexp(double x, int exponent);
double pow(double x, double y);
double sqrt(double x);
float sqrtf(float x);

#endif /* MSVC_MATH_H */
