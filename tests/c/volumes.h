/* volumes.h - label volumes for the tests: random labels, memory layouts, and copies of exact sizes */
#ifndef VOLUMES_H
#define VOLUMES_H

#include "check.h"
#include "crackle.h"

/* The labels of a volume as 64-bit numbers, x fastest, then y; signed ones sign-extended. */
struct labels {
    uint32_t sx, sy, sz;
    size_t count;
    uint64_t *at;
};

enum content {
    BLOBS,    /* objects of some voxels */
    NOISE,    /* random labels: permissible cracks */
    COLUMNS,  /* objects that continue along z: pins */
    UNIFORM,  /* one label: no cracks */
    NUM_CONTENTS
};

/* Truncate a number to 'width' bytes, and extend its sign. */
static inline uint64_t cut(uint64_t label, unsigned int width, int is_signed)
{
    uint64_t sign = (uint64_t)1 << (8 * width - 1);

    if (width < 8)
        label &= 2 * sign - 1;
    return is_signed && (label & sign) && width < 8 ? label | ~(2 * sign - 1) : label;
}

static inline struct labels make_labels(uint32_t sx, uint32_t sy, uint32_t sz, enum content content,
                                        unsigned int width, int is_signed)
{
    struct labels l = {sx, sy, sz, (size_t)sx * sy * sz, NULL};
    uint64_t palette[40];
    const unsigned int small = random_number(2) != 0;

    l.at = malloc(l.count ? l.count * sizeof(*l.at) : 1);
    for (unsigned int i = 0; i < 40; i++) {
        uint64_t label = small ? random_number(60) : random_number((uint64_t)1 << 48) * 0x10001;

        palette[i] = cut(is_signed && random_number(2) ? 0 - label : label, width, is_signed);
    }
    for (size_t i = 0; i < l.count; i++) {
        const size_t x = i % sx, y = i / sx % sy, z = i / sx / sy;
        uint64_t label = palette[random_number(content == NOISE ? 3 : 40)];

        if (content == UNIFORM)
            label = palette[0];
        else if (content == COLUMNS && z > 0 && random_number(60))
            label = l.at[i - (size_t)sx * sy];
        else if (content != NOISE && (x > 0 || y > 0) && random_number(12))
            label = x > 0 && (y == 0 || random_number(2)) ? l.at[i - 1] : y > 0 ? l.at[i - sx] : label;
        l.at[i] = label;
    }
    return l;
}

/* The index of a voxel in memory. */
static inline size_t place(const struct labels *l, int fortran, size_t x, size_t y, size_t z)
{
    return fortran ? x + l->sx * (y + l->sy * z) : z + l->sz * (y + l->sy * x);
}

static inline void put_label(void *voxels, size_t i, unsigned int width, uint64_t label)
{
    if (width == 1)
        ((uint8_t *)voxels)[i] = (uint8_t)label;
    else if (width == 2)
        ((uint16_t *)voxels)[i] = (uint16_t)label;
    else if (width == 4)
        ((uint32_t *)voxels)[i] = (uint32_t)label;
    else
        ((uint64_t *)voxels)[i] = label;
}

static inline uint64_t get_label(const void *voxels, size_t i, unsigned int width, int is_signed)
{
    uint64_t label = width == 1   ? ((const uint8_t *)voxels)[i]
                     : width == 2 ? ((const uint16_t *)voxels)[i]
                     : width == 4 ? ((const uint32_t *)voxels)[i]
                                  : ((const uint64_t *)voxels)[i];

    return cut(label, width, is_signed);
}

/* A volume in memory of exactly its size. The caller frees the voxels. */
static inline struct crackle_volume new_volume(const struct labels *l, unsigned int width, int is_signed, int fortran)
{
    struct crackle_volume v = {NULL,  l->count * width, l->sx, l->sy, l->sz, (uint8_t)width, (uint8_t)is_signed,
                               (uint8_t)fortran};

    v.voxels = malloc(v.nbytes ? v.nbytes : 1);
    memset(v.voxels, 0xa5, v.nbytes);
    return v;
}

static inline struct crackle_volume volume_of(const struct labels *l, unsigned int width, int is_signed, int fortran)
{
    struct crackle_volume v = new_volume(l, width, is_signed, fortran);

    for (size_t i = 0; i < l->count; i++)
        put_label(v.voxels, place(l, fortran, i % l->sx, i / l->sx % l->sy, i / l->sx / l->sy), width, l->at[i]);
    return v;
}

/* How many voxels of the slices [z_start, z_end) differ from the labels. */
static inline size_t num_wrong(const struct labels *l, const struct crackle_volume *v, int is_signed, size_t z_start,
                               size_t z_end)
{
    size_t wrong = 0;

    for (size_t z = z_start; z < z_end; z++)
        for (size_t y = 0; y < l->sy; y++)
            for (size_t x = 0; x < l->sx; x++)
                wrong += get_label(v->voxels, place(l, v->fortran_order, x, y, z), v->width, is_signed) !=
                         l->at[x + l->sx * (y + l->sy * z)];
    return wrong;
}

/* A copy without spare bytes: the address sanitizer detects any byte read behind it. */
static inline uint8_t *exact_copy(const void *bytes, size_t nbytes)
{
    uint8_t *copy = calloc(nbytes ? nbytes : 1, 1);

    if (nbytes)
        memcpy(copy, bytes, nbytes);
    return copy;
}

/* A stream in three allocations, one for each part. */
static inline struct crackle_parts exact_parts(const struct crackle_parts *whole)
{
    struct crackle_parts parts = *whole;

    parts.head = exact_copy(whole->head, whole->head_nbytes);
    parts.codes = exact_copy(whole->codes, whole->codes_nbytes);
    parts.tail = exact_copy(whole->tail, whole->tail_nbytes);
    return parts;
}

static inline void free_parts(struct crackle_parts *parts)
{
    free((void *)parts->head);
    free((void *)parts->codes);
    free((void *)parts->tail);
}

#endif /* VOLUMES_H */
