/*
 * contacts.c - which labels touch, over how many faces and where; how two volumes overlap
 *
 * Both count pairs of labels: across the faces of one volume, or at the same voxel of two volumes.  Pairs between two
 * layers are counted as measure.c counts voxels.  The pair of labels at (x, y) is the pair at (x, y - 1), except where
 * a patch of either layer lies.  So a pair that begins in row y gains all remaining rows, and the pair that it replaces
 * loses as many.  Counts are correct at the end; until then they are taken modulo 2^64.  Boxes work alike: the first
 * row of a pair is the one in which it begins, and its last row the one above that in which it ends.
 *
 * Cost: linear in the boundaries, and in the pairs.
 */
#include "../codec/header.h"
#include "../crackle.h"
#include "faces.h"
#include "measure.h"

/* ------------------------------ Counting pairs ----------------------------- */

/* How many pairs are counted in a small table first. */
#define NUM_RECENT 512

/*
 * Counts per pair of numbers, in a hash table with open addressing.  The table is large, but the same pairs come row
 * after row.  So the latest pairs are counted in a small table in which each pair has one slot.  A pair moves to the
 * large table when another needs its slot.
 */
struct pair_counts {
    struct pair {
        u64 key;      /* 1 + (a << 32 | b), or 0: numbers stay below 2^32 - 1 */
        u64 count[3]; /* per axis */
        u32 start[3]; /* the box of contacts, half-open */
        u32 stop[3];
    } recent[NUM_RECENT];
    struct pair *slots;
    size_t num_slots; /* a power of two */
    u64 multiplier;   /* of the hash */
    unsigned int shift; /* the slot is the hash shifted right by this */
    size_t used;
    u32 skipped;      /* do not count contacts of this number; UINT32_MAX: count all */
};

/* Extend the box of a pair along an axis. */
static inline void extend(struct pair *pair, int axis, u32 start, u32 stop)
{
    pair->start[axis] = start < pair->start[axis] ? start : pair->start[axis];
    pair->stop[axis] = stop > pair->stop[axis] ? stop : pair->stop[axis];
}

static struct pair *find_pair(const struct pair_counts *p, u64 key)
{
    size_t slot = (size_t)(key * p->multiplier >> p->shift);

    while (p->slots[slot].key && p->slots[slot].key != key)
        slot = (slot + 1) & (p->num_slots - 1);
    return &p->slots[slot];
}

static int grow_pairs(struct pair_counts *p)
{
    const size_t old_num = p->num_slots;
    struct pair *old = p->slots;

    p->num_slots = old_num ? 4 * old_num : 1024;
    p->slots = ck_calloc(p->num_slots, sizeof(*p->slots));
    if (!p->slots) {
        p->slots = old;
        p->num_slots = old_num;
        return 0;
    }
    p->multiplier = ck_multiplier(p->slots);
    p->shift = 64 - ck_ctz64(p->num_slots);
    for (size_t i = 0; i < old_num; i++)
        if (old[i].key)
            *find_pair(p, old[i].key) = old[i];
    free(old);
    return 1;
}

/* Add the counts of a pair to the large table, and its box. */
static int store_pair(struct pair_counts *p, const struct pair *counted)
{
    struct pair *pair;

    if (2 * p->used >= p->num_slots && !grow_pairs(p))
        return 0;
    pair = find_pair(p, counted->key);
    if (!pair->key) {
        p->used++;
        *pair = *counted;
        return 1;
    }
    for (int axis = 0; axis < 3; axis++) {
        pair->count[axis] += counted->count[axis];
        extend(pair, axis, counted->start[axis], counted->stop[axis]);
    }
    return 1;
}

/* The counts of a pair in the small table. NULL when there is no memory. */
static inline struct pair *pair_of(struct pair_counts *p, u32 a, u32 b)
{
    const u64 key = 1 + ((u64)a << 32 | b);
    struct pair *pair = &p->recent[(key * 0x9e3779b97f4a7c15u >> 32) % NUM_RECENT]; /* Fibonacci hashing */

    if (CK_UNLIKELY(pair->key != key)) {
        if (pair->key && !store_pair(p, pair))
            return NULL;
        memset(pair, 0, sizeof(*pair));
        memset(pair->start, 0xff, sizeof(pair->start));
        pair->key = key;
    }
    return pair;
}

