/*
 * test_labels.c - the label table, entries, measuring and relabelling, compared with an array of labels
 */
#include "volumes.h"

static int by_label_unsigned(const void *a, const void *b)
{
    const uint64_t p = *(const uint64_t *)a, q = *(const uint64_t *)b;

    return (p > q) - (p < q);
}

static int by_label_signed(const void *a, const void *b)
{
    const int64_t p = *(const int64_t *)a, q = *(const int64_t *)b;

    return (p > q) - (p < q);
}

/* The distinct labels, ascending. */
static size_t distinct_labels(const struct labels *l, int is_signed, uint64_t **distinct_ret)
{
    uint64_t *all = malloc(l->count ? l->count * sizeof(*all) : 1);
    size_t n = 0;

    if (l->count) {
        memcpy(all, l->at, l->count * sizeof(*all));
        qsort(all, l->count, sizeof(*all), is_signed ? by_label_signed : by_label_unsigned);
    }
    for (size_t i = 0; i < l->count; i++)
        if (i == 0 || all[i] != all[n - 1])
            all[n++] = all[i];
    *distinct_ret = all;
    return n;
}

/* -------------------------------- Questions -------------------------------- */

static int has(const uint64_t *labels, size_t count, uint64_t label)
{
    while (count--)
        if (labels[count] == label)
            return 1;
    return 0;
}

/* The table must list each label once. The caller frees the table. */
static uint64_t *check_table(const struct crackle_parts *parts, const struct labels *l, int is_signed,
                             size_t *count_ret)
{
    int (*const compare)(const void *, const void *) = is_signed ? by_label_signed : by_label_unsigned;
    struct crackle_header h;
    uint64_t *distinct, *table, count = 0;
    size_t n = distinct_labels(l, is_signed, &distinct);
    int found;

    CHECK(crackle_read_header(parts->head, parts->head_nbytes, &h, NULL) == CRACKLE_OK);
    CHECK(crackle_table_size(parts, &count, NULL) == CRACKLE_OK && count == n);
    table = malloc((n + 1) * sizeof(*table));
    table[n] = 42;
    CHECK(crackle_read_table(parts, 0, table, n, NULL) == CRACKLE_OK && table[n] == 42);
    for (size_t i = h.label_format == 2 ? 2 : 1; i < n; i++)
        CHECK(compare(&table[i - 1], &table[i]) < 0);
    for (size_t i = 0; i < n; i++) {
        CHECK(has(distinct, n, table[i]));
        CHECK(crackle_contains(parts, 0, distinct[i], &found, NULL) == CRACKLE_OK && found);
    }
    for (int i = 0; i < 30; i++) {
        uint64_t label = i < 20 ? (uint64_t)i - 10 : random_number((uint64_t)1 << 48) * 0x10001;

        CHECK(crackle_contains(parts, 0, label, &found, NULL) == CRACKLE_OK && found == has(distinct, n, label));
    }
    free(distinct);
    *count_ret = n;
    return table;
}

/* Compute the extents of a window voxel by voxel. */
static void look_at_voxels(const struct labels *l, const uint64_t *table, size_t count, const uint32_t *start,
                           const uint32_t *stop, struct crackle_extent *extents)
{
    memset(extents, 0, count * sizeof(*extents));
    for (uint32_t z = start[2]; z < stop[2]; z++)
        for (uint32_t y = start[1]; y < stop[1]; y++)
            for (uint32_t x = start[0]; x < stop[0]; x++) {
                const uint32_t at[3] = {x, y, z};
                struct crackle_extent *e = extents;

                while (table[e - extents] != l->at[x + l->sx * (y + (size_t)l->sy * z)])
                    e++;
                for (int axis = 0; axis < 3; axis++) {
                    if (e->voxels == 0 || at[axis] < e->start[axis])
                        e->start[axis] = at[axis];
                    if (at[axis] >= e->stop[axis])
                        e->stop[axis] = at[axis] + 1;
                    e->sum[axis] += at[axis];
                }
                e->voxels++;
            }
}

static int same_extents(const struct crackle_extent *a, const struct crackle_extent *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (a[i].voxels != b[i].voxels)
            return 0;
        for (int axis = 0; axis < 3; axis++)
            if (a[i].start[axis] != b[i].start[axis] || a[i].stop[axis] != b[i].stop[axis] ||
                a[i].sum[axis] != b[i].sum[axis])
                return 0;
    }
    return 1;
}

