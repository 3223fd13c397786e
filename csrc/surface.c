/*
 * surface.c - voxels at faces: the surfaces of labels, and which ways lead out of a voxel
 *
 * Both are known for a slice when the next has been read, as that has the faces between the two.  With the
 * planes of both slices (faces.h) all six faces of 64 voxels are six words, and what is asked of them a
 * few operations on words.
 */
#include "crackle.h"
#include "faces.h"
#include "header.h"
#include "transpose.h"
#include "volume.h"

/* The faces of a slice and those towards the next. */
struct pipeline {
    struct ck_faces faces;
    struct planes {
        struct ck_bitmaps xy;     /* faces along x and y ... */
        u64 *z;                   /* ... and those towards the slice before */
    } planes[2];
    struct planes *own;           /* of the slice that is complete ... */
    struct planes *next;          /* ... and of the one after it, whose 'z' are the faces between; NULL: none */
};

static void free_pipeline(struct pipeline *p)
{
    ck_faces_free(&p->faces);
    for (int i = 0; i < 2; i++) {
        ck_bitmaps_free(&p->planes[i].xy);
        free(p->planes[i].z);
    }
}

static int init_planes(struct planes *planes, u32 sx, u32 sy)
{
    if (!ck_bitmaps_init(&planes->xy, sx, sy))
        return 0;
    planes->z = ck_malloc((u64)sy * planes->xy.words, sizeof(u64));
    return planes->z != NULL;
}

/* The slices that have to be read for what lies in [z_start, z_end): one more on either side. */
static u32 first_read(u32 z_start)
{
    return z_start ? z_start - 1 : 0;
}

static u32 end_read(u32 z_end, u32 sz)
{
    return z_end < sz ? z_end + 1 : sz;
}

/* Read as far as slice 'z_start' and its faces.  'p->faces.reading' is open.  Free whatever comes back. */
static crackle_status begin_pipeline(struct pipeline *p, const struct crackle_parts *parts, u32 z_start, u32 z_end,
                                     struct crackle_where *where)
{
    const struct crackle_header *h = &p->faces.reading.header;
    const u32 end = end_read(z_end, h->sz);
    crackle_status status;

    memset(p->planes, 0, sizeof(p->planes));
    p->own = NULL;
    p->next = NULL;
    status = ck_faces_begin(&p->faces, parts, first_read(z_start), end, where);
    if (status == CRACKLE_OK &&
        !(init_planes(&p->planes[0], h->sx, h->sy) && init_planes(&p->planes[1], h->sx, h->sy)))
        status = CRACKLE_NO_MEMORY;
    for (u32 z = first_read(z_start); status == CRACKLE_OK && z <= z_start; z++)
        status = ck_faces_next(&p->faces, z, where);
    if (status == CRACKLE_OK) {
        p->next = &p->planes[0];
        ck_find_faces(&p->faces, &p->next->xy, p->next->z);
    }
    return status;
}

/* Make slice 'z', which is next, complete. */
static crackle_status complete_slice(struct pipeline *p, u32 z, struct crackle_where *where)
{
    crackle_status status;

    p->own = p->next;
    p->next = NULL;
    if (z + 1 == p->faces.reading.header.sz)
        return CRACKLE_OK;
    status = ck_faces_next(&p->faces, z + 1, where);
    if (status == CRACKLE_OK) {
        p->next = p->own == &p->planes[0] ? &p->planes[1] : &p->planes[0];
        ck_find_faces(&p->faces, &p->next->xy, p->next->z);
    }
    return status;
}

/* The layer of the slice that is complete. */
static const struct ck_layer *own_layer(const struct pipeline *p)
{
    return p->next ? p->faces.before : p->faces.layer;
}

/* ---------------------------------- Surfaces ------------------------------- */

static inline void put_point(void *to, size_t i, unsigned int width, u32 x, u32 y, u32 z)
{
    if (width == 2) {
        u16 *p = (u16 *)to + 3 * i;

        p[0] = (u16)x;
        p[1] = (u16)y;
        p[2] = (u16)z;
    } else {
        u32 *p = (u32 *)to + 3 * i;

        p[0] = x;
        p[1] = y;
        p[2] = z;
    }
}

