/*
 * target_edit.c - new streams from a stream: relabelled, recompressed, stacked, overlaid, pooled, joined
 *
 * Every result must be a valid stream.  If the input decodes, the result must have the right voxels.
 */
#include "fuzz.h"

static struct crackle_volume whole; /* x fastest */

static u64 whole_at(size_t i)
{
    return fuzz_voxel(&whole, i);
}

/*
 * Decode a new stream, and free it.  Copied slices keep the checksums of the input, so 'flags' are those of the input;
 * all other checksums must be valid.
 */
static void decode_and_free(u8 *made, size_t nbytes, unsigned int flags, const struct crackle_volume *out)
{
    fuzz_decode_own(made, nbytes, flags, out);
    crackle_free(made);
}

static struct crackle_volume room(const struct fuzz_stream *s, unsigned int width, int is_signed, u32 sz)
{
    struct crackle_volume v = fuzz_volume(s, GUARD_OTHER_VOXELS, width, 1, sz);

    v.is_signed = (u8)is_signed;
    return v;
}

/* ------------------------------- Other labels ----------------------------- */

static void relabel(const struct fuzz_stream *s, int is_sound, const u64 *table, u64 count)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    u64 *others = (u64 *)(void *)guard_room(GUARD_VALUES, (size_t)count * 8);
    u8 *before = guard_room(GUARD_SCRATCH, s->nbytes), *made;
    struct crackle_volume out;
    size_t made_nbytes;
    crackle_status status;

    for (u64 i = 0; i < count; i++)
        others[i] = (table[i] * 0x9e3779b97f4a7c15u >> 33) % (1 + s->control[1]);
    status = crackle_relabel(s->bytes, s->nbytes, others, count, 4, s->control[2] & 1, 1, &made, &made_nbytes, &where);
    fuzz_status(status, &where);
    FUZZ_CHECK(!is_sound || status == CRACKLE_OK || s->flags);
    if (status == CRACKLE_OK && is_sound) {
        out = room(s, 4, s->control[2] & 1, s->header.sz);
        decode_and_free(made, made_nbytes, s->flags, &out);
        for (size_t i = 0; i < s->num_voxels; i++)
            FUZZ_CHECK(fuzz_voxel(&out, i) ==
                       (whole_at(i) * 0x9e3779b97f4a7c15u >> 33) % (1 + s->control[1]));
    } else if (status == CRACKLE_OK) {
        crackle_free(made);
    }
    memcpy(before, s->bytes, s->nbytes);
    status = crackle_relabel_in_place(s->bytes, s->nbytes, others, count, &where);
    fuzz_status(status, &where);
    if (status != CRACKLE_OK) {
        FUZZ_CHECK(memcmp(before, s->bytes, s->nbytes) == 0);
    } else if (is_sound) {
        out = room(s, s->header.data_width, s->header.is_signed, s->header.sz);
        fuzz_decode_own(s->bytes, s->nbytes, s->flags, &out);
        for (size_t i = 0; i < s->num_voxels; i++)
            FUZZ_CHECK(fuzz_voxel(&out, i) ==
                       (whole_at(i) * 0x9e3779b97f4a7c15u >> 33) % (1 + s->control[1]));
    }
    memcpy(s->bytes, before, s->nbytes);
}

/* ------------------------------- Other codes ------------------------------ */

static void recompress(const struct fuzz_stream *s, int is_sound)
{
    static const u8 orders[] = {0, 0, 1, 2, 3, 5, 6, CRACKLE_MARKOV_AUTO};
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    crackle_part *parts[2] = {NULL, NULL};
    const u32 middle = s->control[1] % (s->header.sz + 1);
    const int permissible = s->control[2] & 1;
    struct crackle_volume out;
    size_t num_parts = 0, made_nbytes;
    crackle_status status = CRACKLE_OK;
    u8 *made;

    if (middle > 0)
        status = crackle_recompress_part(&s->parts, 0, middle, s->flags, permissible, &parts[num_parts++], &where);
    fuzz_status(status, &where);
    if (status == CRACKLE_OK && middle < s->header.sz)
        status = crackle_recompress_part(&s->parts, middle, s->header.sz, s->flags, permissible, &parts[num_parts++],
                                         &where);
    fuzz_status(status, &where);
    if (status == CRACKLE_OK) {
        crackle_fewer_cracks(parts, num_parts);
        status = crackle_reassemble(s->bytes, s->nbytes, orders[s->control[2] / 2 % 8], parts, num_parts, NULL, &made,
                                    &made_nbytes, &where);
        fuzz_status(status, &where);
        if (status == CRACKLE_OK) {
            out = room(s, s->header.data_width, s->header.is_signed, s->header.sz);
            decode_and_free(made, made_nbytes, 0, &out);
            for (size_t i = 0; is_sound && i < s->num_voxels; i++)
                FUZZ_CHECK(fuzz_voxel(&out, i) == whole_at(i));
        }
    }
    FUZZ_CHECK(!is_sound || status == CRACKLE_OK || s->flags);
    crackle_part_free(parts[0]);
    crackle_part_free(parts[1]);
}

