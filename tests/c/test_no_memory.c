/*
 * test_no_memory.c - let each allocation fail once: the call must return an error and leak nothing
 *
 * All sources are compiled with failing_malloc.h in front.  The address sanitizer detects leaks.  The same mechanism
 * stops calls: once at each of their allocations.
 */
#define FAILING_MALLOC_ITSELF
#include "failing_malloc.h"

#include "check.h"
#include "crackle.h"
#include "operations.h"

static long until_failure = -1; /* allocations until the failure; -1: no failure */
static int stops_instead = 0;      /* the allocation sets 'stop' instead of failing */
static volatile int32_t stop;

static int fails(void)
{
    if (until_failure < 0)
        return 0;
    if (until_failure == 0) {
        until_failure = -1;
        stop = stops_instead;
        return !stops_instead;
    }
    until_failure--;
    return 0;
}

void *failing_malloc(size_t nbytes)
{
    return fails() ? NULL : malloc(nbytes);
}

void *failing_calloc(size_t count, size_t nbytes)
{
    return fails() ? NULL : calloc(count, nbytes);
}

void *failing_realloc(void *old, size_t nbytes)
{
    return fails() ? NULL : realloc(old, nbytes);
}

enum { SIDE = 20, VOXELS = SIDE * SIDE * SIDE };

/* The skeleton of a label of a stream, what is measured along it, and the skeleton as a graph. */
static crackle_status all_of_skeletons(const struct crackle_parts *parts, uint64_t count)
{
    struct crackle_teasar p = {{1, 1, 2}, 1, 2, 1000, 4, 2, 1e9, 1, 1, UINT64_MAX, 1, 63, NULL};
    struct crackle_skeleton s = {NULL, NULL, NULL, 0, 0, 0, 0, 0}, line = s;
    uint32_t objects[4096] = {0}, *filled = NULL, *joins = NULL, *paths = NULL, point[3];
    static uint32_t nearest[8000], numbers[8000];
    static float places[24000];
    static double points[24000], areas[8000];
    static uint8_t contacts[8000];
    uint64_t num_runs, num_filled, num_joins, length, num_paths, left, voxels = 0, *ends = NULL;
    const uint32_t *own;
    crackle_runs *runs = NULL, *copy = NULL;
    crackle_tracer *t = crackle_tracer_new();
    float radius;
    crackle_status status = t ? CRACKLE_OK : CRACKLE_NO_MEMORY;

    objects[count - 1] = 1;
    if (status == CRACKLE_OK)
        status = crackle_runs_read(parts, 0, objects, count, 1, NULL, &runs, NULL);
    if (status == CRACKLE_OK)
        status = crackle_runs_of(runs, 0, &own, &num_runs);
    if (status == CRACKLE_OK) {
        const uint64_t begin[2] = {0, num_runs};

        for (uint64_t i = 0; i < num_runs; i++)
            voxels += own[4 * i + 1] - own[4 * i];
        status = crackle_runs_make(SIDE, SIDE, SIDE, own, begin, 1, &copy);
    }
    if (status == CRACKLE_OK)
        status = crackle_fill_voids(own, num_runs, 0, &filled, &num_filled);
    if (status == CRACKLE_OK)
        status = crackle_widest(t, runs, 0, &p, NULL, &radius, point);
    if (status == CRACKLE_OK)
        status = crackle_trace(t, copy, 0, &p, NULL, 0, NULL, 0, NULL, &s);
    if (status == CRACKLE_BAD_ARGUMENT) /* this label is in several pieces */
        status = CRACKLE_OK;
    if (status == CRACKLE_OK)
        status = crackle_connect(t, runs, 0, &p, own + 2, own + 2, NULL, &line);
    if (status == CRACKLE_BAD_ARGUMENT)
        status = CRACKLE_OK;
    if (status == CRACKLE_OK && s.num_vertices) {
        const uint64_t n = s.num_vertices;

        for (uint64_t i = 0; i < 3 * n; i++)
            points[i] = places[i] = (float)s.vertices[i];
        status = crackle_sections(runs, 0, p.voxel_size, points, points, n, NULL, areas, contacts);
        if (status == CRACKLE_OK)
            status = crackle_nearest_seeds(runs, 0, p.voxel_size, s.vertices, n, NULL, nearest, voxels);
        if (status == CRACKLE_OK)
            status = crackle_graph_components(n, s.edges, s.num_edges, numbers, &left);
        if (status == CRACKLE_OK)
            status = crackle_graph_segments(n, s.edges, s.num_edges, &paths, &length, &ends, &num_paths);
        crackle_free(paths);
        crackle_free(ends);
        paths = NULL;
        ends = NULL;
        if (status == CRACKLE_OK)
            status = crackle_graph_root_paths(n, s.edges, s.num_edges, &paths, &length, &ends, &num_paths);
        crackle_free(paths);
        crackle_free(ends);
        if (status == CRACKLE_OK)
            status = crackle_graph_orient(n, s.edges, s.num_edges, NULL, 0, numbers, nearest);
        if (status == CRACKLE_OK)
            status = crackle_graph_remove_loops(places, s.radii, n, s.edges, s.num_edges, NULL, &left);
        if (status == CRACKLE_OK)
            status = crackle_graph_join(places, s.radii, n, s.edges, 0, 9, 0, NULL, &joins, &num_joins);
        crackle_free(joins);
        joins = NULL;
        if (status == CRACKLE_OK)
            status = crackle_graph_join(places, s.radii, n, s.edges, 0, 9, 1, NULL, &joins, &num_joins);
        crackle_free(joins);
        if (status == CRACKLE_OK)
            status = crackle_graph_remove_ticks(places, n, s.edges, s.num_edges, 3, &left);
    }
    crackle_free(s.vertices);
    crackle_free(s.radii);
    crackle_free(s.edges);
    crackle_free(line.vertices);
    crackle_free(line.radii);
    crackle_free(line.edges);
    crackle_free(filled);
    crackle_runs_free(runs);
    crackle_runs_free(copy);
    crackle_tracer_free(t);
    return status;
}

