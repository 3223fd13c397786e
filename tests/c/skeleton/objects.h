/* objects.h - objects from volumes of bytes, for the tests of skeletons */
#ifndef TEST_OBJECTS_H
#define TEST_OBJECTS_H

#include <stdlib.h>

#include "check.h"
#include "crackle.h"

struct box {
    uint32_t sx, sy, sz;
};

static inline size_t place_in(const struct box *b, uint32_t x, uint32_t y, uint32_t z)
{
    return x + (size_t)b->sx * (y + (size_t)b->sy * z);
}

/* The runs of the voxels of one value; free() them. */
static inline uint32_t *runs_in(const struct box *b, const uint8_t *volume, uint8_t value, uint64_t *count)
{
    uint32_t *runs = malloc(((size_t)b->sx * b->sy * b->sz + 1) * 4 * sizeof(*runs));

    *count = 0;
    for (uint32_t z = 0; runs && z < b->sz; z++)
        for (uint32_t y = 0; y < b->sy; y++)
            for (uint32_t x = 0; x < b->sx; x++) {
                uint32_t *run = runs + 4 * *count;

                if (volume[place_in(b, x, y, z)] != value)
                    continue;
                if (x > 0 && volume[place_in(b, x - 1, y, z)] == value) {
                    run[1 - 4]++;
                    continue;
                }
                run[0] = x;
                run[1] = x + 1;
                run[2] = y;
                run[3] = z;
                ++*count;
            }
    return runs;
}

static inline crackle_status object_in(const struct box *b, const uint8_t *volume, uint8_t value, crackle_runs **made)
{
    uint64_t begin[2] = {0, 0};
    uint32_t *runs = runs_in(b, volume, value, &begin[1]);
    crackle_status status = CRACKLE_NO_MEMORY;

    if (runs)
        status = crackle_runs_make(b->sx, b->sy, b->sz, runs, begin, 1, made);
    free(runs);
    return status;
}

/* A tube that wanders through a box and branches: one connected object, with value 1. */
static inline void draw_tube(const struct box *b, uint8_t *volume, unsigned int steps, unsigned int radius)
{
    int at[3] = {(int)b->sx / 2, (int)b->sy / 2, (int)b->sz / 2};
    const int size[3] = {(int)b->sx, (int)b->sy, (int)b->sz};

    memset(volume, 0, (size_t)b->sx * b->sy * b->sz);
    for (unsigned int i = 0; i < steps; i++) {
        const unsigned int axis = (unsigned int)random_number(3);
        const int r = (int)radius, next = at[axis] + (random_number(2) ? 1 : -1);

        if (next >= 0 && next < size[axis])
            at[axis] = next;
        for (int z = at[2] - r; z <= at[2] + r; z++)
            for (int y = at[1] - r; y <= at[1] + r; y++)
                for (int x = at[0] - r; x <= at[0] + r; x++)
                    if (x >= 0 && y >= 0 && z >= 0 && x < size[0] && y < size[1] && z < size[2])
                        volume[place_in(b, (uint32_t)x, (uint32_t)y, (uint32_t)z)] = 1;
    }
}

#endif /* TEST_OBJECTS_H */
