/*
 * label_map_pins.c - components -> labels by condensed pins
 *
 * A label mostly continues from slice to slice.  A pin is a line of voxels along z that stays inside one label, so it
 * names many of the label's components at once.  A component for which no pin pays off is listed as a single.  One
 * label, the background, is not listed at all: it has the components that neither a pin nor a single names.
 *
 * This file reads slice by slice.  It sorts pins and singles by where they begin, and keeps the pins that reach the
 * current slice in order of their place (y * sx + x).  One pass over the patches of the slice then finds the components
 * at all of these places.
 */
#include "../base/sort.h"
#include "label_map_pins.h"
#include "pin_list.h"

/* A pin that reaches the current slice. */
struct active {
    u64 place;     /* y * sx + x */
    u32 last_z;
    u32 label;
};

struct ck_pins {
    const struct crackle_header *header;
    struct ck_label_table table;
    u32 z;
    u64 slice_voxels;
    u64 first_component;         /* of slice z, numbered through the volume */
    struct ck_pair *pins;        /* voxel -> depth and label, ascending */
    size_t next_pin, num_pins;
    struct ck_pair *singles;     /* component -> label, ascending */
    size_t next_single, num_singles;
    struct active *active;       /* ascending by place */
    struct active *merged;
    size_t num_active, active_capacity, merged_capacity;
    u64 *places;
    u32 *components;
    size_t places_capacity, components_capacity;
};

void ck_pins_free(struct ck_pins *p)
{
    if (!p)
        return;
    free(p->pins);
    free(p->singles);
    free(p->active);
    free(p->merged);
    free(p->places);
    free(p->components);
    free(p);
}

/*
 * Copy the pins and singles of the slices [z_start, z_end), and sort them by where they begin.  Pins that begin earlier
 * begin at slice 'z_start' instead.  Half of each array is scratch.
 */
static crackle_status load_list(struct ck_pins *p, const struct ck_pin_list *list, u32 z_start, u32 z_end,
                                u64 end_component)
{
    size_t num_pins = 0, num_singles = 0;

    p->pins = ck_malloc(list->num_pins, 2 * sizeof(*p->pins));
    p->singles = ck_malloc(list->num_singles, 2 * sizeof(*p->singles));
    if (!p->pins || !p->singles)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < list->num_pins; i++) {
        const struct ck_pin *pin = &list->pins[i];
        const u64 first_z = pin->voxel / p->slice_voxels, last_z = first_z + pin->depth;
        const u64 above = first_z < z_start ? z_start - first_z : 0;

        if (first_z >= z_end || last_z < z_start)
            continue;
        p->pins[num_pins].key = pin->voxel + above * p->slice_voxels;
        p->pins[num_pins++].value = (pin->depth - above) << 32 | pin->label;
    }
    for (size_t i = 0; i < list->num_singles; i++) {
        const struct ck_single *single = &list->singles[i];

        if (single->component < p->first_component || single->component >= end_component)
            continue;
        p->singles[num_singles].key = single->component;
        p->singles[num_singles++].value = single->label;
    }
    p->num_pins = num_pins;
    p->num_singles = num_singles;
    ck_sort_pairs(p->pins, p->pins + num_pins, num_pins);
    ck_sort_pairs(p->singles, p->singles + num_singles, num_singles);
    return CRACKLE_OK;
}

/* Whether two entries have one label. A table may repeat labels. */
static int is_same_label(const struct ck_pins *p, u64 a, u64 b)
{
    return a == b || ck_label_of_entry(p->header, &p->table, a) == ck_label_of_entry(p->header, &p->table, b);
}

/*
 * Add the pins that begin in slice p->z, drop those that ended, and keep the list sorted by place.  Of pins at one
 * place, only one is kept.  So there are never more than a slice has voxels, however many a stream lists.
 */
