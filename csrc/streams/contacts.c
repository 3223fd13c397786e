/*
 * contacts.c - which labels touch, and over how many faces; how two volumes overlap
 *
 * Both count pairs of labels: across the faces of one volume, or at the same voxel of two volumes.  Pairs between two
 * layers are counted as measure.c counts voxels.  The pair of labels at (x, y) is the pair at (x, y - 1), except where
 * a patch of either layer lies.  So a pair that begins in row y gains all remaining rows, and the pair that it replaces
 * loses as many.  Counts are correct at the end; until then they are taken modulo 2^64.
 *
 * Cost: linear in the boundaries, and in the pairs.
 */
#include "../codec/header.h"
#include "../crackle.h"
#include "faces.h"

/* ------------------------------ Counting pairs ----------------------------- */

/* How many pairs are counted in a small table first. */
#define NUM_RECENT 1024

/*
 * Counts per pair of numbers, in a hash table with open addressing.  The table is large, but the same pairs come row
 * after row.  So the latest pairs are counted in a small table in which each pair has one slot.  A pair moves to the
 * large table when another needs its slot.
 */
struct pair_counts {
    struct pair {
        u64 key;      /* 1 + (a << 32 | b), or 0: numbers stay below 2^32 - 1 */
        u64 count[3]; /* per axis */
    } recent[NUM_RECENT];
    struct pair *slots;
    size_t num_slots; /* a power of two */
    u64 multiplier;   /* of the hash */
    unsigned int shift; /* the slot is the hash shifted right by this */
    size_t used;
    u32 skipped;      /* do not count contacts of this number; UINT32_MAX: count all */
};

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

/* Add the counts of a pair to the large table. */
static int store_pair(struct pair_counts *p, const struct pair *counted)
{
    struct pair *pair;

    if (2 * p->used >= p->num_slots && !grow_pairs(p))
        return 0;
    pair = find_pair(p, counted->key);
    p->used += pair->key == 0;
    pair->key = counted->key;
    for (int axis = 0; axis < 3; axis++)
        pair->count[axis] += counted->count[axis];
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

/* Count a contact of two labels, with the lower number first. */
static inline int add_contact(struct pair_counts *p, u32 a, u32 b, int axis, u64 faces)
{
    struct pair *pair;

    if (a == p->skipped || b == p->skipped)
        return 1;
    pair = a < b ? pair_of(p, a, b) : pair_of(p, b, a);
    if (!pair)
        return 0;
    pair->count[axis] += faces;
    return 1;
}

/* Where pairs between two layers are counted. */
struct between {
    struct pair_counts *pairs;
    int ordered; /* 1: pairs (a, b) of two volumes, including a == b; 0: contacts of different labels */
};

static inline int add_between(const struct between *to, u32 a, u32 b, u64 count)
{
    struct pair *pair;

    if (!to->ordered)
        return a == b || add_contact(to->pairs, a, b, 2, count);
    pair = pair_of(to->pairs, a, b);
    if (!pair)
        return 0;
    pair->count[0] += count;
    return 1;
}

/*
 * Write the patches of row 'y' into the row of 'layer', next to that of 'other', and count the pairs that end and
 * begin.  'first': whether 'layer' has the first number of a pair.
 */
static int count_row_changes(const struct between *to, const struct ck_layer *layer, const struct ck_patch **patch,
                             const struct ck_layer *other, int first, u64 y)
{
    const struct ck_components *c = &layer->components;
    const struct ck_patch *const end = c->patches + c->row_end[y];
    const u32 *beside = other->components.row;
    const u64 rows = c->sy - y;

    for (; *patch < end; ++*patch) {
        const u32 number = layer->numbers[(*patch)->component];

        for (u32 x = (*patch)->begin; x < (*patch)->end;) {
            const u32 old = c->row[x], same = beside[x];
            u64 run = 0;

            do {
                c->row[x++] = number;
                run++;
            } while (x < (*patch)->end && c->row[x] == old && beside[x] == same);
            if (old == number)
                continue;
            if (!(first ? add_between(to, old, same, 0 - run * rows) && add_between(to, number, same, run * rows)
                        : add_between(to, same, old, 0 - run * rows) && add_between(to, same, number, run * rows)))
                return 0;
            /* With contacts, the second layer is the slice itself, where a change along y is a face. */
            if (!to->ordered && !first && !add_contact(to->pairs, old, number, 1, run))
                return 0;
        }
    }
    return 1;
}

/* Row 0 consists of patches only, and no row lies above. */
static int count_first_rows(const struct between *to, const struct ck_layer *a, const struct ck_patch **patch_a,
                            const struct ck_layer *b, const struct ck_patch **patch_b)
{
    const u32 *row_a = a->components.row, *row_b = b->components.row;
    const u32 sx = a->components.sx;

    ck_next_row(a, 0, patch_a);
    ck_next_row(b, 0, patch_b);
    for (u32 x = 0; x < sx;) {
        const u32 begin = x;

        while (++x < sx && row_a[x] == row_a[begin] && row_b[x] == row_b[begin])
            ;
        if (!add_between(to, row_a[begin], row_b[begin], (u64)(x - begin) * a->components.sy))
            return 0;
    }
    return 1;
}

/* ---------------------------------- Contacts ------------------------------- */

static int count_vertical(struct pair_counts *pairs, const u64 *cracks, size_t words, const u32 *row)
{
    for (size_t w = 0; w < words; w++)
        for (u64 left = cracks[w]; left; left &= left - 1) {
            const u64 x = (u64)w * 64 + ck_ctz64(left);

            if (row[x - 1] != row[x] && !add_contact(pairs, row[x - 1], row[x], 0, 1))
                return 0;
        }
    return 1;
}

/* Count the faces between row 'y' and the row above, which components.row still holds. */
static int count_horizontal(struct pair_counts *pairs, const struct ck_layer *layer, const struct ck_patch *patch,
                            u64 y)
{
    const struct ck_components *c = &layer->components;
    const struct ck_patch *const end = c->patches + c->row_end[y];

    for (; patch < end; patch++) {
        const u32 number = layer->numbers[patch->component];

        for (u32 x = patch->begin; x < patch->end;) {
            const u32 begin = x;

            while (++x < patch->end && c->row[x] == c->row[begin])
                ;
            if (c->row[begin] != number && !add_contact(pairs, c->row[begin], number, 1, x - begin))
                return 0;
        }
    }
    return 1;
}

/* Count the faces of the current slice, and those between it and the previous slice. */
static int count_contacts(struct pair_counts *pairs, const struct ck_faces *f)
{
    const struct between to = {pairs, 0};
    const struct ck_layer *layer = f->layer, *before = f->before;
    const struct ck_components *c = &layer->components;
    const struct ck_patch *patch = c->patches, *other = before ? before->components.patches : NULL;

    for (u64 y = 0; y < c->sy; y++) {
        if (!before) {
            if (y > 0 && !count_horizontal(pairs, layer, patch, y))
                return 0;
            ck_next_row(layer, y, &patch);
        } else if (y == 0 ? !count_first_rows(&to, before, &other, layer, &patch)
                          : !count_row_changes(&to, before, &other, layer, 1, y) ||
                                !count_row_changes(&to, layer, &patch, before, 0, y)) {
            return 0;
        }
        if (!count_vertical(pairs, ck_vertical(&f->reading.bitmaps, y), f->reading.bitmaps.words, c->row))
            return 0;
    }
    return 1;
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
        const struct pair *pair = &pairs->slots[i];

        if (!pair->key || !(pair->count[0] | pair->count[1] | pair->count[2]))
            continue;
        out[count].a = labels->labels[(pair->key - 1) >> 32];
        out[count].b = labels->labels[(pair->key - 1) & 0xffffffff];
        memcpy(out[count].faces, pair->count, sizeof(pair->count));
        count++;
    }
    *out_ret = out;
    *count_ret = count;
    return CRACKLE_OK;
}

