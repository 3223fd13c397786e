/*
 * stack_labels.c - the labels section of a stack
 *
 *   flat labels  The keys are renumbered for a new table, which lists the labels that occur.
 *   pins         Pins are cut where the range of a piece ends, and moved along z.  If some pieces have pins and others
 *                flat labels, every component of the latter becomes a single.
 *
 * Pins leave out one label, the background, and the format does not say whether it occurs in a range of slices.  It
 * does if some slice has more components than pins and singles together.  Otherwise slices are read until one
 * of its components is found.  Slices are also read where a piece has another background than the stack.
 */
#include "../base/sort.h"
#include "../codec/label_table.h"
#include "../codec/reading.h"
#include "stack.h"

/* The key of component 'i' of the range. */
static inline u64 key_at(const struct ck_piece *p, u64 i)
{
    const unsigned int width = ck_width(p->table.num_unique);

    return ck_load(p->table.rest.next + (p->first_component + i) * width, width);
}

/* Find the entries of flat labels that occur: set their place to any value but CK_ABSENT. */
static crackle_status mark_flat(struct ck_piece *p)
{
    const unsigned int width = ck_width(p->table.num_unique);
    u64 total;

    if (!ck_sum_counts(&p->header, &p->table, 0, p->header.sz, &total) || ck_left(&p->table.rest) % width != 0 ||
        ck_left(&p->table.rest) / width != total)
        return CRACKLE_CORRUPT;
    for (u64 i = 0; i < p->num_components; i++) {
        const u64 key = key_at(p, i);

        if (key >= p->table.num_unique)
            return CRACKLE_CORRUPT;
        p->place[key] = 0;
    }
    return CRACKLE_OK;
}

static int put_single(struct ck_pin_list *list, u64 component, u64 entry)
{
    void *singles = list->singles;
    int ok = ck_reserve(&singles, &list->singles_capacity, (u64)list->num_singles + 1, sizeof(*list->singles));

    list->singles = singles;
    if (!ok)
        return 0;
    list->singles[list->num_singles].component = component;
    list->singles[list->num_singles].label = (u32)entry;
    list->num_singles++;
    return 1;
}

/* Turn flat labels into singles. */
static crackle_status list_flat(struct ck_piece *p)
{
    for (u64 i = 0; i < p->num_components; i++)
        if (!put_single(&p->list, p->out_component + i, key_at(p, i)))
            return CRACKLE_NO_MEMORY;
    return CRACKLE_OK;
}

/* Read the pins and singles, cut them to the range, and move them. Their labels become entries. */
static crackle_status cut_pins(struct ck_piece *p)
{
    const u64 slice_voxels = (u64)p->header.sx * p->header.sy;
    struct ck_pin_list *list = &p->list;
    u64 total;
    size_t kept = 0;
    crackle_status status;

    if (!ck_sum_counts(&p->header, &p->table, 0, p->header.sz, &total))
        return CRACKLE_CORRUPT;
    status = ck_read_pin_list(&p->header, &p->table, total, list);
    if (status != CRACKLE_OK)
        return status;
    for (size_t i = 0; i < list->num_pins; i++) {
        struct ck_pin pin = list->pins[i];
        const u64 z = pin.voxel / slice_voxels, last = z + pin.depth;
        const u64 first = z > p->z_start ? z : p->z_start;
        const u64 end = last + 1 < p->z_end ? last + 1 : p->z_end;

        if (first >= end)
            continue;
        pin.voxel = pin.voxel % slice_voxels + (first - p->z_start + p->out_z) * slice_voxels;
        pin.depth = (u32)(end - first - 1);
        pin.label++; /* entry 0 is the background */
        list->pins[kept++] = pin;
    }
    list->num_pins = kept;
    kept = 0;
    for (size_t i = 0; i < list->num_singles; i++) {
        struct ck_single single = list->singles[i];

        if (single.component < p->first_component || single.component - p->first_component >= p->num_components)
            continue;
        single.component += p->out_component - p->first_component;
        single.label++;
        list->singles[kept++] = single;
    }
    list->num_singles = kept;
    for (size_t i = 0; i < list->num_pins; i++)
        p->place[list->pins[i].label] = 0;
    for (size_t i = 0; i < list->num_singles; i++)
        p->place[list->singles[i].label] = 0;
    return CRACKLE_OK;
}

