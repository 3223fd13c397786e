/* test_operations.c - new streams from streams, and questions about boundaries, compared with the voxels */
#include "base/crc.h"
#include "codec/format.h"
#include "operations.h"
#include "volumes.h"

enum { ROUNDS = 400 / FEWER };

/* A stream and its labels. */
struct sample {
    struct labels labels;
    struct crackle_header header;
    struct crackle_parts parts;
    uint8_t *bytes;
    size_t nbytes;
    uint64_t count, *table;   /* as crackle_read_table() lists them */
};

static uint64_t at(const struct labels *l, size_t x, size_t y, size_t z)
{
    return l->at[x + l->sx * (y + l->sy * z)];
}

static void open_sample(struct sample *s)
{
    CHECK(crackle_read_header(s->bytes, s->nbytes, &s->header, NULL) == CRACKLE_OK);
    CHECK(crackle_split(s->bytes, s->nbytes, &s->parts, NULL) == CRACKLE_OK);
    CHECK(crackle_table_size(&s->parts, &s->count, NULL) == CRACKLE_OK);
    s->table = malloc(s->count * sizeof(*s->table));
    CHECK(crackle_read_table(&s->parts, 0, s->table, s->count, NULL) == CRACKLE_OK);
}

/* Merge some labels. In place, the table then repeats labels; otherwise cracks remain between equal labels. */
static void merge_some(struct sample *s)
{
    uint64_t *table = malloc(s->count * sizeof(*table));

    for (uint64_t i = 0; i < s->count; i++)
        table[i] = s->table[random_number(3) ? i : random_number(i + 1)];
    for (size_t i = 0; i < s->labels.count; i++)
        for (uint64_t k = 0; k < s->count; k++)
            if (s->labels.at[i] == s->table[k]) {
                s->labels.at[i] = table[k];
                break;
            }
    if (random_number(2)) {
        CHECK(crackle_relabel_in_place(s->bytes, s->nbytes, table, s->count, NULL) == CRACKLE_OK);
    } else {
        uint8_t *merged = NULL;

        CHECK(crackle_relabel(s->bytes, s->nbytes, table, s->count, s->header.data_width, s->header.is_signed, 1,
                              &merged, &s->nbytes, NULL) == CRACKLE_OK);
        free(s->bytes);
        s->bytes = exact_copy(merged, s->nbytes);
        crackle_free(merged);
    }
    free(table);
    free(s->table);
    open_sample(s);
}

static struct sample make_sample(uint32_t sx, uint32_t sy, uint32_t sz, unsigned int width, int is_signed)
{
    const struct crackle_options options = {(uint8_t)random_number(2), (uint8_t)random_number(3),
                                            (uint8_t)random_number(3), 0, 0};
    struct sample s;
    struct crackle_volume v;
    uint8_t *bytes = NULL;

    s.labels = make_labels(sx, sy, sz, (enum content)random_number(NUM_CONTENTS), width, is_signed);
    v = volume_of(&s.labels, width, is_signed, 1);
    CHECK(crackle_encode(&v, &options, &bytes, &s.nbytes) == CRACKLE_OK);
    s.bytes = exact_copy(bytes, s.nbytes);
    crackle_free(bytes);
    free(v.voxels);
    open_sample(&s);
    if (random_number(2))
        merge_some(&s);
    return s;
}

static void free_sample(struct sample *s)
{
    free(s->labels.at);
    free(s->bytes);
    free(s->table);
}

/* Whether a stream decodes to some labels. */
static int decodes_to(const uint8_t *bytes, size_t nbytes, const struct labels *l, unsigned int width, int is_signed)
{
    struct crackle_parts parts;
    struct crackle_volume v = new_volume(l, width, is_signed, 1);
    int right = crackle_split(bytes, nbytes, &parts, NULL) == CRACKLE_OK &&
                crackle_decode(&parts, 0, l->sz, 0, &v, 0, NULL) == CRACKLE_OK &&
                num_wrong(l, &v, is_signed, 0, l->sz) == 0;

    free(v.voxels);
    return right;
}