static void check_measure(const struct crackle_parts *parts, const struct labels *l, const uint64_t *table,
                          size_t count)
{
    const uint32_t size[3] = {l->sx, l->sy, l->sz};
    struct crackle_extent *extents = malloc((count + 1) * sizeof(*extents));
    struct crackle_extent *expected = malloc((count + 1) * sizeof(*expected));

    for (int turn = 0; turn < 6; turn++) {
        uint32_t start[3], stop[3];

        for (int axis = 0; axis < 3; axis++) {
            start[axis] = turn ? (uint32_t)random_number((uint64_t)size[axis] + 1) : 0;
            stop[axis] = turn ? start[axis] + (uint32_t)random_number((uint64_t)size[axis] - start[axis] + 1)
                              : size[axis];
        }
        look_at_voxels(l, table, count, start, stop, expected);
        memset(extents, 0xa5, (count + 1) * sizeof(*extents));
        CHECK(crackle_measure(parts, start[2], stop[2], turn % 2 ? CRACKLE_NO_VERIFY : 0, start[0], stop[0],
                              start[1], stop[1], extents, count, NULL) == CRACKLE_OK);
        CHECK(same_extents(extents, expected, count));
        CHECK(extents[count].voxels == UINT64_C(0xa5a5a5a5a5a5a5a5)); /* the element behind the last is unchanged */
    }
    CHECK(crackle_measure(parts, 0, l->sz, 0, 0, l->sx, 0, l->sy, extents, count + 1, NULL) == CRACKLE_BAD_ARGUMENT);
    CHECK(crackle_measure(parts, 0, l->sz + 1, 0, 0, l->sx, 0, l->sy, extents, count, NULL) == CRACKLE_BAD_ARGUMENT);
    CHECK(crackle_measure(parts, 0, l->sz, 0, 0, l->sx + 1, 0, l->sy, extents, count, NULL) == CRACKLE_BAD_ARGUMENT);
    CHECK(crackle_measure(parts, 0, l->sz, 0, 0, l->sx, 1, 0, extents, count, NULL) == CRACKLE_BAD_ARGUMENT);
    free(extents);
    free(expected);
}

/* The labels of a volume in memory, and their extents, are those of its voxels; 'table' ascends. */
static void check_volume(const struct labels *l, unsigned int width, int is_signed, const uint64_t *table,
                         size_t count)
{
    struct crackle_volume v = volume_of(l, width, is_signed, 1), columns = v;
    struct crackle_extent *expected = malloc((count + 1) * sizeof(*expected));

    for (int turn = 0; turn < 4; turn++) {
        const uint32_t z_start = turn ? (uint32_t)random_number((uint64_t)l->sz + 1) : 0;
        const uint32_t z_end = turn ? z_start + (uint32_t)random_number((uint64_t)l->sz - z_start + 1) : l->sz;
        const uint32_t start[3] = {0, 0, z_start}, stop[3] = {l->sx, l->sy, z_end};
        const unsigned int flags = turn % 2 ? CRACKLE_ONLY_COUNTS : 0;
        struct crackle_label_extent *rows;
        uint64_t num_rows, num_labels, *labels, there = 0;

        look_at_voxels(l, table, count, start, stop, expected);
        CHECK(crackle_measure_volume(&v, z_start, z_end, flags, &rows, &num_rows) == CRACKLE_OK);
        CHECK(crackle_volume_labels(&v, z_start, z_end, &labels, &num_labels) == CRACKLE_OK);
        for (size_t i = 0; i < count; i++) {
            size_t row = 0;

            if (expected[i].voxels == 0)
                continue;
            CHECK(there < num_labels && has(labels, num_labels, table[i]));
            CHECK(there == 0 ||
                  (is_signed ? by_label_signed : by_label_unsigned)(&labels[there - 1], &labels[there]) < 0);
            there++;
            while (row < num_rows && rows[row].label != table[i])
                row++;
            CHECK(row < num_rows && rows[row].extent.voxels == expected[i].voxels);
            if (row < num_rows && !flags)
                CHECK(same_extents(&rows[row].extent, &expected[i], 1));
        }
        CHECK(num_rows == there && num_labels == there);
        crackle_free(rows);
        crackle_free(labels);
    }
    columns.fortran_order = 0;
    {
        struct crackle_label_extent *rows;
        uint64_t n, *labels;

        CHECK(crackle_measure_volume(&columns, 0, l->sz, 0, &rows, &n) == CRACKLE_UNSUPPORTED);
        CHECK(crackle_volume_labels(&columns, 0, l->sz, &labels, &n) == CRACKLE_UNSUPPORTED);
        CHECK(crackle_measure_volume(&v, 0, l->sz + 1, 0, &rows, &n) == CRACKLE_BAD_ARGUMENT);
        CHECK(crackle_volume_labels(&v, 1, 0, &labels, &n) == CRACKLE_BAD_ARGUMENT);
    }
    free(v.voxels);
    free(expected);
}

