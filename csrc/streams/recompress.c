/*
 * recompress.c - the same labels, without cracks between equal labels
 *
 * crackle_relabel() merges labels but leaves the crack codes unchanged, so cracks remain between voxels of one label.
 * Recompressing drops these cracks.  That merges components, and never splits one.
 *
 * A stream with pins keeps them.  A pin names a voxel, so it stays valid in the new stream.  A single names a
 * component, which gets a new number.  For that, a part records the new number of each old component.
 */
#include "../codec/assemble.h"
#include "../codec/pin_list.h"
#include "faces.h"
#include "rewrite.h"

struct recompressor {
    struct ck_faces faces;
    u32 *components;         /* the old components at the first voxels of the new ones */
    size_t components_capacity;
    u32 *moved;              /* per old component of the part: the number of its new component in the slice */
    size_t num_moved, moved_capacity;
};

static crackle_status boundaries_of_faces(void *self, u32 z, struct ck_bitmaps *b, struct crackle_where *where)
{
    struct recompressor *r = self;
    crackle_status status = ck_faces_next(&r->faces, z, where);

    if (status == CRACKLE_OK)
        ck_find_faces(&r->faces, b, NULL);
    return status;
}

static crackle_status labels_of_faces(void *self, const struct ck_components *c, u64 *labels)
{
    struct recompressor *r = self;
    const struct ck_layer *old = r->faces.layer;
    void *components = r->components, *moved = r->moved;
    int ok = ck_reserve(&components, &r->components_capacity, c->count, sizeof(*r->components));

    ok = ck_reserve(&moved, &r->moved_capacity, (u64)r->num_moved + old->components.count, sizeof(*r->moved)) && ok;
    r->components = components;
    r->moved = moved;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    ck_components_at(&old->components, c->first, c->count, r->components);
    for (size_t i = 0; i < c->count; i++)
        labels[i] = r->faces.labels.labels[old->numbers[r->components[i]]];
    /* Components only merge. So each old component lies in the new component that has its first voxel. */
    ck_components_at(c, old->components.first, old->components.count, r->moved + r->num_moved);
    r->num_moved += old->components.count;
    return CRACKLE_OK;
}

crackle_status crackle_recompress_part(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                       unsigned int flags, int permissible, crackle_part **part_ret,
                                       struct crackle_where *where)
{
    struct recompressor r;
    struct ck_slice_source source;
    const struct crackle_header *h = &r.faces.reading.header;
    crackle_status status;

    memset(&r, 0, sizeof(r));
    status = ck_reading_open(&r.faces.reading, parts, flags, where);
    if (status == CRACKLE_OK && !ck_is_part_range(h, z_start, z_end, h->sz))
        status = CRACKLE_BAD_ARGUMENT;
    if (status != CRACKLE_OK)
        return status;
    source.self = &r;
    source.find_boundaries = boundaries_of_faces;
    source.read_labels = labels_of_faces;
    status = ck_faces_begin(&r.faces, parts, z_start, z_end, where);
    if (status == CRACKLE_OK)
        status = ck_encode_part(&source, h->sx, h->sy, z_start, z_end, permissible, part_ret, where);
    if (status == CRACKLE_OK) {
        (*part_ret)->moved = r.moved;
        (*part_ret)->num_moved = r.num_moved;
        r.moved = NULL;
    }
    free(r.components);
    free(r.moved);
    ck_faces_free(&r.faces);
    return status;
}

/* The pins of the old stream, and the map from old components to new ones. */
struct old_pins {
    const struct crackle_header *header;
    struct ck_label_table table;
    crackle_part *const *parts;
    size_t num_parts;
    u64 num_components; /* of the old stream */
    const volatile int32_t *stop;
};

/* Renumber the singles for the new stream. The result may be unsorted. */
static crackle_status move_singles(const struct old_pins *old, struct ck_pin_list *list)
{
    u64 *moved = ck_malloc(old->num_components, sizeof(*moved));
    u64 first_new = 0, n = 0;
    u8 *seen;
    u32 z = 0;

    if (!moved)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < old->num_parts; i++) {
        const crackle_part *part = old->parts[i];
        const u32 *from = part->moved;

        for (u32 k = 0; k < part->z_end - part->z_start; k++, z++) {
            for (u64 count = ck_component_count(&old->table, z); count; count--)
                moved[n++] = first_new + *from++;
            first_new += part->slices[k].num_components;
        }
    }
    seen = ck_calloc(first_new, 1);
    if (!seen) {
        free(moved);
        return CRACKLE_NO_MEMORY;
    }
    n = 0;
    for (size_t i = 0; i < list->num_singles; i++) {
        const u64 component = moved[list->singles[i].component];

        if (seen[component]) /* it merged with a component that is listed */
            continue;
        seen[component] = 1;
        list->singles[n].component = component;
        list->singles[n++].label = list->singles[i].label;
    }
    list->num_singles = (size_t)n;
    free(seen);
    free(moved);
    return CRACKLE_OK;
}

