/*
 * test_threads.c - sixteen threads at once, on shared streams and volumes
 *
 * The thread sanitizer detects when two threads access the same memory and one of them writes, even if the result is
 * right.  Some jobs belong to one thread; their results must be those of a single thread.  Others belong to all
 * threads: each decodes its slices into one volume, whose voxels are adjacent in C order, and each encodes its slices,
 * which one thread assembles.
 */
#define _POSIX_C_SOURCE 200112L /* barriers */
#include "base/crc_tables.h"
#include "operations.h"
#include "volumes.h"

#include <pthread.h>

enum { THREADS = 16, TURNS = 12, SX = 29, SY = 22, SZ = 2 * THREADS };

/* ------------------------------ Shared data ------------------------------- */

/* A volume and its stream; threads only read them. */
struct sample {
    struct labels labels;
    struct crackle_volume volume;
    struct crackle_header header;
    struct crackle_parts parts;
    uint8_t *bytes;
    size_t nbytes;
    uint64_t count, *table;
};

enum { SAMPLES = 6 };
static struct sample samples[SAMPLES];

static const struct crackle_options all_options[] = {
    {1, 0, 0, 0, 0}, {1, CRACKLE_MARKOV_AUTO, 0, 0, 0}, {0, 3, 0, 0, 0}, {1, 5, 1, 0, 0}, {1, 0, 2, 1, 7}};

/* Results of all threads together. */
static struct crackle_volume together[2], mask, graph; /* both C order; F and C order */
static crackle_part *parts_of_all[THREADS], *fewer_of_all[THREADS];

static void make_sample(struct sample *s, enum content content, int fortran, uint8_t pins, uint8_t order)
{
    const struct crackle_options options = {(uint8_t)(order != 2), order, pins, 0, 0};

    s->labels = make_labels(SX, SY, SZ, content, 2, 0);
    s->volume = volume_of(&s->labels, 2, 0, fortran);
    CHECK(crackle_encode(&s->volume, &options, &s->bytes, &s->nbytes) == CRACKLE_OK);
    CHECK(crackle_read_header(s->bytes, s->nbytes, &s->header, NULL) == CRACKLE_OK);
    CHECK(crackle_split(s->bytes, s->nbytes, &s->parts, NULL) == CRACKLE_OK);
    CHECK(crackle_table_size(&s->parts, &s->count, NULL) == CRACKLE_OK);
    s->table = malloc((size_t)s->count * sizeof(*s->table));
    CHECK(crackle_read_table(&s->parts, 0, s->table, s->count, NULL) == CRACKLE_OK);
}

static void free_sample(struct sample *s)
{
    free(s->labels.at);
    free(s->volume.voxels);
    free(s->table);
    crackle_free(s->bytes);
}

/* ------------------------------ One thread's jobs -------------------------- */

/* The CRC of all results of a job; 0 if the job failed. */
struct result {
    uint32_t crc;
    int failed;
};

static void take(struct result *r, const void *bytes, size_t nbytes)
{
    const uint8_t *byte = bytes;

    for (size_t i = 0; i < nbytes; i++)
        r->crc = r->crc >> 8 ^ ck_crc32c_table[0][(r->crc ^ byte[i]) & 0xff];
}

/* Take results whose order does not matter. */
static void take_contacts(struct result *r, const struct crackle_contact *contacts, uint64_t count)
{
    uint32_t sum = 0;

    for (uint64_t i = 0; i < count; i++) {
        struct crackle_contact c = contacts[i];
        struct result one = {0xffffffff, 0};

        c.a = contacts[i].a < contacts[i].b ? contacts[i].a : contacts[i].b;
        c.b = contacts[i].a < contacts[i].b ? contacts[i].b : contacts[i].a;
        take(&one, &c, sizeof(c));
        sum += one.crc;
    }
    take(r, &sum, sizeof(sum));
}

static void take_overlaps(struct result *r, const struct crackle_overlap *overlaps, uint64_t count)
{
    uint32_t sum = 0;

    for (uint64_t i = 0; i < count; i++) {
        struct result one = {0xffffffff, 0};

        take(&one, &overlaps[i], sizeof(overlaps[i]));
        sum += one.crc;
    }
    take(r, &sum, sizeof(sum));
}

