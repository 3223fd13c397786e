/*
 * measure.c - the voxels of each label, their bounding box, and the sums of their coordinates
 *
 * No voxel is painted.  Rows are stored as patches to the row above (components.h): a run of columns that joins a
 * component in row y stays with it, row after row, until another patch covers it.  So a patch in row y adds to its
 * component its number of columns times the number of remaining rows, and the previous component of those columns loses
 * as many.  All numbers are correct at the end; until then they are taken modulo 2^64.
 *
 * The bounding box works alike.  Columns begin and end where patches do.  The first row of a component is that of its
 * first patch.  Its last row is the row above the one in which it loses its last column.
 *
 * Cost: linear in the boundaries.
 */
#include "measure.h"
#include "../codec/header.h"
#include "../codec/reading.h"

/* The sum of the numbers [begin, end). */
static inline u64 sum_of(u64 begin, u64 end)
{
    const u64 count = end - begin, ends = begin + end - 1; /* one of them is even */

    return count % 2 ? count * (ends / 2) : count / 2 * ends;
}

/*
 * Columns [begin, end) join a component in row y.  In the functions from here on, 'only_counts' is a constant after
 * inlining, because coordinates are half of the work.
 */
CK_FORCEINLINE void join(struct ck_extent *e, u32 begin, u32 end, u32 y, const struct ck_window *w,
                         u64 sum_of_y, int only_counts)
{
    const u64 rows = w->y_end - y;

    e->voxels += rows * (end - begin);
    if (only_counts)
        return;
    if (e->x_stop == 0) {
        e->x_start = begin;
        e->y_start = y;
    }
    e->x_start = begin < e->x_start ? begin : e->x_start;
    e->x_stop = end > e->x_stop ? end : e->x_stop;
    e->sum_x += rows * sum_of(begin, end);
    e->sum_y += (end - begin) * sum_of_y;
}

/* Columns [begin, end) leave a component in row y. */
CK_FORCEINLINE void leave(struct ck_extent *e, u32 begin, u32 end, u32 y, const struct ck_window *w,
                          u64 sum_of_y, int only_counts)
{
    const u64 rows = w->y_end - y;

    e->voxels -= rows * (end - begin);
    if (only_counts)
        return;
    e->y_stop = y;
    e->sum_x -= rows * sum_of(begin, end);
    e->sum_y -= (end - begin) * sum_of_y;
}

CK_FORCEINLINE void measure_rows(const struct ck_components *c, const struct ck_window *w,
                                 struct ck_extent *extents, int only_counts)
{
    const struct ck_patch *patch = c->patches;
    u32 *const row = c->row;

    memset(extents, 0, c->count * sizeof(*extents));
    /* Rows above the window are only followed. */
    for (const struct ck_patch *end = c->patches + c->row_end[w->y_start]; patch < end; patch++)
        for (u32 x = patch->begin; x < patch->end; x++)
            row[x] = patch->component;
    for (u32 begin = w->x_start; begin < w->x_end;) {
        u32 end = begin + 1;

        while (end < w->x_end && row[end] == row[begin])
            end++;
        join(&extents[row[begin]], begin, end, w->y_start, w, sum_of(w->y_start, w->y_end), only_counts);
        begin = end;
    }
    for (u32 y = w->y_start + 1; y < w->y_end; y++) {
        const struct ck_patch *const row_end = c->patches + c->row_end[y];
        const u64 sum_of_y = sum_of(y, w->y_end);

        for (; patch < row_end; patch++) {
            const u32 first = patch->begin > w->x_start ? patch->begin : w->x_start;
            const u32 last = patch->end < w->x_end ? patch->end : w->x_end;

            if (first >= last)
                continue;
            for (u32 begin = first; begin < last;) {
                const u32 component = row[begin];
                u32 end = begin;

                do
                    row[end] = patch->component;
                while (++end < last && row[end] == component);
                leave(&extents[component], begin, end, y, w, sum_of_y, only_counts);
                begin = end;
            }
            join(&extents[patch->component], first, last, y, w, sum_of_y, only_counts);
        }
    }
    for (u32 x = w->x_start; x < w->x_end; x++)
        extents[row[x]].y_stop = w->y_end;
}

