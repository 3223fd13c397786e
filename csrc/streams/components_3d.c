/*
 * components_3d.c - the connected components of a volume, from those of its slices
 *
 * Joins components of one label across slices.  Two slices are in memory at a time, and no voxel is painted.  Like
 * everything else here, that is work at the boundaries only: a pair of voxels in two slices is known from the row
 * above, except under the patches of either slice.  The result is a stream with the same crack codes and another labels
 * section, because a crack lies between any two voxels of different labels in both streams.
 *
 * With 26 neighbours, voxels that share only an edge or a corner are joined too.  All of that happens at vertices, the
 * corners of voxels:
 *
 *   - Within a slice, two voxels of one label that lie diagonally across a vertex need joining only if
 *     neither of the other two voxels has that label.  Four cracks meet at such a vertex.
 *   - Between slices, let A and B be voxels of one label in different slices, B not directly below A.
 *     If the voxel below A has that label, it is joined with A, and with B within its slice; likewise
 *     the voxel above B.  So joining is needed only if neither has it.  The vertex that A and B share
 *     then has cracks in both slices.  Except where boundaries lie above each other, such vertices are few.
 *
 * The background, if there is one, belongs to no component.  Sets are united by their lowest members; see Wu, Otoo,
 * Suzuki: Optimizing two-pass connected-component labeling algorithms (2009).  So the lowest member of a set has the
 * first voxel of all.  Where the slices are those of several images, the first slice of an image is joined with none.
 *
 * Cost: linear in the boundaries.  Memory: two slices, and 16 bytes for every component of every slice.
 */
#include "../codec/format.h"
#include "../codec/header.h"
#include "../crackle.h"
#include "edit.h"
#include "faces.h"

/* Stands for no component, and for the number of no label. */
#define NONE UINT32_MAX

/* The number of all labels but 0 in a binary image. ck_label_set_add() never returns a number this high. */
#define FOREGROUND (UINT32_MAX - 1)

/*
 * How many pairs of components are cached.  The same pairs meet row after row.  A branch on a cache hit can be
 * predicted, a branch on equal labels cannot.
 */
#define NUM_SEEN 1024

/* One of the two slices. Its current row, as components, is layer->components.row. */
struct side {
    const struct ck_layer *layer;
    const struct ck_patch *patch;   /* begin of the patches of the current row */
    const struct ck_patch *end;     /* end of the patches of the current row */
    u32 base;                       /* the number of its first component in the volume */
};

struct crackle_joiner {
    struct ck_faces faces;
    struct ck_bitmaps cracks_before; /* of the previous slice */
    struct side own, before;
    u32 *above[2];           /* the row above the current one, of 'own' and of 'before' */
    u64 *crossings;          /* per column: whether four cracks of the slice meet at the vertex above the row */
    u64 *vertices;           /* per column: whether both slices have cracks there */
    u32 *parent;             /* per component of every slice so far */
    u32 *number;             /* per component: the number of its label */
    u64 *first;              /* per component: its first voxel, counted from that of the volume */
    size_t parent_capacity, number_capacity, first_capacity;
    u64 seen[NUM_SEEN];      /* the pairs of components compared most recently */
    u32 next_z;
    u32 depth;               /* slices of an image */
    u32 count;
    u32 background;          /* the number of the background's label, or NONE */
    int is_binary;           /* treat all labels but 0 as one */
    int corners;
};

static int init_joiner(crackle_joiner *j)
{
    const struct crackle_header *h = &j->faces.reading.header;

    for (int i = 0; i < 2; i++) {
        j->above[i] = ck_malloc(h->sx, sizeof(u32));
        if (!j->above[i])
            return 0;
    }
    j->crossings = ck_malloc((u64)h->sx / 64 + 1, 2 * sizeof(u64));
    if (!j->crossings)
        return 0;
    j->vertices = j->crossings + h->sx / 64 + 1;
    return ck_bitmaps_init(&j->cracks_before, h->sx, h->sy);
}

/* --------------------------------- Joining --------------------------------- */

static void join(crackle_joiner *j, u32 a, u32 b)
{
    if (j->parent[a] == j->parent[b])
        return;
    ck_unite(j->parent, a, b);
}