/* Calls everything that allocates. '*label_format_ret' is that of the stream. */
static crackle_status work(struct crackle_volume *v, struct crackle_volume *out, struct crackle_volume *mask,
                           const struct crackle_options *options, int *label_format_ret)
{
    struct crackle_parts parts;
    struct crackle_header h;
    uint8_t *stream = NULL, *edited = NULL;
    size_t nbytes, edited_nbytes;
    uint64_t count, table[4096], components;
    static struct crackle_extent extents[4096];
    static uint64_t per_entry[4096];
    uint8_t selected[4096] = {1}, slices[SIDE];
    struct crackle_label_extent *rows = NULL;
    uint64_t *labels = NULL;
    crackle_status status = crackle_encode(v, options, &stream, &nbytes);

    if (status == CRACKLE_OK && v->fortran_order)
        status = crackle_measure_volume(v, 0, v->sz, 0, &rows, &count);
    crackle_free(rows);
    if (status == CRACKLE_OK && v->fortran_order)
        status = crackle_volume_labels(v, 0, v->sz, &labels, &count);
    crackle_free(labels);
    if (status == CRACKLE_OK)
        status = crackle_read_header(stream, nbytes, &h, NULL);
    if (status == CRACKLE_OK)
        *label_format_ret = h.label_format;
    if (status == CRACKLE_OK)
        status = crackle_split(stream, nbytes, &parts, NULL);
    if (status == CRACKLE_OK)
        status = crackle_decode(&parts, 0, v->sz, 0, out, 0, NULL);
    if (status == CRACKLE_OK)
        status = crackle_decode_mask(&parts, 3, v->sz, 0, 1, mask, 0, NULL);
    if (status == CRACKLE_OK)
        status = crackle_table_size(&parts, &count, NULL);
    if (status == CRACKLE_OK)
        status = crackle_measure(&parts, 0, v->sz, 0, 1, v->sx, 0, v->sy, extents, count, NULL);
    if (status == CRACKLE_OK)
        status = crackle_slices_with(&parts, 0, selected, count, slices, NULL);
    if (status == CRACKLE_OK)
        status = crackle_check_slice(&parts, 1, &components, NULL);
    if (status == CRACKLE_OK)
        status = crackle_table_size(&parts, &count, NULL);
    if (status == CRACKLE_OK)
        status = crackle_read_table(&parts, 0, table, count, NULL);
    if (status == CRACKLE_OK)
        status = all_operations(stream, nbytes, &parts, &h, 0, selected, per_entry, count, NULL);
    if (status == CRACKLE_OK && options->markov_order == 0) /* once is enough */
        status = all_of_skeletons(&parts, count);
    if (status == CRACKLE_OK)
        status = crackle_encode_constant(v, 7, 1, &edited, &edited_nbytes);
    crackle_free(edited);
    edited = NULL;
    if (status == CRACKLE_OK)
        status = crackle_relabel(stream, nbytes, table, count, 8, 0, 1, &edited, &edited_nbytes, NULL);
    crackle_free(stream);
    crackle_free(edited);
    return status;
}