/* Decode values instead of labels, and check which slices have which entries. */
static void check_entries(const struct crackle_parts *parts, const struct labels *l, const uint64_t *table,
                          size_t count)
{
    const unsigned int width = 1u << random_number(4);
    const uint32_t z_start = (uint32_t)random_number((uint64_t)l->sz), z_end = l->sz;
    struct crackle_volume out = new_volume(l, width, 0, (int)random_number(2));
    struct labels other = *l;
    struct crackle_header h;
    uint64_t *values = malloc(count * sizeof(*values));
    uint8_t *selected = malloc(count), *slices = malloc(l->sz), *present = malloc(count);
    crackle_status status;
    size_t wrong = 0;

    other.at = malloc(l->count * sizeof(*other.at));
    for (size_t i = 0; i < count; i++) {
        values[i] = random_number(3) ? 0 : 1 + random_number(200);
        selected[i] = values[i] != 0;
    }
    for (size_t i = 0; i < l->count; i++) {
        size_t entry = 0;

        while (table[entry] != l->at[i])
            entry++;
        other.at[i] = values[entry];
    }
    CHECK(crackle_decode_as(parts, 0, l->sz, 0, values, count, &out, 0, NULL) == CRACKLE_OK);
    CHECK(num_wrong(&other, &out, 0, 0, l->sz) == 0);
    CHECK(crackle_decode_as(parts, 0, l->sz, 0, values, count + 1, &out, 0, NULL) == CRACKLE_BAD_ARGUMENT);

    CHECK(crackle_read_header(parts->head, parts->head_nbytes, &h, NULL) == CRACKLE_OK);
    CHECK(crackle_slices_with(parts, 0, selected, count, slices, NULL) == CRACKLE_OK);
    for (uint32_t z = 0; z < l->sz; z++) {
        uint8_t there = 0;

        for (size_t i = 0; i < (size_t)l->sx * l->sy; i++)
            there |= other.at[i + (size_t)l->sx * l->sy * z] != 0;
        wrong += h.label_format == 0 ? there != slices[z] : there > slices[z];
    }
    CHECK(wrong == 0);
    CHECK(crackle_slices_with(parts, 0, selected, count - 1, slices, NULL) == CRACKLE_BAD_ARGUMENT);

    status = crackle_entries_in(parts, 0, z_start, z_end, present, count, NULL);
    CHECK(status == (h.label_format == 0 ? CRACKLE_OK : CRACKLE_UNSUPPORTED));
    for (size_t i = 0; status == CRACKLE_OK && i < count; i++) {
        const size_t slice = (size_t)l->sx * l->sy;

        CHECK(present[i] == has(l->at + slice * z_start, slice * (z_end - z_start), table[i]));
    }
    free(values);
    free(selected);
    free(slices);
    free(present);
    free(other.at);
    free(out.voxels);
}

/* Read the table from its own bytes only. */
static void check_table_alone(const struct crackle_parts *parts, const uint64_t *table, size_t count)
{
    struct crackle_parts head = {NULL, 0, NULL, 0, 0, NULL, 0};
    uint64_t nbytes = 0, *again = malloc((count + 1) * sizeof(*again));
    uint8_t *exact;

    CHECK(crackle_table_nbytes(parts->head, parts->head_nbytes, &nbytes, NULL) == CRACKLE_OK);
    CHECK(nbytes <= parts->head_nbytes);
    exact = exact_copy(parts->head, (size_t)nbytes);
    head.head = exact;
    head.head_nbytes = (size_t)nbytes;
    CHECK(crackle_read_table(&head, CRACKLE_NO_VERIFY, again, count, NULL) == CRACKLE_OK);
    CHECK(memcmp(again, table, count * sizeof(*table)) == 0);
    CHECK(crackle_read_table(&head, 0, again, count, NULL) == CRACKLE_TRUNCATED || parts->head_nbytes == nbytes);
    head.head_nbytes--;
    CHECK(crackle_read_table(&head, CRACKLE_NO_VERIFY, again, count, NULL) == CRACKLE_TRUNCATED || count == 0);
    free(exact);
    free(again);
}

