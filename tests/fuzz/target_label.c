/*
 * target_label.c - questions about one label or entry: masks, values, the table, slices
 *
 * If the whole stream decodes, every answer is compared with the voxels.
 */
#include "fuzz.h"

/* Choose a label of the table, or another one. */
static u64 choose(const struct fuzz_stream *s, const u64 *table, u64 count)
{
    return count && s->control[3] < 200 ? table[s->control[3] % count] : (u64)s->control[3] - 220;
}

static void check_mask(const struct fuzz_stream *s, const struct crackle_volume *whole, int is_sound, u64 label)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    struct crackle_volume mask;
    crackle_status status;
    size_t first, found = 0;
    u32 z_start, z_end;
    int is_listed = 0;

    fuzz_range(s, &z_start, &z_end);
    mask = fuzz_volume(s, GUARD_OTHER_VOXELS, 1, s->control[0] >> 4 & 1, z_end - z_start);
    mask.is_signed = 0;
    status = crackle_decode_mask(&s->parts, z_start, z_end, s->flags, label, &mask, z_start, &where);
    fuzz_status(status, &where);
    if (!is_sound) {
        fuzz_status(crackle_contains(&s->parts, s->flags, label, &is_listed, &where), &where);
        return;
    }
    FUZZ_CHECK(status == CRACKLE_OK);
    guard_is_written(mask.voxels, mask.nbytes);
    first = (size_t)s->header.sx * s->header.sy * z_start;
    for (size_t i = 0; i < mask.nbytes; i++) {
        const int has = fuzz_voxel(whole, first + i) == label;

        FUZZ_CHECK(fuzz_voxel(&mask, i) == (u64)has);
        found += (size_t)has;
    }
    FUZZ_CHECK(crackle_contains(&s->parts, s->flags, label, &is_listed, &where) == CRACKLE_OK);
    FUZZ_CHECK(is_listed || found == 0 || s->flags); /* without CRC, a claim that the table is sorted is trusted */
}

/* Decode a value for each entry, and check which slices have which entries. */
static void read_entries(const struct fuzz_stream *s, const struct crackle_volume *whole, int is_sound,
                         const u64 *table, u64 count, u64 label)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    u64 *values = (u64 *)(void *)guard_room(GUARD_VALUES, (size_t)count * 8);
    u8 *selected = guard_room(GUARD_BYTES, (size_t)count), *present;
    u8 *slices = guard_room(GUARD_SCRATCH, s->header.sz);
    struct crackle_volume out;
    crackle_status status, has_slices, has_entries;
    const size_t slice = (size_t)s->header.sx * s->header.sy;
    u32 z_start, z_end;

    fuzz_range(s, &z_start, &z_end);
    for (u64 i = 0; i < count; i++) {
        selected[i] = table[i] == label;
        values[i] = s->control[2] & 1 ? i + 1 : selected[i];
    }
    out = fuzz_volume(s, GUARD_OTHER_VOXELS, count < 255 ? 1 : 4, s->control[2] >> 1 & 1, s->header.sz);
    out.is_signed = 0;
    status = crackle_decode_as(&s->parts, 0, s->header.sz, s->flags, values, count, &out, 0, &where);
    fuzz_status(status, &where);
    has_slices = crackle_slices_with(&s->parts, s->flags, selected, count, slices, &where);
    fuzz_status(has_slices, &where);
    if (is_sound) {
        FUZZ_CHECK(status == CRACKLE_OK && has_slices == CRACKLE_OK);
        for (size_t i = 0; i < s->num_voxels; i++) {
            const u64 value = fuzz_voxel(&out, i), is = fuzz_voxel(whole, i);

            if (s->control[2] & 1)
                FUZZ_CHECK(value >= 1 && value <= count && table[value - 1] == is);
            else
                FUZZ_CHECK(value == (u64)(is == label));
            FUZZ_CHECK(is != label || slices[i / slice]);
        }
    }
    present = guard_room(GUARD_SCRATCH, (size_t)count);
    has_entries = crackle_entries_in(&s->parts, s->flags, z_start, z_end, present, count, &where);
    if (has_entries == CRACKLE_UNSUPPORTED)
        FUZZ_CHECK(s->header.label_format != CK_LABELS_FLAT);
    else
        fuzz_status(has_entries, &where);
    if (is_sound && has_entries == CRACKLE_OK && s->control[2] & 1) {
        u8 *occurs = guard_room(GUARD_BYTES, (size_t)count);

        memset(occurs, 0, (size_t)count);
        for (size_t i = slice * z_start; i < slice * z_end; i++)
            occurs[fuzz_voxel(&out, i) - 1] = 1;
        FUZZ_CHECK(count == 0 || memcmp(occurs, present, (size_t)count) == 0);
    }
}

void fuzz_one(const u8 *data, size_t nbytes)
{
    struct crackle_volume whole;
    struct fuzz_stream s;
    u64 *table, count, label;
    int is_sound;

    if (!fuzz_open(&s, data, nbytes) || s.num_voxels == 0 || !fuzz_table(&s, &table, &count))
        return;
    is_sound = fuzz_whole(&s, &whole);
    label = choose(&s, table, count);
    check_mask(&s, &whole, is_sound, label);
    read_entries(&s, &whole, is_sound, table, count, label);
}
