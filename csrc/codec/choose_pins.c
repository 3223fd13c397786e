/*
 * choose_pins.c - which pins a volume is given
 *
 * Every component must be hit by a pin that stays inside its label, or be listed singly: a
 * set cover.  Covers by greedy search over all lines of voxels are slow, as each choice
 * changes what the others are worth.  Two sweeps through the slices do nearly as well here,
 * because an object is, from slice to slice, mostly one component after another:
 *
 *   upwards    (z falling) carries for every (x, y) the slice down to which the label goes on
 *              unchanged, and notes for every component the place from which it goes deepest;
 *   downwards  (z rising) follows the pins chosen so far and marks the components that they
 *              hit; a component that none hits gets a pin at its deepest place, or is
 *              listed singly.
 *
 * Which of the two is shorter in the end is known from the way up, as the least bytes from a
 * component to the end of its object:
 *
 *     bytes(c) = min(pin + bytes(the component behind the pin's end), single + bytes(the next component))
 *
 * For an object that does not branch this is optimal.  Where it does, the components follow each
 * other along the deepest lines.
 *
 * Then the pins are weighed.  A pin answers for the components that it was the first to
 * hit; where listing those singly is shorter, it is dropped, and a pin is cut behind the last
 * component that it answers for.  Few pins are deeper than 255 slices: cutting those in two can
 * pay, as all depths then take one byte.
 *
 * With more effort, the pins that were worth while are followed again, and a component that
 * several of them hit goes to the one that answers for most; those left with too little are
 * dropped, and what they alone had hit is listed singly.
 */
#include "choose_pins.h"
#include "components.h"
#include "encode.h"
#include "label_map.h"

#define NO_PIN UINT32_MAX

/* How often the pins are followed again with more effort; further rounds gain next to nothing. */
#define REFINEMENTS 2

/* No component follows: the object ends here. */
#define NO_COMPONENT UINT32_MAX

/* What is known of a component on the way up.  Components are counted within their slices. */
struct deepest {
    u64 place;              /* in its slice, from where its label goes on deepest */
    u32 last_z;             /* down to this slice */
    u32 next;               /* the component below that place, or NO_COMPONENT */
    u32 behind;             /* the one that follows in slice last_z + 1, likewise */
    unsigned int bytes : 31;    /* from here to the end of the object, at least; saturates */
    unsigned int is_single : 1; /* they are least when it is listed singly */
};

/* A pin while it is followed downwards. */
struct follower {
    u64 place;
    u32 last_z;
    u32 pin;
};

struct chooser {
    const struct ck_pin_task *task;
    const struct crackle_volume *volume;
    u64 slice_voxels;
    u64 *first;                  /* per slice, and one more: its first component */
    u64 num_components;
    u32 *label_of;               /* per component: place of its label in task->unique */
    struct deepest *deepest;     /* per component */
    u32 *owner;                  /* per component: the pin that answers for it, or NO_PIN */

    struct ck_slices slices;
    struct ck_bitmaps bitmaps;
    struct ck_components components;
    u32 *last_z;                 /* per voxel of a slice: down to where its label goes on */
    void *below;                 /* the labels of the slice below ... */
    u32 *component_below;        /* ... and its components */

    struct ck_pin_list list;     /* pins, by slice; depth: down to the last component it answers for */
    u32 *reach;                  /* per pin: the slice down to which its label goes on */
    size_t reach_capacity;
    u32 *answers;                /* per pin: how many components it answered for in the round before, or NULL */
    struct follower *followers, *merged;
    size_t num_followers, followers_capacity, merged_capacity;
    u64 *places;
    u32 *hits;
    size_t places_capacity, hits_capacity;
};

static void free_chooser(struct chooser *c)
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
    free(c->answers);
    free(c->followers);
    free(c->merged);
    free(c->places);
    free(c->hits);
}