/* The label of a neighbour, or 'none' beyond the rim. */
static uint64_t beside(const struct labels *l, size_t x, size_t y, size_t z, unsigned int direction, uint64_t none)
{
    const size_t lengths[3] = {l->sx, l->sy, l->sz};
    size_t place[3] = {x, y, z};
    const unsigned int axis = direction / 2;

    if (direction % 2 ? place[axis] == 0 : place[axis] + 1 == lengths[axis])
        return none;
    place[axis] = direction % 2 ? place[axis] - 1 : place[axis] + 1;
    return at(l, place[0], place[1], place[2]);
}

static void test_surface(const struct sample *s)
{
    const struct labels *l = &s->labels;
    uint8_t *selected = malloc(s->count), *on = calloc(l->count, 1);
    uint64_t *per_entry = malloc(s->count * sizeof(*per_entry)), total = 0, expected = 0;
    uint32_t *points = NULL;
    const uint32_t z_start = (uint32_t)random_number(l->sz + 1);
    const uint32_t z_end = z_start + (uint32_t)random_number(l->sz - z_start + 1);

    for (uint64_t i = 0; i < s->count; i++) {
        selected[i] = (uint8_t)random_number(2);
        for (uint64_t k = 0; k < i; k++)
            if (s->table[k] == s->table[i])
                selected[i] = selected[k];
    }
    CHECK(crackle_surface(&s->parts, z_start, z_end, 0, selected, s->count, 4, NULL, (void **)&points, per_entry,
                          NULL) == CRACKLE_OK);
    for (uint64_t i = 0; i < s->count; i++) {
        for (uint64_t k = total; k < total + per_entry[i]; k++) {
            const uint32_t *p = points + 3 * k;

            CHECK(at(l, p[0], p[1], p[2]) == s->table[i]);
            CHECK(k == total || p[-3] < p[0] || (p[-3] == p[0] && p[-2] < p[1]) ||
                  (p[-3] == p[0] && p[-2] == p[1] && p[-1] < p[2]));
            on[p[0] + l->sx * (p[1] + l->sy * p[2])]++;
        }
        total += per_entry[i];
    }
    for (size_t z = z_start; z < z_end; z++)
        for (size_t y = 0; y < l->sy; y++)
            for (size_t x = 0; x < l->sx; x++) {
                const uint64_t label = at(l, x, y, z);
                int is_surface = 0, is_selected = 0;

                for (unsigned int d = 0; d < 6; d++)
                    is_surface |= beside(l, x, y, z, d, ~label) != label;
                for (uint64_t i = 0; i < s->count; i++)
                    is_selected |= selected[i] && s->table[i] == label;
                expected += is_surface && is_selected;
                CHECK(on[x + l->sx * (y + l->sy * z)] == (is_surface && is_selected));
            }
    CHECK(total == expected);
    crackle_free(points);
    free(selected);
    free(on);
    free(per_entry);
}

static void test_connectivity(const struct sample *s)
{
    const struct labels *l = &s->labels;
    struct crackle_volume out = new_volume(l, 1, 0, (int)random_number(2));
    const uint32_t z = (uint32_t)random_number(l->sz + 1);
    const unsigned int connectivity = random_number(2) ? 6 : 4;

    CHECK(crackle_connectivity(&s->parts, 0, z, 0, connectivity, &out, 0, NULL) == CRACKLE_OK);
    CHECK(crackle_connectivity(&s->parts, z, l->sz, 0, connectivity, &out, 0, NULL) == CRACKLE_OK);
    for (size_t i = 0; i < l->count; i++) {
        const size_t x = i % l->sx, y = i / l->sx % l->sy, k = i / l->sx / l->sy;
        unsigned int directions = 0;

        for (unsigned int d = 0; d < connectivity; d++)
            directions |= (unsigned int)(beside(l, x, y, k, d, l->at[i]) == l->at[i]) << d;
        CHECK(((uint8_t *)out.voxels)[place(l, out.fortran_order, x, y, k)] == directions);
    }
    free(out.voxels);
}