/* Whether some slice has more components than pins and singles name in it. If so, the background occurs. */
static crackle_status background_is_certain(const struct ck_piece *p, int *certain_ret)
{
    const u32 num_slices = p->z_end - p->z_start;
    const u64 slice_voxels = (u64)p->header.sx * p->header.sy;
    u64 *named = ck_calloc((u64)num_slices + 1, sizeof(*named)); /* as differences to the previous slice */
    u64 *ends = ck_malloc(num_slices, sizeof(*ends)), running = 0, component = p->out_component;

    if (!named || !ends) {
        free(named);
        free(ends);
        return CRACKLE_NO_MEMORY;
    }
    for (size_t i = 0; i < p->list.num_pins; i++) {
        const u64 z = p->list.pins[i].voxel / slice_voxels - p->out_z;

        named[z]++;
        named[z + p->list.pins[i].depth + 1]--;
    }
    for (u32 z = 0; z < num_slices; z++)
        ends[z] = component += ck_component_count(&p->table, p->z_start + z);
    for (size_t i = 0; i < p->list.num_singles; i++) {
        u32 low = 0, high = num_slices - 1;

        while (low < high) { /* find the first slice that ends behind the component */
            const u32 middle = low + (high - low) / 2;

            if (ends[middle] > p->list.singles[i].component)
                high = middle;
            else
                low = middle + 1;
        }
        named[low]++;
        named[low + 1]--;
    }
    *certain_ret = 0;
    for (u32 z = 0; z < num_slices; z++) {
        running += named[z];
        *certain_ret |= running < ck_component_count(&p->table, p->z_start + z);
    }
    free(named);
    free(ends);
    return CRACKLE_OK;
}

/* Read slices for components of the background: either all, to list them, or until one is found. */
static crackle_status find_background(struct ck_piece *p, int list_them, struct crackle_where *where)
{
    struct ck_reading r;
    crackle_status status = ck_reading_open(&r, &p->parts, 0, where);
    u64 component = p->out_component;

    if (status != CRACKLE_OK)
        return status;
    status = ck_reading_begin(&r, &p->parts, p->z_start, p->z_end, where);
    for (u32 z = p->z_start; status == CRACKLE_OK && z < p->z_end && (list_them || p->place[0] == CK_ABSENT); z++) {
        status = ck_reading_next(&r, z, where);
        for (size_t i = 0; status == CRACKLE_OK && i < r.components.count; i++) {
            if (r.entries[i] != 0)
                continue;
            p->place[0] = 0;
            if (list_them && !put_single(&p->list, component + i, 0))
                status = CRACKLE_NO_MEMORY;
        }
        component += r.components.count;
    }
    ck_reading_free(&r);
    return status;
}