static void test_options(unsigned int pins, unsigned int order, unsigned int fortran)
{
    struct crackle_options options = {1, (uint8_t)order, (uint8_t)pins, 0, 0};
    uint16_t *voxels = malloc(VOXELS * 2), *decoded = malloc(VOXELS * 2);
    uint8_t *ones = malloc(VOXELS);
    struct crackle_volume v = {voxels, VOXELS * 2, SIDE, SIDE, SIDE, 2, 0, (uint8_t)fortran};
    struct crackle_volume out = v, mask = v;
    int label_format = -1;
    long n;

    out.voxels = decoded;
    mask.voxels = ones;
    mask.nbytes = VOXELS;
    mask.width = 1;
    /* Without pins: narrow stripes, which take permissible cracks. With pins: slightly tilted columns. */
    for (unsigned int z = 0; z < SIDE; z++)
        for (unsigned int y = 0; y < SIDE; y++)
            for (unsigned int x = 0; x < SIDE; x++) {
                unsigned int i = x + SIDE * (y + SIDE * z);

                voxels[fortran ? i : z + SIDE * (y + SIDE * x)] =
                    (uint16_t)(pins ? (x + z / 8) / 5 + 10 * (y / 5) : (i / 5) % 7 + 10 * (z / 9));
            }
    for (n = 0; n < 100000; n++) {
        crackle_status status;

        until_failure = n;
        status = work(&v, &out, &mask, &options, &label_format);
        if (until_failure >= 0) {
            CHECK(status == CRACKLE_OK); /* there are fewer allocations */
            break;
        }
        /* Guessing the crack format works without memory. */
        CHECK(status == CRACKLE_NO_MEMORY || status == CRACKLE_OK);
    }
    until_failure = -1;
    CHECK(n > 20 && n < 100000);
    CHECK(label_format == (pins ? 2 : 0));
    CHECK(memcmp(voxels, decoded, VOXELS * 2) == 0);
    free(voxels);
    free(decoded);
    free(ones);
}

/* -------------------------------- Stopping -------------------------------- */

/* A model pays off only with enough cracks. */
enum { LARGER = 24, LARGER_VOXELS = LARGER * LARGER * LARGER };

/* The calls that can be stopped, on one volume and its stream. */
struct stoppable {
    struct crackle_volume volume;
    struct crackle_options options;
    uint8_t *stream;
    size_t nbytes;
    struct crackle_parts parts;
    crackle_part *encoded, *recompressed;
    uint64_t count;
};

enum { ASSEMBLE, REASSEMBLE, SURFACE, NUM_CALLS };

static crackle_status call(const struct stoppable *s, int number, uint8_t **out, size_t *nbytes)
{
    uint8_t selected[4096];
    uint64_t per_entry[4096];
    void *points = NULL;
    crackle_status status;

    switch (number) {
    case ASSEMBLE:
        return crackle_assemble(&s->volume, &s->options, &s->encoded, 1, &stop, out, nbytes);
    case REASSEMBLE:
        return crackle_reassemble(s->stream, s->nbytes, s->options.markov_order, &s->recompressed, 1, &stop, out,
                                  nbytes, NULL);
    default:
        memset(selected, 1, sizeof(selected));
        status = crackle_surface(&s->parts, 0, LARGER, 0, selected, s->count, 2, &stop, &points, per_entry, NULL);
        if (status == CRACKLE_OK) {
            *nbytes = 0;
            for (uint64_t i = 0; i < s->count; i++)
                *nbytes += 6 * (size_t)per_entry[i];
            *out = points;
        }
        return status;
    }
}

