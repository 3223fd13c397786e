/*
 * distance.c - the exact Euclidean distance of every voxel of an object to the nearest voxel outside
 *
 * Distances go from centre to centre, in physical units.  All voxels of the volume that are not of the object are
 * outside.  The faces of the volume are not: the object is taken to go on there, unless 'is_bounded'.
 *
 * The squared distance is separable: along x it is known from the runs; along y, then z, a voxel gets the least of
 *
 *   value of another voxel in its column + (distance to that voxel) ** 2
 *
 * Voxels outside have the value 0, so nothing behind the first of them counts.  Objects are thin: the least is found a
 * few voxels away, and it is quickest to look at all of these.  So a plane of the object, (x, y) for the pass along y and
 * (x, z) for that along z, is cut into strips of eight columns; the rows of a strip are copied side by side, zeros where
 * the object is not; and eight columns are looked at together, with vector instructions, up to the distance of what has
 * been found.  Where that is more than WINDOW voxels, the lower envelope of parabolas takes over: it costs the same for
 * any distance.  It does so, too, where a graph puts boundaries between voxels.
 *
 * Cost: linear in the voxels.  Memory: a strip as long as the object, and 4 bytes a run.
 */
#include "eight.h"
#include "envelope.h"
#include "fields.h"

#define LANES CK_EIGHT
#define WINDOW 64

/* What a run has in a strip. */
struct piece {
    u32 row;             /* along the axis of the pass */
    u32 place;           /* of its first voxel */
    u32 lane, length;
};

/* One pass, along y or z. */
struct pass {
    const struct ck_places *places;
    struct ck_fields *fields;
    double edge;
    u32 size;            /* of the volume along the axis */
    u32 before, after;   /* directions along the axis */
    int is_bounded, is_last;
    float radius2;       /* the largest squared distance */

    struct piece *pieces;
    size_t capacity;
    u32 *counts;         /* of pieces by strip; then where they end */

    /* A strip: row 0 and the row behind the last are outside. */
    float *values, *least, *line, *squares;
    u32 *strip_places;
    struct ck_envelope envelope;
};

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

/* ------------------------------- One strip --------------------------------- */

/* The least over all rows, by looking at those near by. False if that is too far. */
static int look_around(const struct pass *s, u32 rows)
{
    for (u32 i = 1; i <= rows; i++) {
        const float *const at = s->values + (size_t)i * LANES;
        const u32 above = rows + 1 - i, both = i < above ? i : above, most = i < above ? above : i;
        const ptrdiff_t longer = i < above ? LANES : -LANES;
        struct ck_eight least = ck_eight_load(at);
        u32 d = 1;

        for (; d <= both && ck_eight_above(least, s->squares[d]); d++) {
            if (d > WINDOW)
                return 0;
            least = ck_eight_lower(least, at - (size_t)d * LANES, s->squares[d]);
            least = ck_eight_lower(least, at + (size_t)d * LANES, s->squares[d]);
        }
        for (; d <= most && ck_eight_above(least, s->squares[d]); d++) {
            if (d > WINDOW)
                return 0;
            least = ck_eight_lower(least, at + (ptrdiff_t)d * longer, s->squares[d]);
        }
        ck_eight_store(least, s->least + (size_t)i * LANES);
    }
    return 1;
}

/* The same by lower envelopes, column by column; 'before' and 'behind': whether the volume goes on at the ends. */
static void by_envelopes(struct pass *s, u32 rows, int before, int behind)
{
    for (u32 lane = 0; lane < LANES; lane++) {
        for (u32 begin = 1, end; begin <= rows; begin = end) {
            u32 place = s->strip_places[(size_t)begin * LANES + lane];
            double from, to;

            end = begin + 1;
            if (place == 0)
                continue;
            from = to_boundary(s->fields, place, s->before, begin > 1 || before);
            s->line[0] = s->values[(size_t)begin * LANES + lane];
            while (end <= rows && s->strip_places[(size_t)end * LANES + lane] && !is_barred(s->fields, place, s->after)) {
                place = s->strip_places[(size_t)end * LANES + lane];
                s->line[end - begin] = s->values[(size_t)end * LANES + lane];
                end++;
            }
            to = to_boundary(s->fields, place, s->after, end <= rows || behind);
            ck_lower_envelope(s->line, end - begin, s->edge, from, to, &s->envelope);
            for (u32 i = begin; i < end; i++)
                s->least[(size_t)i * LANES + lane] = s->line[i - begin];
        }
    }
}