static inline u32 coordinate(const void *from, size_t i, unsigned int width, unsigned int axis)
{
    return width == 2 ? ((const u16 *)from)[3 * i + axis] : ((const u32 *)from)[3 * i + axis];
}

/* Blocks of surface voxels, so that none is moved for want of room. */
#define BLOCK_POINTS 0x40000

struct point {
    u32 number, x;
};

/* Surface voxels in the order of the volume. */
struct found {
    struct point **blocks;
    size_t num_blocks, blocks_capacity;
    size_t count;        /* of points; those of the last block included */
    u64 *row_end;        /* per row of the slices asked for, how many there are up to its end */
    u64 *per_number;
};

static void free_found(struct found *f)
{
    for (size_t i = 0; i < f->num_blocks; i++)
        free(f->blocks[i]);
    free(f->blocks);
    free(f->row_end);
    free(f->per_number);
}

/* Where the next point goes; NULL when there is no memory. */
static inline struct point *next_point(struct found *f)
{
    const size_t place = f->count % BLOCK_POINTS;

    if (CK_UNLIKELY(place == 0 && f->count / BLOCK_POINTS == f->num_blocks)) {
        void *blocks = f->blocks;
        int ok = ck_reserve(&blocks, &f->blocks_capacity, (u64)f->num_blocks + 1, sizeof(*f->blocks));

        f->blocks = blocks;
        if (!ok || !(f->blocks[f->num_blocks] = ck_malloc(BLOCK_POINTS, sizeof(**f->blocks))))
            return NULL;
        f->num_blocks++;
    }
    return f->blocks[f->count / BLOCK_POINTS] + place;
}

/* The voxels of the complete slice 'z' that are on the surface of a label that is wanted. */
static int find_surface(const struct pipeline *p, u32 z, const u8 *wanted, struct found *found, u64 *row_end)
{
    const struct crackle_header *h = &p->faces.reading.header;
    const struct ck_layer *layer = own_layer(p);
    const struct ck_components *c = &layer->components;
    const struct ck_patch *patch = c->patches;
    const size_t words = p->own->xy.words;
    const int outermost = z == 0 || z == h->sz - 1;

    for (u64 y = 0; y < c->sy; y++) {
        const size_t at = (size_t)y * words;
        const u64 *fx = ck_vertical(&p->own->xy, y), *fy = ck_horizontal(&p->own->xy, y), *fz = p->own->z + at;
        const u64 *behind = p->next ? p->next->z + at : NULL;
        const int rim = outermost || y == 0 || y == c->sy - 1;

        ck_next_row(layer, y, &patch);
        for (size_t w = 0; w < words && (u64)w * 64 < c->sx; w++) {
            const u64 left = c->sx - (u64)w * 64;
            u64 on = fx[w] | fx[w] >> 1 | fy[w] | fy[w + words] | fz[w] | (behind ? behind[w] : 0);

            if (w + 1 < words)
                on |= fx[w + 1] << 63;
            on |= rim ? ~(u64)0 : (u64)(w == 0) | (left <= 64 ? (u64)1 << (left - 1) : 0);
            for (on &= ck_low_bits(left < 64 ? (unsigned int)left : 64); on; on &= on - 1) {
                const u32 x = (u32)(w * 64) + ck_ctz64(on);
                const u32 number = c->row[x];
                struct point *point = next_point(found);

                if (!point)
                    return 0;
                point->number = number;
                point->x = x;
                found->count += wanted[number];
                found->per_number[number] += wanted[number];
            }
        }
        row_end[y] = found->count;
    }
    return 1;
}