void ck_measure_slice(const struct ck_components *c, const struct ck_window *w, struct ck_extent *extents,
                      int only_counts)
{
    if (only_counts)
        measure_rows(c, w, extents, 1);
    else
        measure_rows(c, w, extents, 0);
}

int ck_sums_fit(const struct ck_window *w, u32 z_start, u32 z_end)
{
    u64 max_end = w->x_end > w->y_end ? w->x_end : w->y_end, sum;

    max_end = z_end > max_end ? z_end : max_end;
    return ck_mul((u64)(w->x_end - w->x_start) * (w->y_end - w->y_start), z_end - z_start, &sum) &&
           ck_mul(sum, max_end - 1, &sum);
}

void ck_add_extent(struct crackle_extent *to, const struct ck_extent *from, u32 z)
{
    if (to->voxels == 0) {
        to->start[0] = from->x_start;
        to->start[1] = from->y_start;
        to->start[2] = z;
    }
    to->start[0] = from->x_start < to->start[0] ? from->x_start : to->start[0];
    to->start[1] = from->y_start < to->start[1] ? from->y_start : to->start[1];
    to->stop[0] = from->x_stop > to->stop[0] ? from->x_stop : to->stop[0];
    to->stop[1] = from->y_stop > to->stop[1] ? from->y_stop : to->stop[1];
    to->stop[2] = z + 1;
    to->voxels += from->voxels;
    to->sum[0] += from->sum_x;
    to->sum[1] += from->sum_y;
    to->sum[2] += from->voxels * z;
}

crackle_status crackle_measure(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                               unsigned int flags, uint32_t x_start, uint32_t x_end, uint32_t y_start,
                               uint32_t y_end, struct crackle_extent *extents, uint64_t count,
                               struct crackle_where *where)
{
    const struct ck_window w = {x_start, x_end, y_start, y_end};
    const int only_counts = (flags & CRACKLE_ONLY_COUNTS) != 0;
    struct ck_reading r;
    struct ck_label_table table;
    void *scratch = NULL;
    size_t capacity = 0;
    crackle_status status = ck_reading_open(&r, parts, flags, where);

    if (status != CRACKLE_OK)
        return status;
    if (z_start > z_end || z_end > r.header.sz || x_start > x_end || x_end > r.header.sx || y_start > y_end ||
        y_end > r.header.sy)
        return CRACKLE_BAD_ARGUMENT;
    if (ck_is_empty(&r.header))
        return count == 0 ? CRACKLE_OK : CRACKLE_BAD_ARGUMENT;
    status = ck_label_table_open(&r.header, parts->head + r.layout.labels, &table);
    if (status != CRACKLE_OK)
        return ck_fail(where, status, CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
    if (count != ck_num_entries(&table))
        return CRACKLE_BAD_ARGUMENT;
    memset(extents, 0, (size_t)count * sizeof(*extents));
    if (z_start == z_end || x_start == x_end || y_start == y_end)
        return CRACKLE_OK;
    if (!only_counts && !ck_sums_fit(&w, z_start, z_end))
        return CRACKLE_TOO_LARGE;
    status = ck_reading_begin(&r, parts, z_start, z_end, where);
    for (u32 z = z_start; status == CRACKLE_OK && z < z_end; z++) {
        const struct ck_components *c = &r.components;
        const struct ck_extent *slice;

        status = ck_reading_next(&r, z, where);
        if (status != CRACKLE_OK)
            break;
        if (!ck_reserve(&scratch, &capacity, c->count, sizeof(struct ck_extent))) {
            status = CRACKLE_NO_MEMORY;
            break;
        }
        ck_measure_slice(c, &w, scratch, only_counts);
        slice = scratch;
        for (size_t i = 0; i < c->count; i++)
            if (only_counts)
                extents[r.entries[i]].voxels += slice[i].voxels;
            else if (slice[i].voxels != 0)
                ck_add_extent(&extents[r.entries[i]], &slice[i], z);
    }
    free(scratch);
    ck_reading_free(&r);
    return status;
}