static crackle_status activate(struct ck_pins *p)
{
    void *merged = p->merged;
    struct active *last;
    size_t from = 0, to = 0;
    size_t begin = p->next_pin, end = begin;
    int ok;

    while (end < p->num_pins && p->pins[end].key / p->slice_voxels <= p->z)
        end++;
    ok = ck_reserve(&merged, &p->merged_capacity, (u64)p->num_active + (end - begin), sizeof(*p->merged));
    p->merged = merged;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    /* The new pins, which begin in one slice, are already sorted by place. */
    for (size_t i = begin; from < p->num_active || i < end;) {
        const u64 place = i < end ? p->pins[i].key - (u64)p->z * p->slice_voxels : 0;
        struct active next;

        if (i < end && (from == p->num_active || place < p->active[from].place)) {
            next.place = place;
            next.last_z = p->z + (u32)(p->pins[i].value >> 32);
            next.label = (u32)p->pins[i].value;
            i++;
        } else {
            next = p->active[from++];
        }
        last = to > 0 ? &p->merged[to - 1] : NULL;
        if (next.last_z < p->z)
            continue;
        if (!last || last->place != next.place) {
            p->merged[to++] = next;
            continue;
        }
        if (!is_same_label(p, 1 + (u64)last->label, 1 + (u64)next.label))
            return CRACKLE_CORRUPT;
        if (next.last_z > last->last_z)
            *last = next;
    }
    p->next_pin = end;
    {
        struct active *swap = p->active;
        size_t capacity = p->active_capacity;

        p->active = p->merged;
        p->active_capacity = p->merged_capacity;
        p->num_active = to;
        p->merged = swap;
        p->merged_capacity = capacity;
    }
    return CRACKLE_OK;
}

crackle_status ck_pins_open(const struct crackle_header *h, const struct ck_label_table *table, u32 z_start,
                            u32 z_end, struct ck_pins **pins_ret)
{
    struct ck_pin_list list = {NULL, 0, 0, NULL, 0, 0};
    struct ck_pins *p = ck_calloc(1, sizeof(*p));
    crackle_status status = CRACKLE_CORRUPT;
    u64 total, of_slices;

    if (!p)
        return CRACKLE_NO_MEMORY;
    p->header = h;
    p->table = *table;
    p->slice_voxels = (u64)h->sx * h->sy;
    if (!ck_sum_counts(h, table, 0, h->sz, &total) ||
        !ck_sum_counts(h, table, 0, z_start, &p->first_component) ||
        !ck_sum_counts(h, table, z_start, z_end, &of_slices))
        goto out;
    status = ck_read_pin_list(h, table, total, &list);
    if (status == CRACKLE_OK)
        status = load_list(p, &list, z_start, z_end, p->first_component + of_slices);
    p->z = z_start;
out:
    ck_pin_list_free(&list);
    if (status == CRACKLE_OK)
        *pins_ret = p;
    else
        ck_pins_free(p);
    return status;
}

/* Give a component an entry. False if it has an entry of another label. */
static int name_component(const struct ck_pins *p, u64 *entry, u64 named)
{
    if (*entry != 0 && !is_same_label(p, *entry, named))
        return 0;
    *entry = named;
    return 1;
}

crackle_status ck_pins_next(struct ck_pins *p, const struct ck_components *c, u64 *entries)
{
    void *places = p->places, *components = p->components;
    crackle_status status = activate(p);
    int ok;

    if (status != CRACKLE_OK)
        return status;
    ok = ck_reserve(&places, &p->places_capacity, p->num_active, sizeof(*p->places)) &&
         ck_reserve(&components, &p->components_capacity, p->num_active, sizeof(*p->components));
    p->places = places;
    p->components = components;
    if (!ok)
        return CRACKLE_NO_MEMORY;

    for (size_t i = 0; i < c->count; i++)
        entries[i] = 0; /* the background */
    for (size_t i = 0; i < p->num_active; i++)
        p->places[i] = p->active[i].place;
    ck_components_at(c, p->places, p->num_active, p->components);
    for (size_t i = 0; i < p->num_active; i++)
        if (!name_component(p, &entries[p->components[i]], 1 + (u64)p->active[i].label))
            return CRACKLE_CORRUPT;
    for (; p->next_single < p->num_singles; p->next_single++) {
        const struct ck_pair *s = &p->singles[p->next_single];

        if (s->key - p->first_component >= c->count)
            break;
        if (!name_component(p, &entries[s->key - p->first_component], 1 + s->value))
            return CRACKLE_CORRUPT;
    }
    p->first_component += c->count;
    p->z++;
    return CRACKLE_OK;
}