/* Deal the points out to their numbers: each number's are in the order of the volume then, as x, y and z. */
static int deal_out(struct found *found, u32 sy, u32 z_start, u32 num_slices, size_t num_numbers, unsigned int width,
                    void *out)
{
    size_t *next = ck_malloc(num_numbers, sizeof(*next));
    const u64 *row_end = found->row_end;
    size_t at = 0;

    if (!next)
        return 0;
    for (size_t n = 0; n < num_numbers; n++) {
        next[n] = at;
        at += (size_t)found->per_number[n];
    }
    at = 0;
    for (u32 i = 0; i < num_slices; i++)
        for (u32 y = 0; y < sy; y++, row_end++)
            for (; at < *row_end; at++) {
                const struct point *point = &found->blocks[at / BLOCK_POINTS][at % BLOCK_POINTS];

                put_point(out, next[point->number]++, width, point->x, y, z_start + i);
            }
    free(next);
    return 1;
}

/* What sorting the points of a number works in. */
struct sorter {
    unsigned int width;
    void *points;        /* as many as the number with the most has */
    size_t *next;        /* per coordinate along x or y */
};

/* Sort points stably by their coordinate on an axis, of which there are 'length', from one array to another. */
static void sort_by(const struct sorter *s, const void *from, void *to, size_t count, unsigned int axis, u32 length)
{
    size_t at = 0;

    memset(s->next, 0, length * sizeof(*s->next));
    for (size_t i = 0; i < count; i++)
        s->next[coordinate(from, i, s->width, axis)]++;
    for (u32 value = 0; value < length; value++) {
        const size_t here = s->next[value];

        s->next[value] = at;
        at += here;
    }
    for (size_t i = 0; i < count; i++)
        put_point(to, s->next[coordinate(from, i, s->width, axis)]++, s->width, coordinate(from, i, s->width, 0),
                  coordinate(from, i, s->width, 1), coordinate(from, i, s->width, 2));
}

/* The same for few points: as keys (x, y). */
static void sort_few(const struct sorter *s, void *points, size_t count, struct ck_pair *pairs)
{
    for (size_t i = 0; i < count; i++) {
        pairs[i].key = (u64)coordinate(points, i, s->width, 0) << 32 | coordinate(points, i, s->width, 1);
        pairs[i].value = coordinate(points, i, s->width, 2);
    }
    ck_sort_pairs(pairs, pairs + count, count);
    for (size_t i = 0; i < count; i++)
        put_point(points, i, s->width, (u32)(pairs[i].key >> 32), (u32)pairs[i].key, (u32)pairs[i].value);
}

/*
 * Sort the points of every number by x, then y, then z: stably by y and by x, as z ascends already.  One pass per
 * axis, unless the points are fewer than the places along it.
 */
static int sort_points(const struct found *found, u32 sx, u32 sy, size_t num_numbers, unsigned int width, void *out)
{
    const u32 longest = sx > sy ? sx : sy;
    struct sorter s = {width, NULL, NULL};
    struct ck_pair *pairs = ck_malloc(longest, 2 * sizeof(*pairs));
    u8 *points = out;
    u64 most = 0;
    int ok;

    for (size_t n = 0; n < num_numbers; n++)
        most = found->per_number[n] > most ? found->per_number[n] : most;
    s.points = ck_malloc(most, (size_t)3 * width);
    s.next = ck_malloc(longest, sizeof(*s.next));
    ok = pairs && s.points && s.next;
    for (size_t n = 0; ok && n < num_numbers; n++) {
        const size_t count = (size_t)found->per_number[n];

        if (count <= longest) {
            sort_few(&s, points, count, pairs);
        } else {
            sort_by(&s, points, s.points, count, 1, sy);
            sort_by(&s, s.points, points, count, 0, sx);
        }
        points += count * 3 * width;
    }
    free(pairs);
    free(s.points);
    free(s.next);
    return ok;
}

/* Collect the surface voxels of the slices. */
static crackle_status collect(struct pipeline *p, const struct crackle_parts *parts, u32 z_start, u32 z_end,
                              const u8 *wanted_entries, u64 count, struct found *found,
                              struct crackle_where *where)
{
    crackle_status status = begin_pipeline(p, parts, z_start, z_end, where);
    u8 *wanted = NULL;

