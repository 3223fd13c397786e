/* stdlib.h - the declarations that csrc/ uses, for "make check-msvc" */
#ifndef MSVC_STDLIB_H
#define MSVC_STDLIB_H

#include <stddef.h>

void *malloc(size_t nbytes);
void *calloc(size_t count, size_t nbytes);
void *realloc(void *old, size_t nbytes);
void free(void *pointer);

#endif /* MSVC_STDLIB_H */
