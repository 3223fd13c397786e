/*
 * test_sections.c - areas of sections, compared with clipped polygons and a flood over voxels; and the nearest seeds,
 * compared with distances that are lowered until none changes
 */
#include <math.h>

#include "check.h"
#include "crackle.h"

#define SIDE 9
#define VOXELS (SIDE * SIDE * SIDE)

static int at(int x, int y, int z)
{
    return x + SIDE * (y + SIDE * z);
}

static void fill_volume(uint8_t *volume, unsigned int percent)
{
    for (int i = 0; i < VOXELS; i++)
        volume[i] = random_number(100) < percent;
}

/* One object of all voxels that are set. */
static crackle_runs *runs_of(const uint8_t *volume, uint64_t *num_voxels)
{
    uint32_t runs[VOXELS * 4];
    uint64_t begin[2] = {0, 0};
    crackle_runs *made = NULL;

    *num_voxels = 0;
    for (int z = 0; z < SIDE; z++) {
        for (int y = 0; y < SIDE; y++) {
            for (int x = 0; x < SIDE; x++) {
                uint32_t *run = runs + 4 * begin[1];

                if (!volume[at(x, y, z)])
                    continue;
                ++*num_voxels;
                if (x > 0 && volume[at(x - 1, y, z)]) {
                    run[1 - 4]++;
                    continue;
                }
                run[0] = (uint32_t)x;
                run[1] = (uint32_t)x + 1;
                run[2] = (uint32_t)y;
                run[3] = (uint32_t)z;
                begin[1]++;
            }
        }
    }
    CHECK(crackle_runs_make(SIDE, SIDE, SIDE, runs, begin, 1, &made) == CRACKLE_OK);
    return made;
}

/* ---------------------------------- Areas ---------------------------------- */

/* The area of the polygon in which the plane meets a box: from its crossings with edges, sorted by angle. */
static double clipped(const double *centre, const double *edges, const double *normal)
{
    double points[12][3], angles[12], middle[3] = {0, 0, 0}, u[3], v[3], area = 0, length;
    int count = 0, least = 0;

    for (int i = 0; i < 8; i++) {
        for (int axis = 0; axis < 3; axis++) {
            double a[3], b[3], da = 0, db = 0;

            if (i >> axis & 1)
                continue;
            for (int k = 0; k < 3; k++) {
                a[k] = centre[k] + ((i >> k & 1) ? edges[k] : -edges[k]) / 2;
                b[k] = k == axis ? centre[k] + edges[k] / 2 : a[k];
                da += a[k] * normal[k];
                db += b[k] * normal[k];
            }
            if ((da < 0) == (db < 0))
                continue;
            for (int k = 0; k < 3; k++) {
                points[count][k] = a[k] + (b[k] - a[k]) * (da / (da - db));
                middle[k] += points[count][k];
            }
            count++;
        }
    }
    if (count < 3)
        return 0;
    for (int k = 0; k < 3; k++)
        least = fabs(normal[k]) < fabs(normal[least]) ? k : least;
    length = sqrt(normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2]);
    for (int k = 0; k < 3; k++)
        v[k] = (k == least) - normal[k] * normal[least] / (length * length);
    u[0] = (v[1] * normal[2] - v[2] * normal[1]) / length;
    u[1] = (v[2] * normal[0] - v[0] * normal[2]) / length;
    u[2] = (v[0] * normal[1] - v[1] * normal[0]) / length;
    for (int i = 0; i < count; i++) {
        double pu = 0, pv = 0;

        for (int k = 0; k < 3; k++) {
            pu += (points[i][k] - middle[k] / count) * u[k];
            pv += (points[i][k] - middle[k] / count) * v[k];
        }
        points[i][0] = pu;
        points[i][1] = pv;
        angles[i] = atan2(pv, pu);
    }
    for (int i = 0; i < count; i++) {
        int next = -1;

        for (int k = 0; k < count; k++)
            if (k != i && (angles[k] > angles[i] || (angles[k] >= angles[i] && k > i)) &&
                (next < 0 || angles[k] < angles[next]))
                next = k;
        if (next < 0) {
            next = 0;
            for (int k = 1; k < count; k++)
                next = angles[k] < angles[next] ? k : next;
        }
        area += points[i][0] * points[next][1] - points[i][1] * points[next][0];
    }
    /* u and v are not of length 1 where the normal is oblique to the least axis. */
    length = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    return fabs(area) / 2 / (length * length);
}

