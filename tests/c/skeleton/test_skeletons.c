/*
 * test_skeletons.c - skeletons of random tubes: trees of neighbours, radii as measured one by one, everything accounted
 * for; and skeletons as graphs, compared with plain computations
 */
#include <math.h>

#include "check.h"
#include "crackle.h"
#include "objects.h"

static struct crackle_teasar parameters(double scale, double constant)
{
    struct crackle_teasar p;

    memset(&p, 0, sizeof(p));
    for (int axis = 0; axis < 3; axis++)
        p.voxel_size[axis] = 1;
    p.scale = scale;
    p.constant = constant;
    p.pdrf_scale = 100000;
    p.pdrf_exponent = 4;
    p.soma_detection = p.soma_acceptance = INFINITY;
    p.max_paths = UINT64_MAX;
    p.fix_branching = 1;
    p.border_faces = 63;
    return p;
}

static double apart2(const struct crackle_teasar *p, const uint32_t *a, const uint32_t *b)
{
    double sum = 0;

    for (int axis = 0; axis < 3; axis++) {
        const double away = ((double)a[axis] - b[axis]) * p->voxel_size[axis];

        sum += away * away;
    }
    return sum;
}

/* The distance to the nearest voxel of the volume outside. */
static double radius_at(const struct box *b, const uint8_t *volume, const struct crackle_teasar *p, const uint32_t *at)
{
    double least = INFINITY;

    for (uint32_t z = 0; z < b->sz; z++)
        for (uint32_t y = 0; y < b->sy; y++)
            for (uint32_t x = 0; x < b->sx; x++) {
                const uint32_t point[3] = {x, y, z};
                double away;

                if (volume[place_in(b, x, y, z)])
                    continue;
                away = apart2(p, at, point);
                least = away < least ? away : least;
            }
    return sqrt(least);
}

