/*
 * fuzz.h - what the fuzz targets, their inputs and their drivers share
 *
 * A target is one file target_NAME.c with fuzz_one().  A driver calls it: libfuzzer.c with clang's engine,
 * driver.c with nothing but a C compiler.  An input of most targets is a stream followed by four control bytes, which
 * say what is asked; target_encode.c reads its input as a volume.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "base/common.h"
#include "codec/format.h"
#include "crackle.h"

#include <stdio.h>
#include <stdlib.h>

/* What does not hold is a finding, as a crash is one. */
#define FUZZ_CHECK(condition)                                                            \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);    \
            abort();                                                                     \
        }                                                                                \
    } while (0)

/* Larger volumes are not asked for, whatever a stream claims: they would take time and find nothing more. */
#define FUZZ_MOST_VOXELS 4096

/* Run one input.  The target. */
void fuzz_one(const u8 *data, size_t nbytes);

/* Change an input, which stays below 'most' bytes, as fits the target; the new length. */
size_t fuzz_mutate(u8 *data, size_t nbytes, size_t most, unsigned int seed);

/* Change bytes without a thought.  The driver. */
size_t fuzz_mutate_bytes(u8 *data, size_t nbytes, size_t most);

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
 * A buffer that ends where a page begins which nobody may touch: one byte too far is a fault in every build.  The
 * bytes before it are watched by the address sanitizer where there is one, and by guard_check() for writes.
 */
u8 *guard_room(enum guard_place place, size_t nbytes);
u8 *guard_copy(enum guard_place place, const void *bytes, size_t nbytes);
void guard_check(void);

/* Fail where some of the bytes were never written; only the memory sanitizer knows. */
void guard_is_written(const void *bytes, size_t nbytes);

/* ---------------------------- Streams as inputs --------------------------- */

enum { NUM_CONTROL_BYTES = 4 };

/* Bits of the first control byte. */
#define CONTROL_REPAIR 1     /* make lengths and checksums good, so that damage reaches what is behind them */
#define CONTROL_FORGE 2      /* those of the slices, too: whatever can be decoded is sound then */
#define CONTROL_NO_VERIFY 4

struct fuzz_stream {
    u8 *bytes;
    size_t nbytes;
    struct crackle_parts parts;
    struct crackle_header header;
    u8 control[NUM_CONTROL_BYTES];
    unsigned int flags;
    /* Of the whole volume. */
    size_t num_voxels;
};

/* Split an input.  False where it is no stream, or of a volume that is not to be asked for. */
int fuzz_open(struct fuzz_stream *s, const u8 *data, size_t nbytes);

/* Just the stream and the control bytes, whatever they are; 'parts' and what follows is not set. */
void fuzz_take(struct fuzz_stream *s, const u8 *data, size_t nbytes);

/* A status as the API may return it, with a place where the stream is at fault. */
void fuzz_status(crackle_status status, const struct crackle_where *where);

/* Slices [z_start, z_end) from two control bytes: at least one. */
void fuzz_range(const struct fuzz_stream *s, u32 *z_start, u32 *z_end);

/* A volume of the stream's shape in a guarded place. */
struct crackle_volume fuzz_volume(const struct fuzz_stream *s, enum guard_place place, unsigned int width,
                                  int fortran_order, u32 num_slices);

/* Voxel 'i', counted x fastest, whatever the order in memory; signed ones sign-extended. */
u64 fuzz_voxel(const struct crackle_volume *v, size_t i);

/* Decode the whole, with the flags of the input; whether the stream is sound. */
int fuzz_whole(const struct fuzz_stream *s, struct crackle_volume *whole);

/* Decode all of a stream that our writer made: it must be sound. */
void fuzz_decode_own(const u8 *stream, size_t nbytes, unsigned int flags, const struct crackle_volume *out);

/* The label table, read with the flags of the input; false where it can not be, or is long. */
int fuzz_table(const struct fuzz_stream *s, u64 **table_ret, u64 *count_ret);

#endif /* FUZZ_H */
