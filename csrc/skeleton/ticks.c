/*
 * ticks.c - skeletons without short ends
 *
 * A segment is a path between critical vertices: ends and branches.  The shortest segment that leads to an end goes, if it
 * is shorter than the threshold; where that leaves a branch with two segments, these become one.  A tree of a single
 * segment stays, so no tree is lost or split.
 *
 * Segments wait in a binary heap by length, then by the vertex at their end.
 *
 * Cost: n log n in the segments, and linear in the edges.
 */
#include "../crackle.h"
#include "graph.h"

#include <math.h>

#define NONE UINT32_MAX

struct segment {
    double length;
    u32 ends[2];     /* vertices */
    u32 heir;        /* the segment that it became a part of, or itself */
    u8 is_gone;
};

struct waiting {
    double length;
    u32 tip, segment;
};

struct ticks {
    struct segment *segments;
    u32 *degree;             /* per vertex: its segments that are left, if it is critical */
    u64 *begin;              /* per vertex: where its segments begin in 'at' */
    u32 *at;
    struct waiting *heap;
    size_t count;
};

static int is_before(const struct waiting *a, const struct waiting *b)
{
    if (a->length != b->length)
        return a->length < b->length;
    return a->tip < b->tip;
}

static void put(struct ticks *t, struct waiting item)
{
    size_t i = t->count++;

    for (; i > 0 && is_before(&item, &t->heap[(i - 1) / 2]); i = (i - 1) / 2)
        t->heap[i] = t->heap[(i - 1) / 2];
    t->heap[i] = item;
}

static struct waiting take(struct ticks *t)
{
    const struct waiting lowest = t->heap[0], item = t->heap[--t->count];
    size_t i = 0;

    for (size_t child; (child = 2 * i + 1) < t->count; i = child) {
        child += child + 1 < t->count && is_before(&t->heap[child + 1], &t->heap[child]);
        if (!is_before(&t->heap[child], &item))
            break;
        t->heap[i] = t->heap[child];
    }
    t->heap[i] = item;
    return lowest;
}

static u32 heir_of(struct ticks *t, u32 segment)
{
    while (t->segments[segment].heir != segment) {
        t->segments[segment].heir = t->segments[t->segments[segment].heir].heir;
        segment = t->segments[segment].heir;
    }
    return segment;
}

/* Let a segment wait if it leads from a branch to an end. */
static void consider(struct ticks *t, u32 segment, double threshold)
{
    const struct segment *s = &t->segments[segment];
    const u32 *degree = t->degree;
    struct waiting item;

    if (!(s->length < threshold) || (degree[s->ends[0]] == 1) == (degree[s->ends[1]] == 1))
        return;
    item.length = s->length;
    item.tip = degree[s->ends[0]] == 1 ? s->ends[0] : s->ends[1];
    item.segment = segment;
    put(t, item);
}

/* Make one of the two segments that are left at a vertex. */
static void fuse(struct ticks *t, u32 vertex, double threshold)
{
    u32 found[2] = {NONE, NONE};

    for (u64 i = t->begin[vertex]; i < t->begin[vertex + 1]; i++) {
        const u32 one = heir_of(t, t->at[i]);

        if (t->segments[one].is_gone || one == found[0])
            continue;
        found[found[0] != NONE] = one;
    }
    if (found[1] == NONE)
        return; /* a cycle that begins and ends here */
    {
        struct segment *a = &t->segments[found[0]], *b = &t->segments[found[1]];

        a->ends[a->ends[0] == vertex ? 0 : 1] = b->ends[b->ends[0] == vertex ? 1 : 0];
        a->length += b->length;
        b->heir = found[0];
        consider(t, found[0], threshold);
    }
}

