/*
 * rewrite.c - streams made from streams by way of their boundaries
 *
 * The encoder takes the boundaries of a slice and a label per component, wherever they come from (encode.h).
 * Here they come from streams that are being read, and no voxel is painted on the way:
 *
 *   recompress   the cracks, but for those between voxels of one label
 *   overlay      the cracks of either of two streams; a label is the pair of entries that meet there
 *   pool         those of a slice a quarter of the size, or an eighth, whose voxels are the most frequent labels
 */
#include "../codec/boundary.h"
#include "../codec/encode.h"
#include "../codec/header.h"
#include "../crackle.h"
#include "faces.h"

static crackle_status check_range(const struct crackle_header *h, u32 z_start, u32 z_end, u32 sz)
{
    return ck_is_empty(h) || z_start >= z_end || z_end > sz ? CRACKLE_BAD_ARGUMENT : CRACKLE_OK;
}

/* -------------------------------- Recompressing ---------------------------- */

struct recompressor {
    struct ck_faces faces;
    u32 *components;         /* of the old slice at the first voxels of the new ones */
    size_t components_capacity;
    u32 *moved;              /* per old component of the part, the number of the new one in its slice */
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
    /* Components only grow together: every old one lies in one new one, with its first voxel. */
    ck_components_at(c, old->components.first, old->components.count, r->moved + r->num_moved);
    r->num_moved += old->components.count;
    return CRACKLE_OK;
}

crackle_status crackle_recompress_part(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                       unsigned int flags, int permissible, crackle_part **part_ret,
                                       struct crackle_where *where)
{
    struct recompressor r;
    struct ck_slice_maker maker;
    const struct crackle_header *h = &r.faces.reading.header;
    crackle_status status;

    memset(&r, 0, sizeof(r));
    status = ck_reading_open(&r.faces.reading, parts, flags, where);
    if (status == CRACKLE_OK)
        status = check_range(h, z_start, z_end, h->sz);
    if (status != CRACKLE_OK)
        return status;
    maker.self = &r;
    maker.boundaries = boundaries_of_faces;
    maker.labels = labels_of_faces;
    status = ck_faces_begin(&r.faces, parts, z_start, z_end, where);
    if (status == CRACKLE_OK)
        status = ck_encode_part(&maker, h->sx, h->sy, z_start, z_end, permissible, part_ret, where);
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

/* The pins of the old stream name the voxels of the new one as well; singles name components, which moved. */
struct old_pins {
    const struct crackle_header *header;
    struct ck_label_table table;
    crackle_part *const *parts;
    size_t num_parts;
    u64 num_components; /* of the old stream */
    const volatile int32_t *stop;
};

/* Singles of the old stream as those of the new one, sorted or not. */
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

        if (seen[component]) /* it grew together with one that is listed */
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
    out->size = 0; /* pins of two labels in one component: the flat labels say what that was decoded to */
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
    const struct ck_pins_maker maker = {&old, put_old_pins};
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

        /* Every part has to be of its slices of this very stream. */
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
    return ck_assemble(&shape, &options, parts, num_parts, stop, old.table.has_background ? &maker : NULL, out_ret,
                       out_nbytes_ret);
}

/* ---------------------------------- Overlay -------------------------------- */

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
    struct ck_slice_maker maker;
    const struct crackle_header *h = &o.a.header, *k = &o.b.header;
    crackle_status status;

    memset(&o, 0, sizeof(o));
    status = ck_reading_open(&o.a, a, flags, where);
    if (status == CRACKLE_OK)
        status = ck_reading_open(&o.b, b, flags, where);
    if (status == CRACKLE_OK && (h->sx != k->sx || h->sy != k->sy || h->sz != k->sz))
        status = CRACKLE_BAD_ARGUMENT;
    if (status == CRACKLE_OK)
        status = check_range(h, z_start, z_end, h->sz);
    if (status != CRACKLE_OK)
        return status;
    maker.self = &o;
    maker.boundaries = boundaries_of_both;
    maker.labels = labels_of_both;
    status = ck_reading_begin(&o.a, a, z_start, z_end, where);
    if (status == CRACKLE_OK)
        status = ck_reading_begin(&o.b, b, z_start, z_end, where);
    if (status == CRACKLE_OK &&
        (ck_num_entries(&o.a.map.table) > UINT32_MAX || ck_num_entries(&o.b.map.table) > UINT32_MAX))
        status = CRACKLE_UNSUPPORTED; /* a pair of them is a label */
    if (status == CRACKLE_OK)
        status = ck_encode_part(&maker, h->sx, h->sy, z_start, z_end, permissible, part_ret, where);
    free(o.components);
    ck_reading_free(&o.a);
    ck_reading_free(&o.b);
    return status;
}

