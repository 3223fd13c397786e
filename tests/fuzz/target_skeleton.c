/*
 * target_skeleton.c - runs of labels, their voids, and skeletons
 *
 * If the whole stream decodes, the runs are compared with the voxels.  A skeleton is a tree of neighbours on voxels of its
 * label; labels in several pieces have none.
 */
#include "fuzz.h"

#include <math.h>

/* The runs of object 'object', from 0 on, are the voxels whose label has it. */
static u64 check_runs(const struct fuzz_stream *s, const struct crackle_volume *whole, int is_sound, const u64 *table,
                      u64 count, const u32 *objects, const crackle_runs *runs, u32 object, const u32 **own)
{
    u64 num_runs, voxels = 0, expected = 0;

    FUZZ_CHECK(crackle_runs_of(runs, object, own, &num_runs) == CRACKLE_OK);
    for (u64 i = 0; i < num_runs; i++) {
        const u32 *r = *own + 4 * i;

        FUZZ_CHECK(r[0] < r[1] && r[1] <= s->header.sx && r[2] < s->header.sy && r[3] < s->header.sz);
        for (u32 x = r[0]; is_sound && x < r[1]; x++) {
            const u64 label = fuzz_voxel(whole, x + (size_t)s->header.sx * (r[2] + (size_t)s->header.sy * r[3]));
            int is_own = 0;

            for (u64 k = 0; k < count; k++)
                is_own |= objects[k] == object + 1 && table[k] == label;
            FUZZ_CHECK(is_own);
        }
        voxels += r[1] - r[0];
    }
    for (size_t i = 0; is_sound && i < s->num_voxels; i++) {
        int is_own = 0;

        for (u64 k = 0; k < count && !is_own; k++)
            is_own = objects[k] == object + 1 && table[k] == fuzz_voxel(whole, i);
        expected += (u64)is_own;
    }
    FUZZ_CHECK(!is_sound || voxels == expected);
    return num_runs;
}

static void check_skeleton(const struct crackle_skeleton *t, int has_soma)
{
    FUZZ_CHECK(t->num_vertices == 0 || t->num_edges + 1 == t->num_vertices);
    for (u64 i = 0; i < t->num_edges; i++) {
        const u32 a = t->edges[2 * i], b = t->edges[2 * i + 1];

        FUZZ_CHECK(a < b && b < t->num_vertices);
        for (int axis = 0; axis < 3; axis++)
            FUZZ_CHECK(has_soma || t->vertices[3 * (size_t)a + axis] + 1 - t->vertices[3 * (size_t)b + axis] <= 2);
    }
    for (u64 i = 0; i < t->num_vertices; i++)
        FUZZ_CHECK(t->radii[i] > 0);
}

static void trace(const struct fuzz_stream *s, crackle_runs *runs, u32 object)
{
    struct crackle_teasar p = {{1, 1, 1}, 1, 2, 1e5, 4, 2, 3, 1, 1, UINT64_MAX, 1, 63, NULL};
    struct crackle_skeleton made;
    crackle_tracer *tracer = crackle_tracer_new();
    crackle_status status;

    FUZZ_CHECK(tracer);
    p.voxel_size[s->control[1] % 3] = s->control[1] & 64 ? 1e5 : 2.5;
    p.scale = s->control[2] % 4;
    p.fix_branching = s->control[3] & 1;
    p.border_faces = s->control[3] >> 1 & 63;
    status = crackle_trace(tracer, runs, object, &p, NULL, 0, NULL, 0, NULL, &made);
    FUZZ_CHECK(status == CRACKLE_OK || status == CRACKLE_BAD_ARGUMENT);
    if (status == CRACKLE_OK)
        check_skeleton(&made, made.soma_radius > 0);
    crackle_free(made.vertices);
    crackle_free(made.radii);
    crackle_free(made.edges);
    crackle_tracer_free(tracer);
}

void fuzz_one(const u8 *data, size_t nbytes)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    struct crackle_volume whole;
    struct fuzz_stream s;
    crackle_runs *runs = NULL;
    crackle_status status;
    u64 *table, count;
    u32 *objects;
    int is_sound;

    if (!fuzz_open(&s, data, nbytes) || s.num_voxels == 0 || !fuzz_table(&s, &table, &count) || count == 0)
        return;
    is_sound = fuzz_whole(&s, &whole);
    objects = (u32 *)(void *)guard_room(GUARD_VALUES, (size_t)count * sizeof(*objects));
    for (u64 i = 0; i < count; i++) /* entries that repeat a label are one object */
        objects[i] = (u32)(table[i] % 3);
    status = crackle_runs_read(&s.parts, s.flags, objects, count, 2, NULL, &runs, &where);
    fuzz_status(status, &where);
    FUZZ_CHECK(!is_sound || status == CRACKLE_OK);
    if (status != CRACKLE_OK)
        return;
    for (u32 object = 0; object < 2; object++) {
        const u32 *own;
        u32 *filled = NULL;
        u64 num_filled;
        const u64 num_runs = check_runs(&s, &whole, is_sound, table, count, objects, runs, object, &own);

        FUZZ_CHECK(crackle_fill_voids(own, num_runs, s.control[2] & 1, &filled, &num_filled) == CRACKLE_OK);
        crackle_free(filled);
        trace(&s, runs, object);
    }
    crackle_runs_free(runs);
}
