/*
 * sections.c - the areas of plane sections of an object
 *
 * A plane through a point cuts some of the object's voxels, which are boxes around their coordinates.  Those that are
 * connected with the voxel of the point, over 26 neighbours that the plane cuts too, are its section.  Its area is the
 * sum of the polygons in which the plane meets the boxes.
 *
 * The voxels of a row that a plane cuts are an interval, so a plane cuts at most one piece out of every run.  The flood
 * goes from piece to piece: where a plane is parallel to x, a whole run is one step.
 *
 * The area of a polygon has a closed form.  Let w be the extents of the box along the normal: |normal| times the edges,
 * axis by axis.  The volume of the box below the plane at distance t above its lowest corner is a cubic in t, piece by
 * piece, and the area is its derivative (Scardovelli, Zaleski: Analytical relations connecting linear interfaces and
 * volume fractions in rectangular grids, 2000).
 *
 * A plane that only touches a box does not cut it.  Where the plane lies between two layers of voxels, it cuts those that
 * its normal points to.
 *
 * Cost: linear in the voxels that are cut, times the logarithm of the runs of a slice per row.  Memory: 8 bytes per run.
 */
#include <math.h>

#include "../crackle.h"
#include "runs.h"

/* Relative to the extent of a voxel: closer is the same. */
#define SAME 1e-9
#define STOP_EVERY ((u32)1 << 14)

struct object {
    const struct ck_run *runs;
    u32 num_runs;
    u32 size[3];     /* of the volume */
    u32 z_start, z_stop;
    u32 *slice;      /* per slice from z_start on, and one behind: its first run */
    u32 *seen;       /* per run: the number of the last section that has it, from 1 on */
    u32 *waiting;    /* runs whose neighbours were not looked at yet */
};

struct plane {
    double point[3];       /* in voxels */
    double step[3];        /* the distance from the plane grows by this per voxel */
    double width[3];       /* extents of a box along the normal, ascending */
    double low, high;      /* voxels are cut if low <= distance of their centre < high */
    double extent;         /* of a box along the normal */
    double volume;         /* of a box */
};

/* The voxels [x, end) of a row that a plane cuts. */
struct cut {
    double x, end;
};

/* ------------------------------ Plane and box ------------------------------ */

static void sort_three(double *w)
{
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 2 - i; k++) {
            if (w[k] > w[k + 1]) {
                const double swapped = w[k];

                w[k] = w[k + 1];
                w[k + 1] = swapped;
            }
        }
    }
}

/* The plane through a point. False if the normal has no length, or a number is not finite. */
static int set_plane(struct plane *p, const double *voxel_size, const double *point, const double *normal)
{
    const double longest = fmax(fabs(normal[0]), fmax(fabs(normal[1]), fabs(normal[2])));
    double length = 0;

    for (int axis = 0; axis < 3; axis++)
        if (!isfinite(normal[axis]) || !isfinite(point[axis]))
            return 0;
    if (!(longest > 0))
        return 0;
    for (int axis = 0; axis < 3; axis++)
        length += normal[axis] / longest * (normal[axis] / longest);
    length = sqrt(length);
    p->extent = 0;
    p->volume = 1;
    for (int axis = 0; axis < 3; axis++) {
        p->point[axis] = point[axis];
        p->step[axis] = normal[axis] / longest / length * voxel_size[axis];
        p->width[axis] = fabs(p->step[axis]);
        p->extent += p->width[axis];
        p->volume *= voxel_size[axis];
    }
    /* Leave out the least slopes, which only let rounding choose between two layers. */
    for (int axis = 0; axis < 3; axis++)
        if (p->width[axis] < SAME * p->extent)
            p->step[axis] = p->width[axis] = 0;
    p->extent = p->width[0] + p->width[1] + p->width[2];
    sort_three(p->width);
    p->low = -p->extent / 2 * (1 - SAME);
    p->high = p->width[1] == 0 ? p->extent / 2 * (1 + SAME) : -p->low; /* parallel to a face, or not */
    return 1;
}

/* The area of the polygon in a box whose centre is at 'distance' from the plane. */
static double area_of(const struct plane *p, double distance)
{
    const double a = p->width[0], b = p->width[1], c = p->width[2];
    double t = p->extent / 2 - fabs(distance), area; /* above the lowest corner, or below the highest one */

    if (t < 0)
        t = 0;
    if (t < a)
        return p->volume * (t / a) * (t / b) / (2 * c);
    area = b > 0 && t < a + b ? (t - a / 2) / (b * c) : 1 / c;
    if (b > 0 && t < a + b) {
        if (t > b)
            area -= (t - b) / a * ((t - b) / b) / (2 * c);
        if (t > c)
            area -= (t - c) / a * ((t - c) / b) / (2 * c);
    }
    return p->volume * area;
}