static void test_contacts(const struct sample *s)
{
    const struct labels *l = &s->labels;
    const uint32_t z = (uint32_t)random_number(l->sz + 1);
    const unsigned int flags = random_number(2) ? CRACKLE_NO_BACKGROUND : 0;
    const unsigned int only_counts = random_number(2) ? CRACKLE_ONLY_COUNTS : 0;
    uint64_t counted[3] = {0, 0, 0}, faces[3] = {0, 0, 0};

    for (int half = 0; half < 2; half++) {
        struct crackle_contact *contacts = NULL;
        uint64_t count = 0;

        CHECK(crackle_contacts(&s->parts, half ? z : 0, half ? l->sz : z, flags | only_counts, &contacts, &count,
                               NULL) == CRACKLE_OK);
        for (uint64_t i = 0; i < count; i++) {
            CHECK(contacts[i].a != contacts[i].b);
            CHECK((contacts[i].stop[0] == 0) == (only_counts != 0));
            CHECK((contacts[i].start[2] < contacts[i].stop[2]) == (only_counts == 0));
            for (int axis = 0; axis < 3; axis++)
                counted[axis] += contacts[i].faces[axis] * (contacts[i].a * 31 ^ contacts[i].b * 31);
        }
        crackle_free(contacts);
    }
    for (size_t i = 0; i < l->count; i++)
        for (unsigned int axis = 0; axis < 3; axis++) {
            const uint64_t a = l->at[i];
            const uint64_t b = beside(l, i % l->sx, i / l->sx % l->sy, i / l->sx / l->sy, 2 * axis, a);

            if (a != b && (a != 0 || !flags) && (b != 0 || !flags))
                faces[axis] += a * 31 ^ b * 31; /* depends on the pair, too */
        }
    for (int axis = 0; axis < 3; axis++)
        CHECK(counted[axis] == faces[axis]);
}

/* The faces between two labels in a window, by looking at every voxel. */
static struct crackle_contact contact_of(const struct labels *l, const uint32_t *start, const uint32_t *stop,
                                         unsigned int axes, uint64_t a, uint64_t b)
{
    struct crackle_contact found = {0};

    found.a = a;
    found.b = b;
    memset(found.start, 0xff, sizeof(found.start));
    for (uint32_t z = start[2]; z < stop[2]; z++)
        for (uint32_t y = start[1]; y < stop[1]; y++)
            for (uint32_t x = start[0]; x < stop[0]; x++)
                for (unsigned int axis = 0; axis < 3; axis++) {
                    const uint32_t voxel[3] = {x, y, z}, step[3] = {axis == 0, axis == 1, axis == 2};
                    uint64_t one, other;

                    if (!(axes >> axis & 1) || voxel[axis] + 1 == stop[axis])
                        continue;
                    one = at(l, x, y, z);
                    other = at(l, x + step[0], y + step[1], z + step[2]);
                    if (!((one == a && other == b) || (one == b && other == a)))
                        continue;
                    found.faces[axis]++;
                    for (int i = 0; i < 3; i++) {
                        if (voxel[i] < found.start[i])
                            found.start[i] = voxel[i];
                        if (voxel[i] + step[i] + 1 > found.stop[i])
                            found.stop[i] = voxel[i] + step[i] + 1;
                    }
                }
    return found;
}

static void test_contacts_within(const struct sample *s)
{
    const struct labels *l = &s->labels;
    const size_t lengths[3] = {l->sx, l->sy, l->sz};
    const unsigned int axes = (unsigned int)random_number(8);
    const unsigned int flags = random_number(2) ? CRACKLE_NO_BACKGROUND : 0;
    struct crackle_contact *contacts = NULL;
    uint64_t count = 0, faces = 0, expected = 0;
    uint32_t start[3], stop[3];

    for (int axis = 0; axis < 3; axis++) {
        start[axis] = (uint32_t)random_number(random_number(2) ? 1 : lengths[axis] + 1);
        stop[axis] = start[axis] + (uint32_t)random_number(lengths[axis] - start[axis] + 1);
        if (random_number(2))
            stop[axis] = (uint32_t)lengths[axis];
    }
    CHECK(crackle_contacts_within(&s->parts, start[2], stop[2], flags, start[0], stop[0], start[1], stop[1], axes,
                                  &contacts, &count, NULL) == CRACKLE_OK);
    for (uint64_t i = 0; i < count; i++)
        faces += contacts[i].faces[0] + contacts[i].faces[1] + contacts[i].faces[2];
    for (int turn = 0; turn < 8 && count > 0; turn++) {
        const struct crackle_contact *one = &contacts[random_number(count)];
        const struct crackle_contact is = contact_of(l, start, stop, axes, one->a, one->b);

        CHECK(one->a != one->b);
        CHECK(memcmp(one, &is, sizeof(is)) == 0);
    }
    for (uint32_t z = start[2]; z < stop[2]; z++)
        for (uint32_t y = start[1]; y < stop[1]; y++)
            for (uint32_t x = start[0]; x < stop[0]; x++) {
                const uint64_t a = at(l, x, y, z);
                const uint64_t beyond[3] = {x + 1 < stop[0] ? at(l, x + 1, y, z) : a,
                                            y + 1 < stop[1] ? at(l, x, y + 1, z) : a,
                                            z + 1 < stop[2] ? at(l, x, y, z + 1) : a};

                for (int axis = 0; axis < 3; axis++)
                    expected += (axes >> axis & 1) && a != beyond[axis] && !(flags && (a == 0 || beyond[axis] == 0));
            }
    CHECK(faces == expected);
    crackle_free(contacts);
}

