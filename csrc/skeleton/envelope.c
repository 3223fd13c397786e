/* envelope.c - the lower envelope of parabolas; see envelope.h */
#include "envelope.h"

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