static uint32_t find(uint32_t *parent, uint32_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

static void free_skeleton(struct crackle_skeleton *s)
{
    crackle_free(s->vertices);
    crackle_free(s->radii);
    crackle_free(s->edges);
}

static void check_tree(const struct crackle_skeleton *s)
{
    uint32_t *parent = malloc((size_t)(s->num_vertices + 1) * sizeof(*parent));

    CHECK(s->num_edges + 1 == s->num_vertices);
    for (uint64_t v = 0; v < s->num_vertices; v++)
        parent[v] = (uint32_t)v;
    for (uint64_t i = 0; i < s->num_edges; i++) {
        const uint32_t a = s->edges[2 * i], b = s->edges[2 * i + 1];

        CHECK(a < b && b < s->num_vertices);
        for (int axis = 0; axis < 3; axis++)
            CHECK(s->vertices[3 * a + axis] + 1 - s->vertices[3 * b + axis] <= 2);
        CHECK(find(parent, a) != find(parent, b));
        parent[find(parent, a)] = find(parent, b);
    }
    free(parent);
}

static void check_coverage(const struct box *b, const uint8_t *volume, const struct crackle_teasar *p,
                           const struct crackle_skeleton *s)
{
    for (uint32_t z = 0; z < b->sz; z++)
        for (uint32_t y = 0; y < b->sy; y++)
            for (uint32_t x = 0; x < b->sx; x++) {
                const uint32_t point[3] = {x, y, z};
                int is_covered = !volume[place_in(b, x, y, z)];

                for (uint64_t v = 0; !is_covered && v < s->num_vertices; v++) {
                    const double reach = p->scale * s->radii[v] + p->constant;
                    const double away2 = apart2(p, point, s->vertices + 3 * v);

                    is_covered = away2 == 0 || away2 < reach * reach * (1 + 1e-6);
                }
                CHECK(is_covered);
            }
}

static void test_tubes(crackle_tracer *used)
{
    static const double sizes[][3] = {{1, 1, 1}, {16, 16, 40}, {1e-3, 1, 2}, {1, 1e6, 1}, {5, 1, 0.25}};

    for (unsigned int round = 0; round < 120 / FEWER + 5; round++) {
        const struct box b = {(uint32_t)(1 + random_number(24)), (uint32_t)(1 + random_number(20)), (uint32_t)(1 + random_number(16))};
        uint8_t *volume = malloc((size_t)b.sx * b.sy * b.sz);
        struct crackle_teasar p = parameters((double)random_number(3), (double)random_number(8));
        crackle_tracer *fresh = crackle_tracer_new();
        struct crackle_skeleton one, other;
        crackle_runs *runs = NULL;
        size_t voxels = 0;
        int is_solid = 1;

        draw_tube(&b, volume, (unsigned int)random_number(200) + 1, (unsigned int)random_number(3));
        for (size_t i = 0; i < (size_t)b.sx * b.sy * b.sz; i++) {
            voxels += volume[i];
            is_solid &= volume[i];
        }
        memcpy(p.voxel_size, sizes[round % 5], sizeof(p.voxel_size));
        p.fix_branching = (uint8_t)random_number(2);
        p.border_faces = (uint8_t)random_number(64);
        CHECK(object_in(&b, volume, 1, &runs) == CRACKLE_OK);
        CHECK(crackle_trace(used, runs, 0, &p, NULL, 0, NULL, 0, NULL, &one) == CRACKLE_OK);
        CHECK(crackle_trace(fresh, runs, 0, &p, NULL, 0, NULL, 0, NULL, &other) == CRACKLE_OK);
        CHECK(one.num_vertices == other.num_vertices && one.num_edges == other.num_edges);
        if (voxels < 2) {
            CHECK(one.num_vertices == 0);
        } else {
            CHECK(memcmp(one.vertices, other.vertices, (size_t)one.num_vertices * 12) == 0);
            CHECK(memcmp(one.edges, other.edges, (size_t)one.num_edges * 8) == 0);
            check_tree(&one);
            check_coverage(&b, volume, &p, &one);
            for (uint64_t v = 0; v < one.num_vertices; v++) {
                const uint32_t *at = one.vertices + 3 * v;

                CHECK(volume[place_in(&b, at[0], at[1], at[2])]);
                if (!is_solid)
                    CHECK(fabs(one.radii[v] / radius_at(&b, volume, &p, at) - 1) < 1e-5);
            }
        }
        free_skeleton(&one);
        free_skeleton(&other);
        crackle_runs_free(runs);
        crackle_tracer_free(fresh);
        free(volume);
    }
}

/* Plates so wide that distances are no longer found by looking around, along y or along z, with pits here and there. */
static void test_thick(crackle_tracer *t)
{
    for (unsigned int round = 0; round < 4; round++) {
        const uint32_t wide = (uint32_t)(136 + random_number(20)), flat = (uint32_t)(1 + random_number(3));
        const struct box b = {wide, round % 2 ? flat : wide, round % 2 ? wide : flat};
        struct crackle_teasar p = parameters(0.5, 2);
        uint8_t *volume = malloc((size_t)b.sx * b.sy * b.sz);
        struct crackle_skeleton s;
        crackle_runs *runs = NULL;
        float largest = 0;
        uint32_t widest[3];

        p.voxel_size[round % 3] = 1.5;
        p.max_paths = 3;
        memset(volume, 1, (size_t)b.sx * b.sy * b.sz);
        for (uint32_t i = 0; i < (round < 2 ? 1 : 4); i++) /* near a corner: the opposite one is far */
            volume[place_in(&b, (uint32_t)random_number(12), round % 2 ? 0 : (uint32_t)random_number(12),
                            round % 2 ? (uint32_t)random_number(12) : 0)] = 0;
        CHECK(object_in(&b, volume, 1, &runs) == CRACKLE_OK);
        CHECK(crackle_widest(t, runs, 0, &p, NULL, &largest, widest) == CRACKLE_OK);
        CHECK(largest > 90 && fabs(largest / radius_at(&b, volume, &p, widest) - 1) < 1e-5);
        CHECK(crackle_trace(t, runs, 0, &p, NULL, 0, NULL, 0, NULL, &s) == CRACKLE_OK);
        CHECK(s.num_vertices > 0);
        for (uint64_t v = 0; v < s.num_vertices; v++)
            CHECK(fabs(s.radii[v] / radius_at(&b, volume, &p, s.vertices + 3 * v) - 1) < 1e-5);
        free_skeleton(&s);
        crackle_runs_free(runs);
        free(volume);
    }
}

/* Targets of the caller are vertices, and the number of paths keeps its limit. */
static void test_targets(crackle_tracer *t)
{
    const struct box b = {30, 12, 12};
    uint8_t *volume = calloc((size_t)b.sx * b.sy * b.sz, 1);
    const uint32_t before[6] = {3, 3, 3, 20, 8, 8}, after[6] = {9, 4, 6, 0, 0, 0};
    struct crackle_teasar p = parameters(4, 50);
    struct crackle_skeleton s;
    crackle_runs *runs = NULL;
    unsigned int found = 0;

    for (uint32_t z = 2; z < 10; z++)
        for (uint32_t y = 2; y < 10; y++)
            for (uint32_t x = 2; x < 28; x++)
                volume[place_in(&b, x, y, z)] = 1;
    CHECK(object_in(&b, volume, 1, &runs) == CRACKLE_OK);
    CHECK(crackle_trace(t, runs, 0, &p, before, 2, after, 2, NULL, &s) == CRACKLE_OK);
    for (uint64_t v = 0; v < s.num_vertices; v++)
        for (int i = 0; i < 2; i++)
            found += memcmp(s.vertices + 3 * v, before + 3 * i, 12) == 0 ||
                     (i == 0 && memcmp(s.vertices + 3 * v, after, 12) == 0);
    CHECK(found == 3); /* the voxel (0, 0, 0) is outside */
    free_skeleton(&s);
    for (p.max_paths = 0; p.max_paths < 3; p.max_paths++) {
        CHECK(crackle_trace(t, runs, 0, &p, before, 2, after, 2, NULL, &s) == CRACKLE_OK);
        CHECK(s.num_paths == p.max_paths);
        free_skeleton(&s);
    }
    {
        volatile int32_t stop = 1;

        CHECK(crackle_trace(t, runs, 0, &p, before, 2, after, 2, &stop, &s) == CRACKLE_STOPPED);
        CHECK(s.vertices == NULL);
    }
    CHECK(crackle_connect(t, runs, 0, &p, before, before + 3, NULL, &s) == CRACKLE_OK);
    CHECK(s.num_edges + 1 == s.num_vertices);
    CHECK(memcmp(s.vertices, before + 3, 12) == 0);
    CHECK(memcmp(s.vertices + 3 * (s.num_vertices - 1), before, 12) == 0);
    free_skeleton(&s);
    CHECK(crackle_connect(t, runs, 0, &p, before, after + 3, NULL, &s) == CRACKLE_BAD_ARGUMENT);
    crackle_runs_free(runs);
    free(volume);
}

static void test_bad_arguments(crackle_tracer *t)
{
    const struct box b = {6, 1, 1};
    const uint8_t two_pieces[6] = {1, 1, 0, 0, 1, 1};
    struct crackle_teasar p = parameters(1, 1);
    struct crackle_skeleton s;
    crackle_runs *runs = NULL;
    const uint32_t bad[][4] = {{0, 0, 0, 0}, {3, 2, 0, 0}, {0, 7, 0, 0}, {0, 1, 1, 0}, {0, 1, 0, 1}};

    CHECK(object_in(&b, two_pieces, 1, &runs) == CRACKLE_OK);
    CHECK(crackle_trace(t, runs, 0, &p, NULL, 0, NULL, 0, NULL, &s) == CRACKLE_BAD_ARGUMENT); /* not connected */
    p.fix_branching = 0;
    CHECK(crackle_trace(t, runs, 0, &p, NULL, 0, NULL, 0, NULL, &s) == CRACKLE_BAD_ARGUMENT);
    CHECK(crackle_trace(t, runs, 1, &p, NULL, 0, NULL, 0, NULL, &s) == CRACKLE_BAD_ARGUMENT);
    for (int axis = 0; axis < 3; axis++) {
        static const double wrong[] = {0, -1, 1e-12, 1e12, INFINITY};

        for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
            struct crackle_teasar q = p;

            q.voxel_size[axis] = wrong[i];
            CHECK(crackle_trace(t, runs, 0, &q, NULL, 0, NULL, 0, NULL, &s) == CRACKLE_BAD_ARGUMENT);
        }
    }
    p.scale = -1;
    CHECK(crackle_trace(t, runs, 0, &p, NULL, 0, NULL, 0, NULL, &s) == CRACKLE_BAD_ARGUMENT);
    crackle_runs_free(runs);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        const uint64_t begin[2] = {0, 1};

        CHECK(crackle_runs_make(6, 1, 1, bad[i], begin, 1, &runs) == CRACKLE_BAD_ARGUMENT);
    }
    {
        const uint32_t touching[8] = {0, 2, 0, 0, 2, 3, 0, 0}, descending[8] = {4, 5, 0, 0, 1, 2, 0, 0};
        const uint64_t begin[2] = {0, 2};

        CHECK(crackle_runs_make(6, 1, 1, touching, begin, 1, &runs) == CRACKLE_BAD_ARGUMENT);
        CHECK(crackle_runs_make(6, 1, 1, descending, begin, 1, &runs) == CRACKLE_BAD_ARGUMENT);
    }
}

