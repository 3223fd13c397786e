/* places.c - number the voxels of an object; see places.h */
#include "places.h"

#define TILE 16
#define NO_ROW UINT32_MAX

/* Runs of a row that share consecutive places. */
struct ck_group {
    u32 x, end;
    u32 place;
};

/* One of the rows around a group while the group is cut into segments. */
struct around {
    const struct ck_group *next, *end;
};

static void free_scratch(struct ck_places *p)
{
    free(p->groups);
    free(p->row_group);
    free(p->tiled);
    free(p->counts);
    free(p->neighbours);
    p->groups = NULL;
    p->row_group = p->tiled = p->counts = p->neighbours = NULL;
}

void ck_places_free(struct ck_places *p)
{
    free_scratch(p);
    free(p->run_place);
    free(p->row_run);
    free(p->segments);
}

/* Whether runs 'a' and 'b', the next one, lie in one row. */
static int same_row(const struct ck_run *a, const struct ck_run *b)
{
    return a->y == b->y && a->z == b->z;
}

/* Count rows, and find the bounding box and the number of voxels. */
static crackle_status survey(struct ck_places *p)
{
    u64 rows = 0;

    p->num_voxels = 0;
    for (int axis = 0; axis < 3; axis++) {
        p->start[axis] = UINT32_MAX;
        p->stop[axis] = 0;
    }
    for (u64 i = 0; i < p->num_runs; i++) {
        const struct ck_run *r = &p->runs[i];

        rows += i == 0 || !same_row(r - 1, r);
        p->num_voxels += r->end - r->x;
        p->start[0] = r->x < p->start[0] ? r->x : p->start[0];
        p->stop[0] = r->end > p->stop[0] ? r->end : p->stop[0];
        p->start[1] = r->y < p->start[1] ? r->y : p->start[1];
        p->stop[1] = r->y + 1 > p->stop[1] ? r->y + 1 : p->stop[1];
    }
    p->start[2] = p->runs[0].z;
    p->stop[2] = p->runs[p->num_runs - 1].z + 1;
    /* Places fit 31 bits, so that a difference of two has a sign. Gaps and pads are at most 4 places per run. */
    if (p->num_runs > INT32_MAX / 16 || p->num_voxels > INT32_MAX - CK_PLACES_PAD * (p->num_runs + 1))
        return CRACKLE_TOO_LARGE;
    p->num_rows = (u32)rows;
    return CRACKLE_OK;
}

static void find_rows(struct ck_places *p)
{
    u32 row = 0;

    for (u64 i = 0; i < p->num_runs; i++)
        if (i == 0 || !same_row(&p->runs[i - 1], &p->runs[i]))
            p->row_run[row++] = i;
    p->row_run[row] = p->num_runs;
}

/* Order rows by tiles: a counting sort by the tile along y of every 16 slices, which keeps the order z, y within tiles. */
static void tile_rows(struct ck_places *p)
{
    const u32 y_start = p->start[1], num_tiles = (p->stop[1] - y_start - 1) / TILE + 1;

    for (u32 begin = 0, end; begin < p->num_rows; begin = end) {
        const u32 slab = (p->runs[p->row_run[begin]].z - p->start[2]) / TILE;
        u32 lowest = num_tiles, highest = 0, before = begin;

        for (end = begin; end < p->num_rows; end++) {
            const struct ck_run *r = &p->runs[p->row_run[end]];
            const u32 tile = (r->y - y_start) / TILE;

            if ((r->z - p->start[2]) / TILE != slab)
                break;
            p->counts[tile]++;
            lowest = tile < lowest ? tile : lowest;
            highest = tile > highest ? tile : highest;
        }
        for (u32 tile = lowest; tile <= highest; tile++) {
            const u32 count = p->counts[tile];

            p->counts[tile] = before;
            before += count;
        }
        for (u32 row = begin; row < end; row++)
            p->tiled[p->counts[(p->runs[p->row_run[row]].y - y_start) / TILE]++] = row;
        memset(p->counts + lowest, 0, (size_t)(highest - lowest + 1) * sizeof(u32));
    }
}