/*
 * Join component 'a' of slice 's' with component 'b' of slice 't' (which may be the same slice) if they have one label,
 * other than the background.
 */
static inline void join_equal(crackle_joiner *j, const struct side *s, u32 a, const struct side *t, u32 b)
{
    const u32 number = s->layer->numbers[a];

    if (number == t->layer->numbers[b] && number != j->background)
        join(j, s->base + a, t->base + b);
}

/* Find the patches of row 'y'. */
static inline void find_patches(struct side *s, u64 y)
{
    const struct ck_components *c = &s->layer->components;

    s->patch = y == 0 ? c->patches : s->end;
    s->end = c->patches + c->row_end[y];
}

/* Whether a crack lies between two components of one label. Such cracks are left over from a merge of labels. */
static inline int crack_is_left_over(const crackle_joiner *j, const u32 *numbers, u32 a, u32 b)
{
    return (a != b) & (b != NONE) && numbers[a] == numbers[b] && numbers[a] != j->background;
}

/*
 * Write the patches of row 'y' into the row above, and join components across left-over cracks.  Only the voxels above
 * and beside a patch need a look; the rest of the row is like the row above.
 */
static void next_own_row(crackle_joiner *j, u64 y)
{
    struct side *s = &j->own;
    const u32 *numbers = s->layer->numbers;
    u32 *const row = s->layer->components.row;

    find_patches(s, y);
    for (const struct ck_patch *p = s->patch; p < s->end; p++) {
        const u32 component = p->component, left = (row + p->begin)[-1]; /* beside the row lies NONE */
        u32 x = p->begin;

        if (CK_UNLIKELY(crack_is_left_over(j, numbers, component, left)))
            join(j, s->base + component, s->base + left);
        do { /* a patch is not empty */
            if (y > 0 && CK_UNLIKELY(crack_is_left_over(j, numbers, component, row[x])))
                join(j, s->base + component, s->base + row[x]);
            row[x] = component;
        } while (++x < p->end);
        /* The next patch joins what lies to the right, if it begins there. */
        if (!(p + 1 < s->end && p[1].begin == x) && CK_UNLIKELY(crack_is_left_over(j, numbers, component, row[x])))
            join(j, s->base + component, s->base + row[x]);
    }
}

/* Join the components of the two slices at column 'x'. */
static inline void join_over(crackle_joiner *j, const u32 *a, const u32 *b, u32 x)
{
    const u64 pair = (u64)(j->before.base + a[x]) << 32 | (j->own.base + b[x]);
    u64 *const seen = &j->seen[(pair * 0x9e3779b97f4a7c15u >> 40) % NUM_SEEN];

    if (CK_LIKELY(*seen == pair))
        return;
    *seen = pair;
    join_equal(j, &j->before, a[x], &j->own, b[x]);
}

/* Write the patches of the previous slice too, and join the components of both slices where either row changed. */
static void next_row_before(crackle_joiner *j, u64 y)
{
    u32 *const a = j->before.layer->components.row;
    const u32 *b = j->own.layer->components.row;

    find_patches(&j->before, y);
    for (const struct ck_patch *p = j->before.patch; p < j->before.end; p++) {
        u32 x = p->begin;

        do {
            a[x] = p->component;
            join_over(j, a, b, x);
        } while (++x < p->end);
    }
    for (const struct ck_patch *p = j->own.patch; p < j->own.end; p++) {
        u32 x = p->begin;

        do
            join_over(j, a, b, x);
        while (++x < p->end);
    }
}

/* --------------------------------- Corners --------------------------------- */

/* The vertices of word 'w' above row 'y' that have cracks. */
static inline u64 some_cracks(const struct ck_bitmaps *b, u64 y, size_t w)
{
    const u64 *v = ck_vertical(b, y), *h = ck_horizontal(b, y);

    return v[w] | h[w] | h[w] << 1 | (w > 0 ? h[w - 1] >> 63 : 0) | (y > 0 ? (v - b->words)[w] : 0);
}

/* The vertices at which four cracks meet. There must be a row above. */
static inline u64 four_cracks(const struct ck_bitmaps *b, u64 y, size_t w)
{
    const u64 *v = ck_vertical(b, y), *h = ck_horizontal(b, y);

    return v[w] & h[w] & (h[w] << 1 | (w > 0 ? h[w - 1] >> 63 : 0)) & (v - b->words)[w];
}

