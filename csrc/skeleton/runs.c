/*
 * runs.c - a stream -> the runs of its objects
 *
 * An object is a set of label table entries, usually one connected component (components_3d.c makes a stream whose
 * labels are components).  A run is a maximal sequence of its voxels along x.  Runs end where vertical cracks are, so a
 * row costs its cracks and a look at every word of the bitmap.  No voxel is painted.
 *
 * Slices are read once.  Runs are met in the order z, y, x; a counting sort by object keeps that order within each.
 *
 * Cost: linear in the boundaries, plus sx / 64 per row.  Memory: 16 bytes for each run, and 20 more until they are
 * sorted.
 */
#include "runs.h"

#include "../codec/header.h"
#include "../codec/reading.h"

struct found {
    u32 object;
    struct ck_run run;
};

struct collection {
    struct found *found;
    size_t count, capacity;
};

static int append(struct collection *c, u32 object, u32 x, u32 end, u32 y, u32 z)
{
    void *found = c->found;
    struct found *last = c->count ? &c->found[c->count - 1] : NULL;

    /* Cracks between equal labels are left over from merges of labels. */
    if (last && last->object == object && last->run.end == x && last->run.y == y && last->run.z == z) {
        last->run.end = end;
        return 1;
    }
    if (!ck_reserve(&found, &c->capacity, (u64)c->count + 1, sizeof(*c->found)))
        return 0;
    c->found = found;
    c->found[c->count].object = object;
    c->found[c->count].run.x = x;
    c->found[c->count].run.end = end;
    c->found[c->count].run.y = y;
    c->found[c->count].run.z = z;
    c->count++;
    return 1;
}

/* The runs of a row, whose components are in 'c->row'.  'objects' has the object of each entry, from 1 on, or 0. */
static int read_row(const struct ck_reading *r, const u32 *objects, u32 y, u32 z, struct collection *to)
{
    const struct ck_components *c = &r->components;
    const u64 *cracks = ck_vertical(&r->bitmaps, y);
    u32 begin = 0, object = objects[r->entries[c->row[0]]];

    for (size_t w = 0; w < r->bitmaps.words; w++) {
        for (u64 left = ck_interior_vertical(&r->bitmaps, w) & cracks[w]; left; left &= left - 1) {
            const u32 x = (u32)(w * 64) + ck_ctz64(left);

            if (object && !append(to, object, begin, x, y, z))
                return 0;
            begin = x;
            object = objects[r->entries[c->row[x]]];
        }
    }
    return !object || append(to, object, begin, c->sx, y, z);
}

static crackle_status read_slice(const struct ck_reading *r, const u32 *objects, u32 z, struct collection *to)
{
    const struct ck_components *c = &r->components;

    for (u32 y = 0; y < c->sy; y++) {
        ck_put_row_patches(c->row, c->patches + ck_row_begin(c, y), c->patches + c->row_end[y], c->sx);
        if (!read_row(r, objects, y, z, to))
            return CRACKLE_NO_MEMORY;
    }
    return CRACKLE_OK;
}

static crackle_status sort_runs(struct collection *found, crackle_runs *runs)
{
    runs->begin = ck_calloc(runs->count + 2, sizeof(*runs->begin));
    runs->runs = ck_malloc(found->count, sizeof(*runs->runs));
    if (!runs->begin || !runs->runs)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < found->count; i++)
        runs->begin[found->found[i].object + 1]++; /* objects are numbered from 1 here */
    for (u64 i = 1; i <= runs->count + 1; i++)
        runs->begin[i] += runs->begin[i - 1];
    for (size_t i = 0; i < found->count; i++)
        runs->runs[runs->begin[found->found[i].object]++] = found->found[i].run;
    /* begin[i + 1] has moved to the end of object i + 1 as numbered from 1, which is object i. */
    return CRACKLE_OK;
}

static crackle_status check_objects(const u32 *objects, u64 count, u64 num_objects)
{
    if (num_objects >= UINT32_MAX)
        return CRACKLE_TOO_LARGE;
    for (u64 i = 0; i < count; i++)
        if (objects[i] > num_objects)
            return CRACKLE_BAD_ARGUMENT;
    return CRACKLE_OK;
}

