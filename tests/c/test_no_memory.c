/*
 * test_no_memory.c - every allocation fails once: an error, and no leak
 *
 * All sources are compiled with failing_malloc.h in front.  The leak check of the address sanitizer
 * looks for what was not freed.
 */
#define FAILING_MALLOC_ITSELF
#include "failing_malloc.h"

#include "check.h"
#include "crackle.h"

static long until_failure = -1; /* allocations that still succeed; -1: all do */

static int fails(void)
{
    if (until_failure < 0)
        return 0;
    if (until_failure == 0) {
        until_failure = -1;
        return 1;
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

enum { SIDE = 24 };

static crackle_status work(struct crackle_volume *v, struct crackle_volume *out, const struct crackle_options *options)
{
    struct crackle_parts parts;
    uint8_t *stream = NULL, *edited = NULL;
    size_t nbytes, edited_nbytes;
    uint64_t count, table[4096], components;
    crackle_status status = crackle_encode(v, options, &stream, &nbytes);

    if (status == CRACKLE_OK)
        status = crackle_split(stream, nbytes, &parts, NULL);
    if (status == CRACKLE_OK)
        status = crackle_decode(&parts, 0, v->sz, 0, out, 0, NULL);
    if (status == CRACKLE_OK)
        status = crackle_check_slice(&parts, 1, &components, NULL);
    if (status == CRACKLE_OK)
        status = crackle_table_size(&parts, &count, NULL);
    if (status == CRACKLE_OK)
        status = crackle_read_table(&parts, 0, table, count, NULL);
    if (status == CRACKLE_OK)
        status = crackle_relabel(stream, nbytes, table, count, 8, 0, 1, &edited, &edited_nbytes, NULL);
    crackle_free(stream);
    crackle_free(edited);
    return status;
}

int main(void)
{
    uint16_t *voxels = malloc(SIDE * SIDE * SIDE * 2), *decoded = malloc(SIDE * SIDE * SIDE * 2);

    for (unsigned int i = 0; i < SIDE * SIDE * SIDE; i++)
        voxels[i] = (uint16_t)((i / 5) % 7 + 10 * (i / (SIDE * SIDE * 9)));
    for (unsigned int pins = 0; pins < 3; pins++)
        for (unsigned int order = 0; order < 3; order += 2)
            for (unsigned int fortran = 0; fortran < 2; fortran++) {
                struct crackle_options options = {1, (uint8_t)order, (uint8_t)pins, 0, 0};
                struct crackle_volume v = {voxels, SIDE * SIDE * SIDE * 2, SIDE, SIDE, SIDE, 2, 0, (uint8_t)fortran};
                struct crackle_volume out = v;
                long n;

                out.voxels = decoded;
                for (n = 0; n < 100000; n++) {
                    crackle_status status;

                    until_failure = n;
                    status = work(&v, &out, &options);
                    if (until_failure >= 0) {
                        CHECK(status == CRACKLE_OK); /* that many allocations are never made */
                        break;
                    }
                    /* Guessing the crack format goes on without memory. */
                    CHECK(status == CRACKLE_NO_MEMORY || status == CRACKLE_OK);
                }
                until_failure = -1;
                CHECK(n > 20 && n < 100000);
                CHECK(memcmp(voxels, decoded, SIDE * SIDE * SIDE * 2) == 0);
            }
    free(voxels);
    free(decoded);
    return report("no memory");
}
