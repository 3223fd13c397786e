/* query.c - questions that the labels section answers, without the crack codes */
#include "../codec/format.h"
#include "../codec/header.h"
#include "../codec/label_map.h"
#include "../codec/pin_list.h"

/*
 * Read the table; that of a stream without voxels is empty.  With CRACKLE_NO_VERIFY, the rest of the labels section may
 * be missing.
 */
static crackle_status open_table(const struct crackle_parts *parts, unsigned int flags, struct crackle_header *h,
                                 struct ck_label_table *table, struct crackle_where *where)
{
    struct crackle_layout l;
    crackle_status status;
    u64 nbytes;

    memset(table, 0, sizeof(*table));
    if (flags & CRACKLE_NO_VERIFY)
        status = ck_open_sections(parts, h, &l, where);
    else
        status = ck_open_labels(parts, 1, h, &l, where);
    if (status != CRACKLE_OK || ck_is_empty(h))
        return status;
    nbytes = (parts->head_nbytes < l.markov_model ? parts->head_nbytes : l.markov_model) - l.labels;
    status = ck_label_table_peek(h, parts->head + l.labels, nbytes, table);
    if (status == CRACKLE_TRUNCATED && nbytes == h->num_label_bytes)
        status = CRACKLE_CORRUPT;
    return ck_fail(where, status, CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
}

/* Open the whole labels section, with the map of all slices. */
static crackle_status open_map(const struct crackle_parts *parts, unsigned int flags, struct crackle_header *h,
                               struct ck_label_map *map, struct crackle_where *where)
{
    struct crackle_layout l;
    crackle_status status = ck_open_labels(parts, !(flags & CRACKLE_NO_VERIFY), h, &l, where);

    memset(map, 0, sizeof(*map));
    if (status != CRACKLE_OK)
        return status;
    if (ck_is_empty(h))
        return CRACKLE_BAD_ARGUMENT;
    return ck_fail(where, ck_label_map_open(map, h, parts->head + l.labels, 0, h->sz), CRACKLE_SECTION_LABELS,
                   CRACKLE_NO_SLICE);
}

crackle_status crackle_table_size(const struct crackle_parts *parts, uint64_t *count_ret, struct crackle_where *where)
{
    struct crackle_header h;
    struct ck_label_table table;
    crackle_status status = open_table(parts, CRACKLE_NO_VERIFY, &h, &table, where);

    if (status == CRACKLE_OK)
        *count_ret = ck_num_entries(&table);
    return status;
}

crackle_status crackle_read_table(const struct crackle_parts *parts, unsigned int flags, uint64_t *labels,
                                  uint64_t count, struct crackle_where *where)
{
    struct crackle_header h;
    struct ck_label_table table;
    crackle_status status = open_table(parts, flags, &h, &table, where);

    if (status != CRACKLE_OK)
        return status;
    if (count != ck_num_entries(&table))
        return CRACKLE_BAD_ARGUMENT;
    for (u64 i = 0; i < count; i++)
        labels[i] = ck_label_of_entry(&h, &table, i);
    return CRACKLE_OK;
}

crackle_status crackle_table_nbytes(const void *in, size_t in_nbytes, uint64_t *nbytes_ret,
                                    struct crackle_where *where)
{
    const struct crackle_parts parts = {in, in_nbytes, NULL, 0, 0, NULL, 0};
    struct crackle_header h;
    struct crackle_layout l;
    crackle_status status = ck_open_sections(&parts, &h, &l, where);
    u64 count, nbytes;
    unsigned int before;

