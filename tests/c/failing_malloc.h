/* failing_malloc.h - included before every source of a build in which the n-th allocation fails */
#include <stdlib.h>

void *failing_malloc(size_t nbytes);
void *failing_calloc(size_t count, size_t nbytes);
void *failing_realloc(void *old, size_t nbytes);

#ifndef FAILING_MALLOC_ITSELF
#define malloc failing_malloc
#define calloc failing_calloc
#define realloc failing_realloc
#endif
