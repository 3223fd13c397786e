/*
 * voids.c - fill the holes of an object
 *
 * A void is a set of voxels outside the object, connected over faces, that does not reach the faces of the object's
 * bounding box.  It is found from the runs alone: between two runs of a row lies a *gap*.  Before the first run, behind
 * the last, and in rows without runs is the outside, which reaches a face along x.  Gaps that touch are united; those
 * united with the outside are none.
 *
 * Cost: near-linear in the runs, whatever the size of the box.
 */
#include "voids.h"

#include "../base/sets.h"

#define OUTSIDE 0 /* the number of the outside; gap i has the number i + 1 */

struct rows {
    const struct ck_run *runs;
    u64 *first;      /* per row: its first run; num_rows + 1 items */
    u32 num_rows;
    u32 *parent;     /* per gap, from number 1 on. The gap before run i is number i + 1, unless i begins a row */
};

/* Unite the gaps of row 'own' with those of row 'other' beside it, and with the outside there. */
static void join_rows(struct rows *r, u32 own, u32 other)
{
    const u64 own_end = r->first[own + 1], begin = r->first[other], end = r->first[other + 1];
    u64 k = begin;

    for (u64 i = r->first[own] + 1; i < own_end; i++) {
        const u32 x = r->runs[i - 1].end, stop = r->runs[i].x; /* the gap */

        if (x < r->runs[begin].x || stop > r->runs[end - 1].end)
            ck_unite(r->parent, (u32)i + 1, OUTSIDE);
        /* Gaps of the other row are those before run k = begin + 1 ... */
        while (k + 1 < end && r->runs[k + 1].x <= x)
            k++;
        for (u64 m = k; m + 1 < end && r->runs[m].end < stop; m++)
            if (r->runs[m + 1].x > x)
                ck_unite(r->parent, (u32)i + 1, (u32)(m + 1) + 1);
    }
}

static void open_row(struct rows *r, u32 row)
{
    for (u64 i = r->first[row] + 1; i < r->first[row + 1]; i++)
        ck_unite(r->parent, (u32)i + 1, OUTSIDE);
}

static void find_rows(struct rows *r, u64 num_runs)
{
    u32 row = 0;

    for (u64 i = 0; i < num_runs; i++) {
        if (i == 0 || r->runs[i].y != r->runs[i - 1].y || r->runs[i].z != r->runs[i - 1].z)
            r->first[row++] = i;
        r->parent[i + 1] = (u32)i + 1;
    }
    r->parent[OUTSIDE] = OUTSIDE;
    r->first[row] = num_runs;
    r->num_rows = row;
}

/* Unite gaps over all faces between rows; of planes, only along y. */
static void join_all(struct rows *r, int is_planar)
{
    /* The rows at y - 1, y + 1, z - 1 and z + 1, which advance together with 'row'. */
    static const int steps[4][2] = {{-1, 0}, {1, 0}, {0, -1}, {0, 1}};
    u32 reached[4] = {0, 0, 0, 0};

    for (u32 row = 0; row < r->num_rows; row++) {
        const struct ck_run *own = &r->runs[r->first[row]];

        for (int i = 0; i < (is_planar ? 2 : 4); i++) {
            const int64_t y = (int64_t)own->y + steps[i][0], z = (int64_t)own->z + steps[i][1];
            const struct ck_run *other = NULL;

            for (; reached[i] < r->num_rows; reached[i]++) {
                other = &r->runs[r->first[reached[i]]];
                if (other->z > z || (other->z == z && other->y >= y))
                    break;
            }
            if (reached[i] < r->num_rows && other->z == z && other->y == y)
                join_rows(r, row, reached[i]);
            else
                open_row(r, row); /* that row is outside, or beyond the bounding box */
        }
    }
}

static crackle_status put_filled(struct rows *r, u64 num_runs, struct ck_run **filled, u64 *count)
{
    u64 voids = 0;

    for (u32 row = 0; row < r->num_rows; row++)
        for (u64 i = r->first[row] + 1; i < r->first[row + 1]; i++)
            voids += ck_find_root(r->parent, (u32)i + 1) != OUTSIDE;
    if (voids == 0)
        return CRACKLE_OK;
    *filled = ck_malloc(num_runs - voids, sizeof(**filled));
    if (!*filled)
        return CRACKLE_NO_MEMORY;
    for (u32 row = 0; row < r->num_rows; row++) {
        for (u64 i = r->first[row]; i < r->first[row + 1]; i++) {
            if (i > r->first[row] && ck_find_root(r->parent, (u32)i + 1) != OUTSIDE)
                (*filled)[*count - 1].end = r->runs[i].end;
            else
                (*filled)[(*count)++] = r->runs[i];
        }
    }
    return CRACKLE_OK;
}

crackle_status ck_fill_voids(const struct ck_run *runs, u64 num_runs, int is_planar, struct ck_run **filled, u64 *count)
{
    struct rows r;
    crackle_status status = CRACKLE_NO_MEMORY;

    *filled = NULL;
    *count = 0;
    if (num_runs >= UINT32_MAX - 1)
        return CRACKLE_TOO_LARGE;
    r.runs = runs;
    r.first = ck_malloc(num_runs + 1, sizeof(*r.first));
    r.parent = ck_malloc(num_runs + 2, sizeof(*r.parent));
    if (r.first && r.parent) {
        find_rows(&r, num_runs);
        join_all(&r, is_planar);
        status = put_filled(&r, num_runs, filled, count);
    }
    free(r.first);
    free(r.parent);
    return status;
}

crackle_status crackle_fill_voids(const uint32_t *runs, uint64_t count, int is_planar, uint32_t **filled_ret,
                                  uint64_t *count_ret)
{
    const struct ck_run *own = (const struct ck_run *)runs;
    struct ck_run *filled;
    crackle_status status;

    if (!ck_are_runs(own, count, UINT32_MAX, UINT32_MAX, UINT32_MAX))
        return CRACKLE_BAD_ARGUMENT;
    status = ck_fill_voids(own, count, is_planar, &filled, count_ret);
    if (status == CRACKLE_OK)
        *filled_ret = (uint32_t *)filled;
    return status;
}