/* Record a failure. Returns whether there was none. */
static int is_ok(struct result *r, crackle_status status)
{
    r->failed |= status != CRACKLE_OK;
    return status == CRACKLE_OK;
}

/* Take the bytes of a new stream, and free it. */
static void take_stream(struct result *r, crackle_status status, uint8_t *out, size_t nbytes)
{
    if (!is_ok(r, status))
        return;
    take(r, out, nbytes);
    crackle_free(out);
}

static void encode(const struct sample *s, struct result *r)
{
    for (size_t i = 0; i < sizeof(all_options) / sizeof(*all_options); i++) {
        uint8_t *out = NULL;
        size_t nbytes = 0;
        const crackle_status status = crackle_encode(&s->volume, &all_options[i], &out, &nbytes);

        take_stream(r, status, out, nbytes);
    }
}

static void decode(const struct sample *s, struct result *r)
{
    for (int fortran = 0; fortran < 2; fortran++) {
        struct crackle_volume out = new_volume(&s->labels, 2, 0, fortran);
        struct crackle_volume bytes = new_volume(&s->labels, 1, 0, fortran);

        is_ok(r, crackle_decode(&s->parts, 0, SZ, 0, &out, 0, NULL));
        take(r, out.voxels, out.nbytes);
        r->failed |= num_wrong(&s->labels, &out, 0, 0, SZ) != 0;
        is_ok(r, crackle_decode_mask(&s->parts, 0, SZ, 0, s->table[s->count - 1], &bytes, 0, NULL));
        take(r, bytes.voxels, bytes.nbytes);
        is_ok(r, crackle_decode_as(&s->parts, 0, SZ, 0, s->table, s->count, &out, 0, NULL));
        take(r, out.voxels, out.nbytes);
        is_ok(r, crackle_connectivity(&s->parts, 0, SZ, 0, 6, &bytes, 0, NULL));
        take(r, bytes.voxels, bytes.nbytes);
        free(out.voxels);
        free(bytes.voxels);
    }
}

static void query(const struct sample *s, struct result *r)
{
    const size_t count = (size_t)s->count;
    struct crackle_extent *extents = calloc(count, sizeof(*extents));
    struct crackle_contact *contacts = NULL;
    struct crackle_overlap *overlaps = NULL;
    uint64_t *numbers = calloc(count > SZ ? count : SZ, sizeof(*numbers)), number = 0, components;
    uint8_t *selected = calloc(count, 1), slices[SZ];
    void *points = NULL;
    int found = 0;

    for (size_t i = 0; i < count; i++)
        selected[i] = i % 3 == 0;
    is_ok(r, crackle_read_table(&s->parts, 0, numbers, s->count, NULL));
    take(r, numbers, count * sizeof(*numbers));
    is_ok(r, crackle_contains(&s->parts, 0, s->table[count / 2], &found, NULL));
    r->failed |= !found;
    is_ok(r, crackle_component_counts(&s->parts, numbers, NULL));
    take(r, numbers, SZ * sizeof(*numbers));
    is_ok(r, crackle_slices_with(&s->parts, 0, selected, s->count, slices, NULL));
    take(r, slices, sizeof(slices));
    is_ok(r, crackle_check_slice(&s->parts, SZ / 2, &components, NULL));
    take(r, &components, sizeof(components));
    is_ok(r, crackle_measure(&s->parts, 0, SZ, 0, 1, SX, 0, SY - 1, extents, s->count, NULL));
    take(r, extents, count * sizeof(*extents));
    if (is_ok(r, crackle_surface(&s->parts, 1, SZ, 0, selected, s->count, 2, NULL, &points, numbers, NULL))) {
        for (size_t i = 0; i < count; i++)
            number += numbers[i];
        take(r, points, (size_t)number * 6);
        crackle_free(points);
    }
    if (is_ok(r, crackle_contacts(&s->parts, 0, SZ, 0, &contacts, &number, NULL))) {
        take_contacts(r, contacts, number);
        crackle_free(contacts);
    }
    if (is_ok(r, crackle_overlaps(&s->parts, &samples[0].parts, 0, SZ, 0, &overlaps, &number, NULL))) {
        take_overlaps(r, overlaps, number);
        crackle_free(overlaps);
    }
    is_ok(r, crackle_equal(&s->parts, &samples[1].parts, 0, SZ, 0, &found, NULL));
    take(r, &found, sizeof(found));
    free(extents);
    free(numbers);
    free(selected);
}

