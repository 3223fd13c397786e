/*
 * components.c - boundary bitmaps -> the connected components of a slice
 *
 * The usual two-pass labelling visits every voxel, or every run of voxels.  Here, a voxel without a crack above it
 * belongs to the component of the voxel above, and needs no work.  The code keeps one row of component numbers, and
 * changes it only below horizontal cracks.  Vertical cracks cut a stretch of horizontal cracks into pieces.  A piece
 * joins the components to its left and right, unless a vertical crack stands between.  A piece that joins nothing is a
 * new component.
 *
 * When a piece joins two components, they are united, and the lower number is kept.  Numbers are given in scan order,
 * so the lowest number of a set belongs to its first voxel.  Counting the remaining sets in the order of their lowest
 * numbers gives the numbering of the format (docs/format.md, section 5).
 *
 * Cost: linear in the pieces, which are some percent of the voxels.  Words without a horizontal crack are skipped, 64
 * voxels at a time.
 *
 * A damaged stream may have cracks that end inside a component and separate nothing.  Its components are those that the
 * remaining connections give, as for any other bitmaps.
 */
#include "components.h"

/* Rows with fewer horizontal cracks have too few pieces for eight at a time, unless VBMI2 finds them. */
#define CRACKS_FOR_EIGHT 16

/* components_x86.c holds positions in 31 bits, and needs sixteen bytes per voxel of a row. */
#define MAX_SX_FOR_EIGHT ((u32)1 << 24)

int ck_components_init(struct ck_components *c, u32 sx, u32 sy)
{
    memset(c, 0, sizeof(*c));
    c->sx = sx;
    c->sy = sy;
    c->row_buffer = ck_calloc(1 + (u64)sx + CK_ROW_SPARE, sizeof(*c->row));
    c->row_end = ck_malloc(sy, sizeof(*c->row_end));
    if (!c->row_buffer || !c->row_end)
        return 0;
    /* A piece at the rim joins nothing beyond it. */
    c->row = c->row_buffer + 1;
    c->row_buffer[0] = CK_NO_COMPONENT;
    c->row[sx] = CK_NO_COMPONENT;
    return 1;
}

void ck_components_free(struct ck_components *c)
{
    free(c->first);
    free(c->row_end);
    free(c->patches);
    free(c->row_buffer);
    free(c->parent);
    free(c->pieces);
    memset(c, 0, sizeof(*c));
}

/* --------------------------------- Finding --------------------------------- */

/* Make room for everything that one more row can add: a piece per voxel, all of them new. */
static int reserve_row(struct ck_components *c, size_t num_patches)
{
    void *patches = c->patches, *parent = c->parent, *first = c->first;
    const u64 need_patches = (u64)num_patches + c->sx + CK_PATCHES_SPARE;
    const u64 num_components = (u64)c->count + c->sx + CK_PATCHES_SPARE;
    int ok;

    if (CK_LIKELY(need_patches <= c->patches_capacity && num_components <= c->parent_capacity &&
                  num_components <= c->first_capacity))
        return 1;
    ok = ck_reserve(&patches, &c->patches_capacity, need_patches, sizeof(*c->patches));
    ok = ok && ck_reserve(&parent, &c->parent_capacity, num_components, sizeof(*c->parent));
    ok = ok && ck_reserve(&first, &c->first_capacity, num_components, sizeof(*c->first));
    c->patches = patches;
    c->parent = parent;
    c->first = first;
    return ok;
}

/* The component of a voxel if the lowest bit of 'joins' is set, else CK_NO_COMPONENT. Has no branch. */
static inline u32 neighbour(const u32 *voxel, u64 joins)
{
    return *voxel | ((u32)(joins & 1) - 1);
}

/*
 * Add the patch of the voxels [begin, end).  It joins the components 'left' and 'right', unless they are
 * CK_NO_COMPONENT; if both are, it is a new component.  Which side joins cannot be predicted, so the common cases are
 * handled without a branch.
 */
static inline void add_patch(struct ck_components *c, struct ck_patch *patch, u64 row_first, u32 begin, u32 end,
                             u32 left, u32 right)
{
    const u32 fresh = (u32)c->count;
    const u32 joined = left < right ? left : right;
    const u32 other = left < right ? right : left;
    const u32 is_new = joined == CK_NO_COMPONENT;
    const u32 component = (joined & (is_new - 1)) | (fresh & (0 - is_new));

    /* A third of all patches are new. Write the entry always, and count it only if the patch is new. */
    c->parent[fresh] = fresh;
    c->first[fresh] = row_first + begin;
    c->count += is_new;
    if (CK_UNLIKELY(other != joined && other != CK_NO_COMPONENT)) {
        c->are_united = 1;
        ck_unite(c->parent, joined, other);
    }
    patch->begin = begin;
    patch->end = end;
    patch->component = component;
    ck_put_patch_u32(c->row, begin, end, component);
}

void ck_unite_dangling(struct ck_components *c, const struct ck_bitmaps *b, u64 y)
{
    const u64 *v = ck_vertical(b, y);
    const u64 *h = ck_horizontal(b, y);
    u64 carry = 0;

    c->are_united = 1;
    for (size_t w = 0; w < b->words; w++) {
        u64 dangling = (v - b->words)[w] & ~(v[w] | h[w] | h[w] << 1 | carry);

        carry = h[w] >> 63;
        for (; dangling; dangling &= dangling - 1) {
            const size_t x = w * 64 + ck_ctz64(dangling);

            ck_unite(c->parent, c->row[x - 1], c->row[x]);
        }
    }
}