static void overlay(const struct fuzz_stream *s, int is_sound, const u64 *table, u64 count)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    const struct crackle_options options = {1, 3, 0, 0, 0};
    crackle_part *part = NULL;
    struct crackle_volume out;
    size_t made_nbytes;
    u8 *made;
    crackle_status status =
        crackle_overlay_part(&s->parts, &s->parts, 0, s->header.sz, s->flags, s->control[2] & 1, &part, &where);

    fuzz_status(status, &where);
    if (status != CRACKLE_OK) {
        FUZZ_CHECK(!is_sound);
        return;
    }
    out = room(s, 8, 0, s->header.sz);
    status = crackle_assemble(&out, &options, &part, 1, NULL, &made, &made_nbytes);
    crackle_part_free(part);
    FUZZ_CHECK(status == CRACKLE_OK);
    decode_and_free(made, made_nbytes, 0, &out);
    for (size_t i = 0; is_sound && i < s->num_voxels; i++) {
        const u64 pair = fuzz_voxel(&out, i);

        FUZZ_CHECK(pair >> 32 < count && (pair & UINT32_MAX) < count);
        FUZZ_CHECK(table[pair >> 32] == whole_at(i) && table[pair & UINT32_MAX] == whole_at(i));
    }
}

/* A pooled voxel must occur in its block, and be one of the most frequent. */
static void check_pooled(const struct crackle_volume *out, u32 depth, int sparse)
{
    for (size_t i = 0; i < (size_t)out->sx * out->sy * out->sz; i++) {
        const u32 x = (u32)(i % out->sx * 2), y = (u32)(i / out->sx % out->sy * 2);
        const u32 z = (u32)(i / out->sx / out->sy * depth);
        u64 block[8], label = fuzz_voxel(out, i), is = 0;
        int count = 0;

        for (u32 dz = 0; dz < depth && z + dz < whole.sz; dz++)
            for (u32 dy = 0; dy < 2 && y + dy < whole.sy; dy++)
                for (u32 dx = 0; dx < 2 && x + dx < whole.sx; dx++)
                    block[count++] = whole_at(x + dx + whole.sx * (y + dy + (size_t)whole.sy * (z + dz)));
        for (int a = 0; a < count; a++)
            is += block[a] == label;
        FUZZ_CHECK(is > 0);
        for (int a = 0; a < count; a++) {
            u64 other = 0;

            for (int b = 0; b < count; b++)
                other += block[b] == block[a];
            if (sparse && label == 0)
                FUZZ_CHECK(block[a] == 0);
            if (!sparse)
                FUZZ_CHECK(other <= is);
        }
    }
}

static void pool(const struct fuzz_stream *s, int is_sound)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    const struct crackle_options options = {1, 0, 0, 0, 0};
    const unsigned int depth = 1 + (s->control[2] & 1);
    const int sparse = s->control[2] >> 1 & 1;
    const u32 sz = (s->header.sz + depth - 1) / depth;
    crackle_part *part = NULL;
    struct crackle_volume out;
    size_t made_nbytes;
    u8 *made;
    crackle_status status = crackle_pool_part(&s->parts, 0, sz, s->flags, depth, sparse, s->control[2] >> 2 & 1,
                                              &part, &where);

    fuzz_status(status, &where);
    if (status != CRACKLE_OK) {
        FUZZ_CHECK(!is_sound);
        return;
    }
    out = room(s, s->header.data_width, s->header.is_signed, sz);
    out.sx = (s->header.sx + 1) / 2;
    out.sy = (s->header.sy + 1) / 2;
    out.nbytes = (size_t)out.sx * out.sy * sz * out.width;
    out.voxels = guard_room(GUARD_OTHER_VOXELS, out.nbytes);
    status = crackle_assemble(&out, &options, &part, 1, NULL, &made, &made_nbytes);
    crackle_part_free(part);
    FUZZ_CHECK(status == CRACKLE_OK);
    decode_and_free(made, made_nbytes, 0, &out);
    if (is_sound)
        check_pooled(&out, depth, sparse);
}

static void stack(const struct fuzz_stream *s, int is_sound)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    struct crackle_piece pieces[3] = {
        {s->bytes, s->nbytes, 0, s->header.sz}, {NULL, 0, 0, 0}, {s->bytes, s->nbytes, 0, 0}};
    const struct crackle_options options = {(u8)(s->control[2] & 1), (u8)(s->control[2] / 2 % 4), 0, 0, 0};
    const size_t slice = (size_t)s->header.sx * s->header.sy;
    struct crackle_volume out;
    size_t own_nbytes, made_nbytes, piece;
    u8 *own = NULL, *made;
    crackle_status status;
    u32 sz;

    /* Stack slices of the input, and of a new stream with the same voxels. */
    if (is_sound)
        FUZZ_CHECK(crackle_encode(&whole, &options, &own, &own_nbytes) == CRACKLE_OK);
    fuzz_range(s, &pieces[0].z_start, &pieces[0].z_end);
    pieces[1] = pieces[0];
    pieces[1].z_start = 0;
    if (own) {
        pieces[1].bytes = own;
        pieces[1].nbytes = own_nbytes;
    }
    sz = pieces[0].z_end - pieces[0].z_start + pieces[1].z_end;
    status = crackle_stack(pieces, 3, s->control[3] % 4, s->header.data_width, s->header.is_signed, 1, &made,
                           &made_nbytes, &piece, &where);
    fuzz_status(status, &where);
    if (status == CRACKLE_OK && is_sound) {
        out = room(s, s->header.data_width, s->header.is_signed, sz);
        decode_and_free(made, made_nbytes, s->flags, &out);
        for (size_t i = 0; i < slice * sz; i++) {
            const size_t first = slice * (pieces[0].z_end - pieces[0].z_start);

            FUZZ_CHECK(fuzz_voxel(&out, i) == whole_at(i < first ? i + slice * pieces[0].z_start : i - first));
        }
    } else if (status == CRACKLE_OK) {
        crackle_free(made);
    }
    FUZZ_CHECK(!is_sound || status == CRACKLE_OK || s->flags);
    crackle_free(own);
}

