/*
 * moves.c - the chains of a slice <-> the bytes of its crack code
 *
 * A crack code is an index and a stream of codepoints (docs/format.md, section 3).  A codepoint is stored as its
 * difference to the previous codepoint, modulo 4, in two bits.  Cracks mostly go straight on, so most differences are
 * zero.  The Markov model, and any compressor applied to the stream, profits from that.
 *
 * Eight codepoints, one per byte of a word, become 16 bits and back without a loop.  Differences and running sums of
 * bytes are ordinary arithmetic on the word, because the values stay below 32 and no byte carries into the next.
 */
#include "format.h"
#include "moves.h"

#define EACH_BYTE 0x0101010101010101u

/* Gather two bits of each byte in the lowest 16 bits. */
static inline u16 gather(u64 bytes)
{
    bytes = (bytes | bytes >> 6) & 0x000f000f000f000fu;
    bytes = (bytes | bytes >> 12) & 0x000000ff000000ffu;
    return (u16)(bytes | bytes >> 24);
}

static inline u64 scatter(u16 bits)
{
    u64 bytes = (bits | (u64)bits << 24) & 0x000000ff000000ffu;

    bytes = (bytes | bytes << 12) & 0x000f000f000f000fu;
    return (bytes | bytes << 6) & 0x0303030303030303u;
}

/* The differences of eight codepoints; that of the first is to 'last'. */
static inline u64 differences(u64 codepoints, u64 last)
{
    return ((codepoints | 4 * EACH_BYTE) - (codepoints << 8 | last)) & 3 * EACH_BYTE;
}

/* The inverse: running sums that start from 'last'. */
static inline u64 running_sums(u64 diffs, u64 last)
{
    diffs += diffs << 8;
    diffs += diffs << 16;
    diffs += diffs << 32;
    return (diffs + last * EACH_BYTE) & 3 * EACH_BYTE;
}

/* --------------------------------- Writing --------------------------------- */

static crackle_status write_index(const struct ck_chains *chains, const struct ck_bitmaps *b,
                                  struct ck_bytes *out)
{
    unsigned int xw = ck_width((u64)b->sx + 1);
    unsigned int yw = ck_width((u64)b->sy + 1);
    size_t at = out->size; /* the length is stored here at the end */
    u64 num_rows = 0, last_y = 0;

    /* There is at most one row per chain. */
    if (!ck_bytes_reserve(out, 4 + yw + (u64)chains->num_starts * (yw + 2 * xw)))
        return CRACKLE_NO_MEMORY;
    out->size += 4 + yw;
    for (size_t i = 0; i < chains->num_starts; num_rows++) {
        u64 y = chains->starts[i] / b->stride;
        u64 last_x = 0, count = 0;
        size_t count_at;

        ck_bytes_put(out, y - last_y, yw);
        count_at = out->size;
        ck_bytes_put(out, 0, xw);
        for (; i < chains->num_starts && chains->starts[i] / b->stride == y; i++, count++) {
            u64 x = chains->starts[i] % b->stride;

            ck_bytes_put(out, x - last_x, xw);
            last_x = x;
        }
        ck_store(out->data + count_at, count, xw);
        last_y = y;
    }
    if (out->size - at - 4 > UINT32_MAX)
        return CRACKLE_TOO_LARGE;
    ck_store32(out->data + at, (u32)(out->size - at - 4));
    ck_store(out->data + at + 4, num_rows, yw);
    return CRACKLE_OK;
}

crackle_status ck_write_crack_code(const struct ck_chains *chains, const struct ck_bitmaps *b,
                                   struct ck_bytes *out)
{
    crackle_status status = write_index(chains, b, out);
    const u8 *codepoints = chains->codepoints;
    size_t n = chains->num_codepoints;
    u64 last = 0;

