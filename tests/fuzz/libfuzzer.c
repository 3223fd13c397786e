/*
 * libfuzzer.c - a target driven by clang's engine, which looks at what code an input reaches
 */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t nbytes);
size_t LLVMFuzzerCustomMutator(u8 *data, size_t nbytes, size_t most, unsigned int seed);
size_t LLVMFuzzerMutate(u8 *data, size_t nbytes, size_t most);

int LLVMFuzzerTestOneInput(const u8 *data, size_t nbytes)
{
    fuzz_one(data, nbytes);
    guard_check();
    return 0;
}

size_t LLVMFuzzerCustomMutator(u8 *data, size_t nbytes, size_t most, unsigned int seed)
{
    return fuzz_mutate(data, nbytes, most, seed);
}

size_t fuzz_mutate_bytes(u8 *data, size_t nbytes, size_t most)
{
    return LLVMFuzzerMutate(data, nbytes, most);
}
