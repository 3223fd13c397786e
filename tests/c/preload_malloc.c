/*
 * preload_malloc.c - an allocator for LD_PRELOAD that can fail for one library
 *
 * Counts the allocations whose return address lies in a range, that of the library under test, and lets the n-th of
 * them fail.  All other allocations succeed.  For glibc.
 */
#include <stddef.h>
#include <stdint.h>

void *__libc_malloc(size_t nbytes);
void *__libc_calloc(size_t count, size_t nbytes);
void *__libc_realloc(void *old, size_t nbytes);
void __libc_free(void *pointer);

static uintptr_t range_begin, range_end;
static long until_failure = -1; /* allocations until the failure; -1: no failure */
static long live;               /* allocations that the library has not freed */

void preload_range(uintptr_t begin, uintptr_t end)
{
    range_begin = begin;
    range_end = end;
}

void preload_fail_at(long n)
{
    __atomic_store_n(&until_failure, n, __ATOMIC_SEQ_CST);
}

/* Whether the requested failure has not happened yet. */
int preload_is_pending(void)
{
    return __atomic_load_n(&until_failure, __ATOMIC_SEQ_CST) >= 0;
}

long preload_live(void)
{
    return __atomic_load_n(&live, __ATOMIC_SEQ_CST);
}

static int is_watched(const void *return_address)
{
    return (uintptr_t)return_address >= range_begin && (uintptr_t)return_address < range_end;
}

static int fails(void)
{
    long left = __atomic_load_n(&until_failure, __ATOMIC_SEQ_CST);

    while (left >= 0)
        if (__atomic_compare_exchange_n(&until_failure, &left, left - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return left == 0;
    return 0;
}

static void *counted(void *pointer)
{
    if (pointer)
        __atomic_add_fetch(&live, 1, __ATOMIC_SEQ_CST);
    return pointer;
}

void *malloc(size_t nbytes)
{
    if (!is_watched(__builtin_return_address(0)))
        return __libc_malloc(nbytes);
    return fails() ? NULL : counted(__libc_malloc(nbytes));
}

void *calloc(size_t count, size_t nbytes)
{
    if (!is_watched(__builtin_return_address(0)))
        return __libc_calloc(count, nbytes);
    return fails() ? NULL : counted(__libc_calloc(count, nbytes));
}

void *realloc(void *old, size_t nbytes)
{
    if (!is_watched(__builtin_return_address(0)))
        return __libc_realloc(old, nbytes);
    if (fails())
        return NULL;
    return old ? __libc_realloc(old, nbytes) : counted(__libc_realloc(NULL, nbytes));
}

void free(void *pointer)
{
    if (pointer && is_watched(__builtin_return_address(0)))
        __atomic_sub_fetch(&live, 1, __ATOMIC_SEQ_CST);
    __libc_free(pointer);
}
