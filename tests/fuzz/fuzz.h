/*
 * fuzz.h - shared by fuzz targets, inputs and drivers
 *
 * A target is a file target_NAME.c with the function fuzz_one().  A driver calls it: libfuzzer.c with clang's engine,
 * or driver.c with a C compiler only.  For most targets an input is a stream followed by four control bytes, which
 * select the calls and their arguments. target_encode.c reads its input as a volume.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "base/common.h"
#include "codec/format.h"
#include "crackle.h"

#include <stdio.h>
#include <stdlib.h>

/* A false condition is a finding, like a crash. */
#define FUZZ_CHECK(condition)                                                            \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);    \
            abort();                                                                     \
        }                                                                                \
    } while (0)

/* Larger volumes are skipped: they take time and find nothing more. */
#define FUZZ_MAX_VOXELS 4096

/* Run one input. Each target defines this. */
void fuzz_one(const u8 *data, size_t nbytes);

/* Mutate an input in a way that suits the target, to at most 'max_nbytes' bytes. Returns the new length. */
size_t fuzz_mutate(u8 *data, size_t nbytes, size_t max_nbytes, unsigned int seed);

/* Mutate any bytes. Each driver defines this. */
size_t fuzz_mutate_bytes(u8 *data, size_t nbytes, size_t max_nbytes);

/* ----------------------- Buffers against guard pages ---------------------- */

/* Each place holds one buffer at a time. */
enum guard_place {
    GUARD_STREAM,
    GUARD_HEAD,
    GUARD_CODES,
    GUARD_TAIL,
    GUARD_VOXELS,
    GUARD_OTHER_VOXELS,
    GUARD_TABLE,
    GUARD_VALUES,
    GUARD_BYTES,
    GUARD_EXTENTS,
    GUARD_SCRATCH,
    NUM_GUARD_PLACES
};

/*
 * A buffer that ends at a guard page, so that accessing one byte behind it crashes every build.  The address sanitizer,
 * if present, watches the bytes before it; guard_check() detects writes there.
 */
u8 *guard_room(enum guard_place place, size_t nbytes);
u8 *guard_copy(enum guard_place place, const void *bytes, size_t nbytes);
void guard_check(void);

/* Fail if some bytes were never written. Works only with the memory sanitizer. */
void guard_is_written(const void *bytes, size_t nbytes);

/* ---------------------------- Streams as inputs --------------------------- */

enum { NUM_CONTROL_BYTES = 4 };

/* Bits of the first control byte. */
#define CONTROL_REPAIR 1     /* repair lengths and checksums, so that damage reaches the code behind them */
#define CONTROL_FORGE 2      /* repair the checksums of slices too: then every stream that decodes is valid */
#define CONTROL_NO_VERIFY 4

struct fuzz_stream {
    u8 *bytes;
    size_t nbytes;
    struct crackle_parts parts;
    struct crackle_header header;
    u8 control[NUM_CONTROL_BYTES];
    unsigned int flags;
    /* Size of the whole volume. */
    size_t num_voxels;
};

/* Split an input. False if it is no stream, or the volume is too large. */
int fuzz_open(struct fuzz_stream *s, const u8 *data, size_t nbytes);

/* Read only the stream and the control bytes. Does not set 'parts' and the fields behind it. */
void fuzz_read_input(struct fuzz_stream *s, const u8 *data, size_t nbytes);

/* Check that the API may return this status, and that a fault in the stream has a place. */
void fuzz_status(crackle_status status, const struct crackle_where *where);

/* Choose slices [z_start, z_end) from two control bytes. The range is not empty. */
void fuzz_range(const struct fuzz_stream *s, u32 *z_start, u32 *z_end);

/* A volume of the stream's shape in a guarded place. */
struct crackle_volume fuzz_volume(const struct fuzz_stream *s, enum guard_place place, unsigned int width,
                                  int fortran_order, u32 num_slices);

/* Voxel 'i', numbered with x fastest in either memory order. Signed labels are sign-extended. */
u64 fuzz_voxel(const struct crackle_volume *v, size_t i);

/* Decode the whole stream with the flags of the input. Returns whether that succeeds. */
int fuzz_whole(const struct fuzz_stream *s, struct crackle_volume *whole);

/* Decode a whole stream that the library wrote. Must succeed. */
void fuzz_decode_own(const u8 *stream, size_t nbytes, unsigned int flags, const struct crackle_volume *out);

/* Read the label table with the flags of the input. False if that fails, or the table is long. */
int fuzz_table(const struct fuzz_stream *s, u64 **table_ret, u64 *count_ret);

#endif /* FUZZ_H */