static void test_counts(const struct sample *s)
{
    const struct labels *l = &s->labels;
    struct crackle_extent *all = malloc(s->count * sizeof(*all)), *counts = malloc(s->count * sizeof(*counts));
    const uint32_t x = (uint32_t)random_number(l->sx + 1), y = (uint32_t)random_number(l->sy + 1);

    CHECK(crackle_measure(&s->parts, 0, l->sz, 0, 0, x, y, l->sy, all, s->count, NULL) == CRACKLE_OK);
    CHECK(crackle_measure(&s->parts, 0, l->sz, CRACKLE_ONLY_COUNTS, 0, x, y, l->sy, counts, s->count, NULL) ==
          CRACKLE_OK);
    for (uint64_t i = 0; i < s->count; i++)
        CHECK(counts[i].voxels == all[i].voxels && counts[i].stop[0] == 0 && counts[i].sum[2] == 0);
    free(all);
    free(counts);
}

/* Flood fill from every voxel without a number. */
static int is_background(const struct crackle_joining *how, uint64_t label)
{
    return how->has_background && label == how->background;
}

static uint64_t flood(const struct labels *l, const struct crackle_joining *how, uint64_t *numbers)
{
    const int corners = how->connectivity == 26;
    const long long depth_of_image = how->depth ? (long long)how->depth : (long long)l->sz;
    size_t *stack = malloc((l->count + 1) * sizeof(*stack));
    uint64_t count = 0;

    memset(numbers, 0, l->count * sizeof(*numbers));
    for (size_t i = 0; i < l->count; i++) {
        size_t depth = 0;

        if (is_background(how, l->at[i]) || numbers[i])
            continue;
        numbers[i] = ++count;
        stack[depth++] = i;
        while (depth) {
            const size_t from = stack[--depth];
            const long long x = (long long)(from % l->sx), y = (long long)(from / l->sx % l->sy);
            const long long z = (long long)(from / l->sx / l->sy);

            for (int n = 0; n < 27; n++) {
                const int dx = n % 3 - 1, dy = n / 3 % 3 - 1, dz = n / 9 - 1;
                size_t to;

                if ((!corners && abs(dx) + abs(dy) + abs(dz) > 1) || x + dx < 0 || y + dy < 0 || z + dz < 0 ||
                    x + dx >= (long long)l->sx || y + dy >= (long long)l->sy || z + dz >= (long long)l->sz ||
                    (z + dz) / depth_of_image != z / depth_of_image)
                    continue;
                to = (size_t)(x + dx) + l->sx * ((size_t)(y + dy) + l->sy * (size_t)(z + dz));
                if (numbers[to] || (how->is_binary ? is_background(how, l->at[to]) : l->at[to] != l->at[from]))
                    continue;
                numbers[to] = count;
                stack[depth++] = to;
            }
        }
    }
    free(stack);
    return count;
}

