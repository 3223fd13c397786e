/*
 * distance.c - the exact Euclidean distance of every voxel of an object to the nearest voxel outside
 *
 * Distances go from centre to centre, in physical units.  All voxels of the volume that are not of the object are
 * outside.  The faces of the volume are not: the object is taken to go on there, unless 'is_bounded'.
 *
 * The squared distance is separable: along x it is known from the runs; along y, then z, each column of voxels is the
 * lower envelope of parabolas, one for each voxel (Felzenszwalb and Huttenlocher, Distance Transforms of Sampled
 * Functions, 2012).  Outside voxels have the value 0, so a column ends there: what lies beyond is farther.  Hence
 * columns are followed from place to place, and nothing but the object's own voxels is visited.
 *
 * Columns are fetched eight at a time: their places lie side by side, and the processor waits for all at once.
 *
 * Cost: linear in the voxels.  Memory: eight columns, beyond the fields.
 */
#include "fields.h"

#define LANES 8

/* A column of voxels along y or z. */
struct column {
    u32 *places;
    float *values;   /* squared distances */
    u32 length;
    u32 next;
};

struct columns {
    struct column lanes[LANES];
    struct ck_envelope envelope;
    u32 *places;     /* of all lanes */
    float *values;
};

int ck_envelope_init(struct ck_envelope *e, u64 length)
{
    length += 2; /* an outside voxel at either end */
    e->sites = ck_malloc(length, 3 * sizeof(*e->sites));
    if (!e->sites)
        return 0;
    e->heights = e->sites + length;
    e->begins = e->heights + length;
    return 1;
}

void ck_envelope_free(struct ck_envelope *e)
{
    free(e->sites);
}

static void free_columns(struct columns *c)
{
    ck_envelope_free(&c->envelope);
    free(c->places);
    free(c->values);
}

static int init_columns(struct columns *c, u64 length)
{
    c->places = ck_malloc(length, LANES * sizeof(*c->places));
    c->values = ck_malloc(length, LANES * sizeof(*c->values));
    if (!ck_envelope_init(&c->envelope, length) || !c->places || !c->values) {
        free_columns(c);
        return 0;
    }
    for (size_t i = 0; i < LANES; i++) {
        c->lanes[i].places = c->places + i * length;
        c->lanes[i].values = c->values + i * length;
    }
    return 1;
}

static float squared(double length)
{
    return (float)(length * length);
}

/* Whether the step in a direction is a boundary of its own. */
static inline int is_barred(const struct ck_fields *f, u32 place, u32 direction)
{
    return f->graph && !(f->graph[place] >> direction & 1);
}

/* The distance from a place at the end of a line to the boundary there, in voxels; 0 if there is none. */
static inline double to_boundary(const struct ck_fields *f, u32 place, u32 direction, int is_inside)
{
    return is_barred(f, place, direction) ? 0.5 : is_inside ? 1 : 0;
}

/* Squared distances along x. */
static void along_x(const struct ck_places *p, struct ck_fields *f, u32 sx, int is_bounded, double edge)
{
    for (u64 i = 0; i < p->num_runs; i++) {
        const struct ck_run *r = &p->runs[i];
        const u32 length = r->end - r->x, place = p->run_place[i];

        for (u32 begin = 0, end; begin < length; begin = end) {
            double left, right;

            for (end = begin + 1; end < length && !is_barred(f, place + end - 1, CK_DIRECTION_AFTER_X);)
                end += f->graph ? 1 : length - end;
            left = to_boundary(f, place + begin, CK_DIRECTION_BEFORE_X, begin > 0 || r->x > 0 || is_bounded);
            right = to_boundary(f, place + end - 1, CK_DIRECTION_AFTER_X, end < length || r->end < sx || is_bounded);
            for (u32 k = begin; k < end; k++) {
                const double from_left = left > 0 ? left + (k - begin) : INFINITY;
                const double from_right = right > 0 ? right + (end - 1 - k) : INFINITY;
                const double nearest = from_left < from_right ? from_left : from_right;

                f->geodesic[place + k] = squared(nearest * edge);
            }
        }
    }
}

/* Where the parabola at 'b' becomes lower than that at 'a', which lies before. */
static inline double crossing(double a, double height_a, double b, double height_b)
{
    return ((height_b - height_a) / (b - a) + (b + a)) * 0.5;
}

void ck_lower_envelope(float *values, u32 length, double edge, double before, double behind,
                       struct ck_envelope *scratch)
{
    double *const sites = scratch->sites, *const heights = scratch->heights, *const begins = scratch->begins;
    const double unit = 1 / (edge * edge);
    u32 count = 0, at = 0;

