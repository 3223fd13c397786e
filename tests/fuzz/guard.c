/*
 * guard.c - buffers that end at a guard page
 *
 * The pages are mapped once, so that an input needs no system calls.
 */
#define _DEFAULT_SOURCE
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#if defined(__has_feature)
#  define HAS(feature) __has_feature(feature)
#else
#  define HAS(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS(address_sanitizer)
#  include <sanitizer/asan_interface.h>
#  define POISON(at, nbytes) ASAN_POISON_MEMORY_REGION(at, nbytes)
#  define UNPOISON(at, nbytes) ASAN_UNPOISON_MEMORY_REGION(at, nbytes)
#else
#  define POISON(at, nbytes) ((void)(at))
#  define UNPOISON(at, nbytes) ((void)(at))
#endif
#if HAS(memory_sanitizer)
#  include <sanitizer/msan_interface.h>
#endif

#define ROOM ((size_t)1 << 20)
enum { CANARY_NBYTES = 64, CANARY = 0x5c };

static struct {
    u8 *begin; /* of the mapping, which ends at a guard page */
    u8 *buffer;
} places[NUM_GUARD_PLACES];

static void make(enum guard_place place)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    u8 *at = mmap(NULL, ROOM + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    FUZZ_CHECK(at != MAP_FAILED);
    FUZZ_CHECK(mprotect(at + ROOM, page, PROT_NONE) == 0);
    places[place].begin = at;
}

u8 *guard_room(enum guard_place place, size_t nbytes)
{
    u8 *buffer;

    if (!places[place].begin)
        make(place);
    FUZZ_CHECK(nbytes <= ROOM - CANARY_NBYTES);
    buffer = places[place].begin + ROOM - nbytes;
    UNPOISON(buffer - CANARY_NBYTES, nbytes + CANARY_NBYTES);
    memset(buffer - CANARY_NBYTES, CANARY, CANARY_NBYTES);
    memset(buffer, 0xa5, nbytes);
#if HAS(memory_sanitizer)
    __msan_allocated_memory(buffer, nbytes);
#endif
    POISON(buffer - CANARY_NBYTES, CANARY_NBYTES);
    places[place].buffer = buffer;
    return buffer;
}

u8 *guard_copy(enum guard_place place, const void *bytes, size_t nbytes)
{
    u8 *copy = guard_room(place, nbytes);

    if (nbytes)
        memcpy(copy, bytes, nbytes);
    return copy;
}

void guard_check(void)
{
    for (int place = 0; place < NUM_GUARD_PLACES; place++) {
        u8 *canary = places[place].buffer;

        if (!canary)
            continue;
        canary -= CANARY_NBYTES;
        UNPOISON(canary, CANARY_NBYTES);
        for (size_t i = 0; i < CANARY_NBYTES; i++)
            FUZZ_CHECK(canary[i] == CANARY);
        POISON(canary, CANARY_NBYTES);
    }
}

void guard_is_written(const void *bytes, size_t nbytes)
{
#if HAS(memory_sanitizer)
    __msan_check_mem_is_initialized(bytes, nbytes);
#else
    (void)bytes;
    (void)nbytes;
#endif
}