static void test_components(const struct sample *s)
{
    struct labels components = s->labels;
    const struct crackle_joining how = {
        random_number(2) ? 26 : 6,
        (int)random_number(2),
        random_number(4) != 0,
        random_number(2) || s->labels.count == 0 ? 0 : s->labels.at[random_number(s->labels.count)],
        (uint32_t)random_number(4),
    };
    crackle_joiner *joiner = NULL;
    uint64_t count, expected, found = 0, *labels = NULL, *first = NULL;
    uint8_t *out = NULL;
    size_t out_nbytes = 0;
    struct crackle_header h;

    components.at = malloc(components.count * sizeof(*components.at));
    expected = flood(&s->labels, &how, components.at);
    CHECK(crackle_joiner_begin(s->bytes, s->nbytes, 0, &how, &joiner, NULL) == CRACKLE_OK);
    CHECK(crackle_joiner_finish(joiner, s->bytes, &out, &out_nbytes, &labels, &first, &count) ==
          CRACKLE_BAD_ARGUMENT);
    for (uint32_t z = 0; z < s->labels.sz; z++)
        CHECK(crackle_joiner_next(joiner, 1, NULL) == CRACKLE_OK);
    CHECK(crackle_joiner_next(joiner, 1, NULL) == CRACKLE_BAD_ARGUMENT);
    CHECK(crackle_joiner_finish(joiner, s->bytes, &out, &out_nbytes, &labels, &first, &count) == CRACKLE_OK);
    CHECK(count == expected);
    CHECK(crackle_read_header(out, out_nbytes, &h, NULL) == CRACKLE_OK);
    CHECK(decodes_to(out, out_nbytes, &components, h.data_width, 0));
    for (size_t i = 0; i < components.count; i++) {
        CHECK(components.at[i] == 0 || how.is_binary || labels[components.at[i] - 1] == s->labels.at[i]);
        if (components.at[i] > found) /* its first voxel */
            CHECK(components.at[i] == found + 1 && labels[found] == s->labels.at[i] && first[found] == i);
        found = components.at[i] > found ? components.at[i] : found;
    }
    crackle_free(out);
    crackle_free(labels);
    crackle_free(first);
    crackle_joiner_free(joiner);
    free(components.at);
}

static void test_recompress(const struct sample *s)
{
    const uint32_t z = (uint32_t)random_number(s->labels.sz + 1);
    const int permissible = (int)random_number(2);
    crackle_part *parts[2] = {NULL, NULL};
    size_t num_parts = 0;
    uint8_t *out = NULL;
    size_t out_nbytes = 0;
    struct crackle_parts again;
    uint64_t *counts = malloc(s->labels.sz * sizeof(*counts)), *before = malloc(s->labels.sz * sizeof(*before));

    if (z > 0)
        CHECK(crackle_recompress_part(&s->parts, 0, z, 0, permissible, &parts[num_parts++], NULL) == CRACKLE_OK);
    if (z < s->labels.sz)
        CHECK(crackle_recompress_part(&s->parts, z, s->labels.sz, 0, permissible, &parts[num_parts++], NULL) ==
              CRACKLE_OK);
    CHECK(crackle_reassemble(s->bytes, s->nbytes, (unsigned int)random_number(4), parts, num_parts, NULL, &out,
                             &out_nbytes, NULL) == CRACKLE_OK);
    CHECK(decodes_to(out, out_nbytes, &s->labels, s->header.data_width, s->header.is_signed));
    CHECK(crackle_split(out, out_nbytes, &again, NULL) == CRACKLE_OK);
    CHECK(crackle_component_counts(&again, counts, NULL) == CRACKLE_OK);
    CHECK(crackle_component_counts(&s->parts, before, NULL) == CRACKLE_OK);
    for (uint32_t i = 0; i < s->labels.sz; i++)
        CHECK(counts[i] <= before[i]);
    crackle_part_free(parts[0]);
    crackle_part_free(parts[1]);
    crackle_free(out);
    free(counts);
    free(before);
}