/* -------------------------------- Relabelling ------------------------------ */

/* The labels, with table[i] replaced by others[i]. */
static struct labels replaced(const struct labels *l, const uint64_t *table, const uint64_t *others, size_t count)
{
    struct labels r = *l;

    r.at = malloc(l->count ? l->count * sizeof(*r.at) : 1);
    for (size_t i = 0; i < l->count; i++)
        for (size_t k = 0; k < count; k++)
            if (l->at[i] == table[k])
                r.at[i] = others[k];
    return r;
}

static void check_relabel(const uint8_t *stream, size_t nbytes, const struct labels *l, const uint64_t *table,
                          size_t count)
{
    const unsigned int width = 1u << random_number(4);
    const int is_signed = (int)random_number(2), fortran = (int)random_number(2);
    uint64_t *others = malloc((count + 1) * sizeof(*others));
    struct crackle_parts parts;
    struct crackle_header h;
    struct labels expected;
    struct crackle_volume out;
    uint8_t *edited, *copy;
    size_t edited_nbytes, edited_count;

    for (size_t i = 0; i < count; i++)
        others[i] = cut(random_number(3) ? random_number(9) : random_number((uint64_t)1 << 48) * 0x10001, width,
                        is_signed);
    CHECK(crackle_relabel(stream, nbytes, others, count, width, is_signed, fortran, &edited, &edited_nbytes, NULL) ==
          CRACKLE_OK);
    copy = exact_copy(edited, edited_nbytes);
    crackle_free(edited);
    expected = replaced(l, table, others, count);
    CHECK(crackle_read_header(copy, edited_nbytes, &h, NULL) == CRACKLE_OK && h.is_sorted);
    CHECK(h.data_width == width && h.is_signed == is_signed && h.fortran_order == fortran);
    CHECK(crackle_split(copy, edited_nbytes, &parts, NULL) == CRACKLE_OK);
    out = new_volume(l, width, is_signed, 0);
    CHECK(crackle_decode(&parts, 0, l->sz, 0, &out, 0, NULL) == CRACKLE_OK);
    CHECK(num_wrong(&expected, &out, is_signed, 0, l->sz) == 0);
    free(check_table(&parts, &expected, is_signed, &edited_count));
    free(out.voxels);
    free(copy);
    if (count) {
        others[random_number(count)] = (uint64_t)1 << 63 >> (is_signed && width < 8);
        CHECK(width == 8 || crackle_relabel(stream, nbytes, others, count, width, is_signed, fortran, &edited,
                                            &edited_nbytes, NULL) == CRACKLE_DOES_NOT_FIT);
    }
    CHECK(crackle_relabel(stream, nbytes, others, count + 1, 8, 0, 0, &edited, &edited_nbytes, NULL) ==
          CRACKLE_BAD_ARGUMENT);
    CHECK(crackle_relabel(stream, nbytes, others, count, 3, 0, 0, &edited, &edited_nbytes, NULL) ==
          CRACKLE_BAD_ARGUMENT);
    free(expected.at);
    free(others);
}

static void check_relabel_in_place(const uint8_t *stream, size_t nbytes, const struct labels *l,
                                   const struct crackle_volume *v, const uint64_t *table, size_t count)
{
    uint64_t *others = malloc((count + 1) * sizeof(*others));
    uint8_t *copy = exact_copy(stream, nbytes);
    struct crackle_volume out = new_volume(l, v->width, v->is_signed, 1);
    struct crackle_parts parts;
    struct crackle_header h;
    struct labels expected;
    int found, keeps_order = (int)random_number(2);

    CHECK(crackle_read_header(stream, nbytes, &h, NULL) == CRACKLE_OK);
    for (size_t i = 0; i < count; i++)
        others[i] = keeps_order ? i : cut(random_number(256), h.stored_width, h.is_signed);
    CHECK(crackle_relabel_in_place(copy, nbytes, others, count, NULL) == CRACKLE_OK);
    expected = replaced(l, table, others, count);
    CHECK(crackle_split(copy, nbytes, &parts, NULL) == CRACKLE_OK);
    CHECK(crackle_decode(&parts, 0, l->sz, 0, &out, 0, NULL) == CRACKLE_OK);
    CHECK(num_wrong(&expected, &out, v->is_signed, 0, l->sz) == 0);
    for (uint64_t label = 0; label < 130; label++)
        CHECK(crackle_contains(&parts, 0, label, &found, NULL) == CRACKLE_OK && found == has(others, count, label));
    CHECK(crackle_read_header(copy, nbytes, &h, NULL) == CRACKLE_OK);
    CHECK(!keeps_order || h.is_sorted);
    CHECK(crackle_relabel_in_place(copy, nbytes, others, count + 1, NULL) == CRACKLE_BAD_ARGUMENT);
    memcpy(copy, stream, nbytes);
    if (count && h.stored_width < 8) {
        others[random_number(count)] = (uint64_t)1 << (8 * h.stored_width);
        CHECK(crackle_relabel_in_place(copy, nbytes, others, count, NULL) == CRACKLE_DOES_NOT_FIT);
        CHECK(memcmp(copy, stream, nbytes) == 0);
    }
    free(expected.at);
    free(out.voxels);
    free(copy);
    free(others);
}