/* Move all counts to the large table. */
static int finish_pairs(struct pair_counts *p)
{
    for (size_t i = 0; i < NUM_RECENT; i++) {
        if (p->recent[i].key && !store_pair(p, &p->recent[i]))
            return 0;
        p->recent[i].key = 0;
    }
    return 1;
}

/* The pair of two numbers that touch, the lower one first, in any order. NULL when there is no memory. */
static inline struct pair *contact_of(struct pair_counts *p, u32 a, u32 b)
{
    return a < b ? pair_of(p, a, b) : pair_of(p, b, a);
}

/* ----------------------------- Between two layers -------------------------- */

/*
 * PAIRS are (a, b) of two volumes, including a == b.  CONTACTS are of different labels, and BOXES have boxes as well.
 * The kind is a constant after inlining, because boxes are a tenth of the work.
 */
enum kind { PAIRS, CONTACTS, BOXES };

/* Where pairs are counted, and which. */
struct counting {
    struct pair_counts *pairs;
    struct ck_window window;
    unsigned int axes; /* of contacts: bits 0 to 2 for faces along x, y and z */
    u32 z;             /* of contacts: the slice of the second layer */
    int with_boxes;    /* of contacts */
};

static inline int is_contact(const struct counting *to, u32 a, u32 b)
{
    return a != b && a != to->pairs->skipped && b != to->pairs->skipped;
}

/* The columns [begin, end) of two layers have the pair (a, b) from row 'y' on. */
CK_FORCEINLINE int pair_begins(const struct counting *to, u32 a, u32 b, u32 begin, u32 end, u32 y, enum kind kind)
{
    const u64 count = (u64)(end - begin) * (to->window.y_end - y);
    struct pair *pair;

    if (kind != PAIRS && !is_contact(to, a, b))
        return 1;
    pair = kind == PAIRS ? pair_of(to->pairs, a, b) : contact_of(to->pairs, a, b);
    if (!pair)
        return 0;
    pair->count[kind == PAIRS ? 0 : 2] += count;
    if (kind == BOXES) {
        extend(pair, 0, begin, end);
        extend(pair, 1, y, y + 1);
        extend(pair, 2, to->z - 1, to->z + 1);
    }
    return 1;
}

/* The columns [begin, end) of two layers have the pair (a, b) no longer in row 'y'. */
CK_FORCEINLINE int pair_ends(const struct counting *to, u32 a, u32 b, u32 begin, u32 end, u32 y, enum kind kind)
{
    const u64 count = (u64)(end - begin) * (to->window.y_end - y);
    struct pair *pair;

    if (kind != PAIRS && !is_contact(to, a, b))
        return 1;
    pair = kind == PAIRS ? pair_of(to->pairs, a, b) : contact_of(to->pairs, a, b);
    if (!pair)
        return 0;
    pair->count[kind == PAIRS ? 0 : 2] -= count;
    if (kind == BOXES)
        pair->stop[1] = y > pair->stop[1] ? y : pair->stop[1];
    return 1;
}

/* The first row of the window: all pairs begin. Both rows hold it. */
CK_FORCEINLINE int begin_pairs(const struct counting *to, const u32 *a, const u32 *b, enum kind kind)
{
    for (u32 x = to->window.x_start; x < to->window.x_end;) {
        const u32 begin = x;

        while (++x < to->window.x_end && a[x] == a[begin] && b[x] == b[begin])
            ;
        if (!pair_begins(to, a[begin], b[begin], begin, x, to->window.y_start, kind))
            return 0;
    }
    return 1;
}

