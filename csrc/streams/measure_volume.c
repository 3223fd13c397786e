/*
 * measure_volume.c - the labels of a volume in memory, and their extents, without a stream
 *
 *   labels -> bitmaps -> components -> extents
 *
 * The first half of encoding and the second half of measuring a stream: nothing is traced, coded or decoded.
 *
 * To list the labels, no components are needed either.  Of every component, the first voxel that a scan meets has
 * cracks on its left and above it.  So only the labels right of and below two cracks are looked at: of 134 million
 * voxels of a dense segmentation, some million.
 *
 * Cost: one comparison of each voxel with two neighbours; after that, linear in the boundaries.
 */
#include "../base/sort.h"
#include "../codec/boundary.h"
#include "../codec/volume.h"
#include "measure.h"

/* Whether the arguments are those of a volume in Fortran order. */
static crackle_status check_arguments(const struct crackle_volume *v, u32 z_start, u32 z_end)
{
    if (!ck_is_volume(v) || z_start > z_end || z_end > v->sz)
        return CRACKLE_BAD_ARGUMENT;
    return v->fortran_order ? CRACKLE_OK : CRACKLE_UNSUPPORTED;
}

/* Add the labels of a row, which lie right of and below two cracks. */
static int add_labels(struct ck_label_set *set, const struct crackle_volume *v, const u8 *slice,
                      const struct ck_bitmaps *b, u32 y)
{
    const u64 *const left = ck_vertical(b, y), *const above = ck_horizontal(b, y);
    const u64 row = (u64)y * v->sx;
    u32 number;

    for (size_t w = 0; w < b->words; w++) {
        const u64 rim = w == 0 ? 1 : 0;
        u64 corners = (left[w] | rim) & (y == 0 ? ~(u64)0 : above[w]);

        for (; corners; corners &= corners - 1) {
            const u64 x = (u64)w * 64 + ck_ctz64(corners);

            if (!ck_label_set_add(set, ck_native_label(slice, row + x, v->width, v->is_signed), &number))
                return 0;
        }
    }
    return 1;
}

crackle_status crackle_volume_labels(const struct crackle_volume *volume, uint32_t z_start, uint32_t z_end,
                                     uint64_t **labels_ret, uint64_t *count_ret)
{
    const struct crackle_volume *const v = volume;
    struct ck_bitmaps b;
    struct ck_label_set set = {0};
    crackle_status status = check_arguments(v, z_start, z_end);
    int ok;

    if (status != CRACKLE_OK)
        return status;
    ok = ck_bitmaps_init(&b, v->sx, v->sy);
    if (v->nbytes != 0)
        for (u32 z = z_start; ok && z < z_end; z++) {
            ck_find_boundaries(ck_slice_of(v, z), v->width, &b);
            for (u32 y = 0; ok && y < v->sy; y++)
                ok = add_labels(&set, v, ck_slice_of(v, z), &b, y);
        }
    ck_bitmaps_free(&b);
    ok = ok && (set.count == 0 || ck_sort_labels(set.labels, &set.count, v->is_signed, NULL));
    if (ok) {
        *labels_ret = set.labels;
        *count_ret = set.count;
        set.labels = NULL;
    }
    ck_label_set_free(&set);
    return ok ? CRACKLE_OK : CRACKLE_NO_MEMORY;
}

/* Scratch memory, kept from slice to slice, and what is found. */
struct measuring {
    struct ck_bitmaps bitmaps;
    struct ck_components components;
    struct ck_label_set set;
    void *slice;             /* struct ck_extent per component */
    size_t slice_capacity;
    void *rows;              /* struct crackle_label_extent per label of the set */
    size_t rows_capacity;
};

static crackle_status measure_labels(struct measuring *m, const struct crackle_volume *v, u32 z, int only_counts)
{
    const struct ck_window w = {0, v->sx, 0, v->sy};
    const struct ck_components *const c = &m->components;
    const u8 *const voxels = ck_slice_of(v, z);
    const struct ck_extent *extents;
    crackle_status status;

    ck_find_boundaries(voxels, v->width, &m->bitmaps);
    status = ck_find_components(&m->components, &m->bitmaps);
    if (status != CRACKLE_OK)
        return status;
    if (!ck_reserve(&m->slice, &m->slice_capacity, c->count, sizeof(struct ck_extent)))
        return CRACKLE_NO_MEMORY;
    ck_measure_slice(c, &w, m->slice, only_counts);
    extents = m->slice;
    for (size_t i = 0; i < c->count; i++) {
        const u64 label = ck_native_label(voxels, c->first[i], v->width, v->is_signed);
        const size_t before = m->set.count;
        struct crackle_label_extent *row;
        u32 number;

        if (!ck_label_set_add(&m->set, label, &number) ||
            !ck_reserve(&m->rows, &m->rows_capacity, m->set.count, sizeof(*row)))
            return CRACKLE_NO_MEMORY;
        row = (struct crackle_label_extent *)m->rows + number;
        if (m->set.count > before) {
            memset(row, 0, sizeof(*row));
            row->label = label;
        }
        if (only_counts)
            row->extent.voxels += extents[i].voxels;
        else
            ck_add_extent(&row->extent, &extents[i], z);
    }
    return CRACKLE_OK;
}

crackle_status crackle_measure_volume(const struct crackle_volume *volume, uint32_t z_start, uint32_t z_end,
                                      unsigned int flags, struct crackle_label_extent **rows_ret,
                                      uint64_t *count_ret)
{
    const struct crackle_volume *const v = volume;
    const int only_counts = (flags & CRACKLE_ONLY_COUNTS) != 0;
    const struct ck_window w = {0, v->sx, 0, v->sy};
    struct measuring m;
    crackle_status status = check_arguments(v, z_start, z_end);

    if (status != CRACKLE_OK)
        return status;
    memset(&m, 0, sizeof(m));
    if (v->nbytes != 0 && z_start < z_end) {
        if (!only_counts && !ck_sums_fit(&w, z_start, z_end))
            return CRACKLE_TOO_LARGE;
        if (!ck_bitmaps_init(&m.bitmaps, v->sx, v->sy) || !ck_components_init(&m.components, v->sx, v->sy))
            status = CRACKLE_NO_MEMORY;
        for (u32 z = z_start; status == CRACKLE_OK && z < z_end; z++)
            status = measure_labels(&m, v, z, only_counts);
        ck_bitmaps_free(&m.bitmaps);
        ck_components_free(&m.components);
    }
    if (status == CRACKLE_OK) {
        *rows_ret = m.rows;
        *count_ret = m.set.count;
        m.rows = NULL;
    }
    ck_label_set_free(&m.set);
    free(m.slice);
    free(m.rows);
    return status;
}
