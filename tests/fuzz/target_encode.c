/*
 * target_encode.c - encode random volumes with all options, whole and in parts, and decode them
 *
 * An input is a shape, options and voxels.  The voxels repeat if there are too few.
 */
#include "fuzz.h"
#include "volumes.h"

enum { AT_SX, AT_SY, AT_SZ, AT_TYPE, AT_ORDER, AT_OPTIONS, AT_SPREAD, NUM_HEAD_BYTES };

/* Make a label of a byte: the byte itself, or spread over all bits. */
static u64 label_of(u8 byte, u8 spread)
{
    switch (spread % 4) {
    case 0:
        return byte;
    case 1:
        return byte % 3;
    case 2:
        return (u64)byte * 0x0101010101010101u;
    default:
        return 0 - (u64)(byte % 16);
    }
}

/* Read runs: a byte for the label, and a byte for the length. */
static void put_voxels(const struct crackle_volume *v, const u8 *head, const u8 *bytes, size_t nbytes)
{
    const size_t count = v->nbytes / v->width;
    const int in_runs = head[AT_SPREAD] & 4;
    size_t at = 0, left = 0;
    u8 byte = 0;

    for (size_t i = 0; i < count; i++) {
        if (left == 0) {
            byte = nbytes ? bytes[at++ % nbytes] : 0;
            left = in_runs && nbytes ? 1u + bytes[at++ % nbytes] % 16 : 1;
        }
        left--;
        put_label(v->voxels, i, v->width, label_of(byte, head[AT_SPREAD]));
    }
}

/* Parts, as several threads would encode them, must give the same stream. */
static void check_parts(const struct crackle_volume *v, const struct crackle_options *options, const u8 *stream,
                        size_t nbytes, u32 middle)
{
    crackle_part *parts[2] = {NULL, NULL};
    int permissible = crackle_guess_crack_format(v);
    size_t made_nbytes;
    u8 *made;

    for (int turn = 0; turn < 2; turn++) {
        FUZZ_CHECK(crackle_encode_part(v, 0, middle, permissible, &parts[0]) == CRACKLE_OK);
        FUZZ_CHECK(crackle_encode_part(v, middle, v->sz, permissible, &parts[1]) == CRACKLE_OK);
        if (crackle_fewer_cracks(parts, 2) == permissible)
            break;
        permissible = !permissible;
        crackle_part_free(parts[0]);
        crackle_part_free(parts[1]);
    }
    FUZZ_CHECK(crackle_assemble(v, options, parts, 2, NULL, &made, &made_nbytes) == CRACKLE_OK);
    crackle_part_free(parts[0]);
    crackle_part_free(parts[1]);
    FUZZ_CHECK(made_nbytes == nbytes && memcmp(made, stream, nbytes) == 0);
    crackle_free(made);
}

void fuzz_one(const u8 *data, size_t nbytes)
{
    struct crackle_options options = {0, 0, 0, 0, 0};
    struct crackle_volume v = {NULL, 0, 0, 0, 0, 0, 0, 0}, out;
    struct crackle_header h;
    size_t stream_nbytes, count;
    u8 *stream, *exact;

    if (nbytes < NUM_HEAD_BYTES)
        return;
    v.sx = data[AT_SX] % 130;
    v.sy = data[AT_SY] % 40;
    v.sz = data[AT_SZ] % 20;
    v.width = (u8)(1 << data[AT_TYPE] % 4);
    v.is_signed = data[AT_TYPE] >> 2 & 1;
    v.fortran_order = data[AT_TYPE] >> 3 & 1;
    options.markov_order = data[AT_ORDER] % 15 == 14 ? CRACKLE_MARKOV_AUTO : data[AT_ORDER] % 15 % 13;
    options.format_version = data[AT_OPTIONS] & 1;
    options.pins = data[AT_OPTIONS] / 2 % 3;
    options.has_background = data[AT_OPTIONS] >> 6 & 1;
    options.background = label_of(data[AT_OPTIONS], 0) % 8;
    count = (size_t)v.sx * v.sy * v.sz;
    if (count > FUZZ_MAX_VOXELS)
        return;
    v.nbytes = count * v.width;
    v.voxels = guard_room(GUARD_VOXELS, v.nbytes);
    put_voxels(&v, data, data + NUM_HEAD_BYTES, nbytes - NUM_HEAD_BYTES);

    FUZZ_CHECK(crackle_encode(&v, &options, &stream, &stream_nbytes) == CRACKLE_OK);
    guard_is_written(stream, stream_nbytes);
    FUZZ_CHECK(crackle_read_header(stream, stream_nbytes, &h, NULL) == CRACKLE_OK);
    FUZZ_CHECK(h.sx == v.sx && h.sy == v.sy && h.sz == v.sz && h.data_width == v.width);
    FUZZ_CHECK(h.is_signed == v.is_signed && h.fortran_order == v.fortran_order);
    FUZZ_CHECK(h.format_version == options.format_version);
    if (v.sz > 1 && data[AT_SPREAD] & 8)
        check_parts(&v, &options, stream, stream_nbytes, 1 + data[AT_SPREAD] / 16 % (v.sz - 1));
    exact = guard_copy(GUARD_STREAM, stream, stream_nbytes);
    crackle_free(stream);
    out = v;
    out.fortran_order = !v.fortran_order;
    out.voxels = guard_room(GUARD_OTHER_VOXELS, out.nbytes);
    fuzz_decode_own(exact, stream_nbytes, 0, &out);
    for (size_t i = 0; i < count; i++)
        FUZZ_CHECK(fuzz_voxel(&out, i) == fuzz_voxel(&v, i));
    out.fortran_order = v.fortran_order;
    out.voxels = guard_room(GUARD_OTHER_VOXELS, out.nbytes);
    fuzz_decode_own(exact, stream_nbytes, 0, &out);
    FUZZ_CHECK(count == 0 || memcmp(out.voxels, v.voxels, v.nbytes) == 0);
}