/* The row after the window: the boxes of contacts end. */
static int end_boxes(const struct counting *to, const u32 *a, const u32 *b)
{
    for (u32 x = to->window.x_start; x < to->window.x_end;) {
        const u32 begin = x;

        while (++x < to->window.x_end && a[x] == a[begin] && b[x] == b[begin])
            ;
        if (!pair_ends(to, a[begin], b[begin], begin, x, to->window.y_end, BOXES))
            return 0;
    }
    return 1;
}

/* The columns [begin, end) of a slice touch those of the row above. */
CK_FORCEINLINE int add_faces_above(const struct counting *to, u32 above, u32 number, u32 begin, u32 end, u32 y,
                                   enum kind kind)
{
    struct pair *pair;

    if (!(to->axes & 2) || !is_contact(to, above, number))
        return 1;
    pair = contact_of(to->pairs, above, number);
    if (!pair)
        return 0;
    pair->count[1] += end - begin;
    if (kind == BOXES) {
        extend(pair, 0, begin, end);
        extend(pair, 1, y - 1, y + 1);
        extend(pair, 2, to->z, to->z + 1);
    }
    return 1;
}

/* Where the first of some patches begins that ends behind 'x', but at least 'x'; at most 'limit'. */
static inline u32 next_patch(const struct ck_patch **patch, const struct ck_patch *end, u32 x, u32 limit)
{
    u32 begin;

    while (*patch < end && (*patch)->end <= x)
        ++*patch;
    if (*patch == end)
        return limit;
    begin = (*patch)->begin > x ? (*patch)->begin : x;
    return begin < limit ? begin : limit;
}

/*
 * Advance the rows of two layers to row 'y' within the window, and count the pairs that end and begin.  Where both have
 * a patch they change together, or a pair of an old and a new number would come between and widen a box.
 */
CK_FORCEINLINE int count_row_changes(const struct counting *to, const struct ck_layer *a,
                                     const struct ck_patch **patch_a, const struct ck_layer *b,
                                     const struct ck_patch **patch_b, u32 y, enum kind kind)
{
    const struct ck_patch *const end_a = a->components.patches + a->components.row_end[y];
    const struct ck_patch *const end_b = b->components.patches + b->components.row_end[y];
    const u32 limit = to->window.x_end;
    u32 *row_a = a->components.row, *row_b = b->components.row;

    for (u32 x = to->window.x_start;;) {
        const u32 begin_a = next_patch(patch_a, end_a, x, limit), begin_b = next_patch(patch_b, end_b, x, limit);
        const u32 first = begin_a < begin_b ? begin_a : begin_b;
        u32 number_a = 0, number_b = 0, keep_a = UINT32_MAX, keep_b = UINT32_MAX, end = limit;

        if (first >= limit)
            break;
        if (begin_a == first) {
            number_a = a->numbers[(*patch_a)->component];
            keep_a = 0;
            end = (*patch_a)->end < end ? (*patch_a)->end : end;
        } else {
            end = begin_a;
        }
        if (begin_b == first) {
            number_b = b->numbers[(*patch_b)->component];
            keep_b = 0;
            end = (*patch_b)->end < end ? (*patch_b)->end : end;
        } else {
            end = begin_b < end ? begin_b : end;
        }
        for (x = first; x < end;) {
            const u32 begin = x, old_a = row_a[x], old_b = row_b[x];
            const u32 new_a = (old_a & keep_a) | number_a, new_b = (old_b & keep_b) | number_b;

            do {
                row_a[x] = new_a;
                row_b[x] = new_b;
            } while (++x < end && row_a[x] == old_a && row_b[x] == old_b);
            if (old_a == new_a && old_b == new_b)
                continue;
            if (!pair_ends(to, old_a, old_b, begin, x, y, kind) ||
                !pair_begins(to, new_a, new_b, begin, x, y, kind) ||
                (kind != PAIRS && !add_faces_above(to, old_b, new_b, begin, x, y, kind)))
                return 0;
        }
    }
    *patch_a = end_a;
    *patch_b = end_b;
    return 1;
}

/* ---------------------------------- Contacts ------------------------------- */

