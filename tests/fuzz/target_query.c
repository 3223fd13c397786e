/*
 * target_query.c - extents, surfaces, contacts, overlaps, equality, connectivity
 *
 * If the whole stream decodes, every answer is compared with a loop over the voxels.
 */
#include "fuzz.h"

static struct crackle_volume whole;

static u64 voxel_at(u32 x, u32 y, u32 z)
{
    return fuzz_voxel(&whole, x + whole.sx * ((size_t)y + (size_t)whole.sy * z));
}

/* -------------------------------- Measures -------------------------------- */

static void check_measures(const struct crackle_extent *extents, const u64 *table, u64 count, const u32 window[6],
                           int only_counts)
{
    for (u64 i = 0; i < count; i++) {
        struct crackle_extent is = {0, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}};
        u64 reported = 0;
        int is_first = 1;

        /* If the table repeats a label, each of its entries has some of the voxels. */
        for (u64 j = 0; j < count; j++)
            if (table[j] == table[i]) {
                reported += extents[j].voxels;
                is_first &= j >= i;
            }
        if (!is_first)
            continue;
        for (u32 z = window[4]; z < window[5]; z++)
            for (u32 y = window[2]; y < window[3]; y++)
                for (u32 x = window[0]; x < window[1]; x++) {
                    const u32 at[3] = {x, y, z};

                    if (voxel_at(x, y, z) != table[i])
                        continue;
                    for (int axis = 0; axis < 3; axis++) {
                        if (is.voxels == 0 || at[axis] < is.start[axis])
                            is.start[axis] = at[axis];
                        if (at[axis] + 1 > is.stop[axis])
                            is.stop[axis] = at[axis] + 1;
                        is.sum[axis] += at[axis];
                    }
                    is.voxels++;
                }
        FUZZ_CHECK(reported == is.voxels);
        if (extents[i].voxels != is.voxels)
            continue;
        for (int axis = 0; axis < 3; axis++) {
            FUZZ_CHECK(extents[i].sum[axis] == (only_counts ? 0 : is.sum[axis]));
            FUZZ_CHECK(extents[i].start[axis] == (only_counts ? 0 : is.start[axis]));
            FUZZ_CHECK(extents[i].stop[axis] == (only_counts ? 0 : is.stop[axis]));
        }
    }
}

static void check_measure(const struct fuzz_stream *s, int is_sound, const u64 *table, u64 count)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    struct crackle_extent *extents =
        (struct crackle_extent *)(void *)guard_room(GUARD_EXTENTS, (size_t)count * sizeof(*extents));
    const int only_counts = s->control[3] & 1;
    u32 window[6];
    crackle_status status;

    fuzz_range(s, &window[4], &window[5]);
    window[0] = s->control[1] / 16 % s->header.sx;
    window[1] = s->control[3] & 2 ? s->header.sx : window[0] + 1;
    window[2] = s->control[2] / 16 % s->header.sy;
    window[3] = s->control[3] & 4 ? s->header.sy : window[2] + 1;
    status = crackle_measure(&s->parts, window[4], window[5], s->flags | (only_counts ? CRACKLE_ONLY_COUNTS : 0),
                             window[0], window[1], window[2], window[3], extents, count, &where);
    fuzz_status(status, &where);
    if (is_sound) {
        FUZZ_CHECK(status == CRACKLE_OK);
        if (count <= 64)
            check_measures(extents, table, count, window, only_counts);
    }
}

/* -------------------------------- Neighbours ------------------------------ */

static const int steps[6][3] = {{1, 0, 0}, {-1, 0, 0}, {0, 1, 0}, {0, -1, 0}, {0, 0, 1}, {0, 0, -1}};

/* Whether the neighbour has another label. Returns 'outside' if there is no neighbour. */
static int differs(u32 x, u32 y, u32 z, const int step[3], int outside)
{
    const long nx = (long)x + step[0], ny = (long)y + step[1], nz = (long)z + step[2];

    if (nx < 0 || ny < 0 || nz < 0 || nx >= (long)whole.sx || ny >= (long)whole.sy || nz >= (long)whole.sz)
        return outside;
    return voxel_at((u32)nx, (u32)ny, (u32)nz) != voxel_at(x, y, z);
}

static void check_connectivity(const struct fuzz_stream *s, int is_sound)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    const unsigned int connectivity = s->control[3] & 8 ? 4 : 6;
    struct crackle_volume graph;
    crackle_status status;
    u32 z_start, z_end;
    size_t i = 0;

    fuzz_range(s, &z_start, &z_end);
    graph = fuzz_volume(s, GUARD_OTHER_VOXELS, 1, s->control[3] >> 4 & 1, z_end - z_start);
    graph.is_signed = 0;
    status = crackle_connectivity(&s->parts, z_start, z_end, s->flags, connectivity, &graph, z_start, &where);
    fuzz_status(status, &where);
    if (!is_sound)
        return;
    FUZZ_CHECK(status == CRACKLE_OK);
    for (u32 z = z_start; z < z_end; z++)
        for (u32 y = 0; y < s->header.sy; y++)
            for (u32 x = 0; x < s->header.sx; x++, i++) {
                u64 directions = 0;

                for (unsigned int k = 0; k < connectivity; k++)
                    directions |= (u64)!differs(x, y, z, steps[k], 0) << k;
                FUZZ_CHECK(fuzz_voxel(&graph, i) == directions);
            }
}

