/*
 * skeleton_stages.c - the time of each stage of tracing skeletons, for skeletons.py
 *
 *   skeleton_stages FILE
 *
 * FILE holds 64-bit numbers: the size of the volume, how many objects there are, and where the runs of each begin, with
 * the end of the last; then the parameters as doubles; then the runs, four 32-bit numbers each.  Every object is
 * traced.  Each line of the output is a stage and its milliseconds for all objects.
 *
 * The linker puts a stopwatch around the functions named here (--wrap), so the library is that which users have.
 */
#define _POSIX_C_SOURCE 199309L /* clock_gettime() */
#include <stdio.h>
#include <time.h>

#include "crackle.h"
#include "skeleton/border_targets.h"
#include "skeleton/tracer.h"

enum stage {
    BORDERS,
    PLACES,
    DISTANCE,
    GEODESIC,
    PENALTY,
    FIRST_PATH,
    LATER_PATHS,
    INVALIDATION,
    REST,
    NUM_STAGES
};

static const char *const names[NUM_STAGES] = {
    "border targets",          "runs -> places", "distance field", "geodesic fields",
    "penalties",               "first paths",    "later paths",    "invalidation",
    "targets, vertices, rest",
};

static double spent[NUM_STAGES];

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Define the stopwatch around a function: what the linker calls in its place. */
#define WATCH(stage, name, parameters, arguments)      \
    crackle_status __real_##name parameters;           \
    crackle_status __wrap_##name parameters;           \
    crackle_status __wrap_##name parameters            \
    {                                                  \
        const double begin = now();                    \
        const crackle_status status = __real_##name arguments; \
                                                       \
        spent[stage] += now() - begin;                 \
        return status;                                 \
    }

WATCH(BORDERS, ck_border_targets,
      (const struct ck_run *runs, u64 count, const u32 *size, const double *voxel_size, unsigned int faces, u32 **points,
       u64 *num_points),
      (runs, count, size, voxel_size, faces, points, num_points))
WATCH(PLACES, ck_places_init, (struct ck_places *p, const struct ck_run *runs, u64 count), (p, runs, count))
WATCH(DISTANCE, ck_distance_field,
      (const struct ck_places *p, struct ck_fields *f, const u32 *size, int is_bounded, const double *voxel_size,
       const volatile int32_t *stop, float *largest),
      (p, f, size, is_bounded, voxel_size, stop, largest))
WATCH(GEODESIC, ck_geodesic_field, (struct crackle_tracer *t, u32 root, int is_ordered, u32 *farthest),
      (t, root, is_ordered, farthest))
WATCH(FIRST_PATH, ck_path_to_root, (struct crackle_tracer *t, u32 target, u32 root), (t, target, root))
WATCH(LATER_PATHS, ck_path_to_rail, (struct crackle_tracer *t, u32 target), (t, target))
WATCH(INVALIDATION, ck_invalidate,
      (struct crackle_tracer *t, const u32 *seeds, size_t count, double scale, double constant),
      (t, seeds, count, scale, constant))

void __real_ck_penalty_field(struct crackle_tracer *t, float radius, float geodesic, double scale, double exponent);
void __wrap_ck_penalty_field(struct crackle_tracer *t, float radius, float geodesic, double scale, double exponent);
void __wrap_ck_penalty_field(struct crackle_tracer *t, float radius, float geodesic, double scale, double exponent)
{
    const double begin = now();

    __real_ck_penalty_field(t, radius, geodesic, scale, exponent);
    spent[PENALTY] += now() - begin;
}

static int trace_all(const crackle_runs *runs, u64 count, const struct crackle_teasar *p)
{
    crackle_tracer *t = crackle_tracer_new();
    const double begin = now();

    for (u64 object = 0; t && object < count; object++) {
        struct crackle_skeleton s;

        if (crackle_trace(t, runs, object, p, NULL, 0, NULL, 0, NULL, &s) != CRACKLE_OK)
            return 0;
        crackle_free(s.vertices);
        crackle_free(s.radii);
        crackle_free(s.edges);
    }
    spent[REST] = now() - begin;
    for (int stage = 0; stage < REST; stage++)
        spent[REST] -= spent[stage];
    crackle_tracer_free(t);
    return t != NULL;
}

int main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    u64 head[4], *begin = NULL;
    double numbers[11];
    struct crackle_teasar p = {0};
    u32 *runs = NULL;
    crackle_runs *made = NULL;

    if (!file || fread(head, sizeof(head), 1, file) != 1)
        return 1;
    begin = ck_malloc(head[3] + 1, sizeof(*begin));
    if (!begin || fread(begin, sizeof(*begin), (size_t)head[3] + 1, file) != head[3] + 1)
        return 1;
    runs = ck_malloc(begin[head[3]], 4 * sizeof(*runs));
    if (!runs || fread(numbers, sizeof(numbers), 1, file) != 1 ||
        fread(runs, 4 * sizeof(*runs), (size_t)begin[head[3]], file) != begin[head[3]])
        return 1;
    fclose(file);
    memcpy(p.voxel_size, numbers, sizeof(p.voxel_size));
    p.scale = numbers[3];
    p.constant = numbers[4];
    p.pdrf_scale = numbers[5];
    p.pdrf_exponent = numbers[6];
    p.soma_detection = numbers[7];
    p.soma_acceptance = numbers[8];
    p.soma_scale = numbers[9];
    p.soma_constant = numbers[10];
    p.max_paths = UINT64_MAX;
    p.fix_branching = 1;
    p.border_faces = 63;
    if (crackle_runs_make((u32)head[0], (u32)head[1], (u32)head[2], runs, begin, head[3], &made) != CRACKLE_OK ||
        !trace_all(made, head[3], &p))
        return 1;
    for (int stage = 0; stage < NUM_STAGES; stage++)
        printf("%s\t%.3f\n", names[stage], spent[stage]);
    return 0;
}