/* Count the faces along x in row 'y', which 'row' holds. */
CK_FORCEINLINE int count_vertical(const struct counting *to, const u64 *cracks, const u32 *row, u32 y, enum kind kind)
{
    const u32 x_start = to->window.x_start, x_end = to->window.x_end;

    for (size_t w = x_start / 64; w * 64 < x_end; w++)
        for (u64 left = cracks[w]; left; left &= left - 1) {
            const u64 x = (u64)w * 64 + ck_ctz64(left);
            struct pair *pair;

            if (x <= x_start || x >= x_end || !is_contact(to, row[x - 1], row[x]))
                continue;
            pair = contact_of(to->pairs, row[x - 1], row[x]);
            if (!pair)
                return 0;
            pair->count[0]++;
            if (kind == BOXES) {
                extend(pair, 0, (u32)x - 1, (u32)x + 1);
                extend(pair, 1, y, y + 1);
                extend(pair, 2, to->z, to->z + 1);
            }
        }
    return 1;
}

/* Count the faces between row 'y' and the row above, which components.row still holds. */
CK_FORCEINLINE int count_horizontal(const struct counting *to, const struct ck_layer *layer,
                                    const struct ck_patch *patch, u32 y, enum kind kind)
{
    const struct ck_components *c = &layer->components;
    const struct ck_patch *const row_end = c->patches + c->row_end[y];

    for (; patch < row_end; patch++) {
        const u32 number = layer->numbers[patch->component];
        const u32 end = patch->end < to->window.x_end ? patch->end : to->window.x_end;

        for (u32 x = patch->begin > to->window.x_start ? patch->begin : to->window.x_start; x < end;) {
            const u32 begin = x;

            while (++x < end && c->row[x] == c->row[begin])
                ;
            if (!add_faces_above(to, c->row[begin], number, begin, x, y, kind))
                return 0;
        }
    }
    return 1;
}

/* Count the faces of the current slice, and, if 'before' is not NULL, those between it and that previous slice. */
CK_FORCEINLINE int count_slice(const struct counting *to, const struct ck_faces *f, const struct ck_layer *before,
                               enum kind kind)
{
    const struct ck_window *w = &to->window;
    const struct ck_layer *layer = f->layer;
    const struct ck_components *c = &layer->components;
    const struct ck_patch *patch = c->patches, *other = before ? before->components.patches : NULL;

    for (u32 y = 0; y < w->y_end; y++) {
        const int in_window = y > w->y_start;

        if (before && in_window) {
            if (!count_row_changes(to, before, &other, layer, &patch, y, kind))
                return 0;
        } else {
            if (in_window && !count_horizontal(to, layer, patch, y, kind))
                return 0;
            ck_next_row(layer, y, &patch);
            if (before)
                ck_next_row(before, y, &other);
            if (before && y == w->y_start && !begin_pairs(to, before->components.row, c->row, kind))
                return 0;
        }
        if (to->axes & 1 && y >= w->y_start &&
            !count_vertical(to, ck_vertical(&f->reading.bitmaps, y), c->row, y, kind))
            return 0;
    }
    return !before || kind != BOXES || end_boxes(to, before->components.row, c->row);
}

static int count_contacts(const struct counting *to, const struct ck_faces *f, const struct ck_layer *before)
{
    return to->with_boxes ? count_slice(to, f, before, BOXES) : count_slice(to, f, before, CONTACTS);
}

/* ---------------------------------- Results -------------------------------- */

/* Translate the pairs with a count above zero to labels. */
static crackle_status put_contacts(struct pair_counts *pairs, const struct ck_label_set *labels,
                                   struct crackle_contact **out_ret, uint64_t *count_ret)
{
    struct crackle_contact *out = finish_pairs(pairs) ? ck_malloc(pairs->used, sizeof(*out)) : NULL;
    u64 count = 0;