/* The area of the voxels that the plane cuts and that are connected with the voxel of the point. */
static double flooded(const uint8_t *volume, const double *size, const int *point, const double *normal, int *contacts)
{
    static double areas[VOXELS];
    static int waiting[VOXELS];
    uint8_t seen[VOXELS] = {0};
    int count = 0;
    double total = 0;

    *contacts = 0;
    for (int i = 0; i < VOXELS; i++) {
        const double centre[3] = {(i % SIDE - point[0]) * size[0], (i / SIDE % SIDE - point[1]) * size[1],
                                  (i / SIDE / SIDE - point[2]) * size[2]};

        areas[i] = volume[i] ? clipped(centre, size, normal) : 0;
    }
    if (!volume[at(point[0], point[1], point[2])])
        return 0;
    waiting[count++] = at(point[0], point[1], point[2]);
    seen[waiting[0]] = 1;
    while (count) {
        const int i = waiting[--count], x = i % SIDE, y = i / SIDE % SIDE, z = i / SIDE / SIDE;

        total += areas[i];
        *contacts |= (x == 0) | (x == SIDE - 1) << 1 | (y == 0) << 2 | (y == SIDE - 1) << 3 | (z == 0) << 4 |
                     (z == SIDE - 1) << 5;
        for (int d = 0; d < 27; d++) {
            const int a = x + d % 3 - 1, b = y + d / 3 % 3 - 1, c = z + d / 9 - 1;

            if (a < 0 || b < 0 || c < 0 || a >= SIDE || b >= SIDE || c >= SIDE)
                continue;
            if (!seen[at(a, b, c)] && areas[at(a, b, c)] > 1e-9) {
                seen[at(a, b, c)] = 1;
                waiting[count++] = at(a, b, c);
            }
        }
    }
    return total;
}

static void check_planes(unsigned int percent)
{
    uint8_t volume[VOXELS], contacts;
    const double size[3] = {1 + (double)random_number(3), 1 + (double)random_number(3), 0.5 + (double)random_number(5)};
    uint64_t num_voxels;
    crackle_runs *runs;

    fill_volume(volume, percent);
    runs = runs_of(volume, &num_voxels);
    for (int i = 0; i < 20; i++) {
        double point[3], normal[3], area, expected;
        int voxel[3], touched;

        for (int axis = 0; axis < 3; axis++) {
            voxel[axis] = (int)random_number(SIDE);
            point[axis] = voxel[axis];
            /* Planes parallel to axes, and others; none touches a box without cutting it, or nearly so. */
            normal[axis] = random_number(4) == 0 ? 0 : (double)random_number(2001) - 1000.123;
        }
        if (normal[0] == 0 && normal[1] == 0 && normal[2] == 0)
            normal[2] = -1;
        CHECK(crackle_sections(runs, 0, size, point, normal, 1, NULL, &area, &contacts) == CRACKLE_OK);
        expected = flooded(volume, size, voxel, normal, &touched);
        CHECK(fabs(area - expected) <= 1e-6 * (1 + expected));
        CHECK(contacts == touched);
    }
    crackle_runs_free(runs);
}

