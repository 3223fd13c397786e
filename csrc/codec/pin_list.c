/*
 * pin_list.c - the pins and singles of a labels section <-> bytes
 *
 * Behind its table, a section of pins lists for every label its pins and then its singles, each in ascending order
 * (docs/format.md, section 7).  The background label is in neither list.
 */
#include "../base/sort.h"
#include "pin_list.h"

void ck_pin_list_free(struct ck_pin_list *list)
{
    free(list->pins);
    free(list->singles);
    memset(list, 0, sizeof(*list));
}

/* --------------------------- Sections <-> lists --------------------------- */

/* A byte of the section gives the widths of the fields behind it. */
struct widths {
    unsigned int count;     /* numbers of pins and of singles */
    unsigned int depth;
    unsigned int component;
};

static int get_widths(struct ck_reader *r, struct widths *w)
{
    u64 byte;

    if (!ck_get(r, 1, &byte) || byte >> 6)
        return 0;
    w->count = 1u << (byte & 3);
    w->depth = 1u << (byte >> 2 & 3);
    w->component = 1u << (byte >> 4 & 3);
    return 1;
}

static crackle_status read_pins_of_label(struct ck_reader *r, const struct crackle_header *h,
                                         const struct widths *w, u32 label, struct ck_pin_list *list)
{
    const u64 slice_voxels = (u64)h->sx * h->sy;
    const u64 voxels = slice_voxels * h->sz; /* ck_read_pin_list() checked the product */
    const unsigned int voxel_width = ck_width(voxels);
    void *pins = list->pins;
    const u8 *voxel_at, *depth_at;
    u64 count, voxel = 0;
    int ok;

    if (!ck_get(r, w->count, &count) || !ck_get_array(r, count, voxel_width, &voxel_at) ||
        !ck_get_array(r, count, w->depth, &depth_at))
        return CRACKLE_CORRUPT;
    ok = ck_reserve(&pins, &list->pins_capacity, list->num_pins + count, sizeof(*list->pins));
    list->pins = pins;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    for (u64 i = 0; i < count; i++) {
        u64 depth = ck_load(depth_at + i * w->depth, w->depth);

        if (!ck_add(voxel, ck_load(voxel_at + i * voxel_width, voxel_width), &voxel) || voxel >= voxels ||
            depth >= h->sz - voxel / slice_voxels)
            return CRACKLE_CORRUPT;
        list->pins[list->num_pins].voxel = voxel;
        list->pins[list->num_pins].depth = (u32)depth;
        list->pins[list->num_pins].label = label;
        list->num_pins++;
    }
    return CRACKLE_OK;
}

static crackle_status read_singles_of_label(struct ck_reader *r, const struct widths *w, u32 label,
                                            u64 num_components, struct ck_pin_list *list)
{
    void *singles = list->singles;
    const u8 *component_at;
    u64 count, component = 0;
    int ok;

    if (!ck_get(r, w->count, &count) || !ck_get_array(r, count, w->component, &component_at))
        return CRACKLE_CORRUPT;
    ok = ck_reserve(&singles, &list->singles_capacity, list->num_singles + count, sizeof(*list->singles));
    list->singles = singles;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    for (u64 i = 0; i < count; i++) {
        if (!ck_add(component, ck_load(component_at + i * w->component, w->component), &component) ||
            component >= num_components)
            return CRACKLE_CORRUPT;
        list->singles[list->num_singles].component = component;
        list->singles[list->num_singles].label = label;
        list->num_singles++;
    }
    return CRACKLE_OK;
}

crackle_status ck_read_pin_list(const struct crackle_header *h, const struct ck_label_table *table,
                                u64 num_components, struct ck_pin_list *list)
{
    struct ck_reader r = table->rest;
    struct widths w;
    u64 voxels;

    if (!ck_mul((u64)h->sx * h->sy, h->sz, &voxels) || !get_widths(&r, &w))
        return CRACKLE_CORRUPT;
    if (table->num_unique > UINT32_MAX)
        return CRACKLE_UNSUPPORTED;
    for (u64 label = 0; label < table->num_unique; label++) {
        crackle_status status = read_pins_of_label(&r, h, &w, (u32)label, list);

        if (status == CRACKLE_OK)
            status = read_singles_of_label(&r, &w, (u32)label, num_components, list);
        if (status != CRACKLE_OK)
            return status;
    }
    return ck_left(&r) == 0 ? CRACKLE_OK : CRACKLE_CORRUPT;
}

/* Sort by label, then by voxel or component: two stable sorts, first by the minor key. */
static int sort_list(struct ck_pin_list *list)
{
    size_t longer = list->num_pins > list->num_singles ? list->num_pins : list->num_singles;
    struct ck_pair *pairs = ck_malloc(longer, 2 * sizeof(*pairs));

    if (!pairs)
        return 0;
    for (size_t i = 0; i < list->num_pins; i++) {
        pairs[i].key = list->pins[i].voxel;
        pairs[i].value = (u64)list->pins[i].depth << 32 | list->pins[i].label;
    }
    ck_sort_pairs(pairs, pairs + longer, list->num_pins);
    for (size_t i = 0; i < list->num_pins; i++) {
        list->pins[i].voxel = pairs[i].key;
        list->pins[i].depth = (u32)(pairs[i].value >> 32);
        list->pins[i].label = (u32)pairs[i].value;
        pairs[i].key = list->pins[i].label;
        pairs[i].value = i;
    }
    ck_sort_pairs(pairs, pairs + longer, list->num_pins);
    {
        struct ck_pin *sorted = ck_malloc(list->num_pins, sizeof(*sorted));

        if (!sorted) {
            free(pairs);
            return 0;
        }
        for (size_t i = 0; i < list->num_pins; i++)
            sorted[i] = list->pins[pairs[i].value];
        free(list->pins);
        list->pins = sorted;
        list->pins_capacity = list->num_pins;
    }
    for (size_t i = 0; i < list->num_singles; i++) {
        pairs[i].key = list->singles[i].component;
        pairs[i].value = list->singles[i].label;
    }
    ck_sort_pairs(pairs, pairs + longer, list->num_singles);
    for (size_t i = 0; i < list->num_singles; i++) {
        u64 component = pairs[i].key;

        pairs[i].key = pairs[i].value;
        pairs[i].value = component;
    }
    ck_sort_pairs(pairs, pairs + longer, list->num_singles);
    for (size_t i = 0; i < list->num_singles; i++) {
        list->singles[i].label = (u32)pairs[i].key;
        list->singles[i].component = pairs[i].value;
    }
    free(pairs);
    return 1;
}

