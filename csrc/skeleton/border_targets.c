/*
 * border_targets.c - where an object leaves the volume, so that skeletons of neighbouring volumes meet
 *
 * On each of the six faces of the volume, an object has connected parts (8 neighbours).  Each part gives one target:
 * the pixel farthest from the part's boundary, where the rim of the face counts as boundary.  Two volumes that share a
 * plane of voxels find the same targets on it, whichever side they lie on.  Hence equal distances are told apart by
 * numbers that do not depend on the side:
 *
 *   1. nearest to the part's centroid, rounded to a pixel towards the centre of the face
 *   2. nearest to the centre of the face
 *   3. nearest to a corner of the face
 *   4. nearest to an edge of the face
 *   5. the first in the order of the face, its first axis fastest
 *
 * All distances are in physical units.  The rule is Kimimaro's, without its two slips of units and corners.
 *
 * Cost: linear in the bounding boxes of the parts.
 */
#include "border_targets.h"

#include "envelope.h"
#include "runs.h"

/* The pixels [u, end) of line v of a face. */
struct line {
    u32 u, end, v;
    u32 part;        /* while parts are found: the parent */
};

struct lines {
    struct line *lines;
    size_t count, capacity;
};

/* A face: its two axes u and v, the axis it is normal to, and its place on that. */
struct face {
    unsigned int u, v, normal;
    u32 at;
};

struct targets {
    u32 *points;     /* x, y, z of each */
    size_t count, capacity;
};

static int add_line(struct lines *l, u32 u, u32 end, u32 v)
{
    void *lines = l->lines;
    struct line *last = l->count ? &l->lines[l->count - 1] : NULL;

    if (last && last->v == v && last->end == u) {
        last->end = end;
        return 1;
    }
    if (!ck_reserve(&lines, &l->capacity, (u64)l->count + 1, sizeof(*l->lines)))
        return 0;
    l->lines = lines;
    last = &l->lines[l->count];
    last->u = u;
    last->end = end;
    last->v = v;
    last->part = (u32)l->count++;
    return 1;
}

/* The lines of an object on a face. Runs come in the order z, y, x, so lines come in the order v, u. */
static int find_lines(const struct ck_run *runs, u64 num_runs, const struct face *f, struct lines *l)
{
    l->count = 0;
    for (u64 i = 0; i < num_runs; i++) {
        const struct ck_run *r = &runs[i];

        if (f->normal == 0) {
            if (r->x <= f->at && f->at < r->end && !add_line(l, r->y, r->y + 1, r->z))
                return 0;
        } else if ((f->normal == 1 ? r->y : r->z) == f->at) {
            if (!add_line(l, r->x, r->end, f->normal == 1 ? r->z : r->y))
                return 0;
        }
    }
    return 1;
}

static u32 find_part(struct lines *l, u32 i)
{
    while (l->lines[i].part != i) {
        l->lines[i].part = l->lines[l->lines[i].part].part;
        i = l->lines[i].part;
    }
    return i;
}

/* Join lines that touch, corners included, into parts. Afterwards 'part' is the first line of each part. */
static void find_parts(struct lines *l)
{
    size_t above = 0;

    for (size_t i = 0; i < l->count; i++) {
        const struct line *own = &l->lines[i];

        while (above < i && ((u64)l->lines[above].v + 1 < own->v ||
                             ((u64)l->lines[above].v + 1 == own->v && l->lines[above].end < own->u)))
            above++;
        for (size_t k = above; k < i && (u64)l->lines[k].v + 1 == own->v && l->lines[k].u <= own->end; k++) {
            const u32 a = find_part(l, (u32)k), b = find_part(l, (u32)i);

            if (a < b)
                l->lines[b].part = a;
            else
                l->lines[a].part = b;
        }
    }
    for (size_t i = 0; i < l->count; i++)
        l->lines[i].part = find_part(l, (u32)i);
}

/* Orders lines by part. */
static int by_part(const void *a, const void *b)
{
    const struct line *one = a, *other = b;

    if (one->part != other->part)
        return one->part < other->part ? -1 : 1;
    if (one->v != other->v)
        return one->v < other->v ? -1 : 1;
    return one->u < other->u ? -1 : one->u > other->u;
}