static crackle_status put_old_pins(void *self, u64 *unique, size_t num_unique, unsigned int stored_width,
                                   const u64 *counts, struct ck_bytes *out)
{
    struct old_pins *old = self;
    const struct crackle_header *h = old->header;
    struct ck_pin_list list = {NULL, 0, 0, NULL, 0, 0};
    struct ck_label_set places = {NULL, 0, 0, NULL, 0, 0, 0};
    crackle_status status = ck_read_pin_list(h, &old->table, old->num_components, &list);
    u32 place = 0;

    if (status == CRACKLE_OK)
        status = move_singles(old, &list);
    for (size_t i = 0; status == CRACKLE_OK && i < num_unique; i++)
        if (!ck_label_set_add(&places, unique[i], &place))
            status = CRACKLE_NO_MEMORY;
    if (status != CRACKLE_OK)
        goto out;
    for (size_t i = 0; i < list.num_pins && !ck_is_set(old->stop); i++) {
        if (!ck_label_set_find(&places, ck_label_at(h, &old->table, list.pins[i].label), &place))
            goto contradiction;
        list.pins[i].label = place;
    }
    for (size_t i = 0; i < list.num_singles && !ck_is_set(old->stop); i++) {
        if (!ck_label_set_find(&places, ck_label_at(h, &old->table, list.singles[i].label), &place))
            goto contradiction;
        list.singles[i].label = place;
    }
    if (ck_is_set(old->stop))
        status = CRACKLE_STOPPED;
    else
        status = ck_put_pins(out, unique, num_unique,
                             ck_label_set_find(&places, old->table.background, &place) ? place : CK_NO_BACKGROUND,
                             stored_width, counts, h->sz, (u64)h->sx * h->sy, &list);
    goto out;
contradiction:
    out->size = 0; /* pins of two labels lie in one component; flat labels keep the decoded values */
out:
    ck_label_set_free(&places);
    ck_pin_list_free(&list);
    return status;
}

crackle_status crackle_reassemble(const void *in, size_t in_nbytes, unsigned int markov_order,
                                  crackle_part *const *parts, size_t num_parts, const volatile int32_t *stop,
                                  uint8_t **out_ret, size_t *out_nbytes_ret, struct crackle_where *where)
{
    struct crackle_header h;
    struct crackle_layout l;
    struct crackle_parts whole;
    struct crackle_volume shape = {0};
    struct crackle_options options = {0};
    struct old_pins old;
    const struct ck_pins_writer pins_writer = {&old, put_old_pins};
    crackle_status status = crackle_split(in, in_nbytes, &whole, where);
    u64 nbytes;

    if (status == CRACKLE_OK)
        status = ck_open_labels(&whole, 1, &h, &l, where);
    if (status != CRACKLE_OK)
        return status;
    if (ck_is_empty(&h) || !ck_is_markov_order(markov_order))
        return CRACKLE_BAD_ARGUMENT;
    status = ck_label_table_open(&h, whole.head + l.labels, &old.table);
    if (status == CRACKLE_OK && !ck_sum_counts(&h, &old.table, 0, h.sz, &old.num_components))
        status = CRACKLE_CORRUPT;
    if (status != CRACKLE_OK)
        return ck_fail(where, status, CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
    for (size_t i = 0; i < num_parts; i++) {
        u64 components = 0;

        /* Every part must have been made from these slices of this stream. */
        if (parts[i]->z_end > h.sz || !ck_sum_counts(&h, &old.table, parts[i]->z_start, parts[i]->z_end, &components) ||
            components != parts[i]->num_moved)
            return CRACKLE_BAD_ARGUMENT;
    }
    if (!ck_mul((u64)h.sx * h.sy, h.sz, &nbytes) || !ck_mul(nbytes, h.data_width, &nbytes) || nbytes > SIZE_MAX)
        return CRACKLE_TOO_LARGE;
    shape.nbytes = (size_t)nbytes;
    old.header = &h;
    old.parts = parts;
    old.num_parts = num_parts;
    old.stop = stop;
    shape.sx = h.sx;
    shape.sy = h.sy;
    shape.sz = h.sz;
    shape.width = h.data_width;
    shape.is_signed = h.is_signed;
    shape.fortran_order = h.fortran_order;
    options.format_version = h.format_version;
    options.markov_order = (u8)markov_order;
    return ck_assemble(&shape, &options, parts, num_parts, stop, old.table.has_background ? &pins_writer : NULL,
                       out_ret, out_nbytes_ret);
}