    for (u32 i = before > 0 ? 0 : 1; i <= length + (behind > 0 ? 1u : 0u); i++) {
        const int is_end = i == 0 || i == length + 1;
        const double height = is_end ? 0 : values[i - 1] * unit;
        const double site = i == 0 ? 1 - before : i == length + 1 ? length + behind : i;
        double begin = -1;

        if (!(height < INFINITY))
            continue;
        while (count > 0) {
            begin = crossing(sites[count - 1], heights[count - 1], site, height);
            if (begin > begins[count - 1])
                break;
            count--;
        }
        sites[count] = site;
        heights[count] = height;
        begins[count] = count == 0 ? -INFINITY : begin;
        count++;
    }
    if (count == 0)
        return;
    for (u32 i = 1; i <= length; i++) {
        double away;

        while (at + 1 < count && begins[at + 1] < i)
            at++;
        away = i - sites[at];
        values[i - 1] = (float)((away * away + heights[at]) * edge * edge);
    }
}

/* Fetch the columns that begin at 'num' places, following row 'after'. */
static void fetch(const struct ck_places *p, const struct ck_fields *f, struct columns *c, u32 num, u32 after)
{
    u32 active = num;

    while (active) {
        active = 0;
        for (u32 i = 0; i < num; i++) {
            struct column *l = &c->lanes[i];
            const struct ck_segment *s;
            const u32 place = l->next;

            if (place == 0) /* is never a voxel's */
                continue;
            l->places[l->length] = place;
            l->values[l->length++] = f->geodesic[place];
            s = ck_segment_of(p, f, place);
            l->next = s->rows >> after & 1 ? ck_beside(s, after, place) : 0;
            if (l->next && (f->geodesic[l->next] < 0 || is_barred(f, place, ck_row_direction(after))))
                l->next = 0;
            active += l->next != 0;
        }
    }
}

/* One pass, along y or z: 'axis' is 1 or 2. The squared distances are in 'f->geodesic'. */
static crackle_status along(const struct ck_places *p, const struct ck_fields *f, struct columns *c, unsigned int axis,
                            u32 size, int is_bounded, double edge, const volatile int32_t *stop)
{
    const u32 before = axis == 1 ? CK_ROW_BEFORE_Y : CK_ROW_BEFORE_Z;
    const u32 after = axis == 1 ? CK_ROW_AFTER_Y : CK_ROW_AFTER_Z;

    for (u32 i = 0; i < p->num_segments; i++) {
        const struct ck_segment *s = &p->segments[i];
        const int has_row = s->rows >> before & 1;
        const u32 first = axis == 1 ? s->y : s->z;

        if (i % 4096 == 0 && ck_is_set(stop))
            return CRACKLE_STOPPED;
        for (u32 place = s->place, end = s->place + s->length; place < end;) {
            u32 num = 0;

            for (; place < end && num < LANES; place++) {
                if (f->geodesic[place] < 0 || (has_row && f->geodesic[ck_beside(s, before, place)] >= 0 &&
                                               !is_barred(f, place, ck_row_direction(before))))
                    continue;
                c->lanes[num].next = place;
                c->lanes[num++].length = 0;
            }
            fetch(p, f, c, num, after);
            for (u32 k = 0; k < num; k++) {
                const struct column *l = &c->lanes[k];
                const u32 last = l->places[l->length - 1];
                const int goes_on = (u64)first + l->length < size || is_bounded;

                ck_lower_envelope(l->values, l->length, edge,
                                  to_boundary(f, l->places[0], ck_row_direction(before), first > 0 || is_bounded),
                                  to_boundary(f, last, ck_row_direction(after), goes_on), &c->envelope);
                for (u32 n = 0; n < l->length; n++)
                    f->geodesic[l->places[n]] = l->values[n];
            }
        }
    }
    return CRACKLE_OK;
}

crackle_status ck_distance_field(const struct ck_places *p, struct ck_fields *f, const u32 *size, int is_bounded,
                                 const double *voxel_size, const volatile int32_t *stop)
{
    const u32 height = p->stop[1] - p->start[1], depth = p->stop[2] - p->start[2];
    struct columns columns;
    crackle_status status;

    if (!init_columns(&columns, height > depth ? height : depth))
        return CRACKLE_NO_MEMORY;
    for (u32 i = 0; i < p->count; i++)
        f->geodesic[i] = -1;
    along_x(p, f, size[0], is_bounded, voxel_size[0]);
    status = along(p, f, &columns, 1, size[1], is_bounded, voxel_size[1], stop);
    if (status == CRACKLE_OK)
        status = along(p, f, &columns, 2, size[2], is_bounded, voxel_size[2], stop);
    free_columns(&columns);
    for (u32 i = 0; status == CRACKLE_OK && i < p->count; i++)
        f->states[i].radius = f->geodesic[i] < 0 ? 0 : sqrtf(f->geodesic[i]);
    return status;
}