    if (!out)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < pairs->num_slots; i++) {
        struct pair *pair = &pairs->slots[i];

        if (!pair->key || !(pair->count[0] | pair->count[1] | pair->count[2]))
            continue;
        out[count].a = labels->labels[(pair->key - 1) >> 32];
        out[count].b = labels->labels[(pair->key - 1) & 0xffffffff];
        memcpy(out[count].faces, pair->count, sizeof(pair->count));
        if (pair->stop[0] == 0)
            memset(pair->start, 0, sizeof(pair->start)); /* boxes were not asked for */
        memcpy(out[count].start, pair->start, sizeof(pair->start));
        memcpy(out[count].stop, pair->stop, sizeof(pair->stop));
        count++;
    }
    *out_ret = out;
    *count_ret = count;
    return CRACKLE_OK;
}

/* Count the contacts of the slices [z_start, z_end), and read those from 'first' on, the same or the one before. */
static crackle_status contacts_of(struct ck_faces *f, struct counting *to, const struct crackle_parts *parts, u32 first,
                                  u32 z_start, u32 z_end, unsigned int flags, struct crackle_where *where)
{
    crackle_status status = ck_faces_begin(f, parts, first, z_end, where);

    if (!(flags & CRACKLE_NO_BACKGROUND) || !ck_label_set_find(&f->labels, 0, &to->pairs->skipped))
        to->pairs->skipped = UINT32_MAX;
    for (u32 z = first; status == CRACKLE_OK && z < z_end; z++) {
        status = ck_faces_next(f, z, where);
        to->z = z;
        if (status == CRACKLE_OK && z >= z_start && !count_contacts(to, f, to->axes & 4 ? f->before : NULL))
            status = CRACKLE_NO_MEMORY;
    }
    return status;
}

/* 'w': NULL for whole slices. 'before': whether faces between 'z_start' and the slice before count. */
static crackle_status find_contacts(const struct crackle_parts *parts, u32 z_start, u32 z_end, unsigned int flags,
                                    const struct ck_window *w, int before, unsigned int axes,
                                    struct crackle_contact **out_ret, uint64_t *count_ret,
                                    struct crackle_where *where)
{
    struct pair_counts pairs = {0};
    struct counting to = {0};
    struct ck_faces f;
    crackle_status status = ck_reading_open(&f.reading, parts, flags, where);
    const struct crackle_header *h = &f.reading.header;

    if (status != CRACKLE_OK)
        return status;
    to.pairs = &pairs;
    to.axes = axes;
    to.with_boxes = !(flags & CRACKLE_ONLY_COUNTS);
    to.window.x_end = h->sx;
    to.window.y_end = h->sy;
    if (w)
        to.window = *w;
    if (z_start > z_end || z_end > h->sz || to.window.x_start > to.window.x_end || to.window.x_end > h->sx ||
        to.window.y_start > to.window.y_end || to.window.y_end > h->sy || axes > 7)
        return CRACKLE_BAD_ARGUMENT;
    memset(&f.labels, 0, sizeof(f.labels));
    if (ck_is_empty(h) || z_start == z_end || to.window.x_start == to.window.x_end ||
        to.window.y_start == to.window.y_end) {
        status = put_contacts(&pairs, &f.labels, out_ret, count_ret);
        free(pairs.slots);
        return status;
    }
    status = contacts_of(&f, &to, parts, before && z_start ? z_start - 1 : z_start, z_start, z_end, flags, where);
    if (status == CRACKLE_OK)
        status = put_contacts(&pairs, &f.labels, out_ret, count_ret);
    free(pairs.slots);
    ck_faces_free(&f);
    return status;
}

crackle_status crackle_contacts(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                unsigned int flags, struct crackle_contact **out_ret, uint64_t *count_ret,
                                struct crackle_where *where)
{
    return find_contacts(parts, z_start, z_end, flags, NULL, 1, 7, out_ret, count_ret, where);
}

crackle_status crackle_contacts_within(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                       unsigned int flags, uint32_t x_start, uint32_t x_end, uint32_t y_start,
                                       uint32_t y_end, unsigned int axes, struct crackle_contact **out_ret,
                                       uint64_t *count_ret, struct crackle_where *where)
{
    const struct ck_window w = {x_start, x_end, y_start, y_end};

    return find_contacts(parts, z_start, z_end, flags, &w, 0, axes, out_ret, count_ret, where);
}