/* ---------------------------------- Pooling -------------------------------- */

/* The most voxels of a block. */
#define BLOCK 8

struct pooler {
    struct ck_faces faces;
    u32 sx, sy;              /* of the pooled slice */
    unsigned int depth;      /* slices of a block */
    int sparse;
    u32 background;          /* the number of label 0, or UINT32_MAX */
    u32 *upper[2];           /* the upper row of a block, per slice; the lower one is components.row */
    u32 *pooled;             /* the slice, as numbers */
};

static void free_pooler(struct pooler *p)
{
    ck_faces_free(&p->faces);
    free(p->upper[0]);
    free(p->upper[1]);
    free(p->pooled);
}

static int init_pooler(struct pooler *p)
{
    const struct crackle_header *h = &p->faces.reading.header;

    p->upper[0] = ck_malloc(h->sx, sizeof(u32));
    p->upper[1] = ck_malloc(h->sx, sizeof(u32));
    p->pooled = ck_malloc((u64)p->sx * p->sy, sizeof(u32));
    return p->upper[0] && p->upper[1] && p->pooled;
}

/*
 * The mode of four: the first of a pair that is equal, else the last, which is then one of two equal ones if there
 * are any.  W. Silversmith: COUNTLESS, high performance 2x downsampling of labeled images (2017).
 */
static inline u32 mode_of_4(const u32 *v)
{
    return v[0] == v[1] || v[0] == v[2] ? v[0] : v[1] == v[2] ? v[1] : v[3];
}

/* The same where the background counts only if there is nothing else. */
static u32 mode_of_4_sparse(const u32 *v, u32 background)
{
    for (unsigned int pair = 0; pair < 3; pair++) {
        const u32 a = v[pair == 2], b = v[pair == 0 ? 1 : 2];

        if (a == b && a != background)
            return a;
    }
    for (unsigned int i = 3; i < 7; i++) /* the last, or else the first */
        if (v[i % 4] != background)
            return v[i % 4];
    return background;
}

/* The most frequent of 'count'; of several, the one that comes first. */
static u32 mode_of_many(const u32 *v, unsigned int count, int sparse, u32 background)
{
    unsigned int most = 0, same = 0;
    u32 best = background;

    for (unsigned int i = 0; i < count; i++)
        same += v[i] == v[0];
    if (CK_LIKELY(same == count))
        return v[0];
    for (unsigned int i = 0; i < count; i++) {
        unsigned int times = 0;

        if (sparse && v[i] == background)
            continue;
        for (unsigned int k = 0; k < count; k++)
            times += v[k] == v[i];
        if (times > most) {
            most = times;
            best = v[i];
        }
    }
    return best;
}

/* The voxels of block 'i' of a row of a slice.  Beyond the rim, what is inside stands for what is outside. */
static inline void get_block(const u32 *upper, const u32 *lower, u32 i, u32 sx, u32 *v)
{
    const u32 left = 2 * i, right = left + 1 < sx ? left + 1 : left;

    v[0] = upper[left];
    v[1] = upper[right];
    v[2] = lower[left];
    v[3] = lower[right];
}

/* Pool a row of blocks of two slices, or of one where there is no other; rows as in pool_row(). */
static void pool_deep_row(const struct pooler *p, const struct ck_layer *const *layers, unsigned int depth,
                          int two_rows, u32 sx, u32 *out)
{
    for (u32 i = 0; i < p->sx; i++) {
        u32 v[BLOCK] = {0};

        for (unsigned int d = 0; d < depth; d++) {
            const u32 *lower = layers[d]->components.row;

            get_block(two_rows ? p->upper[d] : lower, lower, i, sx, v + 4 * d);
        }
        out[i] = mode_of_many(v, 4 * depth, p->sparse, p->background);
    }
}

/*
 * Pool a row of blocks of one slice: the lower of their rows of voxels is 'y' and stands in components.row, the
 * upper, if they have two, in p->upper.  All but the blocks with cracks in them are of one label.
 */
