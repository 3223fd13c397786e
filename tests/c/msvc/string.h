/* string.h - the declarations that csrc/ uses, for "make check-msvc" */
#ifndef MSVC_STRING_H
#define MSVC_STRING_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t nbytes);
void *memmove(void *to, const void *from, size_t nbytes);
void *memset(void *to, int byte, size_t nbytes);
int memcmp(const void *a, const void *b, size_t nbytes);

#endif /* MSVC_STRING_H */