static void test_two(const struct sample *s, const struct sample *t)
{
    const struct crackle_options options = {1, 0, 0, 0, 0};
    struct crackle_volume shape = {NULL, s->labels.count * 8, s->labels.sx, s->labels.sy, s->labels.sz, 8, 0, 1};
    struct crackle_volume pairs = new_volume(&s->labels, 8, 0, 1);
    struct crackle_overlap *overlaps = NULL;
    struct crackle_parts laid;
    crackle_part *part = NULL;
    uint8_t *out = NULL;
    size_t out_nbytes = 0;
    uint64_t count = 0, counted = 0, expected = 0;
    int same = 1, equal = -1;

    CHECK(crackle_overlay_part(&s->parts, &t->parts, 0, s->labels.sz, 0, 0, &part, NULL) == CRACKLE_OK);
    CHECK(crackle_assemble(&shape, &options, &part, 1, NULL, &out, &out_nbytes) == CRACKLE_OK);
    CHECK(crackle_split(out, out_nbytes, &laid, NULL) == CRACKLE_OK);
    CHECK(crackle_decode(&laid, 0, s->labels.sz, 0, &pairs, 0, NULL) == CRACKLE_OK);
    for (size_t i = 0; i < s->labels.count; i++) {
        const uint64_t pair = ((uint64_t *)pairs.voxels)[i];

        CHECK(pair >> 32 < s->count && s->table[pair >> 32] == s->labels.at[i]);
        CHECK((pair & 0xffffffff) < t->count && t->table[pair & 0xffffffff] == t->labels.at[i]);
        same &= s->labels.at[i] == t->labels.at[i];
        expected += s->labels.at[i] * 31 ^ t->labels.at[i] * 37;
    }
    CHECK(crackle_overlaps(&s->parts, &t->parts, 0, s->labels.sz, 0, &overlaps, &count, NULL) == CRACKLE_OK);
    for (uint64_t i = 0; i < count; i++)
        counted += overlaps[i].voxels * (overlaps[i].a * 31 ^ overlaps[i].b * 37);
    CHECK(counted == expected);
    CHECK(crackle_equal(&s->parts, &t->parts, 0, s->labels.sz, 0, &equal, NULL) == CRACKLE_OK);
    CHECK(equal == same);
    CHECK(crackle_equal(&s->parts, &s->parts, 0, s->labels.sz, 0, &equal, NULL) == CRACKLE_OK && equal == 1);
    crackle_part_free(part);
    crackle_free(out);
    crackle_free(overlaps);
    free(pairs.voxels);
}

static void test_stack(const struct sample *s, const struct sample *t)
{
    const struct sample *from[3] = {s, t, s};
    struct crackle_piece pieces[3];
    struct labels stacked = s->labels;
    uint8_t *out = NULL;
    size_t out_nbytes = 0, piece, n = 0;

    stacked.sz = 0;
    stacked.at = malloc(3 * (s->labels.count + t->labels.count) * sizeof(*stacked.at));
    for (int i = 0; i < 3; i++) {
        const struct labels *l = &from[i]->labels;
        const uint32_t start = (uint32_t)random_number(l->sz + 1);
        const uint32_t end = start + (uint32_t)random_number(l->sz - start + 1);

        pieces[i].bytes = from[i]->bytes;
        pieces[i].nbytes = from[i]->nbytes;
        pieces[i].z_start = start;
        pieces[i].z_end = end;
        for (size_t k = (size_t)start * l->sx * l->sy; k < (size_t)end * l->sx * l->sy; k++)
            stacked.at[n++] = l->at[k];
        stacked.sz += end - start;
    }
    stacked.count = n;
    CHECK(crackle_stack(pieces, 3, random_number(4), s->header.data_width, s->header.is_signed, 1, &out, &out_nbytes,
                        &piece, NULL) == CRACKLE_OK);
    CHECK(decodes_to(out, out_nbytes, &stacked, s->header.data_width, s->header.is_signed));
    if (n) { /* the table must list the labels that occur, each once */
        struct crackle_parts parts;
        uint64_t count = 0, *table;

        CHECK(crackle_split(out, out_nbytes, &parts, NULL) == CRACKLE_OK);
        CHECK(crackle_table_size(&parts, &count, NULL) == CRACKLE_OK);
        table = malloc(count * sizeof(*table));
        CHECK(crackle_read_table(&parts, 0, table, count, NULL) == CRACKLE_OK);
        for (uint64_t i = 0; i < count; i++) {
            int found = 0;

            for (size_t k = 0; k < n && !found; k++)
                found = stacked.at[k] == table[i];
            for (uint64_t k = 0; k < i; k++)
                found &= table[k] != table[i];
            CHECK(found);
        }
        free(table);
    }
    crackle_free(out);
    free(stacked.at);
}