/* Find the vertices above row 'y' where diagonal voxels may need joining. False if there are none. */
static int find_vertices(crackle_joiner *j, u64 y)
{
    const struct ck_bitmaps *own = &j->faces.reading.bitmaps, *before = &j->cracks_before;
    u64 any = 0;

    for (size_t w = 0; w < own->words; w++) {
        j->crossings[w] = y > 0 ? four_cracks(own, y, w) : 0;
        j->vertices[w] = j->before.layer ? some_cracks(own, y, w) & some_cracks(before, y, w) : 0;
        any |= j->crossings[w] | j->vertices[w];
    }
    return any != 0;
}

/* Keep the row above. At the rim there is none, and the current row is used instead. */
static void keep_above(crackle_joiner *j)
{
    const size_t nbytes = (size_t)j->own.layer->components.sx * sizeof(u32);

    memcpy(j->above[0], j->own.layer->components.row, nbytes);
    if (j->before.layer)
        memcpy(j->above[1], j->before.layer->components.row, nbytes);
}

/*
 * Join across a vertex of two slices.  'own' and 'before' are the four components around it in each slice: above left,
 * above right, below left, below right.
 */
static void join_at_vertex(crackle_joiner *j, const u32 *own, const u32 *before)
{
    unsigned int hits = 0;
    u32 n[4], m[4], d[4];

    for (unsigned int i = 0; i < 4; i++) {
        n[i] = j->own.layer->numbers[own[i]];
        m[i] = j->before.layer->numbers[before[i]];
        d[i] = n[i] != m[i]; /* a voxel with its own label above or below is already joined */
    }
    if (d[0] + d[1] + d[2] + d[3] < 2)
        return;
    for (unsigned int i = 0; i < 4; i++) /* has no branch, because hits are rare */
        for (unsigned int k = 0; k < 4; k++)
            hits |= (n[i] == m[k]) & d[i] & d[k];
    if (CK_LIKELY(!hits))
        return;
    for (unsigned int i = 0; i < 4; i++)
        for (unsigned int k = 0; k < 4; k++)
            if (d[i] & d[k])
                join_equal(j, &j->own, own[i], &j->before, before[k]);
}

/* The components around the vertex at column 'x'. At the rim, components inside also stand for those outside. */
static inline void around(const u32 *above, const u32 *row, u32 x, u32 sx, u32 *components)
{
    const u32 left = x > 0 ? x - 1 : 0, right = x < sx ? x : sx - 1;

    components[0] = above[left];
    components[1] = above[right];
    components[2] = row[left];
    components[3] = row[right];
}

/* Join across the vertices that find_vertices() found above row 'y'. */
static void join_corners(crackle_joiner *j, u64 y)
{
    const u32 sx = j->own.layer->components.sx;
    const u32 *row = j->own.layer->components.row, *above = y > 0 ? j->above[0] : row;
    const u32 *other = j->before.layer ? j->before.layer->components.row : NULL;
    const u32 *other_above = y > 0 ? j->above[1] : other;
    u32 own[4], before[4];

    for (size_t w = 0; w < j->faces.reading.bitmaps.words; w++) {
        for (u64 left = j->crossings[w]; left; left &= left - 1) {
            around(above, row, (u32)(w * 64) + ck_ctz64(left), sx, own);
            join_equal(j, &j->own, own[0], &j->own, own[3]);
            join_equal(j, &j->own, own[1], &j->own, own[2]);
        }
        for (u64 left = j->vertices[w]; left; left &= left - 1) {
            const u32 x = (u32)(w * 64) + ck_ctz64(left);

            around(above, row, x, sx, own);
            around(other_above, other, x, sx, before);
            join_at_vertex(j, own, before);
        }
    }
}

/* ---------------------------------- Slices --------------------------------- */

