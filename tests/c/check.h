/* check.h - shared by all C tests: counting checks, and pseudorandom numbers */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Divides the rounds of random tests, for emulators. Must be odd. */
#ifndef FEWER
#define FEWER 1
#endif

static unsigned long num_passed, num_failed;

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (condition) {                                                                  \
            num_passed++;                                                                 \
        } else if (num_failed++ < 20) {                                                   \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);     \
        }                                                                                 \
    } while (0)

/* xorshift64*: the same numbers on every machine */
static uint64_t random_state = 88172645463325252u;

static inline uint64_t random_number(uint64_t below)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (random_state * 0x2545f4914f6cdd1du >> 16) % below;
}

static inline int report(const char *name)
{
    printf("%s: %lu passed, %lu failed\n", name, num_passed, num_failed);
    return num_failed != 0;
}

#endif /* CHECK_H */