    if (status != CRACKLE_OK)
        return status;
    if (ck_is_empty(&h)) {
        *nbytes_ret = l.labels;
        return CRACKLE_OK;
    }
    before = h.label_format == CK_LABELS_PINS ? h.stored_width : 0;
    if (h.num_label_bytes < before + 8u)
        return ck_fail(where, CRACKLE_CORRUPT, CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
    if (in_nbytes < l.labels + before + 8)
        return ck_fail(where, CRACKLE_TRUNCATED, CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
    count = ck_load64((const u8 *)in + l.labels + before);
    if (!ck_mul(count, h.stored_width, &nbytes) || nbytes > h.num_label_bytes - before - 8)
        return ck_fail(where, CRACKLE_CORRUPT, CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
    *nbytes_ret = l.labels + before + 8 + nbytes;
    return CRACKLE_OK;
}

/* Search an ascending table by bisection. */
static int bisect(const struct crackle_header *h, const struct ck_label_table *table, u64 label)
{
    const u64 flip = h->is_signed ? (u64)1 << 63 : 0;
    u64 low = 0, high = table->num_unique;

    while (low < high) {
        u64 middle = low + (high - low) / 2;
        u64 found = ck_label_at(h, table, middle);

        if (found == label)
            return 1;
        if ((found ^ flip) < (label ^ flip))
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

crackle_status crackle_contains(const struct crackle_parts *parts, unsigned int flags, uint64_t label,
                                int *found_ret, struct crackle_where *where)
{
    struct crackle_header h;
    struct ck_label_table table;
    crackle_status status = open_table(parts, flags, &h, &table, where);
    int found;

    if (status != CRACKLE_OK)
        return status;
    found = table.has_background && table.background == label;
    if (!found && h.is_sorted)
        found = bisect(&h, &table, label);
    /*
     * The header's claim that the table ascends may be wrong.  The checksum has read the whole table, so searching all
     * of it costs no more.
     */
    if (!found && !(h.is_sorted && flags & CRACKLE_NO_VERIFY))
        for (u64 i = 0; !found && i < table.num_unique; i++)
            found = ck_label_at(&h, &table, i) == label;
    *found_ret = found;
    return CRACKLE_OK;
}

crackle_status crackle_component_counts(const struct crackle_parts *parts, uint64_t *counts,
                                        struct crackle_where *where)
{
    struct crackle_header h;
    struct crackle_layout l;
    struct ck_label_table table;
    crackle_status status = ck_open_labels(parts, 0, &h, &l, where);

    if (status != CRACKLE_OK)
        return status;
    memset(&table, 0, sizeof(table));
    if (!ck_is_empty(&h))
        status = ck_label_table_open(&h, parts->head + l.labels, &table);
    if (status != CRACKLE_OK)
        return ck_fail(where, status, CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
    for (u32 z = 0; z < h.sz; z++)
        counts[z] = table.counts ? ck_component_count(&table, z) : 0;
    return CRACKLE_OK;
}

/* ----------------------- Which slices have which entries ------------------- */

/* Set slices[] for the slices that selected pins and singles reach. */
static crackle_status slices_of_pins(const struct crackle_header *h, const struct ck_label_table *table,
                                     const u8 *selected, u8 *slices)
{
    const u64 slice_voxels = (u64)h->sx * h->sy;
    struct ck_pin_list list = {NULL, 0, 0, NULL, 0, 0};
    u64 total = 0, reached = 0;
    u64 *ends = ck_malloc(h->sz, sizeof(*ends));
    u64 *reach = ck_calloc(h->sz, sizeof(*reach)); /* per slice: the last end of the pins that begin in it */
    crackle_status status = CRACKLE_NO_MEMORY;

    if (!ends || !reach)
        goto out;
    status = ck_sum_counts(h, table, 0, h->sz, &total) ? ck_read_pin_list(h, table, total, &list) : CRACKLE_CORRUPT;
    if (status != CRACKLE_OK)
        goto out;
    for (u32 z = 0; z < h->sz; z++)
        ends[z] = (z ? ends[z - 1] : 0) + ck_component_count(table, z);
    if (selected[0]) /* the background may be in any slice */
        memset(slices, 1, h->sz);
    for (size_t i = 0; i < list.num_pins; i++) {
        const u64 z = list.pins[i].voxel / slice_voxels, end = z + list.pins[i].depth + 1;

        if (selected[1 + (size_t)list.pins[i].label] && end > reach[z])
            reach[z] = end;
    }
    for (u32 z = 0; z < h->sz; z++) {
        reached = reach[z] > reached ? reach[z] : reached;
        slices[z] |= z < reached;
    }
    for (size_t i = 0; i < list.num_singles; i++) {
        u32 low = 0, high = h->sz - 1;

        if (!selected[1 + (size_t)list.singles[i].label])
            continue;
        while (low < high) { /* find the first slice that ends behind the component */
            u32 middle = low + (high - low) / 2;

            if (ends[middle] > list.singles[i].component)
                high = middle;
            else
                low = middle + 1;
        }
        slices[low] = 1;
    }
out:
    ck_pin_list_free(&list);
    free(ends);
    free(reach);
    return status;
}

crackle_status crackle_slices_with(const struct crackle_parts *parts, unsigned int flags, const uint8_t *selected,
                                   uint64_t count, uint8_t *slices, struct crackle_where *where)
{
    struct crackle_header h;
    struct ck_label_map map;
    crackle_status status = open_map(parts, flags, &h, &map, where);

    if (status == CRACKLE_OK && count != ck_num_entries(&map.table))
        status = CRACKLE_BAD_ARGUMENT;
    if (status == CRACKLE_OK) {
        memset(slices, 0, h.sz);
        if (map.pins)
            status = ck_fail(where, slices_of_pins(&h, &map.table, selected, slices), CRACKLE_SECTION_LABELS,
                             CRACKLE_NO_SLICE);
        else
            for (u32 z = 0; z < h.sz; z++) {
                slices[z] = (u8)ck_label_map_slice_has(&map, selected);
                ck_label_map_skip(&map);
            }
    }
    ck_label_map_free(&map);
    return status;
}

crackle_status crackle_entries_in(const struct crackle_parts *parts, unsigned int flags, uint32_t z_start,
                                  uint32_t z_end, uint8_t *present, uint64_t count, struct crackle_where *where)
{
    struct crackle_header h;
    struct ck_label_map map;
    crackle_status status = open_map(parts, flags, &h, &map, where);

    if (status == CRACKLE_OK && (z_start > z_end || z_end > h.sz || count != ck_num_entries(&map.table)))
        status = CRACKLE_BAD_ARGUMENT;
    if (status == CRACKLE_OK && map.pins)
        status = CRACKLE_UNSUPPORTED;
    if (status == CRACKLE_OK)
        memset(present, 0, (size_t)count);
    for (u32 z = 0; status == CRACKLE_OK && z < z_end; z++) {
        if (z >= z_start)
            status = ck_fail(where, ck_label_map_slice_entries(&map, present), CRACKLE_SECTION_LABELS, z);
        ck_label_map_skip(&map);
    }
    ck_label_map_free(&map);
    return status;
}