static void remove_ticks(struct ticks *t, double threshold)
{
    while (t->count) {
        const struct waiting item = take(t);
        struct segment *s = &t->segments[item.segment];
        u32 base;

        /* It may have grown, or become the last one, since it was put there. */
        if (s->is_gone || s->heir != item.segment || s->length != item.length ||
            (t->degree[s->ends[0]] == 1) == (t->degree[s->ends[1]] == 1))
            continue;
        base = s->ends[t->degree[s->ends[0]] == 1 ? 1 : 0];
        s->is_gone = 1;
        t->degree[item.tip] = 0;
        if (--t->degree[base] == 2)
            fuse(t, base, threshold);
    }
}

static double length_of(const float *vertices, const u32 *path, u64 count)
{
    double sum = 0;

    for (u64 i = 1; i < count; i++) {
        double away2 = 0;

        for (int axis = 0; axis < 3; axis++) {
            const double away = (double)vertices[3 * (size_t)path[i] + axis] - vertices[3 * (size_t)path[i - 1] + axis];

            away2 += away * away;
        }
        sum += sqrt(away2);
    }
    return sum;
}

/* Find the segments, and those at every vertex. */
static int init_ticks(struct ticks *t, const float *vertices, u64 num_vertices, const u32 *paths, const u64 *ends,
                      u64 count)
{
    memset(t, 0, sizeof(*t));
    t->segments = ck_calloc(count, sizeof(*t->segments));
    t->degree = ck_calloc(num_vertices, sizeof(*t->degree));
    t->begin = ck_calloc(num_vertices + 2, sizeof(*t->begin));
    t->at = ck_malloc(2 * count, sizeof(*t->at));
    t->heap = ck_malloc(2 * count, sizeof(*t->heap)); /* each fusion ends a segment, and may put one */
    if (!t->segments || !t->degree || !t->begin || !t->at || !t->heap)
        return 0;
    for (u64 i = 0, begin = 0; i < count; begin = ends[i++]) {
        struct segment *s = &t->segments[i];

        s->ends[0] = paths[begin];
        s->ends[1] = paths[ends[i] - 1];
        s->length = length_of(vertices, paths + begin, ends[i] - begin);
        s->heir = (u32)i;
        for (int k = 0; k < 2; k++) {
            t->degree[s->ends[k]]++;
            t->begin[(u64)s->ends[k] + 2]++;
        }
    }
    for (u64 v = 2; v < num_vertices + 2; v++)
        t->begin[v] += t->begin[v - 1];
    for (u64 i = 0; i < count; i++)
        for (int k = 0; k < 2; k++)
            t->at[t->begin[t->segments[i].ends[k] + 1]++] = (u32)i;
    return 1;
}

crackle_status crackle_graph_remove_ticks(const float *vertices, uint64_t num_vertices, uint32_t *edges,
                                          uint64_t num_edges, double threshold, uint64_t *num_left_ret)
{
    struct ticks t;
    u32 *paths = NULL;
    u64 *ends = NULL;
    u64 length = 0, count = 0, left = 0;
    crackle_status status = crackle_graph_segments(num_vertices, edges, num_edges, &paths, &length, &ends, &count);

    if (status != CRACKLE_OK)
        return status;
    if (!init_ticks(&t, vertices, num_vertices, paths, ends, count)) {
        status = CRACKLE_NO_MEMORY;
    } else {
        for (u64 i = 0; i < count; i++)
            consider(&t, (u32)i, threshold);
        remove_ticks(&t, threshold);
        for (u64 i = 0; i < count; i++) {
            if (t.segments[heir_of(&t, (u32)i)].is_gone)
                continue;
            for (u64 k = i == 0 ? 0 : ends[i - 1]; k + 1 < ends[i]; k++) {
                const u32 a = paths[k], b = paths[k + 1];

                edges[2 * left] = a < b ? a : b;
                edges[2 * left++ + 1] = a < b ? b : a;
            }
        }
        *num_left_ret = left;
    }
    free(t.segments);
    free(t.degree);
    free(t.begin);
    free(t.at);
    free(t.heap);
    free(paths);
    free(ends);
    return status;
}
