/*
 * pin_sweeps.c - sweeps through the slices of a volume that propose pins, and give each component to one of them
 *
 * An object is, from slice to slice, mostly one component after another.  Two sweeps find its pins:
 *
 *   upwards    (z falling) carries for every (x, y) the last slice in which the label continues
 *              unchanged, and notes for every component the place where it continues deepest;
 *   downwards  (z rising) follows the pins chosen so far and gives each component to the first pin
 *              that hits it.  A component that no pin hits gets a pin at its deepest place, or is
 *              listed as a single.
 *
 * The upward sweep also decides whether a pin or a single is shorter.  It computes the least bytes from each component
 * to the end of its object:
 *
 *     bytes(c) = min(pin + bytes(the component behind the pin's end), single + bytes(the next component))
 *
 * For an object that does not branch this is optimal.  In a branching object, the next component is the one along the
 * deepest line.
 */
#include "boundary.h"
#include "part.h"
#include "pin_sweeps.h"

void ck_pin_chooser_free(struct ck_pin_chooser *c)
{
    free(c->first);
    free(c->label_of);
    free(c->deepest);
    free(c->owner);
    ck_slices_free(&c->slices);
    ck_bitmaps_free(&c->bitmaps);
    ck_components_free(&c->components);
    free(c->last_z);
    free(c->below);
    free(c->component_below);
    ck_pin_list_free(&c->list);
    free(c->reach);
    free(c->owned);
    free(c->active);
    free(c->merged);
    free(c->places);
    free(c->hits);
}

crackle_status ck_pin_chooser_init(struct ck_pin_chooser *c, const struct ck_pin_task *task)
{
    const struct crackle_volume *v = task->volume;
    u64 i = 0;

    memset(c, 0, sizeof(*c));
    c->task = task;
    c->volume = v;
    c->slice_voxels = (u64)v->sx * v->sy;
    c->first = ck_malloc((u64)v->sz + 1, sizeof(*c->first));
    if (!c->first)
        return CRACKLE_NO_MEMORY;
    for (u32 z = 0; z < v->sz; z++) {
        c->first[z] = c->num_components;
        c->num_components += task->counts[z];
    }
    c->first[v->sz] = c->num_components;
    c->label_of = ck_malloc(c->num_components, sizeof(*c->label_of));
    c->deepest = ck_malloc(c->num_components, sizeof(*c->deepest));
    c->owner = ck_malloc(c->num_components, sizeof(*c->owner));
    c->last_z = ck_malloc(c->slice_voxels, sizeof(*c->last_z));
    c->below = ck_malloc(c->slice_voxels, v->width);
    c->component_below = ck_malloc(c->slice_voxels, sizeof(*c->component_below));
    if (!c->component_below || !c->label_of || !c->deepest || !c->owner || !c->last_z || !c->below ||
        !ck_slices_init(&c->slices, v) || !ck_bitmaps_init(&c->bitmaps, v->sx, v->sy) ||
        !ck_components_init(&c->components, v->sx, v->sy))
        return CRACKLE_NO_MEMORY;
    for (size_t p = 0; p < task->num_parts; p++)
        for (size_t k = 0; k < task->parts[p]->num_keys; k++)
            c->label_of[i++] = task->rank_of_key[p][task->parts[p]->keys[k]];
    return CRACKLE_OK;
}

static const void *find_components(struct ck_pin_chooser *c, u32 z, crackle_status *status)
{
    const void *slice = ck_slice_at(&c->slices, z);

    if (ck_is_set(c->task->stop)) {
        *status = CRACKLE_STOPPED;
        return NULL;
    }
    ck_find_boundaries(slice, c->volume->width, &c->bitmaps);
    *status = ck_find_components(&c->components, &c->bitmaps);
    return slice;
}

/* ---------------------------------- Upwards -------------------------------- */

