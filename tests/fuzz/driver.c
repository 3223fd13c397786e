/*
 * driver.c - a fuzzing driver that needs only a C compiler and POSIX
 *
 * Does not measure coverage, so it runs the code as shipped, without instrumentation, and about ten times as often as
 * libFuzzer in the same time.  Its inputs are mutations of the given files and folders.  They include inputs that
 * libFuzzer found, so it continues where libFuzzer stopped.
 */
#define _POSIX_C_SOURCE 200809L
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_NBYTES = 4096, MAX_SECONDS_PER_INPUT = 20 };

static struct seed {
    u8 *bytes;
    size_t nbytes;
} *seeds;
static size_t num_seeds, seeds_capacity;

static u64 random_state = 88172645463325252u;

/* xorshift64* */
static size_t below(size_t limit)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (size_t)((random_state * 0x2545f4914f6cdd1du >> 16) % limit);
}

/* --------------------------------- Inputs --------------------------------- */

static void add_seed(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct seed *seed;

    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(2);
    }
    if (num_seeds == seeds_capacity) {
        seeds_capacity = 2 * seeds_capacity + 64;
        seeds = realloc(seeds, seeds_capacity * sizeof(*seeds));
        FUZZ_CHECK(seeds);
    }
    seed = &seeds[num_seeds++];
    seed->bytes = malloc(MAX_NBYTES);
    FUZZ_CHECK(seed->bytes);
    seed->nbytes = fread(seed->bytes, 1, MAX_NBYTES, file);
    fclose(file);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Add a file, or all files of a folder sorted by name, so that a seed gives the same inputs everywhere. */
static void add_path(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    char **names = NULL;
    size_t count = 0;

    if (!folder) {
        add_seed(path);
        return;
    }
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        names = realloc(names, (count + 1) * sizeof(*names));
        FUZZ_CHECK(names);
        names[count] = malloc(strlen(path) + strlen(entry->d_name) + 2);
        FUZZ_CHECK(names[count]);
        sprintf(names[count++], "%s/%s", path, entry->d_name);
    }
    closedir(folder);
    if (count)
        qsort(names, count, sizeof(*names), compare_names);
    for (size_t i = 0; i < count; i++) {
        add_seed(names[i]);
        free(names[i]);
    }
    free(names);
}

/* --------------------------------- Mutation ------------------------------- */

static size_t insert(u8 *data, size_t nbytes, size_t max_nbytes, const u8 *from, size_t from_nbytes)
{
    const size_t at = below(nbytes + 1);
    size_t n = from_nbytes ? 1 + below(from_nbytes < 16 ? from_nbytes : 16) : 0;
    u8 piece[16];

    if (n > max_nbytes - nbytes)
        n = max_nbytes - nbytes;
    if (n == 0)
        return nbytes;
    memcpy(piece, from + below(from_nbytes - n + 1), n);
    memmove(data + at + n, data + at, nbytes - at);
    memcpy(data + at, piece, n);
    return nbytes + n;
}

static size_t mutate_once(u8 *data, size_t nbytes, size_t max_nbytes)
{
    static const u8 edge_values[] = {0, 1, 2, 3, 4, 5, 7, 8, 0x0f, 0x7f, 0x80, 0xf0, 0xfe, 0xff};
    const struct seed *other = &seeds[below(num_seeds)];
    size_t at, n;

    if (nbytes == 0)
        return insert(data, nbytes, max_nbytes, other->bytes, other->nbytes);
    at = below(nbytes);
    switch (below(9)) {
    case 0:
        data[at] = (u8)below(256);
        return nbytes;
    case 1:
        data[at] = edge_values[below(sizeof(edge_values))];
        return nbytes;
    case 2:
        data[at] ^= (u8)(1 << below(8));
        return nbytes;
    case 3:
        data[at] = (u8)(data[at] + below(9) - 4);
        return nbytes;
    case 4: /* copy bytes from elsewhere */
        for (n = 1 + below(8); n && at < nbytes; n--, at++)
            data[at] = data[below(nbytes)];
        return nbytes;
    case 5:
        return insert(data, nbytes, max_nbytes, data, nbytes);
    case 6:
        return insert(data, nbytes, max_nbytes, other->bytes, other->nbytes);
    case 7: /* delete bytes */
        n = 1 + below(nbytes - at < 16 ? nbytes - at : 16);
        memmove(data + at, data + at + n, nbytes - at - n);
        return nbytes - n;
    default: /* copy bytes of another seed from the same place */
        if (at < other->nbytes) {
            n = 1 + below(16);
            if (n > nbytes - at)
                n = nbytes - at;
            if (n > other->nbytes - at)
                n = other->nbytes - at;
            memcpy(data + at, other->bytes + at, n);
        }
        return nbytes;
    }
}