/* Lower the values of the rows 1 to 'rows' of the strip, the first of which is 'first' in the volume. */
static void lower_strip(struct pass *s, u32 first, u32 rows)
{
    const int before = first > 0 || s->is_bounded, behind = (u64)first + rows < s->size || s->is_bounded;

    for (int k = 0; k < LANES; k++) {
        s->values[k] = before ? 0 : INFINITY;
        s->values[(size_t)(rows + 1) * LANES + (size_t)k] = behind ? 0 : INFINITY;
    }
    if (s->fields->graph || !look_around(s, rows))
        by_envelopes(s, rows, before, behind);
    for (size_t i = LANES; i < ((size_t)rows + 1) * LANES; i++) {
        const u32 place = s->strip_places[i];

        if (place == 0)
            continue;
        if (s->is_last) {
            s->radius2 = s->least[i] > s->radius2 ? s->least[i] : s->radius2;
            s->fields->states[place].radius = sqrtf(s->least[i]);
        } else {
            s->fields->geodesic[place] = s->least[i];
        }
    }
}

/* Lower the values of the pieces of one strip, which are sorted by row. */
static void lower_pieces(struct pass *s, const struct piece *pieces, size_t count)
{
    u32 first = 0, rows = 0;

    for (size_t i = 0; i < count; i++) {
        const struct piece *p = &pieces[i];

        if (rows && p->row > first + rows) { /* a row without a voxel */
            lower_strip(s, first, rows);
            rows = 0;
        }
        if (rows == 0)
            first = p->row;
        if (p->row == first + rows) {
            rows++;
            memset(s->values + (size_t)rows * LANES, 0, LANES * sizeof(*s->values));
            memset(s->strip_places + (size_t)rows * LANES, 0, LANES * sizeof(*s->strip_places));
        }
        for (u32 k = 0; k < p->length; k++) {
            s->values[(size_t)rows * LANES + p->lane + k] = s->fields->geodesic[p->place + k];
            s->strip_places[(size_t)rows * LANES + p->lane + k] = p->place + k; /* 0 is never a voxel's */
        }
    }
    if (rows)
        lower_strip(s, first, rows);
}

/* ------------------------------ Planes, passes ----------------------------- */

/* One plane, whose runs are those of 'order', or 'begin' and those after it. They are sorted by row. */
static int lower_plane(struct pass *s, const u32 *order, u64 begin, u64 count)
{
    const struct ck_places *const p = s->places;
    u32 lowest = UINT32_MAX, highest = 0, ends = 0;
    void *pieces = s->pieces;
    u64 num_pieces = 0;

    for (u64 i = 0; i < count; i++) {
        const struct ck_run *r = &p->runs[order ? order[begin + i] : begin + i];
        const u32 from = (r->x - p->start[0]) / LANES, to = (r->end - 1 - p->start[0]) / LANES;

        lowest = from < lowest ? from : lowest;
        highest = to > highest ? to : highest;
        num_pieces += to - from + 1;
        for (u32 strip = from; strip <= to; strip++)
            s->counts[strip]++;
    }
    if (num_pieces > UINT32_MAX || !ck_reserve(&pieces, &s->capacity, num_pieces, sizeof(*s->pieces)))
        return 0;
    s->pieces = pieces;
    for (u32 strip = lowest; strip <= highest; strip++) {
        const u32 num = s->counts[strip];

        s->counts[strip] = ends;
        ends += num;
    }
    for (u64 i = 0; i < count; i++) {
        const u64 run = order ? order[begin + i] : begin + i;
        const struct ck_run *r = &p->runs[run];

        for (u32 x = r->x, end; x < r->end; x = end) {
            const u32 column = x - p->start[0], room = LANES - column % LANES;
            struct piece *piece = &s->pieces[s->counts[column / LANES]++];

            end = r->end - x < room ? r->end : x + room;
            piece->row = s->before == CK_DIRECTION_BEFORE_Y ? r->y : r->z;
            piece->place = p->run_place[run] + (x - r->x);
            piece->lane = column % LANES;
            piece->length = end - x;
        }
    }
    for (u32 strip = lowest, from = 0; strip <= highest; strip++) {
        lower_pieces(s, s->pieces + from, s->counts[strip] - from);
        from = s->counts[strip];
        s->counts[strip] = 0;
    }
    return 1;
}