static void test_pool(const struct sample *s)
{
    const struct crackle_options options = {1, 0, 0, 0, 0};
    const struct labels *l = &s->labels;
    const unsigned int depth = 1 + (unsigned int)random_number(2);
    const int sparse = (int)random_number(2);
    struct labels half = {(l->sx + 1) / 2, (l->sy + 1) / 2, (l->sz + depth - 1) / depth, 0, NULL};
    struct crackle_volume v;
    struct crackle_parts parts;
    crackle_part *part = NULL;
    uint8_t *out = NULL;
    size_t out_nbytes = 0;

    half.count = (size_t)half.sx * half.sy * half.sz;
    v = new_volume(&half, 8, 0, 1);
    CHECK(crackle_pool_part(&s->parts, 0, half.sz, 0, depth, sparse, 0, &part, NULL) == CRACKLE_OK);
    CHECK(crackle_assemble(&v, &options, &part, 1, NULL, &out, &out_nbytes) == CRACKLE_OK);
    CHECK(crackle_split(out, out_nbytes, &parts, NULL) == CRACKLE_OK);
    CHECK(crackle_decode(&parts, 0, half.sz, 0, &v, 0, NULL) == CRACKLE_OK);
    for (size_t i = 0; i < half.count; i++) {
        const size_t x = i % half.sx, y = i / half.sx % half.sy, z = i / half.sx / half.sy;
        const uint64_t got = ((uint64_t *)v.voxels)[i];
        unsigned int times = 0, most = 0, others = 0;

        for (size_t pass = 0; pass < 2; pass++)
            for (size_t k = z * depth; k < (z + 1) * depth && k < l->sz; k++)
                for (size_t j = 2 * y; j < 2 * y + 2 && j < l->sy; j++)
                    for (size_t m = 2 * x; m < 2 * x + 2 && m < l->sx; m++) {
                        const uint64_t label = at(l, m, j, k);
                        unsigned int same = 0;

                        others += pass == 0 && label != 0;
                        if (pass == 0)
                            continue;
                        for (size_t c = z * depth; c < (z + 1) * depth && c < l->sz; c++)
                            for (size_t b = 2 * y; b < 2 * y + 2 && b < l->sy; b++)
                                for (size_t a = 2 * x; a < 2 * x + 2 && a < l->sx; a++)
                                    same += at(l, a, b, c) == label;
                        if (sparse && others && label == 0)
                            continue;
                        most = same > most ? same : most;
                        times = label == got ? same : times;
                    }
        CHECK(times > 0 && times == most);
    }
    crackle_part_free(part);
    crackle_free(out);
    free(v.voxels);
}

/* The constant stream must equal the encoded volume, byte for byte. */
static void test_constant(void)
{
    for (int round = 0; round < 100; round++) {
        struct labels l = make_labels((uint32_t)random_number(300), (uint32_t)random_number(9),
                                      (uint32_t)random_number(6), UNIFORM, 4, (int)random_number(2));
        const struct crackle_options options = {(uint8_t)random_number(2), 0, 0, 0, 0};
        struct crackle_volume v = volume_of(&l, 8, 1, (int)random_number(2));
        uint8_t *encoded = NULL, *constant = NULL;
        size_t nbytes = 0, constant_nbytes = 0;
        const uint64_t label = l.count ? l.at[0] : 7;

        CHECK(crackle_encode(&v, &options, &encoded, &nbytes) == CRACKLE_OK);
        CHECK(crackle_encode_constant(&v, label, options.format_version, &constant, &constant_nbytes) == CRACKLE_OK);
        CHECK(nbytes == constant_nbytes && memcmp(encoded, constant, nbytes) == 0);
        crackle_free(encoded);
        crackle_free(constant);
        free(v.voxels);
        free(l.at);
    }
}