/* Voids: what a flood over faces from the faces of the bounding box does not reach. */
static void test_voids(void)
{
    for (unsigned int round = 0; round < 300 / FEWER + 5; round++) {
        const struct box b = {(uint32_t)(1 + random_number(9)), (uint32_t)(1 + random_number(9)),
                              (uint32_t)(1 + random_number(9))};
        const size_t count = (size_t)b.sx * b.sy * b.sz;
        uint8_t *volume = calloc(count, 1), *outside = calloc(count, 1);
        const unsigned int percent = 55 + (unsigned int)random_number(40), is_planar = (unsigned int)random_number(2);
        uint32_t low[3] = {99, 99, 99}, high[3] = {0, 0, 0}, *runs, *filled = NULL;
        uint64_t num_runs, num_filled = 0, expected = 0, got = 0;
        int changed = 1;

        for (size_t i = 0; i < count; i++)
            volume[i] = random_number(100) < percent;
        for (uint32_t z = 0; z < b.sz; z++)
            for (uint32_t y = 0; y < b.sy; y++)
                for (uint32_t x = 0; x < b.sx; x++) {
                    const uint32_t at[3] = {x, y, z};

                    if (volume[place_in(&b, x, y, z)])
                        for (int axis = 0; axis < 3; axis++) {
                            low[axis] = at[axis] < low[axis] ? at[axis] : low[axis];
                            high[axis] = at[axis] > high[axis] ? at[axis] : high[axis];
                        }
                }
        runs = runs_in(&b, volume, 1, &num_runs);
        if (num_runs && !is_planar) {
            while (changed) {
                changed = 0;
                for (uint32_t z = low[2]; z <= high[2]; z++)
                    for (uint32_t y = low[1]; y <= high[1]; y++)
                        for (uint32_t x = low[0]; x <= high[0]; x++) {
                            const size_t i = place_in(&b, x, y, z);

                            if (volume[i] || outside[i])
                                continue;
                            if (x == low[0] || x == high[0] || y == low[1] || y == high[1] || z == low[2] ||
                                z == high[2] || outside[i - 1] || outside[i + 1] || outside[i - b.sx] ||
                                outside[i + b.sx] || outside[i - (size_t)b.sx * b.sy] ||
                                outside[i + (size_t)b.sx * b.sy])
                                outside[i] = changed = 1;
                        }
            }
            for (uint32_t z = low[2]; z <= high[2]; z++)
                for (uint32_t y = low[1]; y <= high[1]; y++)
                    for (uint32_t x = low[0]; x <= high[0]; x++)
                        expected += !outside[place_in(&b, x, y, z)];
            CHECK(crackle_fill_voids(runs, num_runs, 0, &filled, &num_filled) == CRACKLE_OK);
            for (uint64_t i = 0; i < (filled ? num_filled : num_runs); i++)
                got += (filled ? filled : runs)[4 * i + 1] - (filled ? filled : runs)[4 * i];
            CHECK(got == expected);
        } else {
            CHECK(crackle_fill_voids(runs, num_runs, (int)is_planar, &filled, &num_filled) == CRACKLE_OK);
        }
        crackle_free(filled);
        free(runs);
        free(volume);
        free(outside);
    }
}