static crackle_status init_chooser(struct chooser *c, const struct ck_pin_task *task)
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
        !ck_slices_init(&c->slices, v, v->sz) || !ck_bitmaps_init(&c->bitmaps, v->sx, v->sy) ||
        !ck_components_init(&c->components, v->sx, v->sy))
        return CRACKLE_NO_MEMORY;
    for (size_t p = 0; p < task->num_parts; p++)
        for (size_t k = 0; k < task->parts[p]->num_keys; k++)
            c->label_of[i++] = task->rank_of_key[p][task->parts[p]->keys[k]];
    return CRACKLE_OK;
}

static const void *find_components(struct chooser *c, u32 z, crackle_status *status)
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

#define CK_CARRY_DEPTH(type)                                                                          \
    static void carry_depth_##type(const type *slice, type *below, u64 count, u32 z, u32 *last_z)     \
    {                                                                                                 \
        for (u64 i = 0; i < count; i++) {                                                             \
            last_z[i] = slice[i] == below[i] ? last_z[i] : z;                                         \
            below[i] = slice[i];                                                                      \
        }                                                                                             \
    }

CK_CARRY_DEPTH(u8)
CK_CARRY_DEPTH(u16)
CK_CARRY_DEPTH(u32)
CK_CARRY_DEPTH(u64)

/* Update 'last_z' to slice 'z', whose labels become those below the next. */
static void carry_depth(struct chooser *c, const void *slice, u32 z)
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

static u32 highest(const u32 *values, size_t count)
{
    u32 most = 0;

    for (size_t i = 0; i < count; i++)
        most = values[i] > most ? values[i] : most;
    return most;
}

#define NO_PLACE UINT64_MAX

/* The deepest places of the components of a slice: run by run, as only a new best is located. */
static void find_deepest(struct chooser *c, struct deepest *deepest)
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

        ck_lay_row(row, components->patches + ck_row_begin(components, y), components->patches + components->row_end[y],
                   sx);
        for (size_t w = 0; w < c->bitmaps.words; w++) {
            u64 ends = v[w];

            if (w == sx / 64)
                ends |= (u64)1 << sx % 64; /* the rim ends the last run */
            for (; ends; ends &= ends - 1) {
                u32 end = (u32)(w * 64 + ck_ctz64(ends));
                struct deepest *best = &deepest[row[begin]];
                u32 most = highest(depth + begin, end - begin);

                if (best->place == NO_PLACE || most > best->last_z) {
                    u32 x = begin;

                    while (depth[x] != most)
                        x++;
                    best->place = y * sx + x;
                    best->last_z = most;
                }
                begin = end;
            }
        }
    }
}

/* The components of the slice, voxel by voxel, for the slice above. */
static void keep_components(struct chooser *c)
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

static u32 bytes_from(const struct chooser *c, u32 z, u32 component)
{
    return component == NO_COMPONENT ? 0 : c->deepest[c->first[z] + component].bytes;
}

