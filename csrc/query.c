/*
 * query.c - questions to the label table: no crack is looked at
 */
#include "format.h"
#include "header.h"
#include "label_map.h"

/* The table of a stream that has voxels; a stream without any has an empty one. */
static crackle_status open_table(const struct crackle_parts *parts, unsigned int flags, struct crackle_header *h,
                                 struct ck_label_table *table, struct crackle_where *where)
{
    struct crackle_layout l;
    crackle_status status = ck_open_labels(parts, !(flags & CRACKLE_NO_VERIFY), h, &l, where);

    memset(table, 0, sizeof(*table));
    if (status != CRACKLE_OK || ck_is_empty(h))
        return status;
    return ck_fail(where, ck_label_table_open(h, parts->head + l.labels, table), CRACKLE_SECTION_LABELS,
                   CRACKLE_NO_SLICE);
}

crackle_status crackle_table_size(const struct crackle_parts *parts, uint64_t *count_ret, struct crackle_where *where)
{
    struct crackle_header h;
    struct ck_label_table table;
    crackle_status status = open_table(parts, CRACKLE_NO_VERIFY, &h, &table, where);

    if (status == CRACKLE_OK)
        *count_ret = table.num_unique + (u64)table.has_background;
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
    if (count != table.num_unique + (u64)table.has_background)
        return CRACKLE_BAD_ARGUMENT;
    if (table.has_background)
        *labels++ = table.background;
    for (u64 i = 0; i < table.num_unique; i++)
        labels[i] = ck_label_at(&h, &table, i);
    return CRACKLE_OK;
}

/* Bisection in an ascending table. */
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
    else
        for (u64 i = 0; !found && i < table.num_unique; i++)
            found = ck_label_at(&h, &table, i) == label;
    *found_ret = found;
    return CRACKLE_OK;
}

crackle_status crackle_component_counts(const struct crackle_parts *parts, uint64_t *counts,
                                        struct crackle_where *where)
{
    struct crackle_header h;
    struct ck_label_table table;
    crackle_status status = open_table(parts, CRACKLE_NO_VERIFY, &h, &table, where);

    if (status != CRACKLE_OK)
        return status;
    for (u32 z = 0; z < h.sz; z++)
        counts[z] = table.counts ? ck_component_count(&table, z) : 0;
    return CRACKLE_OK;
}