/*
 * Add the patches of row 'y' and return the new number of patches.  Every voxel of row 0 counts as below a horizontal
 * crack.
 */
static size_t find_row(struct ck_components *c, const struct ck_bitmaps *b, u64 y, size_t num_patches)
{
    const u64 *v = ck_vertical(b, y);
    const u64 *h = ck_horizontal(b, y);
    /* The clear row between the planes serves as the row above row 0. */
    const u64 *v_above = v - b->words;
    const u64 row_first = y * c->sx;
    const u32 *row = c->row;
    u64 dangling = 0;            /* vertical cracks of the row above that end at this row */
    u64 carry = 0;               /* the horizontal crack at the last voxel of the word before */
    int open = 0;                /* whether a piece began in an earlier word and has not ended */
    u32 begin = 0;               /* of that piece */
    u32 left = CK_NO_COMPONENT;  /* the component that it joins on the left */

    for (size_t w = 0; w < b->words; w++) {
        const u32 first = (u32)(w * 64);
        const u64 cracks = y == 0 ? ck_interior_horizontal(b, w) : h[w];
        const u64 before = cracks << 1 | carry;
        const u64 ends = ~cracks & before;
        u64 begins = cracks & (~before | v[w]);
        const u64 events = begins | ends;
        const u64 joins_left = ~before & ~v[w];
        const u64 joins_right = ends & ~v[w];

        carry = cracks >> 63;
        dangling |= v_above[w] & ~(v[w] | cracks | before);
        if (open && events) {
            const unsigned int end = ck_ctz64(events);
            const u32 right = neighbour(row + first + end, joins_right >> end);

            add_patch(c, &c->patches[num_patches++], row_first, begin, first + end, left, right);
            open = 0;
        }
        for (; begins; begins &= begins - 1) {
            const unsigned int bit = ck_ctz64(begins);
            const u64 behind = events & ~(u64)1 << bit;
            unsigned int end;
            u32 right;

            begin = first + bit;
            left = neighbour(row + begin - 1, joins_left >> bit);
            if (!behind) {
                open = 1;
                break;
            }
            end = ck_ctz64(behind);
            right = neighbour(row + first + end, joins_right >> end);
            add_patch(c, &c->patches[num_patches++], row_first, begin, first + end, left, right);
        }
    }
    if (CK_UNLIKELY(dangling))
        ck_unite_dangling(c, b, y);
    return num_patches;
}

typedef size_t (*row_finder)(struct ck_components *, const struct ck_bitmaps *, u64, size_t);

/* The fastest way to find the rows of 'b' on this processor. */
static row_finder choose_finder(const struct ck_components *c, const struct ck_bitmaps *b)
{
#if CK_MAYBE_V4
    if (c->sx <= MAX_SX_FOR_EIGHT && ck_cpu_has_v4())
        return ck_find_row_v4;
#endif
#if CK_MAYBE_V3
    if (c->sx <= MAX_SX_FOR_EIGHT && ck_cpu_has_v3() && ck_count_horizontal(b) / CRACKS_FOR_EIGHT >= c->sy)
        return ck_find_row_v3;
#endif
    (void)c;
    (void)b;
    return find_row;
}

crackle_status ck_find_components(struct ck_components *c, const struct ck_bitmaps *b)
{
    const row_finder row = choose_finder(c, b);
    size_t num_patches = 0;
    u32 count = 0;

#if CK_MAYBE_V3
    if (row != find_row && !c->pieces) {
        c->pieces = ck_malloc(4 * ((u64)c->sx + CK_PIECES_SPARE), sizeof(*c->pieces));
        if (!c->pieces)
            return CRACKLE_NO_MEMORY;
    }
#endif
    c->count = 0;
    c->are_united = 0;
    for (u64 y = 0; y < c->sy; y++) {
        if (!reserve_row(c, num_patches))
            return CRACKLE_NO_MEMORY;
        num_patches = row(c, b, y, num_patches);
        c->row_end[y] = num_patches;
        if ((u64)c->count + c->sx > UINT32_MAX)
            return CRACKLE_TOO_LARGE;
    }

    if (!c->are_united)
        return CRACKLE_OK;
    /* A parent is lower than its children, so it gets its final number before them. */
    for (size_t i = 0; i < c->count; i++) {
        if (c->parent[i] == i) {
            c->first[count] = c->first[i];
            c->parent[i] = count++;
        } else {
            c->parent[i] = c->parent[c->parent[i]];
        }
    }
    for (size_t i = 0; i < num_patches; i++)
        c->patches[i].component = c->parent[c->patches[i].component];
    c->count = count;
    return CRACKLE_OK;
}

int ck_components_whole(struct ck_components *c)
{
    c->count = 0;
    if (!reserve_row(c, 0))
        return 0;
    c->count = 1;
    c->first[0] = 0;
    c->patches[0].begin = 0;
    c->patches[0].end = c->sx;
    c->patches[0].component = 0;
    for (u64 y = 0; y < c->sy; y++)
        c->row_end[y] = 1;
    return 1;
}

void ck_components_at(const struct ck_components *c, const u64 *voxels, size_t num_voxels, u32 *components)
{
    size_t i = 0;

    for (u64 y = 0; i < num_voxels; y++) {
        ck_put_row_patches(c->row, c->patches + ck_row_begin(c, y), c->patches + c->row_end[y], c->sx);
        for (; i < num_voxels && voxels[i] < (y + 1) * c->sx; i++)
            components[i] = c->row[voxels[i] - y * c->sx];
    }
}