/* --------------------------------- Two volumes ----------------------------- */

/* Two streams of one shape, read side by side. */
struct both {
    struct ck_faces a, b;
};

/* Open both streams. '*empty_ret': whether there is nothing to read. Nothing needs freeing yet. */
static crackle_status open_both(struct both *both, const struct crackle_parts *a, const struct crackle_parts *b,
                                u32 z_start, u32 z_end, unsigned int flags, int *empty_ret,
                                struct crackle_where *where)
{
    const struct crackle_header *h = &both->a.reading.header, *k = &both->b.reading.header;
    crackle_status status;

    memset(both, 0, sizeof(*both));
    status = ck_reading_open(&both->a.reading, a, flags, where);
    if (status == CRACKLE_OK)
        status = ck_reading_open(&both->b.reading, b, flags, where);
    if (status != CRACKLE_OK)
        return status;
    if (h->sx != k->sx || h->sy != k->sy || h->sz != k->sz || z_start > z_end || z_end > h->sz)
        return CRACKLE_BAD_ARGUMENT;
    *empty_ret = ck_is_empty(h) || z_start == z_end;
    return CRACKLE_OK;
}

/* Call free_both() whatever the status is. */
static crackle_status begin_both(struct both *both, const struct crackle_parts *a, const struct crackle_parts *b,
                                 u32 z_start, u32 z_end, struct crackle_where *where)
{
    crackle_status status = ck_faces_begin(&both->a, a, z_start, z_end, where);

    return status == CRACKLE_OK ? ck_faces_begin(&both->b, b, z_start, z_end, where) : status;
}

static crackle_status next_both(struct both *both, u32 z, struct crackle_where *where)
{
    crackle_status status = ck_faces_next(&both->a, z, where);

    return status == CRACKLE_OK ? ck_faces_next(&both->b, z, where) : status;
}

static void free_both(struct both *both)
{
    ck_faces_free(&both->a);
    ck_faces_free(&both->b);
}

/* ---------------------------------- Overlaps ------------------------------- */

static int count_overlaps(struct pair_counts *pairs, const struct ck_layer *a, const struct ck_layer *b)
{
    const struct ck_components *ca = &a->components, *cb = &b->components;
    const struct counting to = {pairs, {0, ca->sx, 0, ca->sy}, 0, 0, 0};
    const struct ck_patch *patch_a = ca->patches, *patch_b = cb->patches;

    ck_next_row(a, 0, &patch_a);
    ck_next_row(b, 0, &patch_b);
    if (!begin_pairs(&to, ca->row, cb->row, PAIRS))
        return 0;
    for (u32 y = 1; y < ca->sy; y++)
        if (!count_row_changes(&to, a, &patch_a, b, &patch_b, y, PAIRS))
            return 0;
    return 1;
}

static crackle_status put_overlaps(struct pair_counts *pairs, const struct both *both,
                                   struct crackle_overlap **out_ret, uint64_t *count_ret)
{
    struct crackle_overlap *out = finish_pairs(pairs) ? ck_malloc(pairs->used, sizeof(*out)) : NULL;
    u64 count = 0;

    if (!out)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < pairs->num_slots; i++) {
        const struct pair *pair = &pairs->slots[i];

        if (!pair->key || !pair->count[0])
            continue;
        out[count].a = both->a.labels.labels[(pair->key - 1) >> 32];
        out[count].b = both->b.labels.labels[(pair->key - 1) & 0xffffffff];
        out[count].voxels = pair->count[0];
        count++;
    }
    *out_ret = out;
    *count_ret = count;
    return CRACKLE_OK;
}