/* Three streams in one batch, the middle one of another volume, are asked as if each were alone. */
static void check_batch(const uint8_t *stream, size_t nbytes, const struct crackle_parts *parts,
                        const struct crackle_volume *v, const uint64_t *table, size_t count)
{
    const uint64_t label = v->is_signed ? (uint64_t)-1 : 7;
    uint64_t *labels = NULL, ends[3], label_ends[3], row_ends[3], others;
    struct crackle_batch batch = {NULL, 0, ends, 3, v->sx, v->sy, v->sz, v->width, v->is_signed};
    struct crackle_extent *extents = malloc((count + 1) * sizeof(*extents));
    struct crackle_label_extent *rows = NULL;
    struct crackle_volume constant = *v, out = *v;
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    uint8_t *other, *all;
    size_t other_nbytes, at = 42, row = 0;

    CHECK(crackle_encode_constant(&constant, label, 1, &other, &other_nbytes) == CRACKLE_OK);
    others = count ? 1 : 0;
    batch.nbytes = 2 * nbytes + other_nbytes;
    all = malloc(batch.nbytes);
    memcpy(all, stream, nbytes);
    memcpy(all + nbytes, other, other_nbytes);
    memcpy(all + nbytes + other_nbytes, stream, nbytes);
    batch.bytes = all;
    ends[0] = nbytes;
    ends[1] = nbytes + other_nbytes;
    ends[2] = batch.nbytes;
    CHECK(crackle_batch_tables(&batch, 0, &labels, label_ends, &at, &where) == CRACKLE_OK);
    CHECK(label_ends[0] == count && label_ends[1] == count + others && label_ends[2] == 2 * count + others);
    CHECK(memcmp(labels, table, count * sizeof(*table)) == 0);
    CHECK(others == 0 || labels[count] == label);
    CHECK(memcmp(labels + count + others, table, count * sizeof(*table)) == 0);
    crackle_free(labels);
    CHECK(crackle_batch_measure(&batch, 0, &rows, row_ends, &at, &where) == CRACKLE_OK);
    CHECK(crackle_measure(parts, 0, v->sz, 0, 0, v->sx, 0, v->sy, extents, count, NULL) == CRACKLE_OK);
    for (size_t i = 0; i < count; i++)
        if (extents[i].voxels) {
            CHECK(rows[row].label == table[i] && same_extents(&rows[row].extent, &extents[i], 1));
            row++;
        }
    CHECK(row_ends[0] == row && row_ends[1] == row + others && row_ends[2] == 2 * row + others);
    CHECK(others == 0 || (rows[row].label == label && rows[row].extent.voxels == (uint64_t)v->sx * v->sy * v->sz));
    crackle_free(rows);

    /* The stream at fault is named, whatever is the matter with it. */
    ends[1] -= 1;
    CHECK(crackle_batch_tables(&batch, 0, &labels, label_ends, &at, &where) == CRACKLE_TRUNCATED && at == 1);
    CHECK(crackle_batch_measure(&batch, 0, &rows, row_ends, &at, &where) == CRACKLE_TRUNCATED && at == 1);
    ends[1] = nbytes - 1;
    CHECK(crackle_batch_tables(&batch, 0, &labels, label_ends, &at, &where) == CRACKLE_BAD_ARGUMENT && at == 1);
    ends[1] = nbytes + other_nbytes;
    ends[2]++;
    CHECK(crackle_batch_tables(&batch, 0, &labels, label_ends, &at, &where) == CRACKLE_BAD_ARGUMENT && at == 2);
    ends[2]--;
    batch.sz++;
    CHECK(crackle_batch_measure(&batch, 0, &rows, row_ends, &at, &where) == CRACKLE_CORRUPT && at == 0);
    CHECK(where.section == CRACKLE_SECTION_HEADER);
    batch.sz--;
    batch.is_signed = !batch.is_signed;
    CHECK(crackle_batch_tables(&batch, 0, &labels, label_ends, &at, &where) == CRACKLE_CORRUPT && at == 0);
    batch.count = 0;
    CHECK(crackle_batch_tables(&batch, 0, &labels, label_ends, &at, &where) == CRACKLE_OK);
    crackle_free(labels);

    out.voxels = malloc(out.nbytes ? out.nbytes : 1);
    CHECK(crackle_decode_stream(stream, nbytes, 0, &out, &where) == CRACKLE_OK);
    CHECK(memcmp(out.voxels, v->voxels, out.nbytes) == 0);
    CHECK(crackle_decode_stream(stream, nbytes - 1, 0, &out, &where) == CRACKLE_TRUNCATED);
    out.is_signed = !out.is_signed;
    CHECK(crackle_decode_stream(stream, nbytes, 0, &out, &where) == CRACKLE_BAD_ARGUMENT);
    out.is_signed = v->is_signed;
    out.sz++;
    CHECK(crackle_decode_stream(stream, nbytes, 0, &out, &where) == CRACKLE_BAD_ARGUMENT);
    free(out.voxels);
    free(all);
    crackle_free(other);
    free(extents);
}

