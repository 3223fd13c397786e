/*
 * surface.c - voxels at faces: the surfaces of labels, and the connectivity of voxels
 *
 * The faces of a slice are complete when the next slice has been read.  With the bitmaps of both slices (faces.h), six
 * words hold the six faces of 64 voxels, and each question takes a few operations on words.
 *
 * Cost: linear in the boundaries, plus some words per row; and the size of the result.
 */
#include "../codec/header.h"
#include "../codec/transpose.h"
#include "../codec/volume.h"
#include "../crackle.h"
#include "faces.h"

/* How many points are sorted between two checks of 'stop'. */
#define POINTS_AT_ONCE ((size_t)1 << 22)

/* Reads slices one ahead, to have all faces of a slice. */
struct pipeline {
    struct ck_faces faces;
    struct planes {
        struct ck_bitmaps xy;     /* faces along x and y */
        u64 *z;                   /* faces to the previous slice */
    } planes[2];
    struct planes *own;           /* of the current slice, whose faces are complete */
    struct planes *next;          /* of the next slice; its 'z' are the faces between both; NULL if there is none */
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

/* The slices to read for [z_start, z_end): one more on either side. */
static u32 first_read(u32 z_start)
{
    return z_start ? z_start - 1 : 0;
}

static u32 end_read(u32 z_end, u32 sz)
{
    return z_end < sz ? z_end + 1 : sz;
}

/*
 * Read up to slice 'z_start' and find its faces.  'p->faces.reading' must be open.  Call free_pipeline() whatever the
 * status is.
 */
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

/* Make slice 'z', the next one, the current slice. */
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

/* The layer of the current slice. */
static const struct ck_layer *own_layer(const struct pipeline *p)
{
    return p->next ? p->faces.before : p->faces.layer;
}

/* ---------------------------------- Surfaces ------------------------------- */

/* Get a coordinate of a point, which is three integers of 'width' bytes. 'width' is a constant after inlining. */
CK_FORCEINLINE u32 get_coordinate(const void *points, size_t i, unsigned int axis, unsigned int width)
{
    return width == 2 ? ((const u16 *)points)[3 * i + axis] : ((const u32 *)points)[3 * i + axis];
}

CK_FORCEINLINE void put_point(void *points, size_t i, u32 x, u32 y, u32 z, unsigned int width)
{
    if (width == 2) {
        ((u16 *)points)[3 * i] = (u16)x;
        ((u16 *)points)[3 * i + 1] = (u16)y;
        ((u16 *)points)[3 * i + 2] = (u16)z;
    } else {
        ((u32 *)points)[3 * i] = x;
        ((u32 *)points)[3 * i + 1] = y;
        ((u32 *)points)[3 * i + 2] = z;
    }
}

/* The surface voxels of a number, in the order of the volume. */
struct cloud {
    void *points;
    size_t count, capacity;
    int is_selected;
};

struct found {
    struct cloud *clouds; /* per number */
    size_t num_clouds;
    unsigned int width;
};

static void free_found(struct found *f)
{
    for (size_t n = 0; f->clouds && n < f->num_clouds; n++)
        free(f->clouds[n].points);
    free(f->clouds);
}

/* Add the voxels of a row whose bits are set in 'on', from column 'first' on. */
CK_FORCEINLINE int add_points(struct found *found, const u32 *row, u32 first, u64 on, u32 y, u32 z, unsigned int width)
{
    for (; on; on &= on - 1) {
        const u32 x = first + ck_ctz64(on);
        struct cloud *cloud = &found->clouds[row[x]];

        if (!cloud->is_selected)
            continue;
        if (CK_UNLIKELY(cloud->count == cloud->capacity) &&
            !ck_reserve(&cloud->points, &cloud->capacity, (u64)cloud->count + 1, (size_t)3 * width))
            return 0;
        put_point(cloud->points, cloud->count++, x, y, z, width);
    }
    return 1;
}

/* Find the voxels of the current slice 'z' that lie on the surface of a selected label. */
static int find_surface(const struct pipeline *p, u32 z, struct found *found)
{
    const struct crackle_header *h = &p->faces.reading.header;
    const struct ck_layer *layer = own_layer(p);
    const struct ck_components *c = &layer->components;
    const struct ck_patch *patch = c->patches;
    const size_t words = p->own->xy.words;
    const int outermost = z == 0 || z == h->sz - 1;

    for (u32 y = 0; y < c->sy; y++) {
        const size_t at = (size_t)y * words;
        const u64 *fx = ck_vertical(&p->own->xy, y), *fy = ck_horizontal(&p->own->xy, y), *fz = p->own->z + at;
        const u64 *behind = p->next ? p->next->z + at : NULL;
        const int rim = outermost || y == 0 || y == c->sy - 1;

        ck_next_row(layer, y, &patch);
        for (size_t w = 0; w < words && (u64)w * 64 < c->sx; w++) {
            const u32 first = (u32)(w * 64);
            const u64 left = c->sx - (u64)w * 64;
            u64 on = fx[w] | fx[w] >> 1 | fy[w] | fy[w + words] | fz[w] | (behind ? behind[w] : 0);

            if (w + 1 < words)
                on |= fx[w + 1] << 63;
            on |= rim ? ~(u64)0 : (u64)(w == 0) | (left <= 64 ? (u64)1 << (left - 1) : 0);
            on &= ck_low_bits(left < 64 ? (unsigned int)left : 64);
            if (!(found->width == 2 ? add_points(found, c->row, first, on, y, z, 2)
                                    : add_points(found, c->row, first, on, y, z, 4)))
                return 0;
        }
    }
    return 1;
}

/*
 * Sort points stably by their coordinate on an axis.  'next' has room for 'length' numbers, one per coordinate.  False
 * if stopped; 'to' then holds garbage.
 */
CK_FORCEINLINE int sort_by(unsigned int axis, const void *from, void *to, size_t count, size_t *next, u32 length,
                           const volatile int32_t *stop, unsigned int width)
{
    size_t at = 0, end;

    memset(next, 0, length * sizeof(*next));
    for (size_t i = 0; i < count; i++)
        next[get_coordinate(from, i, axis, width)]++;
    for (u32 value = 0; value < length; value++) {
        const size_t here = next[value];

        next[value] = at;
        at += here;
    }
    for (size_t i = 0; i < count;) {
        if (ck_is_set(stop))
            return 0;
        end = count - i < POINTS_AT_ONCE ? count : i + POINTS_AT_ONCE;
        for (; i < end; i++)
            put_point(to, next[get_coordinate(from, i, axis, width)]++, get_coordinate(from, i, 0, width),
                      get_coordinate(from, i, 1, width), get_coordinate(from, i, 2, width), width);
    }
    return 1;
}

/* Sort few points, by keys (x, y). */
CK_FORCEINLINE void sort_few(const void *from, void *to, size_t count, struct ck_pair *pairs, unsigned int width)
{
    for (size_t i = 0; i < count; i++) {
        pairs[i].key = (u64)get_coordinate(from, i, 0, width) << 32 | get_coordinate(from, i, 1, width);
        pairs[i].value = get_coordinate(from, i, 2, width);
    }
    ck_sort_pairs(pairs, pairs + count, count);
    for (size_t i = 0; i < count; i++)
        put_point(to, i, (u32)(pairs[i].key >> 32), (u32)pairs[i].key, (u32)pairs[i].value, width);
}

/*
 * Sort the points of every number by x, then y, then z, and append them number by number. z ascends already, so stable
 * sorts by y and by x suffice.  Each takes one pass, unless there are fewer points than coordinates.
 */
static crackle_status sort_points(const struct found *found, u32 sx, u32 sy, const volatile int32_t *stop, void *out)
{
    const u32 longest = sx > sy ? sx : sy;
    struct ck_pair *pairs = ck_malloc(longest, 2 * sizeof(*pairs));
    size_t *next = ck_malloc(longest, sizeof(*next)), longest_cloud = 0;
    void *scratch;
    u8 *to = out;
    crackle_status status;

    for (size_t n = 0; n < found->num_clouds; n++)
        longest_cloud = found->clouds[n].count > longest_cloud ? found->clouds[n].count : longest_cloud;
    scratch = ck_malloc(longest_cloud, (size_t)3 * found->width);
    status = pairs && next && scratch ? CRACKLE_OK : CRACKLE_NO_MEMORY;
    for (size_t n = 0; status == CRACKLE_OK && n < found->num_clouds; n++) {
        const struct cloud *cloud = &found->clouds[n];
        const size_t count = cloud->count;
        int done = !ck_is_set(stop);

        if (count <= longest && found->width == 2)
            sort_few(cloud->points, to, count, pairs, 2);
        else if (count <= longest)
            sort_few(cloud->points, to, count, pairs, 4);
        else if (found->width == 2)
            done = sort_by(1, cloud->points, scratch, count, next, sy, stop, 2) &&
                   sort_by(0, scratch, to, count, next, sx, stop, 2);
        else
            done = sort_by(1, cloud->points, scratch, count, next, sy, stop, 4) &&
                   sort_by(0, scratch, to, count, next, sx, stop, 4);
        status = done ? CRACKLE_OK : CRACKLE_STOPPED;
        to += count * 3 * found->width;
    }
    free(pairs);
    free(next);
    free(scratch);
    return status;
}

/* Collect the surface voxels of the slices. */
static crackle_status collect(struct pipeline *p, const struct crackle_parts *parts, u32 z_start, u32 z_end,
                              const u8 *selected, u64 count, const volatile int32_t *stop, struct found *found,
                              struct crackle_where *where)
{
    crackle_status status = begin_pipeline(p, parts, z_start, z_end, where);