static double distance_of(const struct plane *p, double x, double y, double z)
{
    return (x - p->point[0]) * p->step[0] + (y - p->point[1]) * p->step[1] + (z - p->point[2]) * p->step[2];
}

static struct cut cut_row(const struct plane *p, u32 y, u32 z)
{
    const double at_zero = distance_of(p, 0, y, z);
    struct cut cut = {0, UINT32_MAX};

    if (p->step[0] == 0) {
        if (!(at_zero >= p->low && at_zero < p->high))
            cut.end = 0;
    } else if (p->step[0] > 0) {
        cut.x = ceil((p->low - at_zero) / p->step[0]);
        cut.end = ceil((p->high - at_zero) / p->step[0]);
    } else {
        cut.x = floor((p->high - at_zero) / p->step[0]) + 1;
        cut.end = floor((p->low - at_zero) / p->step[0]) + 1;
    }
    return cut;
}

/* The part of a run that is cut. False if there is none. */
static int piece_of(const struct cut *cut, const struct ck_run *run, u32 *x, u32 *end)
{
    const double first = cut->x > run->x ? cut->x : run->x, last = cut->end < run->end ? cut->end : run->end;

    if (!(first < last))
        return 0;
    *x = (u32)first;
    *end = (u32)last;
    return 1;
}

/* --------------------------------- Flooding -------------------------------- */

