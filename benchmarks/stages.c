/*
 * stages.c - the time of each stage of the codec, for stages.py
 *
 *   stages FILE SX SY SZ WIDTH REPEATS
 *
 * FILE holds the labels of a volume, x fastest.  Every slice goes through the stages of encoding and back through those
 * of decoding, in the order in which encode_part.c and reading.c call them.  Each line of the output is a stage and its
 * time for the whole volume in milliseconds, the least of all repeats.
 */
#define _POSIX_C_SOURCE 199309L /* clock_gettime() */
#include <stdio.h>
#include <time.h>

#include "codec/boundary.h"
#include "codec/components.h"
#include "codec/moves.h"
#include "codec/paint.h"
#include "codec/trace.h"

enum stage {
    BOUNDARY,
    COMPONENTS,
    CHECKSUM,
    TRACE,
    WRITE,
    READ,
    WALK,
    COMPONENTS_AGAIN,
    CHECKSUM_AGAIN,
    PAINT,
    NUM_STAGES
};

static const char *const names[NUM_STAGES] = {
    "labels -> bitmaps", "bitmaps -> components", "components -> checksum", "bitmaps -> moves", "moves -> bytes",
    "bytes -> moves", "moves -> bitmaps", "bitmaps -> components, decoding", "components -> checksum, decoding",
    "components -> voxels",
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

struct stages {
    struct ck_bitmaps bitmaps;
    struct ck_components components;
    struct ck_image_crc image_crc;
    struct ck_tracer tracer;
    struct ck_chains chains;
    struct ck_bytes code;
    u64 *labels;
    u64 *scratch;
};

static int run_slice(struct stages *r, const u8 *slice, unsigned int width, u8 *painted, double ms[NUM_STAGES])
{
    struct ck_bitmaps *b = &r->bitmaps;
    double at = now(), then;
    enum stage stage = BOUNDARY;

#define STAGE_ENDS (then = at, at = now(), ms[stage++] += at - then)
    ck_find_boundaries(slice, width, b);
    STAGE_ENDS;
    if (ck_find_components(&r->components, b) != CRACKLE_OK)
        return 0;
    STAGE_ENDS;
    ck_components_crc(&r->image_crc, &r->components);
    STAGE_ENDS;
    if (ck_trace(&r->tracer, b, ck_count_horizontal(b) + ck_count_vertical(b), &r->chains) != CRACKLE_OK)
        return 0;
    STAGE_ENDS;
    r->code.size = 0;
    if (ck_write_crack_code(&r->chains, b, &r->code) != CRACKLE_OK)
        return 0;
    STAGE_ENDS;
    if (ck_read_crack_code(r->code.data, r->code.size, NULL, b, &r->chains) != CRACKLE_OK)
        return 0;
    STAGE_ENDS;
    if (ck_walk(&r->chains, b) != CRACKLE_OK)
        return 0;
    STAGE_ENDS;
    if (ck_find_components(&r->components, b) != CRACKLE_OK)
        return 0;
    STAGE_ENDS;
    ck_components_crc(&r->image_crc, &r->components);
    for (size_t i = 0; i < r->components.count; i++) {
        const u8 *voxel = slice + r->components.first[i] * width;

        r->labels[i] = ck_load(voxel, width);
    }
    STAGE_ENDS;
    ck_paint(&r->components, r->labels, painted, width, CK_TO_MEMORY, r->scratch);
    STAGE_ENDS;
#undef STAGE_ENDS
    return memcmp(slice, painted, (size_t)b->sx * b->sy * width) == 0;
}

int main(int argc, char **argv)
{
    struct stages r = {0};
    double best[NUM_STAGES];
    u8 *voxels, *painted;
    size_t slice_nbytes, nbytes;
    u32 sx, sy, sz;
    unsigned int width;
    int repeats;
    FILE *file;

    if (argc != 7) {
        fprintf(stderr, "usage: stages FILE SX SY SZ WIDTH REPEATS\n");
        return 2;
    }
    sx = (u32)strtoul(argv[2], NULL, 10);
    sy = (u32)strtoul(argv[3], NULL, 10);
    sz = (u32)strtoul(argv[4], NULL, 10);
    width = (unsigned int)strtoul(argv[5], NULL, 10);
    repeats = (int)strtol(argv[6], NULL, 10);
    slice_nbytes = (size_t)sx * sy * width;
    nbytes = slice_nbytes * sz;
    voxels = malloc(nbytes);
    painted = calloc(nbytes, 1);
    r.labels = malloc((size_t)sx * sy * sizeof(u64));
    r.scratch = malloc((size_t)ck_paint_scratch(sx, 1) * sizeof(u64));
    file = fopen(argv[1], "rb");
    if (!file || !voxels || !painted || !r.labels || !r.scratch || fread(voxels, 1, nbytes, file) != nbytes ||
        !ck_bitmaps_init(&r.bitmaps, sx, sy) || !ck_components_init(&r.components, sx, sy) ||
        !ck_image_crc_init(&r.image_crc, sx) || !ck_tracer_init(&r.tracer, &r.bitmaps)) {
        fprintf(stderr, "stages: no memory, or not a volume of that size: %s\n", argv[1]);
        return 1;
    }
    fclose(file);
    for (int repeat = 0; repeat < repeats; repeat++) {
        double ms[NUM_STAGES] = {0};

        for (u32 z = 0; z < sz; z++)
            if (!run_slice(&r, voxels + z * slice_nbytes, width, painted + z * slice_nbytes, ms)) {
                fprintf(stderr, "stages: slice %lu did not come back\n", (unsigned long)z);
                return 1;
            }
        for (int i = 0; i < NUM_STAGES; i++)
            best[i] = repeat == 0 || ms[i] < best[i] ? ms[i] : best[i];
    }
    for (int i = 0; i < NUM_STAGES; i++)
        printf("%s\t%.3f\n", names[i], best[i]);
    return 0;
}