static void pool_row(const struct pooler *p, const struct ck_layer *layer, u64 y, int two_rows, u32 sx, u32 *out)
{
    const u32 *lower = layer->components.row, *upper = two_rows ? p->upper[0] : lower;
    const struct ck_bitmaps *cracks = &p->faces.reading.bitmaps;
    const u64 *v = ck_vertical(cracks, y), *h = ck_horizontal(cracks, y);

    for (u32 i = 0; i < p->sx; i++)
        out[i] = lower[2 * (size_t)i];
    for (size_t w = 0; w < cracks->words; w++) {
        u64 mixed = (v[w] | (two_rows ? (v - cracks->words)[w] : 0)) >> 1;

        if (two_rows)
            mixed |= h[w] | h[w] >> 1;
        /* A bit per block, at the column of its left voxels. */
        for (mixed &= 0x5555555555555555u; mixed; mixed &= mixed - 1) {
            const u32 i = (u32)(w * 32) + ck_ctz64(mixed) / 2;
            u32 block[4];

            get_block(upper, lower, i, sx, block);
            out[i] = p->sparse ? mode_of_4_sparse(block, p->background) : mode_of_4(block);
        }
    }
}

static crackle_status boundaries_of_pooled(void *self, u32 z, struct ck_bitmaps *b, struct crackle_where *where)
{
    struct pooler *p = self;
    const struct crackle_header *h = &p->faces.reading.header;
    const struct ck_layer *layers[2] = {NULL, NULL};
    const struct ck_patch *patch[2];
    unsigned int depth = 0;

    for (u32 from = z * p->depth; depth < p->depth && from < h->sz; depth++, from++) {
        crackle_status status = ck_faces_next(&p->faces, from, where);

        if (status != CRACKLE_OK)
            return status;
    }
    layers[0] = depth == 2 ? p->faces.before : p->faces.layer;
    layers[1] = p->faces.layer;
    for (unsigned int d = 0; d < depth; d++)
        patch[d] = layers[d]->components.patches;
    for (u32 y = 0; y < p->sy; y++) {
        const int two_rows = 2 * (u64)y + 1 < h->sy;

        for (unsigned int d = 0; d < depth; d++) {
            ck_next_row(layers[d], 2 * (u64)y, &patch[d]);
            if (!two_rows)
                continue;
            memcpy(p->upper[d], layers[d]->components.row, (size_t)h->sx * sizeof(u32));
            ck_next_row(layers[d], 2 * (u64)y + 1, &patch[d]);
        }
        if (p->depth == 1)
            pool_row(p, layers[0], 2 * (u64)y + (u64)two_rows, two_rows, h->sx, p->pooled + (size_t)y * p->sx);
        else
            pool_deep_row(p, layers, depth, two_rows, h->sx, p->pooled + (size_t)y * p->sx);
    }
    ck_find_boundaries(p->pooled, sizeof(u32), b);
    return CRACKLE_OK;
}

static crackle_status labels_of_pooled(void *self, const struct ck_components *c, u64 *labels)
{
    const struct pooler *p = self;

    for (size_t i = 0; i < c->count; i++)
        labels[i] = p->faces.labels.labels[p->pooled[c->first[i]]];
    return CRACKLE_OK;
}

crackle_status crackle_pool_part(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                 unsigned int flags, unsigned int depth, int sparse, int permissible,
                                 crackle_part **part_ret, struct crackle_where *where)
{
    struct pooler p;
    struct ck_slice_maker maker;
    const struct crackle_header *h = &p.faces.reading.header;
    crackle_status status;
    u64 last;

    if (depth != 1 && depth != 2)
        return CRACKLE_BAD_ARGUMENT;
    memset(&p, 0, sizeof(p));
    status = ck_reading_open(&p.faces.reading, parts, flags, where);
    if (status == CRACKLE_OK)
        status = check_range(h, z_start, z_end, (u32)(((u64)h->sz + depth - 1) / depth));
    if (status != CRACKLE_OK)
        return status;
    p.sx = (u32)(((u64)h->sx + 1) / 2);
    p.sy = (u32)(((u64)h->sy + 1) / 2);
    p.depth = depth;
    p.sparse = sparse != 0;
    maker.self = &p;
    maker.boundaries = boundaries_of_pooled;
    maker.labels = labels_of_pooled;
    last = (u64)z_end * depth;
    status = ck_faces_begin(&p.faces, parts, z_start * depth, last < h->sz ? (u32)last : h->sz, where);
    if (!ck_label_set_find(&p.faces.labels, 0, &p.background))
        p.background = UINT32_MAX;
    if (status == CRACKLE_OK && !init_pooler(&p))
        status = CRACKLE_NO_MEMORY;
    if (status == CRACKLE_OK)
        status = ck_encode_part(&maker, p.sx, p.sy, z_start, z_end, permissible, part_ret, where);
    free_pooler(&p);
    return status;
}
