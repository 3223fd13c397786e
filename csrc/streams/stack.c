/*
 * stack.c - streams laid upon each other along z, and cut apart: without decoding a crack
 *
 * Slices are independent but for the label table, the list of pins and the Markov model, so a range of slices of a
 * stream is a stream, and so are several ranges, one upon the other:
 *
 *   crack codes  are copied as they are.  One piece, the one with the most of them unless the caller names
 *                another, decides the crack format and the model; pieces that have others are traced anew, as
 *                there is one of each to a stream.
 *   flat labels  are keys into a new table, of the labels that occur.
 *   pins         are cut where the range ends, and moved.  If some pieces have pins and others flat labels, every
 *                component of the latter is listed singly.
 *
 * Pins leave one label out, the background, and whether it occurs in a range is not written anywhere.  Where
 * some slice has more components than pins and singles together, it does; else slices are read until one of its
 * components is found.  They are read, too, where a piece has another background than the rest.
 */
#include "../base/crc.h"
#include "../base/sort.h"
#include "../codec/format.h"
#include "../codec/header.h"
#include "../codec/label_map.h"
#include "../codec/reading.h"
#include "../codec/remodel.h"
#include "../codec/trace.h"
#include "../crackle.h"

/* The place of an entry that does not occur. */
#define ABSENT UINT32_MAX

struct piece {
    const u8 *bytes;
    struct crackle_parts parts;
    struct crackle_header header;
    struct crackle_layout layout;
    struct ck_label_table table;
    u32 z_start, z_end;
    u32 out_z;                   /* where its slices go */
    u64 first_component;         /* of the range, counted through the stream it comes from */
    u64 num_components;
    u64 out_component;           /* where its components go */
    u64 code_begin, code_end;    /* of the range, in its stream */
    u64 num_entries;
    u32 *place;                  /* per entry, its label's place among the labels of the stack, or ABSENT */
    struct ck_pin_list list;     /* of the range, as the stack has it; labels are entries */
};

struct stack {
    struct piece *pieces;
    size_t num_pieces;
    struct crackle_header header;
    const struct piece *model;   /* whose crack format and Markov model the stack has; NULL: nobody has voxels */
    int has_pins;
    u64 background;              /* with pins */
    u64 *unique;
    size_t num_unique;
    u64 *counts;
};

static void free_stack(struct stack *s)
{
    for (size_t i = 0; s->pieces && i < s->num_pieces; i++) {
        free(s->pieces[i].place);
        ck_pin_list_free(&s->pieces[i].list);
    }
    free(s->pieces);
    free(s->unique);
    free(s->counts);
}

static int is_pins(const struct piece *p)
{
    return p->header.label_format == CK_LABELS_PINS;
}

/* --------------------------------- Opening --------------------------------- */

