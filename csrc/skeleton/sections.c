/*
 * sections.c - the areas of plane sections through an object
 *
 * A plane through the centre of a voxel cuts some voxels of the object.  Those that are connected with that voxel (26
 * neighbours, among voxels that are cut) make up the section; others belong to another branch that the plane meets too.
 *
 * The section of one voxel is a polygon.  Its area is the derivative of the volume below the plane, which for a box with
 * half edges h and a plane with the unit normal n, at distance d from the centre, is a sum over the box's corners s:
 *
 *   area = sum of s1 s2 s3 * max(0, d + s1 n1 h1 + s2 n2 h2 + s3 n3 h3)^2 / (2 n1 n2 n3)
 *
 * (Cabrelli and others: box splines; the plane may lie anywhere.)  Where the plane is parallel to an axis, that axis falls
 * out of the sum, and its edge becomes a factor.
 *
 * Cost: linear in the voxels cut.
 */
#include "../crackle.h"
#include "tracer.h"

/* Components of a unit normal below this are taken for 0. */
#define PARALLEL 1e-6

struct plane {
    double normal[3];   /* of length 1 */
    double weight[3];   /* normal * half edge, not negative */
    double edge[3];
    double reach;       /* the largest distance of the centre of a voxel that is cut */
};

static void set_plane(struct plane *p, const float *normal, const double *voxel_size)
{
    double length = 0;

    for (int axis = 0; axis < 3; axis++)
        length += (double)normal[axis] * normal[axis];
    length = sqrt(length);
    p->reach = 0;
    for (int axis = 0; axis < 3; axis++) {
        p->normal[axis] = normal[axis] / length;
        p->edge[axis] = voxel_size[axis];
        if (fabs(p->normal[axis]) < PARALLEL)
            p->normal[axis] = 0;
        p->weight[axis] = fabs(p->normal[axis]) * voxel_size[axis] / 2;
        p->reach += p->weight[axis];
    }
}

/* The area of the section of a voxel, the centre of which is at distance d from the plane. */
static double area_of(const struct plane *p, double d)
{
    double factor = 1, sum = 0;
    int axes[3], count = 0;

    if (!(d >= -p->reach && d < p->reach)) /* a plane between two voxels belongs to one of them */
        return 0;
    for (int axis = 0; axis < 3; axis++) {
        if (p->normal[axis] == 0)
            factor *= p->edge[axis];
        else
            axes[count++] = axis;
    }
    for (int corner = 0; corner < 1 << count; corner++) {
        double at = d;
        int sign = 1;

        for (int i = 0; i < count; i++) {
            const int is_low = corner >> i & 1;

            at += is_low ? -p->weight[axes[i]] : p->weight[axes[i]];
            sign = is_low ? -sign : sign;
        }
        if (at > 0)
            sum += sign * (count == 3 ? at * at : count == 2 ? at : 1);
    }
    for (int i = 0; i < count; i++)
        factor /= fabs(p->normal[axes[i]]);
    return sum * factor / (count == 3 ? 2 : 1);
}

struct section {
    struct crackle_tracer *t;
    u32 *stamp;         /* per place: the number of the last section that came there */
    struct ck_list todo;
    u32 size[3];
};

static double distance_to(const struct section *s, const struct plane *p, const u32 *from, u32 place)
{
    u32 point[3];
    double d = 0;

    ck_locate(s->t, place, point);
    for (int axis = 0; axis < 3; axis++)
        d += p->normal[axis] * (((double)point[axis] - from[axis]) * p->edge[axis]);
    return d;
}

static u8 contacts_of(const struct section *s, u32 place)
{
    u8 bits = 0;
    u32 point[3];

    ck_locate(s->t, place, point);
    for (int axis = 0; axis < 3; axis++) {
        bits |= (u8)((point[axis] == 0) << (2 * axis));
        bits |= (u8)((point[axis] == s->size[axis] - 1) << (2 * axis + 1));
    }
    return bits;
}

/* Measure one section, number 'number' from 1 on. */
static crackle_status measure_section(struct section *s, u32 number, u32 place, const struct plane *p, float *area,
                                      u8 *contacts)
{
    const struct crackle_tracer *t = s->t;
    double sum = 0;
    u32 from[3];

    ck_locate(t, place, from);
    s->todo.count = 0;
    s->stamp[place] = number;
    *contacts = 0;
    if (!ck_list_add(&s->todo, place))
        return CRACKLE_NO_MEMORY;
    while (s->todo.count) {
        const u32 at = s->todo.places[--s->todo.count];
        const struct ck_segment *segment = ck_segment_of(&t->places, &t->fields, at);
        int ok = 1;

        sum += area_of(p, distance_to(s, p, from, at));
        *contacts |= contacts_of(s, at);
#define VISIT(to, direction)                                                                       \
    do {                                                                                           \
        const u32 to_ = (to);                                                                      \
                                                                                                   \
        (void)(direction);                                                                         \
        if (t->fields.states[to_].radius > 0 && s->stamp[to_] != number) {                         \
            s->stamp[to_] = number;                                                                \
            if (area_of(p, distance_to(s, p, from, to_)) > 0)                                      \
                ok &= ck_list_add(&s->todo, to_);                                                  \
        }                                                                                          \
    } while (0)
        CK_FOR_NEIGHBOURS(segment, at, 0, 0, VISIT);
#undef VISIT
        if (!ok)
            return CRACKLE_NO_MEMORY;
    }
    *area = (float)sum;
    return CRACKLE_OK;
}

crackle_status crackle_sections(crackle_tracer *tracer, const crackle_runs *runs, uint64_t object,
                                const struct crackle_teasar *parameters, const uint32_t *vertices,
                                const float *normals, uint64_t count, const volatile int32_t *stop, float *areas,
                                uint8_t *contacts)
{
    struct section s;
    struct ck_job j;
    crackle_status status = ck_begin_job(&j, tracer, runs, object, parameters, stop);

    if (status != CRACKLE_OK)
        return status;
    if (count >= UINT32_MAX)
        return CRACKLE_TOO_LARGE;
    memset(areas, 0, (size_t)count * sizeof(*areas));
    memset(contacts, 0, (size_t)count);
    if (count == 0 || runs->begin[object] == runs->begin[object + 1])
        return CRACKLE_OK;
    memset(&s, 0, sizeof(s));
    s.t = tracer;
    memcpy(s.size, j.size, sizeof(s.size));
    status = ck_number(&j, runs->runs + runs->begin[object], runs->begin[object + 1] - runs->begin[object]);
    if (status == CRACKLE_OK) {
        s.stamp = ck_calloc(tracer->places.count, sizeof(*s.stamp));
        status = s.stamp ? CRACKLE_OK : CRACKLE_NO_MEMORY;
    }
    for (u64 i = 0; status == CRACKLE_OK && i < count; i++) {
        const u32 *v = vertices + 3 * i;
        const float *n = normals + 3 * i;
        struct plane plane;
        u32 place;

        if (i % 64 == 0 && ck_is_set(stop))
            status = CRACKLE_STOPPED;
        if (status != CRACKLE_OK || !ck_place_of(&tracer->places, v[0], v[1], v[2], &place) ||
            (n[0] == 0 && n[1] == 0 && n[2] == 0))
            continue;
        set_plane(&plane, n, parameters->voxel_size);
        status = measure_section(&s, (u32)i + 1, place, &plane, &areas[i], &contacts[i]);
    }
    free(s.stamp);
    free(s.todo.places);
    ck_end_job(&j);
    return status;
}
