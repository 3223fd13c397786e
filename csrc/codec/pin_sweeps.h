/*
 * pin_sweeps.h - sweeps through the slices of a volume that propose pins, and give each component to one of them
 */
#ifndef CK_PIN_SWEEPS_H
#define CK_PIN_SWEEPS_H

#include "components.h"
#include "pin_list.h"
#include "pin_task.h"
#include "slices.h"

/* No pin owns the component. */
#define CK_NO_PIN UINT32_MAX

/* What the upward sweep finds out about a component.  Components are numbered within their slices. */
struct ck_deepest {
    u64 place;              /* where in the slice (y * sx + x) its label continues deepest */
    u32 last_z;             /* the last slice in which the label continues there */
    u32 next;               /* the component below 'place', or CK_NO_COMPONENT */
    u32 behind;             /* the component that follows in slice last_z + 1, or CK_NO_COMPONENT */
    unsigned int bytes : 31;    /* least bytes from here to the end of the object; saturates */
    unsigned int is_single : 1; /* 'bytes' assumes a single here, not a pin */
};

/* A pin that reaches the current slice of a downward sweep. */
struct ck_active_pin {
    u64 place;
    u32 last_z;
    u32 pin;
};

struct ck_pin_chooser {
    const struct ck_pin_task *task;
    const struct crackle_volume *volume;
    u64 slice_voxels;
    u64 *first;                  /* per slice: the number of its first component in the volume; then the total */
    u64 num_components;
    u32 *label_of;               /* per component: the index of its label in task->unique */
    struct ck_deepest *deepest;  /* per component */
    u32 *owner;                  /* per component: the pin that owns it, or CK_NO_PIN */

    struct ck_slices slices;
    struct ck_bitmaps bitmaps;
    struct ck_components components;
    u32 *last_z;                 /* per voxel of a slice: the last slice in which its label continues */
    void *below;                 /* labels of the slice below */
    u32 *component_below;        /* components of the slice below */

    struct ck_pin_list list;     /* pins, by slice; a pin's depth reaches to the last component that it owns */
    u32 *reach;                  /* per pin: the last slice in which its label continues */
    size_t reach_capacity;
    u32 *owned;                  /* per pin: how many components it owned after the previous sweep, or NULL */
    struct ck_active_pin *active, *merged;
    size_t num_active, active_capacity, merged_capacity;
    u64 *places;
    u32 *hits;
    size_t places_capacity, hits_capacity;
};

/* Call ck_pin_chooser_free() whatever the status is. */
crackle_status ck_pin_chooser_init(struct ck_pin_chooser *c, const struct ck_pin_task *task);
void ck_pin_chooser_free(struct ck_pin_chooser *c);

/* Propose pins, and set c->owner. */
crackle_status ck_propose_pins(struct ck_pin_chooser *c);

/*
 * Set c->owner again, for the pins in c->list.  A component that several pins hit goes to the pin with the most in
 * c->owned.
 */
crackle_status ck_share_components(struct ck_pin_chooser *c);

#endif /* CK_PIN_SWEEPS_H */
