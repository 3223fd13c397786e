/*
 * choose_pins.c - choose the pins of a volume
 *
 * Every component must be hit by a pin that stays inside its label, or be listed as a single.  That is a set cover.  A
 * greedy search over all lines of voxels is slow, because each choice changes the value of the others.  Two sweeps
 * through the slices (pin_sweeps.c) do nearly as well here.  They propose pins and give each component one owner: the
 * first pin that hits it.
 *
 * This file keeps the pins that pay off.  A pin is dropped if listing its components as singles is shorter, and it is
 * cut behind the last component that it owns.  Few pins are deeper than 255 slices.  Cutting those in two can pay off,
 * because all depths then take one byte.
 *
 * With more effort, the pins that pay off go through the downward sweep again.  A component that several of them hit
 * then goes to the pin that owned most components.  Pins that are left with too few are dropped, and their components
 * become singles.
 *
 * Time: some sweeps, each linear in the voxels.  Memory: some tens of bytes per component and per voxel of a slice.
 */
#include "choose_pins.h"
#include "pin_sweeps.h"

/* With more effort, the sweep is repeated this often. Further rounds gain next to nothing. */
#define REFINEMENTS 2

/* -------------------------------- Selecting -------------------------------- */

/* The bytes of a pin, for a given width of depths. With a width of 1, a deep pin is cut. */
static u64 pin_cost(const struct ck_pin *pin, unsigned int voxel_width, unsigned int depth_width)
{
    u64 pieces = depth_width == 1 ? (u64)pin->depth / 256 + 1 : 1;

    return pieces * (voxel_width + depth_width);
}

static int pays_off(const struct ck_pin_chooser *c, size_t pin, u32 owned, unsigned int depth_width)
{
    const unsigned int voxel_width = ck_width(c->slice_voxels * c->volume->sz);
    const unsigned int component_width = ck_width(c->num_components - 1);

    return pin_cost(&c->list.pins[pin], voxel_width, depth_width) < (u64)owned * component_width;
}

/* How many components each pin owns. */
static u32 *count_owned(const struct ck_pin_chooser *c)
{
    u32 *owned = ck_calloc(c->list.num_pins, sizeof(*owned));

    if (owned)
        for (u64 i = 0; i < c->num_components; i++)
            if (c->owner[i] != CK_NO_PIN)
                owned[c->owner[i]]++;
    return owned;
}

/* Drop the pins that do not pay off, and share the components among the others again. */
static crackle_status refine(struct ck_pin_chooser *c)
{
    size_t kept = 0;

    free(c->owned);
    c->owned = count_owned(c);
    if (!c->owned)
        return CRACKLE_NO_MEMORY;
    for (size_t p = 0; p < c->list.num_pins; p++)
        if (pays_off(c, p, c->owned[p], 1)) {
            c->list.pins[kept] = c->list.pins[p];
            c->reach[kept] = c->reach[p];
            c->owned[kept++] = c->owned[p];
        }
    c->list.num_pins = kept;
    return ck_share_components(c);
}

/*
 * Copy the pins that pay off to 'kept', cut if depths take one byte, and list the other components as singles.  Leave
 * out the background.
 */
static crackle_status select_pins(const struct ck_pin_chooser *c, unsigned int depth_width, u32 background,
                                  struct ck_pin_list *kept)
{
    u32 *owned = count_owned(c);
    crackle_status status = CRACKLE_NO_MEMORY;

    if (!owned)
        return status;
    for (size_t p = 0; p < c->list.num_pins; p++) {
        const struct ck_pin *pin = &c->list.pins[p];
        const int keep = pin->label != background && pays_off(c, p, owned[p], depth_width);
        u64 pieces = keep && depth_width == 1 ? (u64)pin->depth / 256 + 1 : 1;
        void *pins = kept->pins;
        int ok = ck_reserve(&pins, &kept->pins_capacity, kept->num_pins + pieces, sizeof(*pin));

        kept->pins = pins;
        if (!ok)
            goto out;
        if (keep) {
            owned[p] = 0;
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

        if (label == background || (c->owner[i] != CK_NO_PIN && !owned[c->owner[i]]))
            continue; /* owned[] is 0 for pins that were kept */
        ok = ck_reserve(&singles, &kept->singles_capacity, (u64)kept->num_singles + 1, sizeof(*kept->singles));
        kept->singles = singles;
        if (!ok)
            goto out;
        kept->singles[kept->num_singles].component = i;
        kept->singles[kept->num_singles++].label = label - (label > background);
    }
    status = CRACKLE_OK;
out:
    free(owned);
    return status;
}

/* The label that takes the most bytes is the best background, because it need not be listed. */
static crackle_status choose_background(const struct ck_pin_chooser *c, u32 *background_ret)
{
    const struct ck_pin_task *task = c->task;
    const unsigned int voxel_width = ck_width(c->slice_voxels * c->volume->sz);
    const unsigned int component_width = ck_width(c->num_components - 1);
    u64 *cost;
    u32 *owned;
    u32 best = 0;

    if (task->has_background)
        for (size_t i = 0; i < task->num_unique; i++)
            if (task->unique[i] == task->background) {
                *background_ret = (u32)i;
                return CRACKLE_OK;
            }
    cost = ck_calloc(task->num_unique, sizeof(*cost));
    owned = count_owned(c);
    if (!cost || !owned) {
        free(cost);
        free(owned);
        return CRACKLE_NO_MEMORY;
    }
    for (size_t p = 0; p < c->list.num_pins; p++)
        if (pays_off(c, p, owned[p], 1)) {
            owned[p] = 0;
            cost[c->list.pins[p].label] += pin_cost(&c->list.pins[p], voxel_width, 1);
        }
    for (u64 i = 0; i < c->num_components; i++)
        if (c->owner[i] == CK_NO_PIN || owned[c->owner[i]])
            cost[c->label_of[i]] += component_width;
    for (size_t i = 1; i < task->num_unique; i++)
        if (cost[i] > cost[best])
            best = (u32)i;
    free(cost);
    free(owned);
    *background_ret = best;
    return CRACKLE_OK;
}

crackle_status ck_choose_pins(const struct ck_pin_task *task, unsigned int stored_width, struct ck_bytes *out)
{
    const struct crackle_volume *v = task->volume;
    struct ck_pin_chooser c;
    struct ck_bytes best = {NULL, 0, 0};
    u64 *others = NULL;
    u32 background = 0;
    crackle_status status = ck_pin_chooser_init(&c, task);

    if (status == CRACKLE_OK)
        status = ck_propose_pins(&c);
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

        status = ck_is_set(task->stop) ? CRACKLE_STOPPED : select_pins(&c, depth_width, background, &kept);
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
    ck_pin_chooser_free(&c);
    return status;
}