size_t fuzz_mutate_bytes(u8 *data, size_t nbytes, size_t max_nbytes)
{
    for (size_t k = 1 + below(4); k; k--)
        nbytes = mutate_once(data, nbytes, max_nbytes);
    return nbytes;
}

/* --------------------------------- Findings ------------------------------- */

static u8 input[MAX_NBYTES];
static size_t input_nbytes;

/* Save the failing input to a file that this program can run again. */
static void keep(int number)
{
    static const char reported[] = "\nthe input is in the file finding\n";
    int file = open("finding", O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (file >= 0 && write(file, input, input_nbytes) == (ssize_t)input_nbytes && close(file) == 0)
        file = (int)write(2, reported, sizeof(reported) - 1);
    signal(number, SIG_DFL);
    raise(number);
}

static void run(const u8 *bytes, size_t nbytes)
{
    if (bytes != input)
        memcpy(input, bytes, nbytes);
    input_nbytes = nbytes;
    alarm(MAX_SECONDS_PER_INPUT);
    fuzz_one(bytes, nbytes);
    guard_check();
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    double limit = 0, begin = seconds();
    unsigned long long max_runs = 0, runs = 0;
    int at = 1;

    for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
        if (strcmp(argv[at], "--seconds") == 0)
            limit = atof(argv[at + 1]);
        else if (strcmp(argv[at], "--runs") == 0)
            max_runs = strtoull(argv[at + 1], NULL, 10);
        else if (strcmp(argv[at], "--seed") == 0)
            random_state ^= strtoull(argv[at + 1], NULL, 10) * 0x9e3779b97f4a7c15u;
        else
            break;
    }
    if (at == argc || argv[at][0] == '-') {
        fprintf(stderr,
                "usage: %s [--seconds S] [--runs N] [--seed N] FILE|FOLDER...\n"
                "Runs the given inputs, then mutations of them for S seconds or N runs, whichever is first.\n"
                "An input that fails is kept in the file \"finding\"; give that file alone to see it fail again.\n",
                argv[0]);
        return 2;
    }
    for (; at < argc; at++)
        add_path(argv[at]);
    if (num_seeds == 0) {
        fprintf(stderr, "%s: no inputs\n", argv[0]);
        return 2;
    }
    signal(SIGABRT, keep);
    signal(SIGALRM, keep);
    signal(SIGBUS, keep);
    signal(SIGFPE, keep);
    signal(SIGILL, keep);
    signal(SIGSEGV, keep);
    for (size_t i = 0; i < num_seeds; i++, runs++)
        run(seeds[i].bytes, seeds[i].nbytes);
    while (runs < max_runs || (max_runs == 0 && limit > 0)) {
        const struct seed *seed = &seeds[below(num_seeds)];

        if (limit > 0 && runs % 256 == 0 && seconds() - begin > limit)
            break;
        memcpy(input, seed->bytes, seed->nbytes);
        run(input, fuzz_mutate(input, seed->nbytes, sizeof(input), (unsigned int)below(1 << 30)));
        runs++;
    }
    printf("%llu runs, %zu of them given inputs, in %.0f s\n", runs, num_seeds, seconds() - begin);
    for (size_t i = 0; i < num_seeds; i++)
        free(seeds[i].bytes);
    free(seeds);
    return 0;
}