/* A part's pixels: squared distances over its bounding box, u fastest, 0 outside the part. */
struct image {
    float *values;
    u32 u_start, v_start, width, height;
};

static crackle_status draw(const struct line *lines, size_t count, const double *edges, struct image *image)
{
    u32 u_end = 0, v_end = lines[count - 1].v + 1;
    struct ck_envelope envelope;
    float *column;

    image->u_start = UINT32_MAX;
    image->v_start = lines[0].v;
    for (size_t i = 0; i < count; i++) {
        image->u_start = lines[i].u < image->u_start ? lines[i].u : image->u_start;
        u_end = lines[i].end > u_end ? lines[i].end : u_end;
    }
    image->width = u_end - image->u_start;
    image->height = v_end - image->v_start;
    image->values = ck_calloc((u64)image->width * image->height, sizeof(float));
    column = ck_malloc(image->height, sizeof(*column));
    if (!ck_envelope_init(&envelope, image->height) || !image->values || !column) {
        ck_envelope_free(&envelope);
        free(image->values);
        free(column);
        return CRACKLE_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        const struct line *l = &lines[i];
        float *row = image->values + (size_t)(l->v - image->v_start) * image->width + (l->u - image->u_start);

        for (u32 k = 0, n = l->end - l->u; k < n; k++) {
            const double away = (k + 1 < n - k ? k + 1 : n - k) * edges[0];

            row[k] = (float)(away * away);
        }
    }
    for (u32 u = 0; u < image->width; u++) {
        for (u32 v = 0, begin; v < image->height; v++) {
            for (begin = v; v < image->height && image->values[(size_t)v * image->width + u] > 0; v++)
                column[v - begin] = image->values[(size_t)v * image->width + u];
            if (v > begin)
                ck_lower_envelope(column, v - begin, edges[1], 1, 1, &envelope);
            for (u32 k = begin; k < v; k++)
                image->values[(size_t)k * image->width + u] = column[k - begin];
        }
    }
    ck_envelope_free(&envelope);
    free(column);
    return CRACKLE_OK;
}

/* What tells pixels of equal distance apart, in this order. */
struct rank {
    double centroid, centre, corner, edge;
};

static double distance2(double du, double dv, const double *edges)
{
    return du * du * edges[0] * edges[0] + dv * dv * edges[1] * edges[1];
}

/* Round the mean to a pixel, towards the centre of the face: both directions of an axis then give the same pixel. */
static double towards_centre(double sum, double count, double centre)
{
    const double mean = sum / count;

    return mean < centre ? ceil(mean) : floor(mean);
}

static struct rank rank_of(u32 u, u32 v, const double *centroid, const u32 *size, const double *edges)
{
    const double u_last = size[0] - 1.0, v_last = size[1] - 1.0;
    const double u_near = u < u_last - u ? u : u_last - u, v_near = v < v_last - v ? v : v_last - v;
    struct rank r;

    r.centroid = distance2(u - centroid[0], v - centroid[1], edges);
    r.centre = distance2(u - u_last / 2, v - v_last / 2, edges);
    r.corner = distance2(u_near, v_near, edges);
    r.edge = u_near * edges[0] < v_near * edges[1] ? u_near * edges[0] : v_near * edges[1];
    return r;
}

static int is_before(const struct rank *a, const struct rank *b)
{
    if (a->centroid != b->centroid)
        return a->centroid < b->centroid;
    if (a->centre != b->centre)
        return a->centre < b->centre;
    if (a->corner != b->corner)
        return a->corner < b->corner;
    return a->edge < b->edge;
}