    if (status != CRACKLE_OK)
        return status;
    if (!ck_bytes_reserve(out, (u64)n / 4 + 2))
        return CRACKLE_NO_MEMORY;
    for (; n >= 8; codepoints += 8, n -= 8) {
        u64 eight = ck_load64(codepoints);

        ck_store16(out->data + out->size, gather(differences(eight, last)));
        out->size += 2;
        last = eight >> 56;
    }
    if (n) {
        u64 eight = 0;

        for (size_t i = 0; i < 8; i++) /* repeat the last codepoint, which gives differences of zero */
            eight |= (u64)codepoints[i < n ? i : n - 1] << 8 * i;
        ck_store16(out->data + out->size, gather(differences(eight, last)));
        out->size += (n + 3) / 4;
    }
    return CRACKLE_OK;
}

/* --------------------------------- Reading --------------------------------- */

u64 ck_chain_index_nbytes(const u8 *code, u64 nbytes)
{
    u64 index;

    if (nbytes < 4)
        return 0;
    index = (u64)ck_load32(code) + 4;
    return index <= nbytes ? index : 0;
}

static crackle_status read_index(struct ck_reader r, const struct ck_bitmaps *b, struct ck_chains *chains)
{
    unsigned int xw = ck_width((u64)b->sx + 1);
    unsigned int yw = ck_width((u64)b->sy + 1);
    void *starts = chains->starts;
    u64 num_rows, y = 0;
    int ok;

    chains->num_starts = 0;
    if (!ck_get(&r, yw, &num_rows))
        return CRACKLE_CORRUPT;
    /* A start takes at least one byte. */
    ok = ck_reserve(&starts, &chains->starts_capacity, ck_left(&r), sizeof(*chains->starts));
    chains->starts = starts;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    for (; num_rows; num_rows--) {
        u64 dy, dx = 0, x = 0, count;

        if (!ck_get(&r, yw, &dy) || !ck_get(&r, xw, &count))
            return CRACKLE_CORRUPT;
        y += dy;
        if (dy > b->sy || y > b->sy || count > ck_left(&r) / xw)
            return CRACKLE_CORRUPT;
        for (; count; count--) {
            ck_get(&r, xw, &dx);
            x += dx;
            if (dx > b->sx || x > b->sx)
                return CRACKLE_CORRUPT;
            chains->starts[chains->num_starts++] = (size_t)(y * b->stride + x);
        }
    }
    return ck_left(&r) == 0 ? CRACKLE_OK : CRACKLE_CORRUPT;
}

crackle_status ck_read_crack_code(const u8 *code, u64 nbytes, const struct ck_markov_model *model,
                                  const struct ck_bitmaps *b, struct ck_chains *chains)
{
    u64 index = ck_chain_index_nbytes(code, nbytes);
    struct ck_reader r;
    crackle_status status;
    void *codepoints = chains->codepoints;
    const u8 *packed;
    u64 capacity, last = 0;
    int ok;

    if (!index)
        return CRACKLE_CORRUPT;
    r.next = code + 4;
    r.end = code + index;
    status = read_index(r, b, chains);
    if (status != CRACKLE_OK)
        return status;
    code += index;
    nbytes -= index;

    /*
     * A byte holds four codepoints, or with a model at most eight of one bit each.  The model decodes to the end of the
     * buffer.  Codepoints written from the front reach those bytes only after reading them.
     */
    capacity = model ? nbytes * 8 + ck_markov_packed_nbytes(nbytes) + 8 : nbytes * 4 + 8;
    ok = ck_reserve(&codepoints, &chains->codepoints_capacity, capacity, 1);
    chains->codepoints = codepoints;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    packed = code;
    chains->num_codepoints = (size_t)nbytes * 4;
    if (model) {
        u8 *decoded = chains->codepoints + capacity - ck_markov_packed_nbytes(nbytes);

        chains->num_codepoints = ck_markov_decode(model, code, (size_t)nbytes, decoded);
        packed = decoded;
        nbytes = ((u64)chains->num_codepoints + 3) / 4;
    }
    for (size_t i = 0; i < nbytes; i += 2) {
        u16 bits = i + 1 < nbytes ? ck_load16(packed + i) : packed[i];
        u64 eight = running_sums(scatter(bits), last);

        ck_store64(chains->codepoints + 4 * i, eight);
        last = eight >> 56;
    }
    return CRACKLE_OK;
}