static void edit(const struct sample *s, struct result *r)
{
    uint8_t *copy = exact_copy(s->bytes, s->nbytes), *out = NULL;
    uint64_t *others = malloc((size_t)s->count * sizeof(*others));
    size_t nbytes = 0;
    crackle_status status;

    for (uint64_t i = 0; i < s->count; i++)
        others[i] = s->table[i] / 2;
    status = crackle_relabel(s->bytes, s->nbytes, others, s->count, 8, 0, 1, &out, &nbytes, NULL);
    take_stream(r, status, out, nbytes);
    is_ok(r, crackle_relabel_in_place(copy, s->nbytes, others, s->count, NULL));
    take(r, copy, s->nbytes);
    free(copy);
    free(others);
}

static void rewrite(const struct sample *s, struct result *r)
{
    const struct crackle_piece pieces[2] = {{s->bytes, s->nbytes, 5, SZ}, {samples[2].bytes, samples[2].nbytes, 0, 9}};
    struct crackle_volume half = {NULL, 0, (SX + 1) / 2, (SY + 1) / 2, SZ / 2, 2, 0, 1};
    struct crackle_volume pairs = {NULL, (size_t)SX * SY * SZ * 8, SX, SY, SZ, 8, 0, 1};
    crackle_part *part = NULL;
    uint8_t *out = NULL;
    size_t nbytes = 0, piece;
    crackle_status status;

    status = crackle_stack(pieces, 2, 2, 2, 0, 1, &out, &nbytes, &piece, NULL);
    take_stream(r, status, out, nbytes);
    half.nbytes = (size_t)half.sx * half.sy * half.sz * 2;
    if (is_ok(r, crackle_pool_part(&s->parts, 0, SZ / 2, 0, 2, 1, 0, &part, NULL))) {
        status = crackle_assemble(&half, &all_options[1], &part, 1, NULL, &out, &nbytes);
        take_stream(r, status, out, nbytes);
        crackle_part_free(part);
    }
    if (is_ok(r, crackle_overlay_part(&s->parts, &samples[0].parts, 0, SZ, 0, 0, &part, NULL))) {
        status = crackle_assemble(&pairs, &all_options[0], &part, 1, NULL, &out, &nbytes);
        take_stream(r, status, out, nbytes);
        crackle_part_free(part);
    }
    if (is_ok(r, crackle_recompress_part(&s->parts, 0, SZ, 0, 0, &part, NULL))) {
        status = crackle_reassemble(s->bytes, s->nbytes, 3, &part, 1, NULL, &out, &nbytes, NULL);
        take_stream(r, status, out, nbytes);
        crackle_part_free(part);
    }
    status = crackle_encode_constant(&s->volume, 9, 1, &out, &nbytes);
    take_stream(r, status, out, nbytes);
}

static void join(const struct sample *s, struct result *r)
{
    for (unsigned int connectivity = 6; connectivity <= 26; connectivity += 20) {
        crackle_joiner *joiner = NULL;
        const struct crackle_joining how = {connectivity, 0, 1, 0, 0};
        uint64_t *labels = NULL, *voxels = NULL, count = 0;
        uint8_t *out = NULL;
        size_t nbytes = 0;
        crackle_status status;

        if (!is_ok(r, crackle_joiner_begin(s->bytes, s->nbytes, 0, &how, &joiner, NULL)))
            continue;
        if (is_ok(r, crackle_joiner_next(joiner, SZ, NULL))) {
            status = crackle_joiner_finish(joiner, s->bytes, &out, &nbytes, &labels, &voxels, &count);
            take_stream(r, status, out, nbytes);
            take(r, labels, (size_t)count * sizeof(*labels));
            take(r, voxels, (size_t)count * sizeof(*voxels));
            crackle_free(labels);
            crackle_free(voxels);
        }
        crackle_joiner_free(joiner);
    }
}