/* ---------------------------------- Joined -------------------------------- */

static void fill(u32 *components, size_t first, u32 component, unsigned int connectivity, int is_binary)
{
    size_t *todo = (size_t *)(void *)guard_room(GUARD_EXTENTS, FUZZ_MAX_VOXELS * sizeof(size_t)), count = 1;

    todo[0] = first;
    components[first] = component;
    while (count > 0) {
        const size_t i = todo[--count];
        const long x = (long)(i % whole.sx), y = (long)(i / whole.sx % whole.sy), z = (long)(i / whole.sx / whole.sy);

        for (long dz = -1; dz <= 1; dz++)
            for (long dy = -1; dy <= 1; dy++)
                for (long dx = -1; dx <= 1; dx++) {
                    const size_t at = (size_t)(x + dx + (long)whole.sx * (y + dy + (long)whole.sy * (z + dz)));

                    if ((connectivity == 6 && labs(dx) + labs(dy) + labs(dz) != 1) || x + dx < 0 || y + dy < 0 ||
                        z + dz < 0 || x + dx >= (long)whole.sx || y + dy >= (long)whole.sy ||
                        z + dz >= (long)whole.sz || components[at] ||
                        (is_binary ? whole_at(at) == 0 : whole_at(at) != whole_at(i)))
                        continue;
                    components[at] = component;
                    todo[count++] = at;
                }
    }
}

static void join(const struct fuzz_stream *s, int is_sound)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    const int is_binary = s->control[2] >> 1 & 1;
    const struct crackle_joining how = {s->control[2] & 1 ? 26 : 6, is_binary, 1, 0, 0};
    crackle_joiner *joiner = NULL;
    struct crackle_volume out;
    u32 *components, found = 0;
    u64 *labels, *first, count;
    size_t made_nbytes;
    u8 *made;
    crackle_status status = crackle_joiner_begin(s->bytes, s->nbytes, s->flags, &how, &joiner, &where);

    fuzz_status(status, &where);
    for (u32 z = 0; status == CRACKLE_OK && z < s->header.sz; z++)
        status = crackle_joiner_next(joiner, 1, &where);
    fuzz_status(status, &where);
    if (status == CRACKLE_OK)
        status = crackle_joiner_finish(joiner, s->bytes, &made, &made_nbytes, &labels, &first, &count);
    crackle_joiner_free(joiner);
    FUZZ_CHECK(!is_sound || status == CRACKLE_OK);
    if (status != CRACKLE_OK)
        return;
    if (!is_sound) {
        crackle_free(made);
        crackle_free(labels);
        crackle_free(first);
        return;
    }
    out = room(s, ck_width(count), 0, s->header.sz);
    decode_and_free(made, made_nbytes, s->flags, &out);
    components = (u32 *)(void *)guard_room(GUARD_SCRATCH, s->num_voxels * sizeof(*components));
    memset(components, 0, s->num_voxels * sizeof(*components));
    for (size_t i = 0; i < s->num_voxels; i++) {
        if (whole_at(i) != 0 && components[i] == 0) {
            fill(components, i, ++found, how.connectivity, is_binary);
            FUZZ_CHECK(found <= count && labels[found - 1] == whole_at(i) && first[found - 1] == i);
        }
        FUZZ_CHECK(fuzz_voxel(&out, i) == components[i]);
    }
    FUZZ_CHECK(count == found);
    crackle_free(labels);
    crackle_free(first);
}

void fuzz_one(const u8 *data, size_t nbytes)
{
    struct fuzz_stream s;
    u64 *table, count;
    int is_sound;

    if (!fuzz_open(&s, data, nbytes) || s.num_voxels == 0 || !fuzz_table(&s, &table, &count))
        return;
    is_sound = fuzz_whole(&s, &whole);
    switch (s.control[3] % 6) {
    case 0:
        relabel(&s, is_sound, table, count);
        break;
    case 1:
        recompress(&s, is_sound);
        break;
    case 2:
        overlay(&s, is_sound, table, count);
        break;
    case 3:
        pool(&s, is_sound);
        break;
    case 4:
        stack(&s, is_sound);
        break;
    default:
        join(&s, is_sound);
    }
}