    if (status != CRACKLE_OK)
        return status;
    if (count != ck_num_entries(&p->faces.reading.map.table))
        return CRACKLE_BAD_ARGUMENT;
    wanted = ck_calloc(p->faces.labels.count, 1);
    found->per_number = ck_calloc(p->faces.labels.count, sizeof(*found->per_number));
    found->row_end = ck_malloc((u64)(z_end - z_start) * p->faces.reading.header.sy, sizeof(*found->row_end));
    if (!wanted || !found->per_number || !found->row_end)
        status = CRACKLE_NO_MEMORY;
    for (u64 i = 0; status == CRACKLE_OK && i < count; i++)
        wanted[p->faces.number_of_entry[i]] |= wanted_entries[i] != 0;
    for (u32 z = z_start; status == CRACKLE_OK && z < z_end; z++) {
        status = complete_slice(p, z, where);
        if (status == CRACKLE_OK &&
            !find_surface(p, z, wanted, found, found->row_end + (u64)(z - z_start) * p->faces.reading.header.sy))
            status = CRACKLE_NO_MEMORY;
    }
    free(wanted);
    return status;
}

crackle_status crackle_surface(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                               unsigned int flags, const uint8_t *wanted, uint64_t count, unsigned int width,
                               void **points_ret, uint64_t *per_entry, struct crackle_where *where)
{
    struct found found = {NULL, 0, 0, 0, NULL, NULL};
    struct pipeline p;
    void *out = NULL;
    const struct crackle_header *h = &p.faces.reading.header;
    crackle_status status = ck_reading_open(&p.faces.reading, parts, flags, where);

    if (status != CRACKLE_OK)
        return status;
    if (z_start > z_end || z_end > h->sz || (width != 2 && width != 4) ||
        (width == 2 && (h->sx > 0x10000 || h->sy > 0x10000 || h->sz > 0x10000)))
        return CRACKLE_BAD_ARGUMENT;
    if (ck_is_empty(h) || z_start == z_end) {
        out = ck_malloc(0, 1);
        if (!out)
            return CRACKLE_NO_MEMORY;
        memset(per_entry, 0, (size_t)count * sizeof(*per_entry));
        *points_ret = out;
        return CRACKLE_OK;
    }
    status = collect(&p, parts, z_start, z_end, wanted, count, &found, where);
    if (status == CRACKLE_OK) {
        const size_t num_numbers = p.faces.labels.count;

        out = ck_malloc(found.count, (size_t)3 * width);
        if (!out || !deal_out(&found, h->sy, z_start, z_end - z_start, num_numbers, width, out) ||
            !sort_points(&found, h->sx, h->sy, num_numbers, width, out))
            status = CRACKLE_NO_MEMORY;
    }
    if (status == CRACKLE_OK) {
        /* Numbers were given in the order of the entries: the first entry of a label has its points. */
        for (u64 i = 0, next = 0; i < count; i++) {
            per_entry[i] = p.faces.number_of_entry[i] == next ? found.per_number[next] : 0;
            next += p.faces.number_of_entry[i] == next;
        }
        *points_ret = out;
        out = NULL;
    }
    free(out);
    free_found(&found);
    free_pipeline(&p);
    return status;
}

/* -------------------------------- Connectivity ----------------------------- */

/* Eight bits, one per byte: what the bits of a byte are spread to. */
struct spreading {
    u64 of[256];
};

static void init_spreading(struct spreading *s)
{
    for (unsigned int byte = 0; byte < 256; byte++) {
        s->of[byte] = 0;
        for (unsigned int i = 0; i < 8; i++)
            s->of[byte] |= (u64)(byte >> i & 1) << 8 * i;
    }
}

/*
 * A byte per voxel of the complete slice 'z': bit 0 to 5, whether there is a voxel of the same label in the
 * direction +x -x +y -y +z -z.  'directions' masks them.
 */