static void check_surface(const struct fuzz_stream *s, int is_sound, const u64 *table, u64 count)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    u8 *selected = guard_room(GUARD_BYTES, (size_t)count);
    u64 *per_entry = (u64 *)(void *)guard_room(GUARD_VALUES, (size_t)count * 8);
    const unsigned int width = s->control[3] & 32 ? 2 : 4;
    u32 z_start, z_end;
    void *points = NULL;
    u64 reported = 0, is = 0;
    crackle_status status;

    fuzz_range(s, &z_start, &z_end);
    for (u64 i = 0; i < count; i++)
        selected[i] = (u8)(table[i] % 3 != s->control[3] % 3);
    status = crackle_surface(&s->parts, z_start, z_end, s->flags, selected, count, width, NULL, &points, per_entry,
                             &where);
    fuzz_status(status, &where);
    if (status != CRACKLE_OK)
        return;
    for (u64 i = 0; i < count; i++)
        reported += per_entry[i];
    if (is_sound) {
        for (u64 i = 0; i < reported; i++) {
            u32 at[3];

            for (int axis = 0; axis < 3; axis++)
                at[axis] = width == 2 ? ((u16 *)points)[3 * i + (u64)axis] : ((u32 *)points)[3 * i + (u64)axis];
            FUZZ_CHECK(at[0] < whole.sx && at[1] < whole.sy && at[2] >= z_start && at[2] < z_end);
            FUZZ_CHECK(voxel_at(at[0], at[1], at[2]) % 3 != s->control[3] % 3);
        }
        for (u32 z = z_start; z < z_end; z++)
            for (u32 y = 0; y < whole.sy; y++)
                for (u32 x = 0; x < whole.sx; x++) {
                    int at_surface = 0;

                    for (int k = 0; k < 6; k++)
                        at_surface |= differs(x, y, z, steps[k], 1);
                    is += (u64)(at_surface && voxel_at(x, y, z) % 3 != s->control[3] % 3);
                }
        FUZZ_CHECK(reported == is);
    }
    crackle_free(points);
}

static void check_contacts(const struct fuzz_stream *s, int is_sound)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    struct crackle_contact *contacts = NULL;
    const int no_background = s->control[3] >> 6 & 1;
    u64 count, reported[3] = {0, 0, 0}, is[3] = {0, 0, 0};
    u32 z_start, z_end;
    crackle_status status;

    fuzz_range(s, &z_start, &z_end);
    status = crackle_contacts(&s->parts, z_start, z_end, s->flags | (no_background ? CRACKLE_NO_BACKGROUND : 0),
                              &contacts, &count, &where);
    fuzz_status(status, &where);
    if (status != CRACKLE_OK)
        return;
    for (u64 i = 0; i < count; i++) {
        FUZZ_CHECK(contacts[i].a != contacts[i].b);
        for (int axis = 0; axis < 3; axis++)
            reported[axis] += contacts[i].faces[axis];
    }
    for (u64 i = 0; i < count && count <= 64; i++)
        for (u64 j = 0; j < i; j++) {
            FUZZ_CHECK(contacts[i].a != contacts[j].a || contacts[i].b != contacts[j].b);
            FUZZ_CHECK(contacts[i].a != contacts[j].b || contacts[i].b != contacts[j].a);
        }
    crackle_free(contacts);
    if (!is_sound)
        return;
    for (u32 z = z_start; z < z_end; z++)
        for (u32 y = 0; y < whole.sy; y++)
            for (u32 x = 0; x < whole.sx; x++)
                for (int axis = 0; axis < 3; axis++) {
                    const int *step = steps[2 * axis + 1];

                    if (differs(x, y, z, step, 0) &&
                        !(no_background && (voxel_at(x, y, z) == 0 ||
                                            voxel_at(x + (u32)step[0], y + (u32)step[1], z + (u32)step[2]) == 0)))
                        is[axis]++;
                }
    for (int axis = 0; axis < 3; axis++)
        FUZZ_CHECK(reported[axis] == is[axis]);
}

/* Widen a box by a voxel. */
static void widen(u32 *start, u32 *stop, u32 x, u32 y, u32 z)
{
    const u32 voxel[3] = {x, y, z};

    for (int i = 0; i < 3; i++) {
        start[i] = voxel[i] < start[i] ? voxel[i] : start[i];
        stop[i] = voxel[i] + 1 > stop[i] ? voxel[i] + 1 : stop[i];
    }
}