/* Add the components of slice 'z'. */
static crackle_status add_components(crackle_joiner *j, struct ck_layer *layer, u32 z)
{
    const u64 total = (u64)j->count + layer->components.count;
    const u64 first_of_slice = z * ((u64)layer->components.sx * layer->components.sy);
    void *parent = j->parent, *number = j->number, *first = j->first;
    int ok;

    if (total >= NONE)
        return CRACKLE_TOO_LARGE;
    ok = ck_reserve(&parent, &j->parent_capacity, total, sizeof(*j->parent));
    ok = ck_reserve(&number, &j->number_capacity, total, sizeof(*j->number)) && ok;
    ok = ck_reserve(&first, &j->first_capacity, total, sizeof(*j->first)) && ok;
    j->parent = parent;
    j->number = number;
    j->first = first;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < layer->components.count; i++) {
        j->parent[j->count + i] = j->count + (u32)i;
        j->number[j->count + i] = layer->numbers[i];
        j->first[j->count + i] = first_of_slice + layer->components.first[i];
        if (j->is_binary && layer->numbers[i] != j->background)
            layer->numbers[i] = FOREGROUND;
    }
    j->count = (u32)total;
    return CRACKLE_OK;
}

static void join_slice(crackle_joiner *j)
{
    for (u64 y = 0; y < j->own.layer->components.sy; y++) {
        const int corners = j->corners && find_vertices(j, y);

        if (corners && y > 0)
            keep_above(j);
        next_own_row(j, y);
        if (j->before.layer)
            next_row_before(j, y);
        if (corners)
            join_corners(j, y);
    }
}

/* Read slice 'z' and join its components. */
static crackle_status join_next_slice(crackle_joiner *j, u32 z, struct crackle_where *where)
{
    const struct ck_bitmaps swap = j->cracks_before;
    crackle_status status;

    j->cracks_before = j->faces.reading.bitmaps; /* of the slice that becomes the previous one */
    j->faces.reading.bitmaps = swap;
    status = ck_faces_next(&j->faces, z, where);
    if (status != CRACKLE_OK)
        return status;
    j->before = j->own;
    j->before.layer = z % j->depth == 0 ? NULL : j->faces.before;
    j->own.layer = j->faces.layer;
    j->own.base = j->count;
    status = add_components(j, j->faces.layer, z);
    if (status == CRACKLE_OK)
        join_slice(j);
    return status;
}

/* ---------------------------------- Results -------------------------------- */

/*
 * Number the sets from 1, in the order of their first components; the background is 0.  Afterwards 'parent' holds the
 * number of each component, 'labels' the label of each number above 0, at its first voxel, and 'first' that voxel.
 */
static u32 number_sets(crackle_joiner *j, u64 *labels)
{
    u32 count = 0;

    for (u32 i = 0; i < j->count; i++) {
        if (j->number[i] == j->background) {
            j->parent[i] = 0;
        } else if (j->parent[i] == i) {
            labels[count] = j->faces.labels.labels[j->number[i]];
            j->first[count] = j->first[i]; /* count is at most i */
            j->parent[i] = ++count;
        } else {
            j->parent[i] = j->parent[j->parent[i]]; /* the parent is lower, so it has its number already */
        }
    }
    return count;
}

/* Append the labels section: the numbers that occur, components per slice, and keys. */
static crackle_status put_section(const crackle_joiner *j, u32 count, struct crackle_header *h, struct ck_bytes *out)
{
    const struct ck_label_table *table = &j->faces.reading.map.table;
    u64 *unique = ck_malloc((u64)count + 1, sizeof(*unique));
    u64 *counts = ck_malloc(h->sz, sizeof(*counts));
    crackle_status status = CRACKLE_NO_MEMORY;
    size_t num_unique = 0;
    unsigned int key_width;
    u32 first = 1;

    if (!unique || !counts)
        goto out;
    for (u32 i = 0; i < j->count; i++)
        if (j->parent[i] == 0)
            first = 0;
    for (u64 number = first; number <= count; number++)
        unique[num_unique++] = number;
    for (u32 z = 0; z < h->sz; z++)
        counts[z] = ck_component_count(table, z);
    h->is_signed = 0;
    h->is_sorted = 1;
    h->label_format = CK_LABELS_FLAT;
    h->data_width = h->stored_width = (u8)ck_stored_width(unique, num_unique, 0);
    key_width = ck_width(num_unique);
    if (!ck_put_table(out, unique, num_unique, h->stored_width, counts, h->sz, (u64)h->sx * h->sy) ||
        !ck_bytes_reserve(out, (u64)j->count * key_width))
        goto out;
    for (u32 i = 0; i < j->count; i++) {
        ck_store(out->data + out->size, j->parent[i] - first, key_width);
        out->size += key_width;
    }
    status = CRACKLE_OK;
out:
    free(unique);
    free(counts);
    return status;
}