static void test_volume(uint32_t sx, uint32_t sy, uint32_t sz, enum content content)
{
    const unsigned int width = 1u << random_number(4);
    const int is_signed = (int)random_number(2);
    struct crackle_options options = {(uint8_t)random_number(2), (uint8_t)random_number(6), (uint8_t)random_number(3),
                                      (uint8_t)random_number(2), random_number(3)};
    struct labels l = make_labels(sx, sy, sz, content, width, is_signed);
    struct crackle_volume v = volume_of(&l, width, is_signed, (int)random_number(2));
    uint8_t *stream, *copy;
    size_t nbytes, count;
    uint64_t *table;
    struct crackle_parts whole, parts;

    CHECK(crackle_encode(&v, &options, &stream, &nbytes) == CRACKLE_OK);
    copy = exact_copy(stream, nbytes);
    crackle_free(stream);
    CHECK(crackle_split(copy, nbytes, &whole, NULL) == CRACKLE_OK);
    parts = exact_parts(&whole);
    table = check_table(&parts, &l, is_signed, &count);
    check_table_alone(&parts, table, count);
    check_measure(&parts, &l, table, count);
    check_volume(&l, width, is_signed, table, count);
    check_batch(copy, nbytes, &whole, &v, table, count);
    if (l.count)
        check_entries(&parts, &l, table, count);
    check_relabel(copy, nbytes, &l, table, count);
    check_relabel_in_place(copy, nbytes, &l, &v, table, count);
    free(table);
    free_parts(&parts);
    free(copy);
    free(v.voxels);
    free(l.at);
}

int main(void)
{
    static const uint32_t widths[] = {1, 2, 63, 64, 65, 127, 128, 129};

    for (int round = 0; round < 1500 / FEWER; round++)
        test_volume((uint32_t)random_number(20) + 1, (uint32_t)random_number(20) + 1, (uint32_t)random_number(12) + 1,
                    (enum content)random_number(NUM_CONTENTS));
    for (size_t i = 0; i < sizeof(widths) / sizeof(*widths); i++)
        for (int content = 0; content < NUM_CONTENTS; content++) {
            test_volume(widths[i], 7, 3, (enum content)content);
            test_volume(5, widths[i], 3, (enum content)content);
            test_volume(5, 2, widths[i], (enum content)content);
        }
    test_volume(2, 2, 700, COLUMNS); /* pins deeper than 255 slices */
    test_volume(3, 1, 600, UNIFORM);
    for (uint32_t i = 0; i < 7; i++) /* no voxels */
        test_volume(i & 1 ? 3 : 0, i & 2 ? 4 : 0, i & 4 ? 5 : 0, BLOBS);
    return report("labels");
}