static void check_between_layers(void)
{
    uint8_t volume[VOXELS], contacts[4];
    const double size[3] = {1, 1, 1};
    const double points[12] = {4, 4, 3.5, 4, 4, 3.5, 4, 4, -0.5, 4, 4, SIDE - 0.5};
    const double normals[12] = {0, 0, 1, 0, 0, -1, 0, 0, 1, 0, 0, 1};
    uint64_t num_voxels;
    double areas[4];
    crackle_runs *runs;

    memset(volume, 1, sizeof(volume));
    volume[at(0, 0, 4)] = 0;
    runs = runs_of(volume, &num_voxels);
    CHECK(crackle_sections(runs, 0, size, points, normals, 4, NULL, areas, contacts) == CRACKLE_OK);
    CHECK(fabs(areas[0] - (SIDE * SIDE - 1)) < 1e-9); /* the layer that the normal points to */
    CHECK(fabs(areas[1] - SIDE * SIDE) < 1e-9);
    CHECK(fabs(areas[2] - SIDE * SIDE) < 1e-9);
    CHECK(areas[3] == 0); /* outside */
    crackle_runs_free(runs);
}

static void check_bad_sections(void)
{
    uint8_t volume[VOXELS], contact;
    double size[3] = {1, 1, 1}, point[3] = {1, 1, 1}, normal[3] = {0, 0, 0}, area;
    const int32_t stop = 1;
    uint64_t num_voxels;
    crackle_runs *runs;

    memset(volume, 1, sizeof(volume));
    runs = runs_of(volume, &num_voxels);
    CHECK(crackle_sections(runs, 0, size, point, normal, 1, NULL, &area, &contact) == CRACKLE_BAD_ARGUMENT);
    normal[0] = NAN;
    CHECK(crackle_sections(runs, 0, size, point, normal, 1, NULL, &area, &contact) == CRACKLE_BAD_ARGUMENT);
    normal[0] = 1e300; /* its square is infinite */
    CHECK(crackle_sections(runs, 0, size, point, normal, 1, NULL, &area, &contact) == CRACKLE_OK && fabs(area - 81) < 1e-9);
    normal[0] = 1e-300;
    CHECK(crackle_sections(runs, 0, size, point, normal, 1, NULL, &area, &contact) == CRACKLE_OK && fabs(area - 81) < 1e-9);
    CHECK(crackle_sections(runs, 0, size, point, normal, 1, &stop, &area, &contact) == CRACKLE_STOPPED);
    CHECK(crackle_sections(runs, 1, size, point, normal, 1, NULL, &area, &contact) == CRACKLE_BAD_ARGUMENT);
    point[1] = INFINITY;
    CHECK(crackle_sections(runs, 0, size, point, normal, 1, NULL, &area, &contact) == CRACKLE_BAD_ARGUMENT);
    point[1] = 1e18;
    CHECK(crackle_sections(runs, 0, size, point, normal, 1, NULL, &area, &contact) == CRACKLE_OK && area == 0);
    size[2] = 0;
    CHECK(crackle_sections(runs, 0, size, point, normal, 1, NULL, &area, &contact) == CRACKLE_BAD_ARGUMENT);
    crackle_runs_free(runs);
}

/* ---------------------------------- Seeds ---------------------------------- */

/* Lower distances until none changes; of equal ones, the later seed wins. Voxel sizes are 3, 4 and 12: lengths of steps
 * along axes and in the planes of x and y are whole, so that there are ties. */