/* Find the groups of all rows in the order z, y. */
static void find_groups(struct ck_places *p)
{
    u32 count = 0;

    for (u32 row = 0; row < p->num_rows; row++) {
        p->row_group[row] = count;
        for (u64 i = p->row_run[row]; i < p->row_run[row + 1]; i++) {
            const struct ck_run *r = &p->runs[i];

            if (i > p->row_run[row] && r->x - r[-1].end <= CK_PLACES_GAP) {
                p->groups[count - 1].end = r->end;
                continue;
            }
            p->groups[count].x = r->x;
            p->groups[count].end = r->end;
            count++;
        }
    }
    p->row_group[p->num_rows] = count;
}

/* Number the places, row by row in the order of tiles. */
static void number_places(struct ck_places *p)
{
    u32 place = CK_PLACES_PAD;

    for (u32 i = 0; i < p->num_rows; i++) {
        const u32 row = p->tiled[i];
        u64 run = p->row_run[row];

        for (u32 g = p->row_group[row]; g < p->row_group[row + 1]; g++) {
            struct ck_group *group = &p->groups[g];

            group->place = place;
            for (; run < p->row_run[row + 1] && p->runs[run].x < group->end; run++)
                p->run_place[run] = place + (p->runs[run].x - group->x);
            place += group->end - group->x + CK_PLACES_PAD;
        }
    }
    p->count = place;
}

/* The row (y, z), if 'row' has reached it. Rows are asked for in ascending order, so 'row' only advances. */
static int reach_row(const struct ck_places *p, u32 *row, u64 y, u64 z)
{
    while (*row < p->num_rows) {
        const struct ck_run *r = &p->runs[p->row_run[*row]];

        if (r->z > z || (r->z == z && r->y >= y))
            return r->z == z && r->y == y;
        ++*row;
    }
    return 0;
}

/* Find the 8 rows around each row, in one pass over all. */
static void find_neighbours(struct ck_places *p)
{
    u32 reached[8] = {0};

    for (u32 row = 0; row < p->num_rows; row++) {
        const struct ck_run *own = &p->runs[p->row_run[row]];

        for (u32 r = 0; r < 8; r++) {
            const u32 in_nine = r < 4 ? r : r + 1;
            const u64 y = (u64)own->y + in_nine % 3, z = (u64)own->z + in_nine / 3; /* plus 1 */
            const int is_there = y > 0 && z > 0 && reach_row(p, &reached[r], y - 1, z - 1);

            p->neighbours[(size_t)row * 8 + r] = is_there ? reached[r] : NO_ROW;
        }
    }
}

/*
 * Begin a segment of 'own' at column x: enter the rows that have a group there, and return where the segment must end.
 *
 * The voxels x with g->x - 1 <= x <= g->end have neighbours in group g.  Thanks to the pads, a segment may link to g
 * from g->x - 3 to g->end + 2, and cuts that lie close together become one.
 */
static u32 link_segment(struct ck_segment *s, const struct ck_group *own, u32 x, struct around *around)
{
    u32 end = own->end;

    s->slots = 7;
    for (u32 r = 0; r < 8; r++) {
        struct around *a = &around[r];
        u64 limit;

        while (a->next < a->end && (u64)a->next->end < x)
            a->next++;
        if (a->next == a->end)
            continue;
        if ((u64)x + CK_PLACES_PAD - 1 >= a->next->x) {
            s->slots |= (u32)7 << (3 * r + 3);
            s->step[r] = (int32_t)((int64_t)a->next->place + ((int64_t)x - a->next->x) - s->place);
            limit = (u64)a->next->end + CK_PLACES_PAD - 1;
            if (a->next + 1 < a->end && (u64)a->next[1].x - 1 < limit)
                limit = (u64)a->next[1].x - 1;
        } else {
            limit = (u64)a->next->x - 1;
        }
        end = limit < end ? (u32)limit : end;
    }
    return end;
}