static void check_contacts_within(const struct fuzz_stream *s, int is_sound)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    struct crackle_contact *contacts = NULL;
    const unsigned int axes = s->control[3] >> 3 & 7;
    u64 count, reported = 0, is = 0;
    u32 from[3], to[3], start[2][3], stop[2][3] = {{0}};
    crackle_status status;

    memset(start, 0xff, sizeof(start));
    fuzz_range(s, &from[2], &to[2]);
    from[0] = s->control[1] / 16 % s->header.sx;
    to[0] = s->control[3] & 2 ? s->header.sx : from[0] + 1;
    from[1] = s->control[2] / 16 % s->header.sy;
    to[1] = s->control[3] & 4 ? s->header.sy : from[1] + 1;
    status = crackle_contacts_within(&s->parts, from[2], to[2], s->flags, from[0], to[0], from[1], to[1], axes,
                                     &contacts, &count, &where);
    fuzz_status(status, &where);
    if (status != CRACKLE_OK)
        return;
    for (u64 i = 0; i < count; i++) {
        const u32 *first = contacts[i].start, *end = contacts[i].stop;

        reported += contacts[i].faces[0] + contacts[i].faces[1] + contacts[i].faces[2];
        widen(start[0], stop[0], first[0], first[1], first[2]);
        widen(start[0], stop[0], end[0] - 1, end[1] - 1, end[2] - 1);
    }
    crackle_free(contacts);
    if (!is_sound)
        return;
    for (u32 z = from[2]; z < to[2]; z++)
        for (u32 y = from[1]; y < to[1]; y++)
            for (u32 x = from[0]; x < to[0]; x++)
                for (int axis = 0; axis < 3; axis++) {
                    const int *step = steps[2 * axis + 1];
                    const u32 voxel[3] = {x, y, z};

                    if (!(axes >> axis & 1) || voxel[axis] == from[axis] || !differs(x, y, z, step, 0))
                        continue;
                    is++;
                    widen(start[1], stop[1], x, y, z);
                    widen(start[1], stop[1], x + (u32)step[0], y + (u32)step[1], z + (u32)step[2]);
                }
    FUZZ_CHECK(reported == is);
    FUZZ_CHECK(memcmp(start[0], start[1], sizeof(start[0])) == 0 && memcmp(stop[0], stop[1], sizeof(stop[0])) == 0);
}

/* ------------------------------- Two streams ------------------------------ */

static void check_two_streams(const struct fuzz_stream *s, int is_sound)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    struct crackle_options options = {1, 0, (u8)(s->control[3] & 1), 0, 0};
    struct crackle_overlap *overlaps = NULL;
    struct crackle_parts other = s->parts;
    struct crackle_volume moved = whole;
    u8 *stream = NULL;
    size_t stream_nbytes;
    u64 count, voxels = 0, first;
    u32 z_start, z_end;
    int equal = 0, is_equal = 1;
    crackle_status status;

    fuzz_range(s, &z_start, &z_end);
    if (is_sound) { /* the other stream has one changed voxel */
        moved.voxels = guard_copy(GUARD_OTHER_VOXELS, whole.voxels, whole.nbytes);
        first = ck_load16(s->control + 2) % s->num_voxels * moved.width;
        ((u8 *)moved.voxels)[first] ^= s->control[1] & 1;
        is_equal = !(s->control[1] & 1) ||
                   first / moved.width / ((size_t)whole.sx * whole.sy) - z_start >= (u64)(z_end - z_start);
        FUZZ_CHECK(crackle_encode(&moved, &options, &stream, &stream_nbytes) == CRACKLE_OK);
        FUZZ_CHECK(crackle_split(stream, stream_nbytes, &other, NULL) == CRACKLE_OK);
    }
    status = crackle_equal(&s->parts, &other, z_start, z_end, s->flags, &equal, &where);
    fuzz_status(status, &where);
    if (is_sound)
        FUZZ_CHECK(status == CRACKLE_OK && equal == is_equal);
    status = crackle_overlaps(&s->parts, &other, z_start, z_end, s->flags, &overlaps, &count, &where);
    fuzz_status(status, &where);
    if (status == CRACKLE_OK) {
        for (u64 i = 0; i < count; i++)
            voxels += overlaps[i].voxels;
        FUZZ_CHECK(!is_sound || voxels == (u64)whole.sx * whole.sy * (z_end - z_start));
        crackle_free(overlaps);
    }
    crackle_free(stream);
}

void fuzz_one(const u8 *data, size_t nbytes)
{
    struct fuzz_stream s;
    u64 *table, count;
    int is_sound;

    if (!fuzz_open(&s, data, nbytes) || s.num_voxels == 0 || !fuzz_table(&s, &table, &count))
        return;
    is_sound = fuzz_whole(&s, &whole);
    check_measure(&s, is_sound, table, count);
    check_connectivity(&s, is_sound);
    check_surface(&s, is_sound, table, count);
    check_contacts(&s, is_sound);
    check_contacts_within(&s, is_sound);
    check_two_streams(&s, is_sound);
}