static void put_connectivity(const struct pipeline *p, const struct spreading *spread, u32 z, u8 directions, u8 *out)
{
    const struct crackle_header *h = &p->faces.reading.header;
    const size_t words = p->own->xy.words;
    const u64 mask = directions * (u64)0x0101010101010101u;
    const int has_before = z > 0, has_next = z + 1 < h->sz;

    for (u64 y = 0; y < h->sy; y++) {
        const size_t at = (size_t)y * words;
        const u64 *fx = ck_vertical(&p->own->xy, y), *fy = ck_horizontal(&p->own->xy, y), *fz = p->own->z + at;

        for (size_t w = 0; w < words && (u64)w * 64 < h->sx; w++) {
            const u64 left = h->sx - (u64)w * 64;
            const unsigned int voxels = left < 64 ? (unsigned int)left : 64;
            u64 open[6];

            open[0] = ~(fx[w] >> 1 | (w + 1 < words ? fx[w + 1] << 63 : 0));
            open[0] &= left <= 64 ? ~((u64)1 << (left - 1)) : ~(u64)0;
            open[1] = ~(fx[w] | (w == 0));
            open[2] = y + 1 < h->sy ? ~fy[w + words] : 0;
            open[3] = y > 0 ? ~fy[w] : 0;
            open[4] = has_next ? ~p->next->z[at + w] : 0;
            open[5] = has_before ? ~fz[w] : 0;
            for (unsigned int i = 0; i < voxels; i += 8) {
                u8 bytes[8];
                u64 eight = 0;

                for (unsigned int d = 0; d < 6; d++)
                    eight |= spread->of[open[d] >> i & 0xff] << d;
                ck_store64(bytes, eight & mask);
                memcpy(out, bytes, voxels - i < 8 ? voxels - i : 8);
                out += voxels - i < 8 ? voxels - i : 8;
            }
        }
    }
}

crackle_status crackle_connectivity(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                                    unsigned int flags, unsigned int connectivity,
                                    const struct crackle_volume *out, uint32_t out_z, struct crackle_where *where)
{
    struct pipeline p;
    struct spreading spread;
    const struct crackle_header *h = &p.faces.reading.header;
    crackle_status status = ck_reading_open(&p.faces.reading, parts, flags, where);
    u32 most = 1;
    u8 *batch = NULL;
    size_t slice_nbytes;

    if (status != CRACKLE_OK)
        return status;
    if (!ck_is_volume(out) || out->width != 1 || out->sx != h->sx || out->sy != h->sy || z_start > z_end ||
        z_end > h->sz || z_start < out_z || z_end - out_z > out->sz || (connectivity != 4 && connectivity != 6))
        return CRACKLE_BAD_ARGUMENT;
    if (ck_is_empty(h) || z_start == z_end)
        return CRACKLE_OK;
    slice_nbytes = (size_t)h->sx * h->sy;
    init_spreading(&spread);
    status = begin_pipeline(&p, parts, z_start, z_end, where);
    if (status == CRACKLE_OK && !out->fortran_order) {
        most = ck_batch_slices(out);
        most = most < z_end - z_start ? most : z_end - z_start;
        batch = ck_malloc(most, slice_nbytes);
        if (!batch)
            status = CRACKLE_NO_MEMORY;
    }
    for (u32 z = z_start; status == CRACKLE_OK && z < z_end;) {
        const u32 number = z_end - z < most ? z_end - z : most;
        u8 *slices = batch ? batch : (u8 *)out->voxels + (z - out_z) * slice_nbytes;

        for (u32 i = 0; i < number && status == CRACKLE_OK; i++) {
            status = complete_slice(&p, z + i, where);
            if (status == CRACKLE_OK)
                put_connectivity(&p, &spread, z + i, connectivity == 4 ? 0x0f : 0x3f, slices + i * slice_nbytes);
        }
        if (status == CRACKLE_OK && batch)
            ck_scatter_slices(batch, out, z - out_z, number);
        z += number;
    }
    free(batch);
    free_pipeline(&p);
    return status;
}