static crackle_status collect_pins(const struct ck_stack *s, struct ck_piece *p, struct crackle_where *where)
{
    crackle_status status = cut_pins(p);
    int certain = 0;

    if (status != CRACKLE_OK)
        return ck_fail(where, status, CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
    if (p->table.background != s->background)
        return find_background(p, 1, where);
    status = background_is_certain(p, &certain);
    if (status == CRACKLE_OK && certain)
        p->place[0] = 0;
    else if (status == CRACKLE_OK)
        status = find_background(p, 0, where);
    return status;
}

/* Find the labels that occur, and the index of each among all of them. */
static crackle_status merge_labels(struct ck_stack *s, size_t *piece_ret, struct crackle_where *where)
{
    crackle_status status;
    u64 max_labels = 0;
    u32 *rank = NULL;
    size_t n = 0;

    for (size_t i = 0; i < s->num_pieces; i++) {
        struct ck_piece *p = &s->pieces[i];

        *piece_ret = i;
        if (p->num_components == 0)
            continue;
        status = ck_has_pins(p) ? collect_pins(s, p, where)
                            : ck_fail(where, mark_flat(p), CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
        if (status == CRACKLE_OK && !ck_has_pins(p) && s->has_pins)
            status = list_flat(p);
        if (status != CRACKLE_OK)
            return status;
        max_labels += p->num_entries;
    }
    status = CRACKLE_NO_MEMORY;
    s->unique = ck_malloc(max_labels, sizeof(*s->unique));
    rank = ck_malloc(max_labels, sizeof(*rank));
    if (!s->unique || !rank)
        goto out;
    for (size_t i = 0; i < s->num_pieces; i++)
        for (u64 entry = 0; entry < s->pieces[i].num_entries; entry++)
            if (s->pieces[i].place[entry] != CK_ABSENT)
                s->unique[n++] = ck_label_of_entry(&s->pieces[i].header, &s->pieces[i].table, entry);
    s->num_unique = n;
    status = n >= CK_ABSENT ? CRACKLE_TOO_LARGE : CRACKLE_NO_MEMORY;
    if (n >= CK_ABSENT || !ck_sort_labels(s->unique, &s->num_unique, s->header.is_signed, rank))
        goto out;
    n = 0;
    for (size_t i = 0; i < s->num_pieces; i++)
        for (u64 entry = 0; entry < s->pieces[i].num_entries; entry++)
            if (s->pieces[i].place[entry] != CK_ABSENT)
                s->pieces[i].place[entry] = rank[n++];
    status = CRACKLE_OK;
out:
    free(rank);
    return status;
}

static crackle_status put_flat(const struct ck_stack *s, struct ck_bytes *out)
{
    const unsigned int width = ck_width(s->num_unique);
    const struct crackle_header *h = &s->header;

    if (!ck_put_table(out, s->unique, s->num_unique, h->stored_width, s->counts, h->sz, (u64)h->sx * h->sy))
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < s->num_pieces; i++) {
        const struct ck_piece *p = &s->pieces[i];

        if (!ck_bytes_reserve(out, p->num_components * width))
            return CRACKLE_NO_MEMORY;
        for (u64 k = 0; k < p->num_components; k++) {
            ck_store(out->data + out->size, p->place[key_at(p, k)], width);
            out->size += width;
        }
    }
    return CRACKLE_OK;
}

static crackle_status put_pins(struct ck_stack *s, struct ck_bytes *out)
{
    const struct crackle_header *h = &s->header;
    struct ck_pin_list all = {NULL, 0, 0, NULL, 0, 0};
    size_t background = CK_NO_BACKGROUND;
    crackle_status status = CRACKLE_NO_MEMORY;
    u64 num_pins = 0, num_singles = 0;

    for (size_t i = 0; i < s->num_pieces; i++) {
        num_pins += s->pieces[i].list.num_pins;
        num_singles += s->pieces[i].list.num_singles;
    }
    all.pins = ck_malloc(num_pins, sizeof(*all.pins));
    all.singles = ck_malloc(num_singles, sizeof(*all.singles));
    if (!all.pins || !all.singles)
        goto out;
    for (size_t i = 0; i < s->num_pieces; i++) {
        const struct ck_piece *p = &s->pieces[i];

        for (size_t k = 0; k < p->list.num_pins; k++) {
            all.pins[all.num_pins] = p->list.pins[k];
            all.pins[all.num_pins++].label = p->place[p->list.pins[k].label];
        }
        for (size_t k = 0; k < p->list.num_singles; k++) {
            all.singles[all.num_singles] = p->list.singles[k];
            all.singles[all.num_singles++].label = p->place[p->list.singles[k].label];
        }
    }
    for (size_t i = 0; i < s->num_unique; i++)
        if (s->unique[i] == s->background)
            background = i;
    status = ck_put_pins(out, s->unique, s->num_unique, background, h->stored_width, s->counts, h->sz,
                         (u64)h->sx * h->sy, &all);
out:
    ck_pin_list_free(&all);
    return status;
}

crackle_status ck_stack_labels(struct ck_stack *s, struct ck_bytes *out, size_t *piece_ret,
                               struct crackle_where *where)
{
    crackle_status status = merge_labels(s, piece_ret, where);

    if (status != CRACKLE_OK)
        return status;
    s->counts = ck_malloc(s->header.sz, sizeof(*s->counts));
    if (!s->counts)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < s->num_pieces; i++)
        for (u32 z = s->pieces[i].z_start; z < s->pieces[i].z_end; z++)
            s->counts[s->pieces[i].out_z + z - s->pieces[i].z_start] = ck_component_count(&s->pieces[i].table, z);
    s->header.stored_width = (u8)ck_stored_width(s->unique, s->num_unique, s->header.is_signed);
    if (s->header.stored_width > s->header.data_width)
        return CRACKLE_DOES_NOT_FIT;
    s->header.label_format = s->has_pins ? CK_LABELS_PINS : CK_LABELS_FLAT;
    return s->has_pins ? put_pins(s, out) : put_flat(s, out);
}