crackle_status crackle_overlaps(const struct crackle_parts *a, const struct crackle_parts *b, uint32_t z_start,
                                uint32_t z_end, unsigned int flags, struct crackle_overlap **out_ret,
                                uint64_t *count_ret, struct crackle_where *where)
{
    struct pair_counts pairs = {0};
    struct both both;
    int empty = 0;
    crackle_status status = open_both(&both, a, b, z_start, z_end, flags, &empty, where);

    if (status != CRACKLE_OK)
        return status;
    if (empty)
        return put_overlaps(&pairs, &both, out_ret, count_ret);
    status = begin_both(&both, a, b, z_start, z_end, where);
    for (u32 z = z_start; status == CRACKLE_OK && z < z_end; z++) {
        status = next_both(&both, z, where);
        if (status == CRACKLE_OK && !count_overlaps(&pairs, both.a.layer, both.b.layer))
            status = CRACKLE_NO_MEMORY;
    }
    if (status == CRACKLE_OK)
        status = put_overlaps(&pairs, &both, out_ret, count_ret);
    free(pairs.slots);
    free_both(&both);
    return status;
}

/* ---------------------------------- Equality ------------------------------- */

/* Whether two rows agree under the patches of one of them. */
static int rows_agree(const struct ck_patch *patch, const struct ck_patch *end, const u32 *row, const u32 *other,
                      const u32 *translated)
{
    for (; patch < end; patch++)
        for (u32 x = patch->begin; x < patch->end; x++)
            if (translated[row[x]] != other[x])
                return 0;
    return 1;
}

/* 'translated': per number of 'a', the number of the same label in 'b', or UINT32_MAX. */
static int layers_agree(const struct ck_layer *a, const struct ck_layer *b, const u32 *translated)
{
    const struct ck_components *ca = &a->components, *cb = &b->components;
    const struct ck_patch *patch_a = ca->patches, *patch_b = cb->patches;

    for (u64 y = 0; y < ca->sy; y++) {
        const struct ck_patch *const begin_a = patch_a, *const begin_b = patch_b;

        ck_next_row(a, y, &patch_a);
        ck_next_row(b, y, &patch_b);
        if (!rows_agree(begin_a, patch_a, ca->row, cb->row, translated) ||
            !rows_agree(begin_b, patch_b, ca->row, cb->row, translated))
            return 0;
    }
    return 1;
}

/* Translate the numbers of 'a' to those of 'b'. A negative label never equals a label of an unsigned stream. */
static u32 *translate(const struct ck_faces *a, const struct ck_faces *b)
{
    const int kinds_differ = a->reading.header.is_signed != b->reading.header.is_signed;
    u32 *translated = ck_malloc(a->labels.count, sizeof(*translated));

    for (size_t i = 0; translated && i < a->labels.count; i++) {
        const u64 label = a->labels.labels[i];

        if ((kinds_differ && label >> 63) || !ck_label_set_find(&b->labels, label, &translated[i]))
            translated[i] = UINT32_MAX;
    }
    return translated;
}

crackle_status crackle_equal(const struct crackle_parts *a, const struct crackle_parts *b, uint32_t z_start,
                             uint32_t z_end, unsigned int flags, int *equal_ret, struct crackle_where *where)
{
    struct both both;
    u32 *translated = NULL;
    int equal = 1, empty = 0;
    crackle_status status = open_both(&both, a, b, z_start, z_end, flags, &empty, where);

    if (status != CRACKLE_OK)
        return status;
    if (empty) {
        *equal_ret = 1;
        return CRACKLE_OK;
    }
    status = begin_both(&both, a, b, z_start, z_end, where);
    if (status == CRACKLE_OK) {
        translated = translate(&both.a, &both.b);
        status = translated ? CRACKLE_OK : CRACKLE_NO_MEMORY;
    }
    for (u32 z = z_start; status == CRACKLE_OK && equal && z < z_end; z++) {
        status = next_both(&both, z, where);
        if (status == CRACKLE_OK)
            equal = layers_agree(both.a.layer, both.b.layer, translated);
    }
    if (status == CRACKLE_OK)
        *equal_ret = equal;
    free(translated);
    free_both(&both);
    return status;
}