static void test_arguments(const struct sample *s)
{
    const uint32_t sz = s->labels.sz;
    struct crackle_contact *contacts = NULL;
    crackle_part *part = NULL;
    crackle_joiner *joiner = NULL;
    const struct crackle_joining how = {18, 0, 1, 0, 0};
    struct crackle_piece piece = {s->bytes, s->nbytes, 1, 0};
    uint8_t *out = NULL;
    uint64_t count;
    size_t nbytes, at_fault;

    CHECK(crackle_contacts(&s->parts, 0, sz + 1, 0, &contacts, &count, NULL) == CRACKLE_BAD_ARGUMENT);
    CHECK(crackle_recompress_part(&s->parts, sz, sz, 0, 0, &part, NULL) == CRACKLE_BAD_ARGUMENT);
    CHECK(crackle_pool_part(&s->parts, 0, 1, 0, 3, 0, 0, &part, NULL) == CRACKLE_BAD_ARGUMENT);
    CHECK(crackle_joiner_begin(s->bytes, s->nbytes, 0, &how, &joiner, NULL) == CRACKLE_BAD_ARGUMENT);
    CHECK(crackle_stack(&piece, 1, 1, 8, 0, 1, &out, &nbytes, &at_fault, NULL) == CRACKLE_BAD_ARGUMENT);
    CHECK(crackle_stack(&piece, 0, 0, 8, 0, 1, &out, &nbytes, &at_fault, NULL) == CRACKLE_BAD_ARGUMENT);
    piece.z_start = 0;
    CHECK(crackle_stack(&piece, 1, 2, 8, 0, 1, &out, &nbytes, &at_fault, NULL) == CRACKLE_BAD_ARGUMENT);
    CHECK(crackle_stack(&piece, 1, 0, 3, 0, 1, &out, &nbytes, &at_fault, NULL) == CRACKLE_BAD_ARGUMENT);
    CHECK(contacts == NULL && part == NULL && joiner == NULL && out == NULL);
}

/*
 * Regression test.  A stream without voxels may state any Markov order, but has no model. crackle_stack() once read the
 * bytes behind its header as the model.  The other stream has no checksums, so it must be traced again.
 */
static void test_model_of_nothing(void)
{
    const struct crackle_options options = {0, 0, 0, 0, 0};
    struct labels l = make_labels(5, 4, 0, UNIFORM, 1, 0);
    struct crackle_volume v = volume_of(&l, 1, 0, 1), one = {NULL, 20, 5, 4, 1, 1, 0, 1};
    struct crackle_piece pieces[2];
    uint8_t *nothing = NULL, *something = NULL, *out = NULL, *exact;
    size_t nbytes, piece, out_nbytes;

    one.voxels = calloc(20, 1);
    CHECK(crackle_encode_constant(&v, 7, 1, &nothing, &nbytes) == CRACKLE_OK);
    exact = exact_copy(nothing, nbytes);
    exact[CK_AT_FORMAT + 1] |= 12 << (CK_BIT_MARKOV_ORDER - 8);
    exact[CK_AT_CRC8] = ck_crc8(exact + CK_AT_FORMAT, CK_AT_CRC8 - CK_AT_FORMAT);
    pieces[0].bytes = exact;
    pieces[0].nbytes = nbytes;
    pieces[0].z_start = pieces[0].z_end = pieces[1].z_start = 0;
    CHECK(crackle_encode(&one, &options, &something, &nbytes) == CRACKLE_OK);
    pieces[1].bytes = something;
    pieces[1].nbytes = nbytes;
    pieces[1].z_end = 1;
    for (size_t model = 0; model < 3; model++) {
        struct labels zeros = {5, 4, 1, 20, NULL};

        zeros.at = calloc(20, sizeof(*zeros.at));
        CHECK(crackle_stack(pieces, 2, model, 1, 0, 1, &out, &out_nbytes, &piece, NULL) == CRACKLE_OK);
        CHECK(decodes_to(out, out_nbytes, &zeros, 1, 0));
        crackle_free(out);
        free(zeros.at);
    }
    crackle_free(nothing);
    crackle_free(something);
    free(exact);
    free(one.voxels);
    free(v.voxels);
    free(l.at);
}

int main(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        const unsigned int width = 1u << random_number(4);
        const int is_signed = (int)random_number(2);
        const uint32_t sx = 1 + (uint32_t)random_number(round % 4 ? 9 : 140);
        const uint32_t sy = 1 + (uint32_t)random_number(9), sz = 1 + (uint32_t)random_number(6);
        struct sample s = make_sample(sx, sy, sz, width, is_signed), t = make_sample(sx, sy, sz, width, is_signed);

        test_surface(&s);
        test_connectivity(&s);
        test_contacts(&s);
        test_contacts_within(&s);
        test_counts(&s);
        test_components(&s);
        test_recompress(&s);
        test_two(&s, &t);
        test_stack(&s, &t);
        test_pool(&s);
        test_arguments(&s);
        free_sample(&s);
        free_sample(&t);
    }
    test_constant();
    test_model_of_nothing();
    return report("operations");
}