static int cut_group(struct ck_places *p, const struct ck_group *own, u32 y, u32 z, struct around *around,
                     size_t *capacity)
{
    for (u32 x = own->x; x < own->end;) {
        void *segments = p->segments;
        struct ck_segment *s;

        if (!ck_reserve(&segments, capacity, (u64)p->num_segments + 1, sizeof(*p->segments)))
            return 0;
        p->segments = segments;
        s = &p->segments[p->num_segments++];
        memset(s, 0, sizeof(*s));
        s->x = x;
        s->y = y;
        s->z = z;
        s->place = own->place + (x - own->x);
        x = link_segment(s, own, x, around);
        s->length = x - s->x;
    }
    return 1;
}

static crackle_status cut_segments(struct ck_places *p)
{
    size_t capacity = 0;

    p->num_segments = 0;
    for (u32 i = 0; i < p->num_rows; i++) {
        const u32 row = p->tiled[i];
        const struct ck_run *first = &p->runs[p->row_run[row]];
        struct around around[8];

        for (u32 r = 0; r < 8; r++) {
            const u32 other = p->neighbours[(size_t)row * 8 + r];

            around[r].next = other == NO_ROW ? NULL : p->groups + p->row_group[other];
            around[r].end = other == NO_ROW ? NULL : p->groups + p->row_group[other + 1];
        }
        for (u32 g = p->row_group[row]; g < p->row_group[row + 1]; g++) {
            if (!cut_group(p, &p->groups[g], first->y, first->z, around, &capacity))
                return CRACKLE_NO_MEMORY;
            if (p->num_segments > CK_MAX_SEGMENTS)
                return CRACKLE_TOO_LARGE;
        }
    }
    return CRACKLE_OK;
}

crackle_status ck_places_init(struct ck_places *p, const struct ck_run *runs, u64 num_runs)
{
    crackle_status status;

    memset(p, 0, sizeof(*p));
    p->runs = runs;
    p->num_runs = num_runs;
    status = survey(p);
    if (status != CRACKLE_OK)
        return status;
    p->run_place = ck_malloc(num_runs, sizeof(*p->run_place));
    p->row_run = ck_malloc((u64)p->num_rows + 1, sizeof(*p->row_run));
    p->groups = ck_malloc(num_runs, sizeof(*p->groups));
    p->row_group = ck_malloc((u64)p->num_rows + 1, sizeof(*p->row_group));
    p->tiled = ck_malloc(p->num_rows, sizeof(*p->tiled));
    p->counts = ck_calloc((p->stop[1] - p->start[1] - 1) / TILE + 1, sizeof(*p->counts));
    p->neighbours = ck_malloc(p->num_rows, 8 * sizeof(*p->neighbours));
    if (!p->run_place || !p->row_run || !p->groups || !p->row_group || !p->tiled || !p->counts || !p->neighbours)
        return CRACKLE_NO_MEMORY;
    find_rows(p);
    tile_rows(p);
    find_groups(p);
    number_places(p);
    find_neighbours(p);
    status = cut_segments(p);
    free_scratch(p);
    return status;
}

int ck_place_of(const struct ck_places *p, u32 x, u32 y, u32 z, u32 *place)
{
    u64 begin = 0, end = p->num_runs;

    while (begin < end) { /* the first run that ends behind the voxel */
        const u64 middle = begin + (end - begin) / 2;
        const struct ck_run *r = &p->runs[middle];

        if (r->z < z || (r->z == z && (r->y < y || (r->y == y && r->end <= x))))
            begin = middle + 1;
        else
            end = middle;
    }
    if (begin == p->num_runs || p->runs[begin].z != z || p->runs[begin].y != y || p->runs[begin].x > x)
        return 0;
    *place = p->run_place[begin] + (x - p->runs[begin].x);
    return 1;
}
