/* stdlib.h - the declarations that csrc/ uses, for "make check-msvc" */
#ifndef MSVC_STDLIB_H
#define MSVC_STDLIB_H

#include <stddef.h>

void *malloc(size_t nbytes);
void *calloc(size_t count, size_t nbytes);
void *realloc(void *old, size_t nbytes);
void free(void *pointer);
void qsort(void *items, size_t count, size_t nbytes, int (*compare)(const void *, const void *));

#endif /* MSVC_STDLIB_H */