/* Stop a call before it begins, and at each of its allocations. It must stop, or return the full result. */
static void check_stopping(const struct stoppable *s, int number, int has_to_stop)
{
    uint8_t *right = NULL, *out;
    size_t right_nbytes = 0, nbytes;
    unsigned int num_stopped = 0;
    crackle_status status;
    long n;

    stop = 0;
    CHECK(call(s, number, &right, &right_nbytes) == CRACKLE_OK);
    stops_instead = 1;
    for (n = -1; n < 100000; n++) {
        out = NULL;
        stop = n < 0;
        until_failure = n;
        status = call(s, number, &out, &nbytes);
        CHECK(status == CRACKLE_OK || (status == CRACKLE_STOPPED && stop && !out));
        CHECK(status != CRACKLE_OK || (nbytes == right_nbytes && memcmp(out, right, nbytes) == 0));
        crackle_free(out);
        num_stopped += status == CRACKLE_STOPPED;
        if (until_failure >= 0)
            break; /* there are fewer allocations */
    }
    CHECK(n > 0 && n < 100000 && !stop && status == CRACKLE_OK);
    CHECK(has_to_stop ? num_stopped > n / 2 : num_stopped == 0);
    stops_instead = 0;
    until_failure = -1;
    crackle_free(right);
}

static void test_stopping(unsigned int pins, unsigned int order, unsigned int fortran)
{
    const struct crackle_volume volume = {NULL, LARGER_VOXELS, LARGER, LARGER, LARGER, 1, 0, 0};
    uint8_t *voxels = malloc(LARGER_VOXELS);
    struct stoppable s;

    /* Columns, with enough other voxels for a model of order 6. */
    for (unsigned int i = 0; i < LARGER_VOXELS; i++) {
        const unsigned int x = fortran ? i % LARGER : i / LARGER / LARGER, y = i / LARGER % LARGER;

        voxels[i] = (uint8_t)(i * 2654435761u >> 24 & 3 ? x / 5 + 10 * (y / 5) : 100);
    }
    memset(&s, 0, sizeof(s));
    s.volume = volume;
    s.options.format_version = 1;
    s.volume.voxels = voxels;
    s.volume.fortran_order = (uint8_t)fortran;
    s.options.pins = (uint8_t)pins;
    s.options.markov_order = (uint8_t)order;
    CHECK(crackle_encode(&s.volume, &s.options, &s.stream, &s.nbytes) == CRACKLE_OK);
    CHECK(crackle_split(s.stream, s.nbytes, &s.parts, NULL) == CRACKLE_OK);
    CHECK(crackle_table_size(&s.parts, &s.count, NULL) == CRACKLE_OK);
    CHECK(crackle_encode_part(&s.volume, 0, LARGER, 0, &s.encoded) == CRACKLE_OK);
    CHECK(crackle_recompress_part(&s.parts, 0, LARGER, 0, 0, &s.recompressed, NULL) == CRACKLE_OK);
    check_stopping(&s, ASSEMBLE, pins || order);
    check_stopping(&s, REASSEMBLE, pins || order);
    check_stopping(&s, SURFACE, 1);
    crackle_part_free(s.encoded);
    crackle_part_free(s.recompressed);
    crackle_free(s.stream);
    free(voxels);
}

int main(void)
{
    const unsigned int orders[] = {0, 2, 6, CRACKLE_MARKOV_AUTO};

    for (unsigned int pins = 0; pins < 3; pins++)
        for (unsigned int i = 0; i < (pins ? 2 : 4); i++)
            test_stopping(pins, orders[i], pins != 1);
    for (unsigned int pins = 0; pins < 3; pins++)
        for (unsigned int order = 0; order < 3; order += 2)
            for (unsigned int fortran = 0; fortran < 2; fortran++)
                test_options(pins, order, fortran);
    return report("no memory");
}