    if (status != CRACKLE_OK)
        return status;
    if (count != ck_num_entries(&p->faces.reading.map.table))
        return CRACKLE_BAD_ARGUMENT;
    found->num_clouds = p->faces.labels.count;
    found->clouds = ck_calloc(found->num_clouds, sizeof(*found->clouds));
    if (!found->clouds)
        return CRACKLE_NO_MEMORY;
    for (u64 i = 0; i < count; i++)
        found->clouds[p->faces.number_of_entry[i]].is_selected |= selected[i] != 0;
    for (u32 z = z_start; status == CRACKLE_OK && z < z_end; z++) {
        status = ck_is_set(stop) ? CRACKLE_STOPPED : complete_slice(p, z, where);
        if (status == CRACKLE_OK && !find_surface(p, z, found))
            status = CRACKLE_NO_MEMORY;
    }
    return status;
}

crackle_status crackle_surface(const struct crackle_parts *parts, uint32_t z_start, uint32_t z_end,
                               unsigned int flags, const uint8_t *selected, uint64_t count, unsigned int width,
                               const volatile int32_t *stop, void **points_ret, uint64_t *per_entry,
                               struct crackle_where *where)
{
    struct found found = {NULL, 0, 0};
    struct pipeline p;
    void *out = NULL;
    u64 total = 0;
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
    found.width = width;
    status = collect(&p, parts, z_start, z_end, selected, count, stop, &found, where);
    if (status == CRACKLE_OK) {
        for (size_t n = 0; n < found.num_clouds; n++)
            total += found.clouds[n].count;
        out = ck_malloc(total, (size_t)3 * width);
        status = out ? sort_points(&found, h->sx, h->sy, stop, out) : CRACKLE_NO_MEMORY;
    }
    if (status == CRACKLE_OK) {
        /* Numbers follow the order of the entries, so the first entry of a label gets its points. */
        for (u64 i = 0, next = 0; i < count; i++) {
            per_entry[i] = p.faces.number_of_entry[i] == next ? found.clouds[next].count : 0;
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

/* A table that spreads the bits of a byte to eight bytes. */
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
 * Write a byte per voxel of the current slice.  Bits 0 to 5: whether there is no face in the direction +x -x +y -y +z
 * -z.  'directions' masks them.
 */
static void put_connectivity(const struct pipeline *p, const struct spreading *spread, u8 directions, u8 *out)
{
    const struct crackle_header *h = &p->faces.reading.header;
    const size_t words = p->own->xy.words;
    const u64 mask = directions * (u64)0x0101010101010101u;

    for (u64 y = 0; y < h->sy; y++) {
        const size_t at = (size_t)y * words;
        const u64 *fx = ck_vertical(&p->own->xy, y), *fy = ck_horizontal(&p->own->xy, y), *fz = p->own->z + at;

        for (size_t w = 0; w < words && (u64)w * 64 < h->sx; w++) {
            const u64 left = h->sx - (u64)w * 64;
            const unsigned int voxels = left < 64 ? (unsigned int)left : 64;
            u64 open[6], all;

            open[0] = ~(fx[w] >> 1 | (w + 1 < words ? fx[w + 1] << 63 : 0));
            open[1] = ~fx[w];
            open[2] = ~fy[w + words];
            open[3] = ~fy[w];
            open[4] = p->next ? ~p->next->z[at + w] : ~(u64)0;
            open[5] = ~fz[w];
            all = open[0] & open[1] & open[2] & open[3] & open[4] & open[5];
            if (all == ~(u64)0) { /* most words have no faces at all */
                memset(out, directions, voxels);
                out += voxels;
                continue;
            }
            for (unsigned int i = 0; i < voxels; i += 8) {
                u64 eight = 0;

                for (unsigned int d = 0; d < 6; d++)
                    eight |= spread->of[open[d] >> i & 0xff] << d;
                if (CK_LIKELY(voxels - i >= 8)) {
                    ck_store64(out, eight & mask);
                    out += 8;
                } else {
                    for (unsigned int k = i; k < voxels; k++, eight >>= 8)
                        *out++ = (u8)eight & directions;
                }
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
    u32 batch_capacity = 1;
    u8 *batch = NULL;
    size_t slice_nbytes, stride;

    if (status != CRACKLE_OK)
        return status;
    if (!ck_is_volume(out) || out->width != 1 || out->sx != h->sx || out->sy != h->sy || z_start > z_end ||
        z_end > h->sz || z_start < out_z || z_end - out_z > out->sz || (connectivity != 4 && connectivity != 6))
        return CRACKLE_BAD_ARGUMENT;
    if (ck_is_empty(h) || z_start == z_end)
        return CRACKLE_OK;
    slice_nbytes = (size_t)h->sx * h->sy;
    stride = out->fortran_order ? slice_nbytes : ck_batch_stride(out);
    init_spreading(&spread);
    status = begin_pipeline(&p, parts, z_start, z_end, where);
    if (status == CRACKLE_OK && !out->fortran_order) {
        batch_capacity = ck_batch_slices(out);
        batch_capacity = batch_capacity < z_end - z_start ? batch_capacity : z_end - z_start;
        batch = ck_malloc(batch_capacity, stride);
        if (!batch)
            status = CRACKLE_NO_MEMORY;
    }
    for (u32 z = z_start; status == CRACKLE_OK && z < z_end;) {
        const u32 number = z_end - z < batch_capacity ? z_end - z : batch_capacity;
        u8 *slices = batch ? batch : (u8 *)out->voxels + (z - out_z) * slice_nbytes;

        for (u32 i = 0; i < number && status == CRACKLE_OK; i++) {
            status = complete_slice(&p, z + i, where);
            if (status == CRACKLE_OK)
                put_connectivity(&p, &spread, connectivity == 4 ? 0x0f : 0x3f, slices + i * stride);
        }
        if (status == CRACKLE_OK && batch)
            ck_scatter_slices(batch, out, z - out_z, number);
        z += number;
    }
    free(batch);
    free_pipeline(&p);
    return status;
}