static void (*const jobs[])(const struct sample *, struct result *) = {encode, decode, query, edit, rewrite, join};
enum { JOBS = sizeof(jobs) / sizeof(*jobs) };

static uint32_t expected[JOBS][SAMPLES];

static uint32_t do_job(size_t job, size_t sample)
{
    struct result r = {0xffffffff, 0};

    jobs[job](&samples[sample], &r);
    return r.failed ? 0 : r.crc;
}

/* ---------------------------- All threads together ------------------------- */

struct thread {
    uint32_t number;
    unsigned int num_wrong;
    pthread_t id;
};

static pthread_barrier_t barrier;

static void *work(void *argument)
{
    struct thread *t = argument;
    const struct sample *s = &samples[0];
    const uint32_t z = t->number * (SZ / THREADS), z_end = z + SZ / THREADS;

    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 2; i++)
        t->num_wrong += crackle_decode(&s->parts, z, z_end, 0, &together[i], 0, NULL) != CRACKLE_OK;
    t->num_wrong += crackle_decode_mask(&s->parts, z, z_end, 0, s->table[0], &mask, 0, NULL) != CRACKLE_OK;
    t->num_wrong += crackle_connectivity(&s->parts, z, z_end, 0, 6, &graph, 0, NULL) != CRACKLE_OK;
    t->num_wrong += crackle_encode_part(&s->volume, z, z_end, 0, &parts_of_all[t->number]) != CRACKLE_OK;
    t->num_wrong += crackle_recompress_part(&s->parts, z, z_end, 0, 0, &fewer_of_all[t->number], NULL) != CRACKLE_OK;
    for (size_t turn = 0; turn < TURNS / FEWER; turn++) {
        const size_t job = (t->number + turn) % JOBS, sample = (t->number / 3 + turn / JOBS) % SAMPLES;

        t->num_wrong += do_job(job, sample) != expected[job][sample];
    }
    return NULL;
}

/* ----------------------------------- Stopping ------------------------------ */

static int32_t stop;
static crackle_part *part_to_stop;

/* Repeat a call that can be stopped until it is stopped. */
static void *work_on(void *argument)
{
    struct thread *t = argument;
    const struct sample *s = &samples[0];
    uint8_t *selected = calloc((size_t)s->count, 1);
    uint64_t *numbers = calloc((size_t)s->count, sizeof(*numbers));
    crackle_status status = CRACKLE_OK;

    selected[0] = 1;
    while (status == CRACKLE_OK) {
        void *points = NULL;
        uint8_t *out = NULL;
        size_t nbytes;

        if (t->number % 2)
            status = crackle_assemble(&s->volume, &all_options[3], &part_to_stop, 1, &stop, &out, &nbytes);
        else
            status = crackle_surface(&s->parts, 0, SZ, 0, selected, s->count, 2, &stop, &points, numbers, NULL);
        crackle_free(out);
        crackle_free(points);
    }
    t->num_wrong += status != CRACKLE_STOPPED;
    free(selected);
    free(numbers);
    return NULL;
}

static void check_stopping(struct thread *threads)
{
    CHECK(crackle_encode_part(&samples[0].volume, 0, SZ, 0, &part_to_stop) == CRACKLE_OK);
    for (uint32_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i].id, NULL, work_on, &threads[i]) == 0);
    for (size_t job = 0; job < JOBS; job++) /* while the threads work */
        CHECK(do_job(job, 1) == expected[job][1]);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i].id, NULL) == 0);
        CHECK(threads[i].num_wrong == 0);
    }
    crackle_part_free(part_to_stop);
}

