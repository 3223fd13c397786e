/*
 * voxel_graph.c - components of labels that touch themselves
 *
 * Where a process touches itself, its voxels are neighbours, but not connected.  A voxel graph says which are: a bit for
 * each of the 26 steps out of a voxel.  Components are then sets of equal voxels that allowed steps join.  Sets are united
 * by their lowest voxels (Wu, Otoo, Suzuki 2009), in the array that receives the result.
 *
 * Cost: near-linear in the voxels.  Memory: the result.
 */
#include "voxel_graph.h"

#include "../base/sets.h"
#include "../crackle.h"
#include "places.h"

/* The bit of a caller's graph for each direction. Direction 13 is none. */
static const u8 bit_of_direction[27] = {
    25, 17, 24, 15, 5, 14, 23, 16, 22, /* dz = -1; dy = -1, 0, 1; dx = -1, 0, 1 */
    9,  3,  8,  1,  31, 0, 7,  2,  6,  /* dz = 0 */
    21, 13, 20, 11, 4, 10, 19, 12, 18, /* dz = 1 */
};

/* The voxel that a step leads to. False if it is outside. */
static inline int step_to(const u32 *size, u32 x, u32 y, u32 z, u32 d, size_t *to)
{
    const u32 to_x = x + d % 3 - 1, to_y = y + d / 3 % 3 - 1, to_z = z + d / 9 - 1; /* below 0 they are huge */

    if (to_x >= size[0] || to_y >= size[1] || to_z >= size[2])
        return 0;
    *to = ((size_t)to_z * size[1] + to_y) * size[0] + to_x;
    return 1;
}

u32 ck_allowed_steps(const u32 *graph, const u32 *size, u32 x, u32 y, u32 z)
{
    const u32 own = graph[((size_t)z * size[1] + y) * size[0] + x];
    u32 allowed = 0;

    for (u32 d = 0; d < 27; d++) {
        size_t to;

        if (d == CK_OWN_DIRECTION)
            continue;
        allowed |= (own >> bit_of_direction[d] & 1) << d;
        if (step_to(size, x, y, z, d, &to))
            allowed |= (graph[to] >> bit_of_direction[26 - d] & 1) << d;
    }
    return allowed;
}

static inline u64 label_at(const struct crackle_volume *v, size_t i)
{
    const u8 *const at = (const u8 *)v->voxels + i * v->width;

    switch (v->width) { /* the machine's byte order */
    case 1:
        return *at;
    case 2:
        return *(const u16 *)at;
    case 4:
        return *(const u32 *)at;
    default:
        return *(const u64 *)at;
    }
}

/* Unite a voxel with its neighbours before it in the volume. */
static void join_before(const struct crackle_volume *v, const u32 *graph, u32 *parent, u32 x, u32 y, u32 z)
{
    const u32 size[3] = {v->sx, v->sy, v->sz};
    const size_t i = ((size_t)z * v->sy + y) * v->sx + x;
    const u64 label = label_at(v, i);

    for (u32 d = 0; d < CK_OWN_DIRECTION; d++) {
        size_t other;

        if (step_to(size, x, y, z, d, &other) && label_at(v, other) == label &&
            ((graph[i] >> bit_of_direction[d] & 1) || (graph[other] >> bit_of_direction[26 - d] & 1)))
            ck_unite(parent, (u32)i, (u32)other);
    }
}

crackle_status crackle_split_by_graph(const struct crackle_volume *volume, const uint32_t *graph,
                                      const volatile int32_t *stop, uint32_t *components, uint32_t *count_ret)
{
    const u64 plane = (u64)volume->sx * volume->sy;
    u64 voxels, nbytes;
    u32 count = 0;

    if (!ck_mul(plane, volume->sz, &voxels) || voxels >= UINT32_MAX)
        return CRACKLE_TOO_LARGE;
    if (!ck_mul(voxels, volume->width, &nbytes) || nbytes != volume->nbytes || !volume->fortran_order)
        return CRACKLE_BAD_ARGUMENT;
    for (u32 i = 0; i < voxels; i++)
        components[i] = i;
    for (u32 z = 0; z < volume->sz; z++) {
        if (ck_is_set(stop))
            return CRACKLE_STOPPED;
        for (u32 y = 0; y < volume->sy; y++)
            for (u32 x = 0; x < volume->sx; x++)
                join_before(volume, graph, components, x, y, z);
    }
    /* A parent comes before its children, and has its number already. */
    for (u32 i = 0; i < voxels; i++) {
        if (label_at(volume, i) == 0)
            components[i] = 0;
        else
            components[i] = components[i] == i ? ++count : components[components[i]];
    }
    *count_ret = count;
    return CRACKLE_OK;
}