/* The target of a part. */
static crackle_status choose(const struct line *lines, size_t count, const u32 *size, const double *edges, u32 *u_ret,
                             u32 *v_ret)
{
    double sum_u = 0, sum_v = 0, num = 0, centroid[2];
    struct rank best = {0, 0, 0, 0};
    struct image image;
    float farthest = 0;
    crackle_status status;

    for (size_t i = 0; i < count; i++) {
        const double n = lines[i].end - lines[i].u;

        num += n;
        sum_u += n * (lines[i].u + lines[i].end - 1.0) / 2;
        sum_v += n * lines[i].v;
    }
    centroid[0] = towards_centre(sum_u, num, (size[0] - 1.0) / 2);
    centroid[1] = towards_centre(sum_v, num, (size[1] - 1.0) / 2);
    status = draw(lines, count, edges, &image);
    if (status != CRACKLE_OK)
        return status;
    for (u32 v = 0; v < image.height; v++) {
        for (u32 u = 0; u < image.width; u++) {
            const float value = image.values[(size_t)v * image.width + u];
            struct rank rank;

            if (value == 0 || value < farthest)
                continue;
            rank = rank_of(image.u_start + u, image.v_start + v, centroid, size, edges);
            if (value > farthest || is_before(&rank, &best)) {
                farthest = value;
                best = rank;
                *u_ret = image.u_start + u;
                *v_ret = image.v_start + v;
            }
        }
    }
    free(image.values);
    return CRACKLE_OK;
}

static crackle_status targets_of_face(const struct ck_run *runs, u64 num_runs, const struct face *f, const u32 *size,
                                      const double *voxel_size, struct lines *l, struct targets *to)
{
    const u32 face_size[2] = {size[f->u], size[f->v]};
    const double edges[2] = {voxel_size[f->u], voxel_size[f->v]};

    if (!find_lines(runs, num_runs, f, l))
        return CRACKLE_NO_MEMORY;
    if (l->count == 0)
        return CRACKLE_OK;
    find_parts(l);
    qsort(l->lines, l->count, sizeof(*l->lines), by_part);
    for (size_t begin = 0, end; begin < l->count; begin = end) {
        void *points = to->points;
        u32 *point;
        crackle_status status;

        for (end = begin + 1; end < l->count && l->lines[end].part == l->lines[begin].part;)
            end++;
        if (!ck_reserve(&points, &to->capacity, ((u64)to->count + 1) * 3, sizeof(u32)))
            return CRACKLE_NO_MEMORY;
        to->points = points;
        point = to->points + 3 * to->count;
        point[f->normal] = f->at;
        status = choose(l->lines + begin, end - begin, face_size, edges, &point[f->u], &point[f->v]);
        if (status != CRACKLE_OK)
            return status;
        to->count++;
    }
    return CRACKLE_OK;
}

/* Orders points by z, then y, then x. */
static int by_place(const void *a, const void *b)
{
    const u32 *one = a, *other = b;

    for (int axis = 2; axis >= 0; axis--)
        if (one[axis] != other[axis])
            return one[axis] < other[axis] ? -1 : 1;
    return 0;
}

static void sort_targets(struct targets *t)
{
    size_t kept = 0;

    if (t->count == 0)
        return;
    qsort(t->points, t->count, 3 * sizeof(u32), by_place);
    for (size_t i = 0; i < t->count; i++)
        if (i == 0 || by_place(t->points + 3 * i, t->points + 3 * (kept - 1)) != 0)
            memmove(t->points + 3 * kept++, t->points + 3 * i, 3 * sizeof(u32));
    t->count = kept;
}

crackle_status ck_border_targets(const struct ck_run *runs, u64 num_runs, const u32 *size, const double *voxel_size,
                                 unsigned int faces, u32 **targets, u64 *count)
{
    static const unsigned int in_plane[3][2] = {{1, 2}, {0, 2}, {0, 1}};
    struct lines lines = {NULL, 0, 0};
    struct targets found = {NULL, 0, 0};
    crackle_status status = CRACKLE_OK;

    for (unsigned int i = 0; status == CRACKLE_OK && i < 6; i++) {
        const unsigned int normal = i / 2;
        struct face f = {in_plane[normal][0], in_plane[normal][1], normal, 0};

        if (!(faces >> i & 1))
            continue;
        f.at = i % 2 ? size[normal] - 1 : 0;
        status = targets_of_face(runs, num_runs, &f, size, voxel_size, &lines, &found);
    }
    sort_targets(&found);
    free(lines.lines);
    *targets = found.points;
    *count = found.count;
    return status;
}