crackle_status ck_write_pins(struct ck_bytes *out, u64 background, const u64 *unique, size_t num_unique,
                             unsigned int stored_width, const u64 *counts, u32 sz, u64 slice_voxels,
                             struct ck_pin_list *list)
{
    const unsigned int voxel_width = ck_width(slice_voxels * sz);
    struct widths w;
    u64 max_run = 0, deepest = 0, last = 0;
    size_t pin = 0, single = 0;

    if (!sort_list(list))
        return CRACKLE_NO_MEMORY;

    /* Find the least widths for all numbers. Differences never need more than the last number. */
    for (size_t i = 0, run = 0; i < list->num_pins; i++) {
        run = i > 0 && list->pins[i].label == list->pins[i - 1].label ? run + 1 : 1;
        max_run = run > max_run ? run : max_run;
        deepest = list->pins[i].depth > deepest ? list->pins[i].depth : deepest;
    }
    for (size_t i = 0, run = 0; i < list->num_singles; i++) {
        run = i > 0 && list->singles[i].label == list->singles[i - 1].label ? run + 1 : 1;
        max_run = run > max_run ? run : max_run;
        last = list->singles[i].component > last ? list->singles[i].component : last;
    }
    w.count = ck_width(max_run);
    w.depth = ck_width(deepest);
    w.component = ck_width(last);

    if (!ck_bytes_put(out, background, stored_width) ||
        !ck_put_table(out, unique, num_unique, stored_width, counts, sz, slice_voxels) ||
        !ck_bytes_reserve(out, 1 + (u64)num_unique * 2 * w.count + (u64)list->num_pins * (voxel_width + w.depth) +
                                   (u64)list->num_singles * w.component))
        return CRACKLE_NO_MEMORY;
    ck_bytes_put(out, ck_log2_width(w.count) | ck_log2_width(w.depth) << 2 | ck_log2_width(w.component) << 4, 1);
    for (size_t label = 0; label < num_unique; label++) {
        size_t first = pin;
        u64 previous = 0;

        for (; pin < list->num_pins && list->pins[pin].label == label; pin++)
            ;
        ck_bytes_put(out, pin - first, w.count);
        for (size_t i = first; i < pin; i++) {
            ck_bytes_put(out, list->pins[i].voxel - previous, voxel_width);
            previous = list->pins[i].voxel;
        }
        for (size_t i = first; i < pin; i++)
            ck_bytes_put(out, list->pins[i].depth, w.depth);

        first = single;
        previous = 0;
        for (; single < list->num_singles && list->singles[single].label == label; single++)
            ;
        ck_bytes_put(out, single - first, w.count);
        for (size_t i = first; i < single; i++) {
            ck_bytes_put(out, list->singles[i].component - previous, w.component);
            previous = list->singles[i].component;
        }
    }
    return CRACKLE_OK;
}

/* The label with the most pins and singles. */
static crackle_status most_frequent_label(const struct ck_pin_list *list, size_t num_unique, size_t *label_ret)
{
    u64 *times = ck_calloc(num_unique, sizeof(*times));
    size_t best = 0;

    if (!times)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < list->num_pins; i++)
        times[list->pins[i].label]++;
    for (size_t i = 0; i < list->num_singles; i++)
        times[list->singles[i].label]++;
    for (size_t label = 1; label < num_unique; label++)
        if (times[label] > times[best])
            best = label;
    free(times);
    *label_ret = best;
    return CRACKLE_OK;
}

crackle_status ck_put_pins(struct ck_bytes *out, u64 *unique, size_t num_unique, size_t background,
                           unsigned int stored_width, const u64 *counts, u32 sz, u64 slice_voxels,
                           struct ck_pin_list *list)
{
    u64 background_label;
    size_t kept = 0;

    if (background == CK_NO_BACKGROUND) {
        crackle_status status = most_frequent_label(list, num_unique, &background);

        if (status != CRACKLE_OK)
            return status;
    }
    background_label = unique[background];
    for (size_t i = 0; i < list->num_pins; i++) {
        const u32 label = list->pins[i].label;

        if (label != background) {
            list->pins[kept] = list->pins[i];
            list->pins[kept++].label = label - (label > background);
        }
    }
    list->num_pins = kept;
    kept = 0;
    for (size_t i = 0; i < list->num_singles; i++) {
        const u32 label = list->singles[i].label;

        if (label != background) {
            list->singles[kept] = list->singles[i];
            list->singles[kept++].label = label - (label > background);
        }
    }
    list->num_singles = kept;
    memmove(unique + background, unique + background + 1, (num_unique - background - 1) * sizeof(*unique));
    return ck_write_pins(out, background_label, unique, num_unique - 1, stored_width, counts, sz, slice_voxels, list);
}