/* Whether the components of slice 'z' are better begun with a pin or listed. */
static void decide(struct chooser *c, u32 z)
{
    const u32 pin = ck_width(c->slice_voxels * c->volume->sz) + 1;
    const u32 single = ck_width(c->num_components - 1);
    const u32 most = ((u32)1 << 31) - 1;

    for (u64 i = c->first[z]; i < c->first[z + 1]; i++) {
        struct deepest *d = &c->deepest[i];
        u32 with_pin, with_single;

        d->next = d->last_z > z ? c->component_below[d->place] : NO_COMPONENT;
        d->behind = d->next;
        /* The next component goes as deep at least, so the way does not end before 'last_z'. */
        for (u32 at = z + 1; at <= d->last_z; at++) {
            const struct deepest *below = &c->deepest[c->first[at] + d->behind];

            /* Mostly its line is the same, and what follows is known. */
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
        d->bytes = (with_pin < most ? with_pin : most) & most;
    }
}

static crackle_status sweep_upwards(struct chooser *c)
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
 * The components of slice 'z' that the followers hit are theirs, if nobody's yet or if they
 * answered for more than the owner.
 */
static crackle_status mark_hits(struct chooser *c, u32 z)
{
    void *places = c->places, *hits = c->hits;
    u32 *owner = c->owner + c->first[z];
    int ok = ck_reserve(&places, &c->places_capacity, c->num_followers, sizeof(*c->places)) &&
             ck_reserve(&hits, &c->hits_capacity, c->num_followers, sizeof(*c->hits));

    c->places = places;
    c->hits = hits;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < c->num_followers; i++)
        c->places[i] = c->followers[i].place;
    ck_components_at(&c->components, c->places, c->num_followers, c->hits);
    for (size_t i = 0; i < c->num_followers; i++) {
        u32 pin = c->followers[i].pin;
        u32 *of_component = &owner[c->hits[i]];

        if (*of_component == NO_PIN || (c->answers && c->answers[pin] > c->answers[*of_component]))
            *of_component = pin;
    }
    for (u64 i = c->first[z]; i < c->first[z + 1]; i++)
        if (c->owner[i] != NO_PIN) {
            struct ck_pin *pin = &c->list.pins[c->owner[i]];

            pin->depth = z - (u32)(pin->voxel / c->slice_voxels);
        }
    return CRACKLE_OK;
}