/* ---------------------------------- In steps ------------------------------- */

crackle_status crackle_joiner_begin(const void *in, size_t in_nbytes, unsigned int flags,
                                    const struct crackle_joining *how, crackle_joiner **joiner_ret,
                                    struct crackle_where *where)
{
    struct crackle_parts parts;
    crackle_joiner *j;
    crackle_status status;

    if (how->connectivity != 6 && how->connectivity != 26)
        return CRACKLE_BAD_ARGUMENT;
    status = crackle_split(in, in_nbytes, &parts, where);
    if (status != CRACKLE_OK)
        return status;
    j = ck_calloc(1, sizeof(*j));
    if (!j)
        return CRACKLE_NO_MEMORY;
    j->is_binary = how->is_binary != 0;
    j->corners = how->connectivity == 26;
    j->depth = how->depth ? how->depth : UINT32_MAX;
    j->background = NONE;
    status = ck_reading_open(&j->faces.reading, &parts, flags, where);
    if (status == CRACKLE_OK && !ck_is_empty(&j->faces.reading.header)) {
        status = ck_faces_begin(&j->faces, &parts, 0, j->faces.reading.header.sz, where);
        if (status == CRACKLE_OK && !init_joiner(j))
            status = CRACKLE_NO_MEMORY;
        if (!how->has_background || !ck_label_set_find(&j->faces.labels, how->background, &j->background))
            j->background = NONE;
    }
    if (status == CRACKLE_OK)
        *joiner_ret = j;
    else
        crackle_joiner_free(j);
    return status;
}

void crackle_joiner_free(crackle_joiner *j)
{
    if (!j)
        return;
    ck_faces_free(&j->faces);
    ck_bitmaps_free(&j->cracks_before);
    free(j->above[0]);
    free(j->above[1]);
    free(j->crossings);
    free(j->parent);
    free(j->number);
    free(j->first);
    free(j);
}

crackle_status crackle_joiner_next(crackle_joiner *j, uint32_t num_slices, struct crackle_where *where)
{
    const struct crackle_header *h = &j->faces.reading.header;
    crackle_status status = CRACKLE_OK;

    if (ck_is_empty(h))
        return CRACKLE_OK;
    if (num_slices > h->sz - j->next_z)
        return CRACKLE_BAD_ARGUMENT;
    for (; status == CRACKLE_OK && num_slices; num_slices--)
        status = join_next_slice(j, j->next_z++, where);
    return status;
}

crackle_status crackle_joiner_finish(crackle_joiner *j, const void *in, uint8_t **out_ret, size_t *out_nbytes_ret,
                                     uint64_t **labels_ret, uint64_t **first_ret, uint64_t *count_ret)
{
    struct crackle_header h = j->faces.reading.header;
    struct ck_bytes section = {NULL, 0, 0};
    u64 *labels;
    u32 count = 0;
    crackle_status status = CRACKLE_OK;

    if (ck_is_empty(&h)) {
        h.data_width = h.stored_width = 1;
        h.is_signed = 0;
    } else if (j->next_z != h.sz) {
        return CRACKLE_BAD_ARGUMENT;
    }
    labels = ck_malloc(j->count, sizeof(*labels));
    if (!labels)
        return CRACKLE_NO_MEMORY;
    if (!ck_is_empty(&h)) {
        count = number_sets(j, labels);
        status = put_section(j, count, &h, &section);
    }
    if (status == CRACKLE_OK)
        status = ck_replace_labels(in, &j->faces.reading.layout, &h, &section, out_ret, out_nbytes_ret);
    free(section.data);
    if (status == CRACKLE_OK) {
        *labels_ret = labels;
        *first_ret = j->first;
        j->first = NULL;
        *count_ret = count;
    } else {
        free(labels);
    }
    return status;
}