/* Runs in the order y, z, x: a counting sort, as they are sorted by z, y, x. */
static u32 *order_by_y(const struct ck_places *p)
{
    const u32 height = p->stop[1] - p->start[1];
    u32 *order = ck_malloc(p->num_runs, sizeof(*order)), *next = ck_calloc((u64)height + 1, sizeof(*next));

    if (order && next) {
        for (u64 i = 0; i < p->num_runs; i++)
            next[p->runs[i].y - p->start[1] + 1]++;
        for (u32 y = 0; y < height; y++)
            next[y + 1] += next[y];
        for (u64 i = 0; i < p->num_runs; i++)
            order[next[p->runs[i].y - p->start[1]]++] = (u32)i;
    } else {
        free(order);
        order = NULL;
    }
    free(next);
    return order;
}

/* All planes of a pass; 'order' is NULL for the order of runs. */
static crackle_status lower_planes(struct pass *s, const u32 *order, const volatile int32_t *stop)
{
    const struct ck_places *const p = s->places;

    for (u64 begin = 0, end; begin < p->num_runs; begin = end) {
        const struct ck_run *first = &p->runs[order ? order[begin] : begin];

        if (ck_is_set(stop))
            return CRACKLE_STOPPED;
        for (end = begin + 1; end < p->num_runs; end++) {
            const struct ck_run *r = &p->runs[order ? order[end] : end];

            if (order ? r->y != first->y : r->z != first->z)
                break;
        }
        if (!lower_plane(s, order, begin, end - begin))
            return CRACKLE_NO_MEMORY;
    }
    return CRACKLE_OK;
}

static void free_pass(struct pass *s)
{
    free(s->pieces);
    free(s->counts);
    free(s->values);
    free(s->least);
    free(s->line);
    free(s->squares);
    free(s->strip_places);
    ck_envelope_free(&s->envelope);
}

/* Scratch for strips of up to 'length' rows. free_pass() may be called on failure too. */
static int init_pass(struct pass *s, u64 length)
{
    const u64 rows = length + 2;

    s->counts = ck_calloc((s->places->stop[0] - s->places->start[0] - 1) / LANES + 1, sizeof(*s->counts));
    s->values = ck_malloc(rows, LANES * sizeof(*s->values));
    s->least = ck_malloc(rows, LANES * sizeof(*s->least));
    s->strip_places = ck_malloc(rows, LANES * sizeof(*s->strip_places));
    s->line = ck_malloc(rows, sizeof(*s->line));
    s->squares = ck_malloc(rows, sizeof(*s->squares));
    return ck_envelope_init(&s->envelope, length) && s->counts && s->values && s->least && s->strip_places && s->line &&
           s->squares;
}

/* Begin a pass along y (axis 1) or z (axis 2). */
static void set_axis(struct pass *s, unsigned int axis, const u32 *size, const double *voxel_size)
{
    const u32 rows = s->places->stop[axis] - s->places->start[axis] + 2;

    s->edge = voxel_size[axis];
    s->size = size[axis];
    s->before = axis == 1 ? CK_DIRECTION_BEFORE_Y : CK_DIRECTION_BEFORE_Z;
    s->after = CK_OPPOSITE(s->before);
    s->is_last = axis == 2;
    for (u32 d = 0; d < rows; d++)
        s->squares[d] = squared(d * s->edge);
}

crackle_status ck_distance_field(const struct ck_places *p, struct ck_fields *f, const u32 *size, int is_bounded,
                                 const double *voxel_size, const volatile int32_t *stop, float *largest)
{
    const u32 height = p->stop[1] - p->start[1], depth = p->stop[2] - p->start[2];
    struct pass s = {0};
    crackle_status status;
    u32 *order;

    s.places = p;
    s.fields = f;
    s.is_bounded = is_bounded;
    if (!init_pass(&s, height > depth ? height : depth)) {
        free_pass(&s);
        return CRACKLE_NO_MEMORY;
    }
    along_x(p, f, size[0], is_bounded, voxel_size[0]);
    set_axis(&s, 1, size, voxel_size);
    status = lower_planes(&s, NULL, stop);
    order = status == CRACKLE_OK ? order_by_y(p) : NULL;
    if (status == CRACKLE_OK && !order)
        status = CRACKLE_NO_MEMORY;
    if (status == CRACKLE_OK) {
        set_axis(&s, 2, size, voxel_size);
        status = lower_planes(&s, order, stop);
    }
    free(order);
    free_pass(&s);
    *largest = sqrtf(s.radius2);
    return status;
}