#define CARRY_DEPTH(type)                                                                          \
    static void carry_depth_##type(const type *slice, type *below, u64 count, u32 z, u32 *last_z)     \
    {                                                                                                 \
        for (u64 i = 0; i < count; i++) {                                                             \
            last_z[i] = slice[i] == below[i] ? last_z[i] : z;                                         \
            below[i] = slice[i];                                                                      \
        }                                                                                             \
    }

CARRY_DEPTH(u8)
CARRY_DEPTH(u16)
CARRY_DEPTH(u32)
CARRY_DEPTH(u64)

/* Update 'last_z' for slice 'z', whose labels become those below the next slice. */
static void carry_depth(struct ck_pin_chooser *c, const void *slice, u32 z)
{
    switch (c->volume->width) {
    case 1:
        carry_depth_u8(slice, c->below, c->slice_voxels, z, c->last_z);
        break;
    case 2:
        carry_depth_u16(slice, c->below, c->slice_voxels, z, c->last_z);
        break;
    case 4:
        carry_depth_u32(slice, c->below, c->slice_voxels, z, c->last_z);
        break;
    default:
        carry_depth_u64(slice, c->below, c->slice_voxels, z, c->last_z);
        break;
    }
}

static u32 max_of(const u32 *values, size_t count)
{
    u32 deepest_z = 0;

    for (size_t i = 0; i < count; i++)
        deepest_z = values[i] > deepest_z ? values[i] : deepest_z;
    return deepest_z;
}

#define NO_PLACE UINT64_MAX

/*
 * Find the deepest place of each component of a slice.  Runs are compared first; only a new best run is searched for
 * the voxel.
 */
static void find_deepest(struct ck_pin_chooser *c, struct ck_deepest *deepest)
{
    const struct ck_components *components = &c->components;
    const u32 sx = c->volume->sx;
    u32 *row = components->row;

    for (size_t i = 0; i < components->count; i++)
        deepest[i].place = NO_PLACE;
    for (u64 y = 0; y < components->sy; y++) {
        const u32 *depth = c->last_z + y * sx;
        const u64 *v = ck_vertical(&c->bitmaps, y);
        u32 begin = 0;

        ck_put_row_patches(row, components->patches + ck_row_begin(components, y),
                           components->patches + components->row_end[y], sx);
        for (size_t w = 0; w < c->bitmaps.words; w++) {
            u64 ends = v[w];

            if (w == sx / 64)
                ends |= (u64)1 << sx % 64; /* the rim ends the last run */
            for (; ends; ends &= ends - 1) {
                u32 end = (u32)(w * 64 + ck_ctz64(ends));
                struct ck_deepest *best = &deepest[row[begin]];
                u32 deepest_z = max_of(depth + begin, end - begin);

                if (best->place == NO_PLACE || deepest_z > best->last_z) {
                    u32 x = begin;

                    while (depth[x] != deepest_z)
                        x++;
                    best->place = y * sx + x;
                    best->last_z = deepest_z;
                }
                begin = end;
            }
        }
    }
}

/* Keep the component of each voxel, for the slice above. */
static void keep_components(struct ck_pin_chooser *c)
{
    const struct ck_patch *patch = c->components.patches;
    const u32 sx = c->volume->sx;

    for (u64 y = 0; y < c->volume->sy; y++) {
        u32 *row = c->component_below + y * sx;

        if (y > 0)
            memcpy(row, row - sx, sx * sizeof(*row));
        for (; patch < c->components.patches + c->components.row_end[y]; patch++)
            for (u32 x = patch->begin; x < patch->end; x++)
                row[x] = patch->component;
    }
}

static u32 bytes_from(const struct ck_pin_chooser *c, u32 z, u32 component)
{
    return component == CK_NO_COMPONENT ? 0 : c->deepest[c->first[z] + component].bytes;
}