static void nearest_of(const uint8_t *volume, const double *size, const uint32_t *seeds, uint64_t count, double *distance,
                       uint32_t *nearest)
{
    int changed = 1;

    for (int i = 0; i < VOXELS; i++) {
        distance[i] = INFINITY;
        nearest[i] = UINT32_MAX;
    }
    for (uint64_t i = 0; i < count; i++) {
        const int place = at((int)seeds[3 * i], (int)seeds[3 * i + 1], (int)seeds[3 * i + 2]);

        if (volume[place]) {
            distance[place] = 0;
            nearest[place] = (uint32_t)i;
        }
    }
    while (changed) {
        changed = 0;
        for (int i = 0; i < VOXELS; i++) {
            const int x = i % SIDE, y = i / SIDE % SIDE, z = i / SIDE / SIDE;

            for (int d = 0; volume[i] && nearest[i] != UINT32_MAX && d < 27; d++) {
                const int a = x + d % 3 - 1, b = y + d / 3 % 3 - 1, c = z + d / 9 - 1, to = at(a, b, c);
                const double dx = (a - x) * size[0], dy = (b - y) * size[1], dz = (c - z) * size[2];
                const double there = distance[i] + sqrt(dx * dx + dy * dy + dz * dz);

                if (a < 0 || b < 0 || c < 0 || a >= SIDE || b >= SIDE || c >= SIDE || !volume[to] || d == 13)
                    continue;
                if (there < distance[to] - 1e-5 ||
                    (there <= distance[to] + 1e-5 && nearest[to] != UINT32_MAX && nearest[i] > nearest[to])) {
                    distance[to] = there < distance[to] ? there : distance[to];
                    nearest[to] = nearest[i];
                    changed = 1;
                }
            }
        }
    }
}

static void check_seeds(unsigned int percent)
{
    static const double sizes[3][3] = {{3, 4, 12}, {1, 1, 1}, {4, 4, 40}};
    const double *size = sizes[random_number(3)];
    uint8_t volume[VOXELS];
    uint32_t seeds[30], nearest[VOXELS], expected[VOXELS];
    double distance[VOXELS];
    uint64_t num_voxels, count = 0;
    crackle_runs *runs;

    fill_volume(volume, percent);
    runs = runs_of(volume, &num_voxels);
    for (int i = 0; i < 30; i++)
        seeds[i] = (uint32_t)random_number(SIDE);
    CHECK(crackle_nearest_seeds(runs, 0, size, seeds, 10, NULL, nearest, num_voxels) == CRACKLE_OK);
    nearest_of(volume, size, seeds, 10, distance, expected);
    for (int i = 0; i < VOXELS; i++)
        if (volume[i])
            CHECK(nearest[count++] == expected[i]);
    CHECK(count == num_voxels);
    crackle_runs_free(runs);
}

static void check_bad_seeds(void)
{
    uint8_t volume[VOXELS];
    uint32_t seeds[6] = {1, 1, 1, UINT32_MAX, 2, 2}, nearest[VOXELS];
    double size[3] = {1, 1, 1};
    uint64_t num_voxels;
    crackle_runs *runs;

    memset(volume, 1, sizeof(volume));
    runs = runs_of(volume, &num_voxels);
    CHECK(crackle_nearest_seeds(runs, 0, size, seeds, 2, NULL, nearest, num_voxels) == CRACKLE_OK && nearest[0] == 0);
    CHECK(crackle_nearest_seeds(runs, 0, size, NULL, 0, NULL, nearest, num_voxels) == CRACKLE_OK &&
          nearest[0] == UINT32_MAX);
    CHECK(crackle_nearest_seeds(runs, 0, size, seeds, 2, NULL, nearest, num_voxels - 1) == CRACKLE_BAD_ARGUMENT);
    CHECK(crackle_nearest_seeds(runs, 1, size, seeds, 2, NULL, nearest, num_voxels) == CRACKLE_BAD_ARGUMENT);
    size[0] = -1;
    CHECK(crackle_nearest_seeds(runs, 0, size, seeds, 2, NULL, nearest, num_voxels) == CRACKLE_BAD_ARGUMENT);
    crackle_runs_free(runs);
}

int main(void)
{
    for (int i = 0; i < 100 / FEWER + 1; i++) {
        check_planes(i % 3 == 0 ? 100 : i % 3 == 1 ? 60 : 25);
        check_seeds(i % 3 == 0 ? 100 : i % 3 == 1 ? 60 : 25);
    }
    check_between_layers();
    check_bad_sections();
    check_bad_seeds();
    return report("sections");
}