static crackle_status read_slices(struct ck_reading *r, const struct crackle_parts *parts, const u32 *objects, u64 count,
                                  const volatile int32_t *stop, struct collection *found, struct crackle_where *where)
{
    struct ck_label_table table;
    crackle_status status = ck_label_table_open(&r->header, parts->head + r->layout.labels, &table);

    if (status != CRACKLE_OK)
        return ck_fail(where, status, CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
    if (count != ck_num_entries(&table))
        return CRACKLE_BAD_ARGUMENT;
    status = ck_reading_begin(r, parts, 0, r->header.sz, where);
    for (u32 z = 0; status == CRACKLE_OK && z < r->header.sz; z++) {
        status = ck_is_set(stop) ? CRACKLE_STOPPED : ck_reading_next(r, z, where);
        if (status == CRACKLE_OK)
            status = read_slice(r, objects, z, found);
    }
    ck_reading_free(r);
    return status;
}

crackle_status crackle_runs_read(const struct crackle_parts *parts, unsigned int flags, const uint32_t *objects,
                                 uint64_t count, uint64_t num_objects, const volatile int32_t *stop,
                                 crackle_runs **runs_ret, struct crackle_where *where)
{
    struct collection found = {NULL, 0, 0};
    struct ck_reading r;
    crackle_runs *runs;
    crackle_status status = check_objects(objects, count, num_objects);

    if (status == CRACKLE_OK)
        status = ck_reading_open(&r, parts, flags, where);
    if (status != CRACKLE_OK)
        return status;
    runs = ck_calloc(1, sizeof(*runs));
    if (!runs)
        return CRACKLE_NO_MEMORY;
    runs->sx = r.header.sx;
    runs->sy = r.header.sy;
    runs->sz = r.header.sz;
    runs->count = num_objects;
    if (!ck_is_empty(&r.header))
        status = read_slices(&r, parts, objects, count, stop, &found, where);
    if (status == CRACKLE_OK)
        status = sort_runs(&found, runs);
    free(found.found);
    if (status == CRACKLE_OK)
        *runs_ret = runs;
    else
        crackle_runs_free(runs);
    return status;
}

int ck_are_runs(const struct ck_run *runs, u64 count, u32 sx, u32 sy, u32 sz)
{
    for (u64 i = 0; i < count; i++) {
        const struct ck_run *r = &runs[i], *before = r - 1;

        if (r->x >= r->end || r->end > sx || r->y >= sy || r->z >= sz)
            return 0;
        if (i > 0 && (before->z > r->z || (before->z == r->z && (before->y > r->y || (before->y == r->y && before->end >= r->x)))))
            return 0;
    }
    return 1;
}

crackle_status crackle_runs_make(uint32_t sx, uint32_t sy, uint32_t sz, const uint32_t *runs, const uint64_t *begin,
                                 uint64_t num_objects, crackle_runs **runs_ret)
{
    const struct ck_run *given = (const struct ck_run *)runs;
    crackle_runs *made;

    for (u64 i = 0; i < num_objects; i++)
        if (begin[i] > begin[i + 1] || !ck_are_runs(given + begin[i], begin[i + 1] - begin[i], sx, sy, sz))
            return CRACKLE_BAD_ARGUMENT;
    if (num_objects >= UINT32_MAX)
        return CRACKLE_TOO_LARGE;
    made = ck_calloc(1, sizeof(*made));
    if (!made)
        return CRACKLE_NO_MEMORY;
    made->sx = sx;
    made->sy = sy;
    made->sz = sz;
    made->count = num_objects;
    made->begin = ck_malloc(num_objects + 1, sizeof(*made->begin));
    made->runs = ck_malloc(begin[num_objects], sizeof(*made->runs));
    if (!made->begin || !made->runs) {
        crackle_runs_free(made);
        return CRACKLE_NO_MEMORY;
    }
    memcpy(made->begin, begin, (size_t)(num_objects + 1) * sizeof(*begin));
    if (begin[num_objects])
        memcpy(made->runs, given, (size_t)begin[num_objects] * sizeof(*given));
    *runs_ret = made;
    return CRACKLE_OK;
}

void crackle_runs_free(crackle_runs *runs)
{
    if (!runs)
        return;
    free(runs->begin);
    free(runs->runs);
    free(runs);
}

crackle_status crackle_runs_of(const crackle_runs *runs, uint64_t object, const uint32_t **runs_ret, uint64_t *count_ret)
{
    if (object >= runs->count)
        return CRACKLE_BAD_ARGUMENT;
    *runs_ret = (const uint32_t *)(runs->runs + runs->begin[object]);
    *count_ret = runs->begin[object + 1] - runs->begin[object];
    return CRACKLE_OK;
}