/* Decide for each component of slice 'z' whether a pin or a single is shorter. */
static void decide(struct ck_pin_chooser *c, u32 z)
{
    const u32 pin = ck_width(c->slice_voxels * c->volume->sz) + 1;
    const u32 single = ck_width(c->num_components - 1);
    const u32 max_bytes = ((u32)1 << 31) - 1;

    for (u64 i = c->first[z]; i < c->first[z + 1]; i++) {
        struct ck_deepest *d = &c->deepest[i];
        u32 with_pin, with_single;

        d->next = d->last_z > z ? c->component_below[d->place] : CK_NO_COMPONENT;
        d->behind = d->next;
        /* The component below continues at least as deep, so the path does not end before 'last_z'. */
        for (u32 at = z + 1; at <= d->last_z; at++) {
            const struct ck_deepest *below = &c->deepest[c->first[at] + d->behind];

            /* Mostly both have the same line, so the component behind it is known. */
            if (below->last_z == d->last_z) {
                d->behind = below->behind;
                break;
            }
            d->behind = below->next;
        }
        with_pin = pin + bytes_from(c, d->last_z + 1, d->behind);
        with_single = single + bytes_from(c, z + 1, d->next);
        d->is_single = with_single < with_pin;
        with_pin = d->is_single ? with_single : with_pin;
        d->bytes = (with_pin < max_bytes ? with_pin : max_bytes) & max_bytes;
    }
}

static crackle_status sweep_upwards(struct ck_pin_chooser *c)
{
    crackle_status status = CRACKLE_OK;

    for (u32 z = c->volume->sz; z-- > 0 && status == CRACKLE_OK;) {
        const void *slice = find_components(c, z, &status);

        if (status != CRACKLE_OK)
            break;
        if (z == c->volume->sz - 1) {
            memcpy(c->below, slice, (size_t)c->slice_voxels * c->volume->width);
            for (u64 i = 0; i < c->slice_voxels; i++)
                c->last_z[i] = z;
        } else {
            carry_depth(c, slice, z);
        }
        find_deepest(c, c->deepest + c->first[z]);
        decide(c, z);
        keep_components(c);
    }
    return status;
}

/* --------------------------------- Downwards ------------------------------- */

/*
 * Give the components of slice 'z' to the active pins that hit them.  A component changes its owner only if the new pin
 * owned more components in the previous sweep.
 */
static crackle_status mark_hits(struct ck_pin_chooser *c, u32 z)
{
    void *places = c->places, *hits = c->hits;
    u32 *owner = c->owner + c->first[z];
    int ok = ck_reserve(&places, &c->places_capacity, c->num_active, sizeof(*c->places)) &&
             ck_reserve(&hits, &c->hits_capacity, c->num_active, sizeof(*c->hits));

    c->places = places;
    c->hits = hits;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < c->num_active; i++)
        c->places[i] = c->active[i].place;
    ck_components_at(&c->components, c->places, c->num_active, c->hits);
    for (size_t i = 0; i < c->num_active; i++) {
        u32 pin = c->active[i].pin;
        u32 *of_component = &owner[c->hits[i]];

        if (*of_component == CK_NO_PIN || (c->owned && c->owned[pin] > c->owned[*of_component]))
            *of_component = pin;
    }
    for (u64 i = c->first[z]; i < c->first[z + 1]; i++)
        if (c->owner[i] != CK_NO_PIN) {
            struct ck_pin *pin = &c->list.pins[c->owner[i]];

            pin->depth = z - (u32)(pin->voxel / c->slice_voxels);
        }
    return CRACKLE_OK;
}

/* Add a pin for every component of slice 'z' that has no owner and is no single. */
static crackle_status add_pins(struct ck_pin_chooser *c, u32 z)
{
    void *pins = c->list.pins, *reach = c->reach;
    const u64 first = c->first[z], count = c->first[z + 1] - first;
    int ok = c->list.num_pins + count < CK_NO_PIN &&
             ck_reserve(&pins, &c->list.pins_capacity, c->list.num_pins + count, sizeof(*c->list.pins)) &&
             ck_reserve(&reach, &c->reach_capacity, c->list.num_pins + count, sizeof(*c->reach));

    c->list.pins = pins;
    c->reach = reach;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    for (u64 i = first; i < first + count; i++) {
        struct ck_pin *pin = &c->list.pins[c->list.num_pins];

        if (c->owner[i] != CK_NO_PIN || c->deepest[i].is_single)
            continue;
        pin->voxel = z * c->slice_voxels + c->deepest[i].place;
        pin->depth = 0;
        pin->label = c->label_of[i];
        c->reach[c->list.num_pins] = c->deepest[i].last_z;
        c->owner[i] = (u32)c->list.num_pins++;
    }
    return CRACKLE_OK;
}

