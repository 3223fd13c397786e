/* libfuzzer.c - a fuzzing driver with clang's engine, which measures coverage */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t nbytes);
size_t LLVMFuzzerCustomMutator(u8 *data, size_t nbytes, size_t max_nbytes, unsigned int seed);
size_t LLVMFuzzerMutate(u8 *data, size_t nbytes, size_t max_nbytes);

int LLVMFuzzerTestOneInput(const u8 *data, size_t nbytes)
{
    fuzz_one(data, nbytes);
    guard_check();
    return 0;
}

size_t LLVMFuzzerCustomMutator(u8 *data, size_t nbytes, size_t max_nbytes, unsigned int seed)
{
    return fuzz_mutate(data, nbytes, max_nbytes, seed);
}

size_t fuzz_mutate_bytes(u8 *data, size_t nbytes, size_t max_nbytes)
{
    return LLVMFuzzerMutate(data, nbytes, max_nbytes);
}
