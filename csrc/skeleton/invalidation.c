/*
 * invalidation.c - the voxels of an object that a path accounts for
 *
 * Every voxel of a path is a seed, and reaches scale * radius + constant.  Seeds claim voxels in the order of distance,
 * all at once: a voxel goes to the seed that comes first, if it is nearer than that seed's reach and touches a voxel
 * that the seed has claimed.  So a claim does not leap over a gap to another branch, and a seed with a short reach can
 * stand in the way of one with a longer.  Seeds that were invalidated before do not spread.
 *
 * Distances are straight, from centre to centre.  Each voxel keeps its best key so far, and an entry that does not
 * improve it is not put into the heap: 1.05 to 1.25 entries for each voxel that is claimed.  What is put in is always
 * claimed, so nothing has to be reset for the next path.
 *
 * Cost: near-linear in the voxels claimed; each is claimed once in all.
 */
#include "tracer.h"

struct seed {
    u32 x, y, z;
    float reach;  /* squared */
};

/* The squared distances of a voxel and its neighbours from a seed, along one axis. */
static inline void squares(float *out, u32 at, u32 seed, float edge)
{
    for (u32 i = 0; i < 3; i++) {
        const float away = (float)(int32_t)(at + i - 1 - seed) * edge;

        out[i] = away * away;
    }
}

static inline void spread(struct crackle_tracer *t, const struct ck_entry *e, const struct seed *seed, const float *edges)
{
    const struct ck_segment *s = ck_segment_of(&t->places, &t->fields, e->place);
    float *const key = t->fields.key;
    const u32 x = s->x + (e->place - s->place);
    float from_x[3], from_y[3], from_z[3];

    squares(from_x, x, seed->x, edges[0]);
    squares(from_y, s->y, seed->y, edges[1]);
    squares(from_z, s->z, seed->z, edges[2]);
#define VISIT(to, distance)                                    \
    do {                                                       \
        const u32 to_ = (to);                                  \
        const float distance_ = (distance);                    \
                                                               \
        if (distance_ < key[to_] && distance_ < seed->reach) { \
            key[to_] = distance_;                              \
            ck_heap_put(&t->heap, distance_, to_, e->seed);    \
        }                                                      \
    } while (0)
    VISIT(e->place - 1, from_x[0] + (from_y[1] + from_z[1]));
    VISIT(e->place + 1, from_x[2] + (from_y[1] + from_z[1]));
    for (u32 rows = s->rows; rows; rows &= rows - 1) {
        const u32 row = ck_ctz64(rows), in_nine = row < 4 ? row : row + 1, beside = ck_beside(s, row, e->place);
        const float away = from_y[in_nine % 3] + from_z[in_nine / 3];

        VISIT(beside - 1, from_x[0] + away);
        VISIT(beside, from_x[1] + away);
        VISIT(beside + 1, from_x[2] + away);
    }
#undef VISIT
}

crackle_status ck_invalidate(struct crackle_tracer *t, const u32 *seeds, size_t count, double scale, double constant)
{
    const float edges[3] = {(float)t->voxel_size[0], (float)t->voxel_size[1], (float)t->voxel_size[2]};
    float *const key = t->fields.key;
    struct seed *all = ck_malloc(count, sizeof(*all));
    crackle_status status = CRACKLE_OK;
    struct ck_entry e;
    u64 steps = 0;

    if (!all)
        return CRACKLE_NO_MEMORY;
    ck_heap_clear(&t->heap);
    for (size_t i = 0; i < count; i++) {
        const u32 place = seeds[i];
        const struct ck_segment *s = ck_segment_of(&t->places, &t->fields, place);
        const double reach = scale * t->fields.states[place].radius + constant;

        if (key[place] < 0)
            continue;
        all[i].x = s->x + (place - s->place);
        all[i].y = s->y;
        all[i].z = s->z;
        all[i].reach = reach > 0 ? (float)(reach * reach) : 0;
        key[place] = 0;
        ck_heap_put(&t->heap, 0, place, (u32)i);
    }
    while (ck_heap_take(&t->heap, &e)) {
        if (key[e.place] != e.key)
            continue;
        key[e.place] = -1;
        t->num_valid--;
        if (++steps % CK_STEPS_AT_ONCE == 0 && ck_is_set(t->stop)) {
            status = CRACKLE_STOPPED;
            break;
        }
        spread(t, &e, &all[e.seed], edges);
    }
    free(all);
    return t->heap.is_out_of_memory ? CRACKLE_NO_MEMORY : status;
}