/*
 * Merge the pins [first, end), which begin in slice 'z', into the active pins, sorted by place.  Drop pins that do not
 * reach slice 'needed_z'.
 */
static crackle_status follow(struct ck_pin_chooser *c, u32 z, size_t first, size_t end, u32 needed_z)
{
    const size_t num_new = end - first;
    struct ck_pair *order = ck_malloc(num_new, 2 * sizeof(*order));
    void *merged = c->merged;
    size_t from = 0, to = 0;
    int ok = order && ck_reserve(&merged, &c->merged_capacity, (u64)c->num_active + num_new, sizeof(*c->merged));

    c->merged = merged;
    if (!ok) {
        free(order);
        return CRACKLE_NO_MEMORY;
    }
    for (size_t i = 0; i < num_new; i++) {
        order[i].key = c->list.pins[first + i].voxel - z * c->slice_voxels;
        order[i].value = first + i;
    }
    ck_sort_pairs(order, order + num_new, num_new);
    for (size_t i = 0; from < c->num_active || i < num_new;) {
        struct ck_active_pin next;

        if (i < num_new && (from == c->num_active || order[i].key < c->active[from].place)) {
            next.place = order[i].key;
            next.pin = (u32)order[i].value;
            next.last_z = c->reach[next.pin];
            i++;
        } else {
            next = c->active[from++];
        }
        if (next.last_z >= needed_z)
            c->merged[to++] = next;
    }
    free(order);
    {
        struct ck_active_pin *swap = c->active;
        size_t capacity = c->active_capacity;

        c->active = c->merged;
        c->active_capacity = c->merged_capacity;
        c->num_active = to;
        c->merged = swap;
        c->merged_capacity = capacity;
    }
    return CRACKLE_OK;
}

static void forget_owners(struct ck_pin_chooser *c)
{
    memset(c->owner, 0xff, (size_t)c->num_components * sizeof(*c->owner)); /* sets CK_NO_PIN */
    c->num_active = 0;
}

static crackle_status sweep_downwards(struct ck_pin_chooser *c)
{
    crackle_status status = CRACKLE_OK;

    forget_owners(c);
    for (u32 z = 0; z < c->volume->sz && status == CRACKLE_OK; z++) {
        size_t first = c->list.num_pins;

        find_components(c, z, &status);
        if (status == CRACKLE_OK)
            status = mark_hits(c, z);
        if (status == CRACKLE_OK)
            status = add_pins(c, z);
        if (status == CRACKLE_OK)
            status = follow(c, z, first, c->list.num_pins, z + 1);
    }
    return status;
}

crackle_status ck_propose_pins(struct ck_pin_chooser *c)
{
    crackle_status status = sweep_upwards(c);

    return status == CRACKLE_OK ? sweep_downwards(c) : status;
}

crackle_status ck_share_components(struct ck_pin_chooser *c)
{
    crackle_status status = CRACKLE_OK;
    size_t next = 0;

    forget_owners(c);
    for (u32 z = 0; z < c->volume->sz && status == CRACKLE_OK; z++) {
        size_t first = next;

        while (next < c->list.num_pins && c->list.pins[next].voxel / c->slice_voxels == z)
            c->list.pins[next++].depth = 0;
        find_components(c, z, &status);
        if (status == CRACKLE_OK)
            status = follow(c, z, first, next, z);
        if (status == CRACKLE_OK)
            status = mark_hits(c, z);
    }
    return status;
}