crackle_status crackle_contacts(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                unsigned int flags, struct crackle_contact **out_ret, uint64_t *count_ret,
                                struct crackle_where *where)
{
    struct pair_counts pairs = {0};
    struct ck_faces f;
    const u32 first = z_start ? z_start - 1 : 0; /* needed for the faces below it */
    crackle_status status = ck_reading_open(&f.reading, parts, flags, where);

    if (status != CRACKLE_OK)
        return status;
    if (z_start > z_end || z_end > f.reading.header.sz)
        return CRACKLE_BAD_ARGUMENT;
    memset(&f.labels, 0, sizeof(f.labels));
    if (ck_is_empty(&f.reading.header) || z_start == z_end) {
        status = put_contacts(&pairs, &f.labels, out_ret, count_ret);
        free(pairs.slots);
        return status;
    }
    status = ck_faces_begin(&f, parts, first, z_end, where);
    if (!(flags & CRACKLE_NO_BACKGROUND) || !ck_label_set_find(&f.labels, 0, &pairs.skipped))
        pairs.skipped = UINT32_MAX;
    for (u32 z = first; status == CRACKLE_OK && z < z_end; z++) {
        status = ck_faces_next(&f, z, where);
        if (status == CRACKLE_OK && z >= z_start && !count_contacts(&pairs, &f))
            status = CRACKLE_NO_MEMORY;
    }
    if (status == CRACKLE_OK)
        status = put_contacts(&pairs, &f.labels, out_ret, count_ret);
    free(pairs.slots);
    ck_faces_free(&f);
    return status;
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
    const struct between to = {pairs, 1};
    const struct ck_patch *patch_a = a->components.patches, *patch_b = b->components.patches;

    if (!count_first_rows(&to, a, &patch_a, b, &patch_b))
        return 0;
    for (u64 y = 1; y < a->components.sy; y++)
        if (!count_row_changes(&to, a, &patch_a, b, 1, y) || !count_row_changes(&to, b, &patch_b, a, 0, y))
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