/* A pin for every component of slice 'z' that has none and is not to be listed singly. */
static crackle_status add_pins(struct chooser *c, u32 z)
{
    void *pins = c->list.pins, *reach = c->reach;
    const u64 first = c->first[z], count = c->first[z + 1] - first;
    int ok = c->list.num_pins + count < NO_PIN &&
             ck_reserve(&pins, &c->list.pins_capacity, c->list.num_pins + count, sizeof(*c->list.pins)) &&
             ck_reserve(&reach, &c->reach_capacity, c->list.num_pins + count, sizeof(*c->reach));

    c->list.pins = pins;
    c->reach = reach;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    for (u64 i = first; i < first + count; i++) {
        struct ck_pin *pin = &c->list.pins[c->list.num_pins];

        if (c->owner[i] != NO_PIN || c->deepest[i].is_single)
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
 * Merge the pins [first, end), which begin in slice 'z', into the followers, by place, and drop
 * those that do not reach slice 'needed_z'.
 */
static crackle_status follow(struct chooser *c, u32 z, size_t first, size_t end, u32 needed_z)
{
    const size_t num_new = end - first;
    struct ck_pair *order = ck_malloc(num_new, 2 * sizeof(*order));
    void *merged = c->merged;
    size_t from = 0, to = 0;
    int ok = order && ck_reserve(&merged, &c->merged_capacity, (u64)c->num_followers + num_new, sizeof(*c->merged));

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
    for (size_t i = 0; from < c->num_followers || i < num_new;) {
        struct follower next;

        if (i < num_new && (from == c->num_followers || order[i].key < c->followers[from].place)) {
            next.place = order[i].key;
            next.pin = (u32)order[i].value;
            next.last_z = c->reach[next.pin];
            i++;
        } else {
            next = c->followers[from++];
        }
        if (next.last_z >= needed_z)
            c->merged[to++] = next;
    }
    free(order);
    {
        struct follower *swap = c->followers;
        size_t capacity = c->followers_capacity;

        c->followers = c->merged;
        c->followers_capacity = c->merged_capacity;
        c->num_followers = to;
        c->merged = swap;
        c->merged_capacity = capacity;
    }
    return CRACKLE_OK;
}

static void forget_owners(struct chooser *c)
{
    memset(c->owner, 0xff, (size_t)c->num_components * sizeof(*c->owner)); /* NO_PIN */
    c->num_followers = 0;
}

static crackle_status sweep_downwards(struct chooser *c)
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

/* ---------------------------------- Weighing ------------------------------- */

/* Bytes of a pin by the width of depths: a deep one is cut. */
static u64 pin_cost(const struct ck_pin *pin, unsigned int voxel_width, unsigned int depth_width)
{
    u64 pieces = depth_width == 1 ? (u64)pin->depth / 256 + 1 : 1;

    return pieces * (voxel_width + depth_width);
}

static int is_worth_while(const struct chooser *c, size_t pin, u32 answers, unsigned int depth_width)
{
    const unsigned int voxel_width = ck_width(c->slice_voxels * c->volume->sz);
    const unsigned int component_width = ck_width(c->num_components - 1);

    return pin_cost(&c->list.pins[pin], voxel_width, depth_width) < (u64)answers * component_width;
}

/* How many components each pin answers for. */
static u32 *count_answers(const struct chooser *c)
{
    u32 *answers = ck_calloc(c->list.num_pins, sizeof(*answers));

    if (answers)
        for (u64 i = 0; i < c->num_components; i++)
            if (c->owner[i] != NO_PIN)
                answers[c->owner[i]]++;
    return answers;
}

/* Drop the pins that are not worth while and share the components out among the others again. */
static crackle_status refine(struct chooser *c)
{
    crackle_status status = CRACKLE_OK;
    size_t kept = 0, next = 0;

    free(c->answers);
    c->answers = count_answers(c);
    if (!c->answers)
        return CRACKLE_NO_MEMORY;
    for (size_t p = 0; p < c->list.num_pins; p++)
        if (is_worth_while(c, p, c->answers[p], 1)) {
            c->list.pins[kept] = c->list.pins[p];
            c->reach[kept] = c->reach[p];
            c->answers[kept++] = c->answers[p];
        }
    c->list.num_pins = kept;
    forget_owners(c);
    for (u32 z = 0; z < c->volume->sz && status == CRACKLE_OK; z++) {
        size_t first = next;

        while (next < kept && c->list.pins[next].voxel / c->slice_voxels == z)
            c->list.pins[next++].depth = 0;
        find_components(c, z, &status);
        if (status == CRACKLE_OK)
            status = follow(c, z, first, next, z);
        if (status == CRACKLE_OK)
            status = mark_hits(c, z);
    }
    return status;
}

/*
 * The pins that are worth while, cut where depths are to take one byte, and the components that they
 * leave as singles.  Nothing of the background.
 */
static crackle_status weigh(const struct chooser *c, unsigned int depth_width, u32 background,
                            struct ck_pin_list *kept)
{
    u32 *answers = count_answers(c);
    crackle_status status = CRACKLE_NO_MEMORY;

    if (!answers)
        return status;
    for (size_t p = 0; p < c->list.num_pins; p++) {
        const struct ck_pin *pin = &c->list.pins[p];
        const int keep = pin->label != background && is_worth_while(c, p, answers[p], depth_width);
        u64 pieces = keep && depth_width == 1 ? (u64)pin->depth / 256 + 1 : 1;
        void *pins = kept->pins;
        int ok = ck_reserve(&pins, &kept->pins_capacity, kept->num_pins + pieces, sizeof(*pin));

        kept->pins = pins;
        if (!ok)
            goto out;
        if (keep) {
            answers[p] = 0;
            for (u64 k = 0; k < pieces; k++) {
                struct ck_pin *piece = &kept->pins[kept->num_pins++];

                piece->voxel = pin->voxel + k * 256 * c->slice_voxels;
                piece->depth = k + 1 < pieces ? 255 : (u32)(pin->depth - 256 * k);
                piece->label = pin->label - (pin->label > background);
            }
        }
    }
    for (u64 i = 0; i < c->num_components; i++) {
        void *singles = kept->singles;
        u32 label = c->label_of[i];
        int ok;

        if (label == background || (c->owner[i] != NO_PIN && !answers[c->owner[i]]))
            continue; /* answers is 0 where the pin was kept */
        ok = ck_reserve(&singles, &kept->singles_capacity, (u64)kept->num_singles + 1, sizeof(*kept->singles));
        kept->singles = singles;
        if (!ok)
            goto out;
        kept->singles[kept->num_singles].component = i;
        kept->singles[kept->num_singles++].label = label - (label > background);
    }
    status = CRACKLE_OK;
out:
    free(answers);
    return status;
}

/* The label that takes most bytes: it is the one that need not be listed. */
static crackle_status choose_background(const struct chooser *c, u32 *background_ret)
{
    const struct ck_pin_task *task = c->task;
    const unsigned int voxel_width = ck_width(c->slice_voxels * c->volume->sz);
    const unsigned int component_width = ck_width(c->num_components - 1);
    u64 *cost;
    u32 *answers;
    u32 best = 0;

    if (task->has_background)
        for (size_t i = 0; i < task->num_unique; i++)
            if (task->unique[i] == task->background) {
                *background_ret = (u32)i;
                return CRACKLE_OK;
            }
    cost = ck_calloc(task->num_unique, sizeof(*cost));
    answers = count_answers(c);
    if (!cost || !answers) {
        free(cost);
        free(answers);
        return CRACKLE_NO_MEMORY;
    }
    for (size_t p = 0; p < c->list.num_pins; p++)
        if (is_worth_while(c, p, answers[p], 1)) {
            answers[p] = 0;
            cost[c->list.pins[p].label] += pin_cost(&c->list.pins[p], voxel_width, 1);
        }
    for (u64 i = 0; i < c->num_components; i++)
        if (c->owner[i] == NO_PIN || answers[c->owner[i]])
            cost[c->label_of[i]] += component_width;
    for (size_t i = 1; i < task->num_unique; i++)
        if (cost[i] > cost[best])
            best = (u32)i;
    free(cost);
    free(answers);
    *background_ret = best;
    return CRACKLE_OK;
}

crackle_status ck_choose_pins(const struct ck_pin_task *task, unsigned int stored_width, struct ck_bytes *out)
{
    const struct crackle_volume *v = task->volume;
    struct chooser c;
    struct ck_bytes best = {NULL, 0, 0};
    u64 *others = NULL;
    u32 background = 0;
    crackle_status status = init_chooser(&c, task);

    if (status == CRACKLE_OK)
        status = sweep_upwards(&c);
    if (status == CRACKLE_OK)
        status = sweep_downwards(&c);
    for (unsigned int i = 0; i < REFINEMENTS && status == CRACKLE_OK && task->effort > 1; i++)
        status = refine(&c);
    if (status == CRACKLE_OK)
        status = ck_is_set(task->stop) ? CRACKLE_STOPPED : choose_background(&c, &background);
    if (status == CRACKLE_OK) {
        others = ck_malloc(task->num_unique, sizeof(*others));
        if (!others)
            status = CRACKLE_NO_MEMORY;
    }
    if (status != CRACKLE_OK)
        goto out;
    memcpy(others, task->unique, background * sizeof(*others));
    memcpy(others + background, task->unique + background + 1, (task->num_unique - background - 1) * sizeof(*others));

    for (unsigned int depth_width = 1; depth_width <= ck_width(v->sz - 1) && status == CRACKLE_OK; depth_width *= 2) {
        struct ck_pin_list kept = {NULL, 0, 0, NULL, 0, 0};
        struct ck_bytes section = {NULL, 0, 0};

        status = ck_is_set(task->stop) ? CRACKLE_STOPPED : weigh(&c, depth_width, background, &kept);
        if (status == CRACKLE_OK)
            status = ck_write_pins(&section, task->unique[background], others, task->num_unique - 1, stored_width,
                                   task->counts, v->sz, c.slice_voxels, &kept);
        ck_pin_list_free(&kept);
        if (status == CRACKLE_OK && (!best.data || section.size < best.size)) {
            free(best.data);
            best = section;
        } else {
            free(section.data);
        }
    }
out:
    if (status == CRACKLE_OK)
        *out = best;
    else
        free(best.data);
    free(others);
    free_chooser(&c);
    return status;
}