static crackle_status open_piece(struct piece *p, const struct crackle_piece *from, struct crackle_where *where)
{
    crackle_status status = crackle_split(from->bytes, from->nbytes, &p->parts, where);

    if (status == CRACKLE_OK)
        status = ck_open_labels(&p->parts, 1, &p->header, &p->layout, where);
    if (status != CRACKLE_OK)
        return status;
    if (from->z_start > from->z_end || from->z_end > p->header.sz)
        return CRACKLE_BAD_ARGUMENT;
    p->bytes = from->bytes;
    p->z_start = from->z_start;
    p->z_end = from->z_end;
    if (ck_is_empty(&p->header) || p->z_start == p->z_end)
        return CRACKLE_OK;
    status = crackle_codes_range(from->bytes, from->nbytes, p->z_start, p->z_end, &p->code_begin, &p->code_end, where);
    if (status == CRACKLE_OK)
        status = ck_fail(where, ck_label_table_open(&p->header, p->bytes + p->layout.labels, &p->table),
                         CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
    if (status != CRACKLE_OK)
        return status;
    p->num_entries = ck_num_entries(&p->table);
    if (p->num_entries >= ABSENT)
        return CRACKLE_UNSUPPORTED;
    if (!ck_sum_counts(&p->header, &p->table, 0, p->z_start, &p->first_component) ||
        !ck_sum_counts(&p->header, &p->table, p->z_start, p->z_end, &p->num_components))
        return ck_fail(where, CRACKLE_CORRUPT, CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
    p->place = ck_malloc(p->num_entries, sizeof(*p->place));
    if (!p->place)
        return CRACKLE_NO_MEMORY;
    for (u64 i = 0; i < p->num_entries; i++)
        p->place[i] = ABSENT;
    return CRACKLE_OK;
}

static crackle_status open_pieces(struct stack *s, const struct crackle_piece *from, size_t model, size_t *piece_ret,
                                  struct crackle_where *where)
{
    u64 z = 0, components = 0, most = 0, voxels;
    int is_chosen = 0;

    s->pieces = ck_calloc(s->num_pieces, sizeof(*s->pieces));
    if (!s->pieces)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < s->num_pieces; i++) {
        struct piece *p = &s->pieces[i];
        crackle_status status;

        *piece_ret = i;
        status = open_piece(p, &from[i], where);
        if (status == CRACKLE_OK &&
            (p->header.sx != s->pieces[0].header.sx || p->header.sy != s->pieces[0].header.sy))
            status = CRACKLE_BAD_ARGUMENT;
        if (status != CRACKLE_OK)
            return status;
        p->out_z = (u32)z;
        p->out_component = components;
        z += p->z_end - p->z_start;
        if (z > UINT32_MAX || !ck_add(components, p->num_components, &components))
            return CRACKLE_TOO_LARGE;
        if (i == 0 || p->header.format_version > s->header.format_version)
            s->header.format_version = p->header.format_version;
        /* A stream without voxels is its header: whatever that says, there is no model behind it. */
        if (!ck_is_empty(&p->header) &&
            (i == model || !s->model || (!is_chosen && p->code_end - p->code_begin > most))) {
            s->model = p;
            is_chosen |= i == model;
            most = p->code_end - p->code_begin;
        }
        if (!s->has_pins && is_pins(p) && p->num_components) {
            s->has_pins = 1;
            s->background = p->table.background;
        }
    }
    s->header.sx = s->pieces[0].header.sx;
    s->header.sy = s->pieces[0].header.sy;
    s->header.sz = (u32)z;
    if (s->model) {
        s->header.permissible = s->model->header.permissible;
        s->header.markov_order = s->model->header.markov_order;
    }
    if (s->has_pins && !ck_mul((u64)s->header.sx * s->header.sy, z, &voxels))
        return CRACKLE_TOO_LARGE; /* pins number the voxels */
    return CRACKLE_OK;
}

/* ---------------------------------- Labels --------------------------------- */

/* The key of component 'i' of the range. */
static inline u64 key_at(const struct piece *p, u64 i)
{
    const unsigned int width = ck_width(p->table.num_unique);

    return ck_load(p->table.rest.next + (p->first_component + i) * width, width);
}

/* Mark the entries of flat labels that occur, by any place but ABSENT. */
static crackle_status mark_flat(struct piece *p)
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

/* Flat labels as singles. */
static crackle_status list_flat(struct piece *p)
{
    for (u64 i = 0; i < p->num_components; i++)
        if (!put_single(&p->list, p->out_component + i, key_at(p, i)))
            return CRACKLE_NO_MEMORY;
    return CRACKLE_OK;
}

/* The pins and singles of the range, cut to it and moved; labels become entries. */
static crackle_status cut_pins(struct piece *p)
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

/* Whether some slice has more components than are named in it: then the background is among them. */
static crackle_status background_is_certain(const struct piece *p, int *certain_ret)
{
    const u32 num_slices = p->z_end - p->z_start;
    const u64 slice_voxels = (u64)p->header.sx * p->header.sy;
    u64 *named = ck_calloc((u64)num_slices + 1, sizeof(*named)); /* as differences to the slice before */
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

        while (low < high) { /* the first slice that ends behind the component */
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

/* Read slices for components of the background: all of them, to be listed, or until one is found. */
static crackle_status find_background(struct piece *p, int list_them, struct crackle_where *where)
{
    struct ck_reading r;
    crackle_status status = ck_reading_open(&r, &p->parts, 0, where);
    u64 component = p->out_component;

    if (status != CRACKLE_OK)
        return status;
    status = ck_reading_begin(&r, &p->parts, p->z_start, p->z_end, where);
    for (u32 z = p->z_start; status == CRACKLE_OK && z < p->z_end && (list_them || p->place[0] == ABSENT); z++) {
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

static crackle_status take_pins(const struct stack *s, struct piece *p, struct crackle_where *where)
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

/* Which labels occur, and their places among all of them. */
static crackle_status merge_labels(struct stack *s, size_t *piece_ret, struct crackle_where *where)
{
    crackle_status status;
    u64 most = 0;
    u32 *rank = NULL;
    size_t n = 0;

    for (size_t i = 0; i < s->num_pieces; i++) {
        struct piece *p = &s->pieces[i];

        *piece_ret = i;
        if (p->num_components == 0)
            continue;
        status = is_pins(p) ? take_pins(s, p, where)
                            : ck_fail(where, mark_flat(p), CRACKLE_SECTION_LABELS, CRACKLE_NO_SLICE);
        if (status == CRACKLE_OK && !is_pins(p) && s->has_pins)
            status = list_flat(p);
        if (status != CRACKLE_OK)
            return status;
        most += p->num_entries;
    }
    status = CRACKLE_NO_MEMORY;
    s->unique = ck_malloc(most, sizeof(*s->unique));
    rank = ck_malloc(most, sizeof(*rank));
    if (!s->unique || !rank)
        goto out;
    for (size_t i = 0; i < s->num_pieces; i++)
        for (u64 entry = 0; entry < s->pieces[i].num_entries; entry++)
            if (s->pieces[i].place[entry] != ABSENT)
                s->unique[n++] = ck_label_of_entry(&s->pieces[i].header, &s->pieces[i].table, entry);
    s->num_unique = n;
    status = n >= ABSENT ? CRACKLE_TOO_LARGE : CRACKLE_NO_MEMORY;
    if (n >= ABSENT || !ck_sort_labels(s->unique, &s->num_unique, s->header.is_signed, rank))
        goto out;
    n = 0;
    for (size_t i = 0; i < s->num_pieces; i++)
        for (u64 entry = 0; entry < s->pieces[i].num_entries; entry++)
            if (s->pieces[i].place[entry] != ABSENT)
                s->pieces[i].place[entry] = rank[n++];
    status = CRACKLE_OK;
out:
    free(rank);
    return status;
}

static crackle_status put_flat(const struct stack *s, struct ck_bytes *out)
{
    const unsigned int width = ck_width(s->num_unique);
    const struct crackle_header *h = &s->header;

    if (!ck_put_table(out, s->unique, s->num_unique, h->stored_width, s->counts, h->sz, (u64)h->sx * h->sy))
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < s->num_pieces; i++) {
        const struct piece *p = &s->pieces[i];

        if (!ck_bytes_reserve(out, p->num_components * width))
            return CRACKLE_NO_MEMORY;
        for (u64 k = 0; k < p->num_components; k++) {
            ck_store(out->data + out->size, p->place[key_at(p, k)], width);
            out->size += width;
        }
    }
    return CRACKLE_OK;
}

static crackle_status put_pins(struct stack *s, struct ck_bytes *out)
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
        const struct piece *p = &s->pieces[i];

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

static crackle_status put_labels(struct stack *s, struct ck_bytes *out)
{
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

/* ---------------------------------- Cracks --------------------------------- */

/* Whether the crack codes of a piece can stand in the stack as they are, and their checksums are there. */
static int goes_as_it_is(const struct stack *s, const struct piece *p)
{
    const struct crackle_header *h = &p->header;
    const size_t nbytes = (size_t)ck_model_nbytes(h->markov_order);

    if (h->permissible != s->header.permissible || h->markov_order != s->header.markov_order ||
        (h->format_version == 0 && s->header.format_version > 0))
        return 0;
    return memcmp(p->bytes + p->layout.markov_model, s->model->bytes + s->model->layout.markov_model, nbytes) == 0;
}

/* What tracing crack codes anew works in. */
struct retracer {
    struct ck_reading reading;       /* its components stand in for the checksums of version 0 */
    struct ck_image_crc image_crc;
    struct ck_markov_model model;    /* of the stack */
    struct ck_tracer tracer;
    struct ck_bytes plain;           /* a crack code of order 0 */
};

static void free_retracer(struct retracer *r)
{
    ck_reading_free(&r->reading);
    ck_image_crc_free(&r->image_crc);
    ck_markov_free(&r->model);
    ck_tracer_free(&r->tracer);
    free(r->plain.data);
}

static crackle_status retrace_slice(const struct stack *s, struct retracer *r, u32 z, struct ck_bytes *codes,
                                    u32 *nbytes_ret, u32 *crc_ret, struct crackle_where *where)
{
    struct ck_bitmaps *b = &r->reading.bitmaps;
    struct ck_chains *chains = &r->reading.chains;
    const size_t begin = codes->size;
    crackle_status status = ck_reading_next(&r->reading, z, where);

    if (status != CRACKLE_OK)
        return status;
    *crc_ret = ck_components_crc(&r->image_crc, &r->reading.components);
    if (s->header.permissible)
        ck_complement(b);
    status = ck_trace(&r->tracer, b, ck_count_horizontal(b) + ck_count_vertical(b), chains);
    if (status != CRACKLE_OK)
        return status;
    if (s->header.markov_order == 0) {
        status = ck_write_crack_code(chains, b, codes);
        *nbytes_ret = (u32)(codes->size - begin);
        return status == CRACKLE_OK && codes->size - begin > UINT32_MAX ? CRACKLE_TOO_LARGE : status;
    }
    r->plain.size = 0;
    status = ck_write_crack_code(chains, b, &r->plain);
    if (status == CRACKLE_OK) {
        struct ck_differences differences;

        differences.packed = r->plain.data + ck_chain_index_nbytes(r->plain.data, r->plain.size);
        differences.count = chains->num_codepoints;
        status = ck_put_modelled_code(codes, &r->model, r->plain.data, &differences, nbytes_ret);
    }
    return status;
}

static crackle_status retrace(const struct stack *s, const struct piece *p, struct ck_bytes *codes, u32 *lengths,
                              u32 *crcs, struct crackle_where *where)
{
    struct retracer r;
    crackle_status status;

    memset(&r, 0, sizeof(r));
    status = ck_reading_open(&r.reading, &p->parts, 0, where);
    if (status != CRACKLE_OK)
        return status;
    status = ck_reading_begin(&r.reading, &p->parts, p->z_start, p->z_end, where);
    if (status == CRACKLE_OK &&
        !(ck_image_crc_init(&r.image_crc, s->header.sx) && ck_tracer_init(&r.tracer, &r.reading.bitmaps)))
        status = CRACKLE_NO_MEMORY;
    if (status == CRACKLE_OK && s->header.markov_order)
        status = ck_fail(where,
                         ck_markov_read(&r.model, s->header.markov_order,
                                        s->model->bytes + s->model->layout.markov_model),
                         CRACKLE_SECTION_MARKOV_MODEL, CRACKLE_NO_SLICE);
    for (u32 z = p->z_start; status == CRACKLE_OK && z < p->z_end; z++)
        status = retrace_slice(s, &r, z, codes, lengths + (z - p->z_start), crcs + (z - p->z_start), where);
    free_retracer(&r);
    return status;
}

/* The crack codes of a piece, their lengths and their checksums. */
static crackle_status take_codes(const struct stack *s, const struct piece *p, struct ck_bytes *codes, u32 *lengths,
                                 u32 *crcs, struct crackle_where *where)
{
    const size_t nbytes = (size_t)(p->code_end - p->code_begin);

    if (p->num_components == 0)
        return CRACKLE_OK;
    if (!goes_as_it_is(s, p))
        return retrace(s, p, codes, lengths + p->out_z, crcs + p->out_z, where);
    if (!ck_bytes_reserve(codes, nbytes))
        return CRACKLE_NO_MEMORY;
    if (nbytes)
        memcpy(codes->data + codes->size, p->bytes + p->code_begin, nbytes);
    codes->size += nbytes;
    for (u32 z = p->z_start; z < p->z_end; z++) {
        lengths[p->out_z + z - p->z_start] = ck_load32(p->bytes + p->layout.crack_index + 4 * (size_t)z);
        if (s->header.format_version >= 1)
            crcs[p->out_z + z - p->z_start] = ck_load32(p->parts.tail + CK_CRC_NBYTES + 4 * (size_t)z);
    }
    return CRACKLE_OK;
}

/* -------------------------------- Assembling ------------------------------- */

static int put_stream(const struct stack *s, const struct ck_bytes *labels, const struct ck_bytes *codes,
                      const u32 *lengths, const u32 *crcs, struct ck_bytes *out)
{
    const struct crackle_header *h = &s->header;
    const u64 model_nbytes = ck_model_nbytes(h->markov_order);
    size_t index;

    if (!ck_bytes_reserve(out, crackle_prefix_nbytes(h) + labels->size + model_nbytes + codes->size + CK_CRC_NBYTES +
                                   4 * (u64)h->sz))
        return 0;
    ck_write_header(h, out->data);
    out->size = index = ck_header_nbytes(h->format_version);
    for (u32 z = 0; z < h->sz; z++)
        ck_bytes_put(out, lengths[z], 4);
    if (h->format_version >= 1)
        ck_bytes_put(out, ck_crc32c(out->data + index, out->size - index), CK_CRC_NBYTES);
    memcpy(out->data + out->size, labels->data, labels->size);
    out->size += labels->size;
    memcpy(out->data + out->size, s->model->bytes + s->model->layout.markov_model, (size_t)model_nbytes);
    out->size += (size_t)model_nbytes;
    if (codes->size)
        memcpy(out->data + out->size, codes->data, codes->size);
    out->size += codes->size;
    if (h->format_version >= 1) {
        ck_bytes_put(out, ck_crc32c(labels->data, labels->size), CK_CRC_NBYTES);
        for (u32 z = 0; z < h->sz; z++)
            ck_bytes_put(out, crcs[z], CK_CRC_NBYTES);
    }
    return 1;
}

/* The stream of a stack that has voxels. */
static crackle_status put_stack(struct stack *s, size_t *piece_ret, struct ck_bytes *out, struct crackle_where *where)
{
    struct ck_bytes labels = {NULL, 0, 0}, codes = {NULL, 0, 0};
    u32 *lengths = ck_malloc(s->header.sz, sizeof(*lengths));
    u32 *crcs = ck_calloc(s->header.sz, sizeof(*crcs));
    crackle_status status = lengths && crcs ? merge_labels(s, piece_ret, where) : CRACKLE_NO_MEMORY;

    if (status == CRACKLE_OK)
        status = put_labels(s, &labels);
    s->header.num_label_bytes = labels.size;
    if (status == CRACKLE_OK && s->header.format_version == 0 && labels.size > UINT32_MAX)
        status = CRACKLE_TOO_LARGE;
    for (size_t i = 0; status == CRACKLE_OK && i < s->num_pieces; i++) {
        *piece_ret = i;
        status = take_codes(s, &s->pieces[i], &codes, lengths, crcs, where);
    }
    if (status == CRACKLE_OK && !put_stream(s, &labels, &codes, lengths, crcs, out))
        status = CRACKLE_NO_MEMORY;
    free(labels.data);
    free(codes.data);
    free(lengths);
    free(crcs);
    return status;
}

crackle_status crackle_stack(const struct crackle_piece *pieces, size_t num_pieces, size_t model,
                             unsigned int data_width, int is_signed, int fortran_order, uint8_t **out_ret,
                             size_t *out_nbytes_ret, size_t *piece_ret, struct crackle_where *where)
{
    struct stack s;
    struct ck_bytes out = {NULL, 0, 0};
    crackle_status status;
    size_t piece = 0;

    if (num_pieces == 0 || model > num_pieces ||
        (data_width != 1 && data_width != 2 && data_width != 4 && data_width != 8))
        return CRACKLE_BAD_ARGUMENT;
    memset(&s, 0, sizeof(s));
    s.num_pieces = num_pieces;
    s.header.data_width = (u8)data_width;
    s.header.is_signed = is_signed != 0;
    s.header.fortran_order = fortran_order != 0;
    s.header.is_sorted = 1;
    status = open_pieces(&s, pieces, model, &piece, where);
    if (status == CRACKLE_OK && !ck_is_empty(&s.header)) {
        status = put_stack(&s, &piece, &out, where);
    } else if (status == CRACKLE_OK) {
        s.header.stored_width = 1;
        s.header.permissible = s.header.markov_order = 0;
        if (ck_bytes_reserve(&out, ck_header_nbytes(s.header.format_version))) {
            ck_write_header(&s.header, out.data);
            out.size = ck_header_nbytes(s.header.format_version);
        } else {
            status = CRACKLE_NO_MEMORY;
        }
    }
    free_stack(&s);
    *piece_ret = piece;
    if (status != CRACKLE_OK) {
        free(out.data);
        return status;
    }
    *out_ret = out.data;
    *out_nbytes_ret = out.size;
    return CRACKLE_OK;
}