static void check_together(void)
{
    const struct sample *s = &samples[0];
    struct crackle_volume one = new_volume(&s->labels, 1, 0, 0);
    uint8_t *all = NULL, *single = NULL;
    size_t all_nbytes = 0, single_nbytes = 0;
    crackle_part *part = NULL;

    for (int i = 0; i < 2; i++)
        CHECK(num_wrong(&s->labels, &together[i], 0, 0, SZ) == 0);
    CHECK(crackle_decode_mask(&s->parts, 0, SZ, 0, s->table[0], &one, 0, NULL) == CRACKLE_OK);
    CHECK(memcmp(one.voxels, mask.voxels, one.nbytes) == 0);
    CHECK(crackle_connectivity(&s->parts, 0, SZ, 0, 6, &one, 0, NULL) == CRACKLE_OK);
    CHECK(memcmp(one.voxels, graph.voxels, one.nbytes) == 0);
    free(one.voxels);

    CHECK(crackle_encode_part(&s->volume, 0, SZ, 0, &part) == CRACKLE_OK);
    CHECK(crackle_assemble(&s->volume, &all_options[3], &part, 1, NULL, &single, &single_nbytes) == CRACKLE_OK);
    CHECK(crackle_assemble(&s->volume, &all_options[3], parts_of_all, THREADS, NULL, &all, &all_nbytes) == CRACKLE_OK);
    CHECK(all_nbytes == single_nbytes && memcmp(all, single, all_nbytes) == 0);
    crackle_part_free(part);
    crackle_free(single);
    crackle_free(all);

    CHECK(crackle_recompress_part(&s->parts, 0, SZ, 0, 0, &part, NULL) == CRACKLE_OK);
    CHECK(crackle_reassemble(s->bytes, s->nbytes, 2, &part, 1, NULL, &single, &single_nbytes, NULL) == CRACKLE_OK);
    CHECK(crackle_reassemble(s->bytes, s->nbytes, 2, fewer_of_all, THREADS, NULL, &all, &all_nbytes, NULL) ==
          CRACKLE_OK);
    CHECK(all_nbytes == single_nbytes && memcmp(all, single, all_nbytes) == 0);
    crackle_part_free(part);
    crackle_free(single);
    crackle_free(all);
    for (int i = 0; i < THREADS; i++) {
        crackle_part_free(parts_of_all[i]);
        crackle_part_free(fewer_of_all[i]);
    }
}

int main(void)
{
    struct thread threads[THREADS];

    make_sample(&samples[0], BLOBS, 0, 0, 3);
    make_sample(&samples[1], BLOBS, 1, 0, 0);
    make_sample(&samples[2], COLUMNS, 1, 2, 0);
    make_sample(&samples[3], COLUMNS, 0, 1, CRACKLE_MARKOV_AUTO);
    make_sample(&samples[4], NOISE, 1, 0, 2);
    make_sample(&samples[5], UNIFORM, 0, 0, 0);
    CHECK(samples[2].header.label_format == 2 && samples[4].header.permissible && samples[0].header.markov_order == 3);
    for (size_t job = 0; job < JOBS; job++)
        for (size_t sample = 0; sample < SAMPLES; sample++) {
            expected[job][sample] = do_job(job, sample);
            CHECK(expected[job][sample] != 0);
        }
    for (int i = 0; i < 2; i++)
        together[i] = new_volume(&samples[0].labels, 2, 0, i);
    mask = new_volume(&samples[0].labels, 1, 0, 0);
    graph = new_volume(&samples[0].labels, 1, 0, 0);

    CHECK(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
    for (uint32_t i = 0; i < THREADS; i++) {
        threads[i].number = i;
        threads[i].num_wrong = 0;
        if (pthread_create(&threads[i].id, NULL, work, &threads[i]) != 0) {
            fprintf(stderr, "cannot start thread %u\n", (unsigned int)i);
            return 1; /* the other threads wait for it at the barrier */
        }
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i].id, NULL) == 0);
        CHECK(threads[i].num_wrong == 0);
    }
    pthread_barrier_destroy(&barrier);
    check_together();
    check_stopping(threads);
    for (int i = 0; i < 2; i++)
        free(together[i].voxels);
    free(mask.voxels);
    free(graph.voxels);
    for (size_t i = 0; i < SAMPLES; i++)
        free_sample(&samples[i]);
    return report("threads");
}