/* Random graphs: loops opened, components joined, ticks removed; all that is promised of them. */
static void test_graphs(void)
{
    enum { MOST = 24 };

    for (unsigned int round = 0; round < 2000 / FEWER + 20; round++) {
        const uint32_t n = 1 + (uint32_t)random_number(MOST), m = (uint32_t)random_number(40);
        float vertices[3 * MOST], radii[MOST];
        uint32_t edges[80], kept[MOST], made[80], numbers[MOST], parent[MOST], order[MOST];
        uint32_t *joins = NULL, *paths = NULL;
        uint64_t num_kept, num_made, num_left, count, num_joins, length, *ends = NULL, num_paths, steps = 0;

        for (uint32_t i = 0; i < n; i++) {
            for (int axis = 0; axis < 3; axis++)
                vertices[3 * i + axis] = (float)random_number(6);
            radii[i] = (float)random_number(5) - 1;
        }
        for (uint32_t i = 0; i < 2 * m; i++)
            edges[i] = (uint32_t)random_number(n);
        CHECK(crackle_graph_consolidate(vertices, n, edges, m, 1, kept, &num_kept, made, &num_made) == CRACKLE_OK);
        { /* from here on in the new order */
            float moved[3 * MOST];

            for (uint64_t i = 0; i < num_kept; i++) {
                memcpy(moved + 3 * i, vertices + 3 * kept[i], 3 * sizeof(float));
                CHECK(i == 0 || memcmp(moved + 3 * i, moved + 3 * (i - 1), 3 * sizeof(float)) != 0);
            }
            memcpy(vertices, moved, (size_t)num_kept * 3 * sizeof(float));
        }
        for (uint64_t i = 0; i < num_made; i++)
            CHECK(made[2 * i] < made[2 * i + 1] && made[2 * i + 1] < num_kept);
        CHECK(crackle_graph_components(num_kept, made, num_made, numbers, &count) == CRACKLE_OK);
        CHECK(crackle_graph_segments(num_kept, made, num_made, &paths, &length, &ends, &num_paths) == CRACKLE_OK);
        for (uint64_t i = 0; i < num_paths; i++)
            steps += ends[i] - (i ? ends[i - 1] : 0) - 1;
        CHECK(steps == num_made);
        crackle_free(paths);
        crackle_free(ends);
        CHECK(crackle_graph_orient(num_kept, made, num_made, NULL, 0, parent, order) == CRACKLE_OK);
        for (uint64_t i = 0, roots = 0; i < num_kept; i++) {
            roots += parent[order[i]] == UINT32_MAX;
            CHECK(i + 1 < num_kept || roots == count);
        }
        CHECK(crackle_graph_remove_loops(vertices, radii, num_kept, made, num_made, NULL, &num_left) == CRACKLE_OK);
        CHECK(num_left <= num_made);
        CHECK(crackle_graph_components(num_kept, made, num_left, numbers, &count) == CRACKLE_OK);
        CHECK(num_left + count == num_kept); /* a forest */
        CHECK(crackle_graph_join(vertices, radii, num_kept, made, num_left, INFINITY, 0, NULL, &joins, &num_joins) ==
              CRACKLE_OK);
        CHECK(num_joins + 1 == count);
        crackle_free(joins);
        joins = NULL;
        CHECK(crackle_graph_join(vertices, radii, num_kept, made, num_left, INFINITY, 1, NULL, &joins, &num_joins) ==
              CRACKLE_OK);
        CHECK(num_joins < count || count == 0);
        crackle_free(joins);
        CHECK(crackle_graph_remove_ticks(vertices, num_kept, made, num_left, 3, &num_made) == CRACKLE_OK);
        CHECK(num_made <= num_left);
        edges[0] = n;
        edges[1] = 0;
        CHECK(crackle_graph_components(n, edges, 1, numbers, &count) == CRACKLE_BAD_ARGUMENT);
        CHECK(crackle_graph_remove_loops(vertices, radii, n, edges, 1, NULL, &num_left) == CRACKLE_BAD_ARGUMENT);
    }
}

int main(void)
{
    crackle_tracer *t = crackle_tracer_new();

    test_tubes(t);
    test_thick(t);
    test_targets(t);
    test_bad_arguments(t);
    test_voids();
    test_graphs();
    crackle_tracer_free(t);
    return report("skeletons");
}
