/*
 * overlay.c - two streams of one shape as one stream, whose labels are pairs of entries
 *
 * A crack of the result is a crack of either stream.
 */
#include "../codec/reading.h"
#include "rewrite.h"

struct overlay {
    struct ck_reading a, b;
    u32 *components;
    size_t components_capacity;
};

static crackle_status boundaries_of_both(void *self, u32 z, struct ck_bitmaps *b, struct crackle_where *where)
{
    struct overlay *o = self;
    crackle_status status = ck_reading_next(&o->a, z, where);

    if (status == CRACKLE_OK)
        status = ck_reading_next(&o->b, z, where);
    if (status != CRACKLE_OK)
        return status;
    for (size_t i = 0; i < b->buffer_words; i++)
        b->buffer[i] = o->a.bitmaps.buffer[i] | o->b.bitmaps.buffer[i];
    return CRACKLE_OK;
}

static crackle_status labels_of_both(void *self, const struct ck_components *c, u64 *labels)
{
    struct overlay *o = self;
    void *components = o->components;
    int ok = ck_reserve(&components, &o->components_capacity, c->count, sizeof(*o->components));

    o->components = components;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    ck_components_at(&o->a.components, c->first, c->count, o->components);
    for (size_t i = 0; i < c->count; i++)
        labels[i] = o->a.entries[o->components[i]] << 32;
    ck_components_at(&o->b.components, c->first, c->count, o->components);
    for (size_t i = 0; i < c->count; i++)
        labels[i] |= o->b.entries[o->components[i]];
    return CRACKLE_OK;
}

crackle_status crackle_overlay_part(const struct crackle_parts *a, const struct crackle_parts *b, uint32_t z_start,
                                    uint32_t z_end, unsigned int flags, int permissible, crackle_part **part_ret,
                                    struct crackle_where *where)
{
    struct overlay o;
    struct ck_slice_source source;
    const struct crackle_header *h = &o.a.header, *k = &o.b.header;
    crackle_status status;

    memset(&o, 0, sizeof(o));
    status = ck_reading_open(&o.a, a, flags, where);
    if (status == CRACKLE_OK)
        status = ck_reading_open(&o.b, b, flags, where);
    if (status == CRACKLE_OK && (h->sx != k->sx || h->sy != k->sy || h->sz != k->sz))
        status = CRACKLE_BAD_ARGUMENT;
    if (status == CRACKLE_OK && !ck_is_part_range(h, z_start, z_end, h->sz))
        status = CRACKLE_BAD_ARGUMENT;
    if (status != CRACKLE_OK)
        return status;
    source.self = &o;
    source.find_boundaries = boundaries_of_both;
    source.read_labels = labels_of_both;
    status = ck_reading_begin(&o.a, a, z_start, z_end, where);
    if (status == CRACKLE_OK)
        status = ck_reading_begin(&o.b, b, z_start, z_end, where);
    if (status == CRACKLE_OK &&
        (ck_num_entries(&o.a.map.table) > UINT32_MAX || ck_num_entries(&o.b.map.table) > UINT32_MAX))
        status = CRACKLE_UNSUPPORTED; /* a label holds two entries of 32 bits */
    if (status == CRACKLE_OK)
        status = ck_encode_part(&source, h->sx, h->sy, z_start, z_end, permissible, part_ret, where);
    free(o.components);
    ck_reading_free(&o.a);
    ck_reading_free(&o.b);
    return status;
}
