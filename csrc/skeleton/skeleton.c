/*
 * skeleton.c - paths -> vertices and edges
 *
 * Paths only ever end at a voxel of a former path, so each voxel becomes a vertex once, and the skeleton is a tree.
 * Vertices are sorted by x, y and z, so that the skeleton does not show the order in which paths were found.
 *
 * Cost: n log n in the vertices.
 */
#include "../base/sort.h"
#include "tracer.h"

crackle_status ck_add_path(struct ck_job *j)
{
    const struct ck_list *path = &j->t->path;
    struct ck_state *states = j->t->fields.states;

    for (size_t i = 0; i < path->count; i++) {
        const u32 place = path->places[i];
        const int is_new = place == j->root ? !j->has_root : states[place].cost != 0;

        if (is_new && !ck_list_add(&j->vertices, place))
            return CRACKLE_NO_MEMORY;
        if (i > 0 && !(ck_list_add(&j->edges, path->places[i - 1]) && ck_list_add(&j->edges, place)))
            return CRACKLE_NO_MEMORY;
        states[place].cost = 0;
        j->has_root |= place == j->root;
    }
    return CRACKLE_OK;
}

/* Sort the vertices by x, y and z. */
static crackle_status sort_vertices(struct ck_job *j)
{
    const size_t count = j->vertices.count;
    struct ck_pair *pairs = ck_malloc(count, 2 * sizeof(*pairs));
    u32 point[3];

    if (!pairs)
        return CRACKLE_NO_MEMORY;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < count; i++) {
            pairs[i].value = j->vertices.places[i];
            ck_locate(j->t, j->vertices.places[i], point);
            pairs[i].key = pass == 0 ? (u64)point[1] << 32 | point[2] : point[0];
        }
        ck_sort_pairs(pairs, pairs + count, count);
        for (size_t i = 0; i < count; i++)
            j->vertices.places[i] = (u32)pairs[i].value;
    }
    free(pairs);
    return CRACKLE_OK;
}

/* Put the edges, sorted. The links of the vertices have become their numbers. */
static crackle_status put_edges(struct ck_job *j, struct crackle_skeleton *out)
{
    const struct ck_state *states = j->t->fields.states;
    const size_t count = j->edges.count / 2;
    struct ck_pair *pairs = ck_malloc(count, 2 * sizeof(*pairs));

    if (!pairs)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const u64 a = states[j->edges.places[2 * i]].link, b = states[j->edges.places[2 * i + 1]].link;

        pairs[i].key = a < b ? a << 32 | b : b << 32 | a;
        pairs[i].value = 0;
    }
    ck_sort_pairs(pairs, pairs + count, count);
    for (size_t i = 0; i < count; i++) {
        out->edges[2 * i] = (u32)(pairs[i].key >> 32);
        out->edges[2 * i + 1] = (u32)pairs[i].key;
    }
    out->num_edges = count;
    free(pairs);
    return CRACKLE_OK;
}

static crackle_status put_arrays(struct ck_job *j, int is_sorted, struct crackle_skeleton *out)
{
    struct ck_state *states = j->t->fields.states;
    const size_t count = j->vertices.count;
    crackle_status status = is_sorted ? sort_vertices(j) : CRACKLE_OK;

    if (status != CRACKLE_OK)
        return status;
    out->vertices = ck_malloc(count, 3 * sizeof(*out->vertices));
    out->radii = ck_malloc(count, sizeof(*out->radii));
    out->edges = ck_malloc(j->edges.count, sizeof(*out->edges));
    if (!out->vertices || !out->radii || !out->edges)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        ck_locate(j->t, j->vertices.places[i], out->vertices + 3 * i);
        out->radii[i] = states[j->vertices.places[i]].radius;
        out->root = j->vertices.places[i] == j->root ? (u32)i : out->root;
    }
    for (size_t i = 0; i < count; i++)
        states[j->vertices.places[i]].link = (u32)i;
    out->num_vertices = count;
    out->num_paths = j->num_paths;
    out->soma_radius = j->has_soma ? (float)j->soma_radius : 0;
    return put_edges(j, out);
}

crackle_status ck_put_skeleton(struct ck_job *j, int is_sorted, struct crackle_skeleton *out)
{
    const crackle_status status = put_arrays(j, is_sorted, out);

    if (status != CRACKLE_OK) {
        free(out->vertices);
        free(out->radii);
        free(out->edges);
        memset(out, 0, sizeof(*out));
        out->root = UINT32_MAX;
    }
    return status;
}