/* The first run of row (y, z), of a slice of the object, that ends behind 'x'; it may be in a later row. */
static u32 first_run(const struct object *o, u32 y, u32 z, u32 x)
{
    u32 begin = o->slice[z - o->z_start], end = o->slice[z - o->z_start + 1];

    while (begin < end) {
        const u32 middle = begin + (end - begin) / 2;
        const struct ck_run *r = &o->runs[middle];

        if (r->y < y || (r->y == y && r->end <= x))
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

/* Add the pieces of row (y, z) that are neighbours of the piece [x, end) of a row beside it. */
static void visit_row(struct object *o, const struct plane *p, u32 y, u32 z, u32 x, u32 end, u32 number, u32 *count)
{
    const u32 behind = o->slice[z - o->z_start + 1];
    const struct cut cut = cut_row(p, y, z);

    for (u32 i = first_run(o, y, z, x ? x - 1 : 0); i < behind; i++) {
        const struct ck_run *r = &o->runs[i];
        u32 first, last;

        if (r->y != y || r->x > end)
            break;
        if (o->seen[i] == number || !piece_of(&cut, r, &first, &last) || first > end || last < x)
            continue;
        o->seen[i] = number;
        o->waiting[(*count)++] = i;
    }
}

static double measure(const struct object *o, const struct plane *p, u32 x, u32 end, const struct ck_run *run,
                      uint8_t *contacts)
{
    double area = 0;

    *contacts = (uint8_t)(*contacts | (x == 0) | (end == o->size[0]) << 1 | (run->y == 0) << 2 |
                          (run->y == o->size[1] - 1) << 3 | (run->z == 0) << 4 | (run->z == o->size[2] - 1) << 5);
    if (p->step[0] == 0)
        return area_of(p, distance_of(p, 0, run->y, run->z)) * (end - x);
    for (; x < end; x++)
        area += area_of(p, distance_of(p, x, run->y, run->z));
    return area;
}

/* The run of a point's voxel. False if it is not one of the object. */
static int find_voxel(const struct object *o, const double *point, u32 *run, u32 *x_ret)
{
    double voxel[3];

    for (int axis = 0; axis < 3; axis++) {
        voxel[axis] = floor(point[axis] + 0.5);
        if (!(voxel[axis] >= 0 && voxel[axis] < o->size[axis]))
            return 0;
    }
    if (voxel[2] < o->z_start || voxel[2] >= o->z_stop)
        return 0;
    *x_ret = (u32)voxel[0];
    *run = first_run(o, (u32)voxel[1], (u32)voxel[2], *x_ret);
    return *run < o->slice[(u32)voxel[2] - o->z_start + 1] && o->runs[*run].y == (u32)voxel[1] &&
           o->runs[*run].x <= *x_ret;
}

/* Begin at the run of the point's voxel. Between two layers, that may be the voxel before the one that is cut. */
static int begin_section(const struct object *o, const struct plane *p, u32 *run)
{
    u32 x, first, last;
    struct cut cut;
    double moved[3];

    if (!find_voxel(o, p->point, run, &x))
        return 0;
    cut = cut_row(p, o->runs[*run].y, o->runs[*run].z);
    if (piece_of(&cut, &o->runs[*run], &first, &last) && first <= x && x < last)
        return 1;
    for (int axis = 0; axis < 3; axis++)
        moved[axis] = p->point[axis] + (p->step[axis] > 0 ? 0.25 : p->step[axis] < 0 ? -0.25 : 0);
    if (!find_voxel(o, moved, run, &x))
        return 0;
    cut = cut_row(p, o->runs[*run].y, o->runs[*run].z);
    return piece_of(&cut, &o->runs[*run], &first, &last) && first <= x && x < last;
}

static crackle_status section(struct object *o, const struct plane *p, u32 number, const volatile int32_t *stop,
                              double *area, uint8_t *contacts)
{
    u32 count = 0, run, until_look = STOP_EVERY;

    if (!begin_section(o, p, &run))
        return CRACKLE_OK;
    o->seen[run] = number;
    o->waiting[count++] = run;
    while (count) {
        const struct ck_run *r = &o->runs[o->waiting[--count]];
        const struct cut cut = cut_row(p, r->y, r->z);

        u32 x = 0, end = 0;

        piece_of(&cut, r, &x, &end); /* it is one, or it would not wait */
        *area += measure(o, p, x, end, r, contacts);
        for (u32 z = r->z > o->z_start ? r->z - 1 : r->z; z <= r->z + 1 && z < o->z_stop; z++)
            for (u32 y = r->y ? r->y - 1 : 0; y <= r->y + 1 && y < o->size[1]; y++)
                if (y != r->y || z != r->z)
                    visit_row(o, p, y, z, x, end, number, &count);
        if (--until_look == 0) {
            if (ck_is_set(stop))
                return CRACKLE_STOPPED;
            until_look = STOP_EVERY;
        }
    }
    return CRACKLE_OK;
}

/* ---------------------------------- Object --------------------------------- */

static crackle_status open_object(struct object *o)
{
    o->z_start = o->runs[0].z;
    o->z_stop = o->runs[o->num_runs - 1].z + 1;
    o->slice = ck_calloc((u64)(o->z_stop - o->z_start) + 1, sizeof(*o->slice));
    o->seen = ck_calloc(o->num_runs, sizeof(*o->seen));
    o->waiting = ck_malloc(o->num_runs, sizeof(*o->waiting));
    if (!o->slice || !o->seen || !o->waiting)
        return CRACKLE_NO_MEMORY;
    for (u32 i = 0; i < o->num_runs; i++)
        o->slice[o->runs[i].z - o->z_start + 1]++;
    for (u32 z = 0; z < o->z_stop - o->z_start; z++)
        o->slice[z + 1] += o->slice[z];
    return CRACKLE_OK;
}

crackle_status crackle_sections(const crackle_runs *runs, uint64_t object, const double *voxel_size,
                                const double *points, const double *normals, uint64_t count,
                                const volatile int32_t *stop, double *areas, uint8_t *contacts)
{
    struct object o;
    crackle_status status;
    u64 num_runs;

    if (object >= runs->count)
        return CRACKLE_BAD_ARGUMENT;
    for (int axis = 0; axis < 3; axis++)
        if (!(voxel_size[axis] >= 1e-9 && voxel_size[axis] <= 1e9))
            return CRACKLE_BAD_ARGUMENT;
    num_runs = runs->begin[object + 1] - runs->begin[object];
    if (num_runs >= UINT32_MAX || count >= UINT32_MAX)
        return CRACKLE_TOO_LARGE;
    if (count) {
        memset(areas, 0, (size_t)count * sizeof(*areas));
        memset(contacts, 0, (size_t)count);
    }
    if (num_runs == 0)
        return CRACKLE_OK;
    memset(&o, 0, sizeof(o));
    o.runs = runs->runs + runs->begin[object];
    o.num_runs = (u32)num_runs;
    o.size[0] = runs->sx;
    o.size[1] = runs->sy;
    o.size[2] = runs->sz;
    status = open_object(&o);
    for (u64 i = 0; status == CRACKLE_OK && i < count; i++) {
        struct plane p;

        if (ck_is_set(stop))
            status = CRACKLE_STOPPED;
        else if (!set_plane(&p, voxel_size, points + 3 * i, normals + 3 * i))
            status = CRACKLE_BAD_ARGUMENT;
        else
            status = section(&o, &p, (u32)i + 1, stop, &areas[i], &contacts[i]);
    }
    free(o.slice);
    free(o.seen);
    free(o.waiting);
    return status;
}
