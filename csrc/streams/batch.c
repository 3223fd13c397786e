/*
 * batch.c - one question to many whole streams in one call
 *
 * Each stream is asked as if it were alone.  What a batch saves is the caller's: a call from another language takes
 * longer than the label table of a small stream.
 */
#include "../base/common.h"
#include "../codec/header.h"
#include "../crackle.h"

/* Take stream 'i' apart, if it has the shape and the type of the batch. */
static crackle_status open_stream(const struct crackle_batch *batch, size_t i, struct crackle_parts *parts,
                                  struct crackle_where *where)
{
    const u64 begin = i ? batch->ends[i - 1] : 0, end = batch->ends[i];
    struct crackle_header h;
    crackle_status status;

    if (begin > end || end > batch->nbytes)
        return CRACKLE_BAD_ARGUMENT;
    status = crackle_split(batch->bytes + begin, (size_t)(end - begin), parts, where);
    if (status == CRACKLE_OK)
        status = crackle_read_header(parts->head, parts->head_nbytes, &h, where);
    if (status != CRACKLE_OK)
        return status;
    if (h.sx != batch->sx || h.sy != batch->sy || h.sz != batch->sz || h.data_width != batch->width ||
        !h.is_signed != !batch->is_signed)
        return ck_fail(where, CRACKLE_CORRUPT, CRACKLE_SECTION_HEADER, CRACKLE_NO_SLICE);
    return CRACKLE_OK;
}

crackle_status crackle_batch_tables(const struct crackle_batch *batch, unsigned int flags, uint64_t **labels_ret,
                                    uint64_t *label_ends, size_t *stream_ret, struct crackle_where *where)
{
    void *labels = NULL;
    size_t capacity = 0;
    u64 total = 0, count = 0;
    crackle_status status = ck_reserve(&labels, &capacity, 1, sizeof(u64)) ? CRACKLE_OK : CRACKLE_NO_MEMORY;

    for (size_t i = 0; status == CRACKLE_OK && i < batch->count; i++) {
        struct crackle_parts parts;

        *stream_ret = i;
        status = open_stream(batch, i, &parts, where);
        if (status == CRACKLE_OK)
            status = crackle_table_size(&parts, &count, where);
        if (status != CRACKLE_OK)
            break;
        if (!ck_reserve(&labels, &capacity, total + count, sizeof(u64))) {
            status = CRACKLE_NO_MEMORY;
            break;
        }
        status = crackle_read_table(&parts, flags, (u64 *)labels + total, count, where);
        label_ends[i] = total += count;
    }
    if (status == CRACKLE_OK)
        *labels_ret = labels;
    else
        free(labels);
    return status;
}

/* Memory for the label table of one stream and its extents. */
struct scratch {
    void *labels, *extents;
    size_t labels_capacity, extents_capacity;
};

/* Append a row for each label of a stream that has voxels. */
static crackle_status measure_stream(const struct crackle_batch *batch, const struct crackle_parts *parts,
                                     unsigned int flags, struct scratch *s, void **rows, size_t *capacity, u64 *total,
                                     struct crackle_where *where)
{
    const struct crackle_extent *extents;
    struct crackle_label_extent *row;
    const u64 *labels;
    u64 count;
    crackle_status status = crackle_table_size(parts, &count, where);

    if (status != CRACKLE_OK)
        return status;
    if (!ck_reserve(&s->labels, &s->labels_capacity, count, sizeof(u64)) ||
        !ck_reserve(&s->extents, &s->extents_capacity, count, sizeof(*extents)) ||
        !ck_reserve(rows, capacity, *total + count, sizeof(*row)))
        return CRACKLE_NO_MEMORY;
    status = crackle_measure(parts, 0, batch->sz, flags, 0, batch->sx, 0, batch->sy, s->extents, count, where);
    if (status == CRACKLE_OK) /* which has verified the labels */
        status = crackle_read_table(parts, flags | CRACKLE_NO_VERIFY, s->labels, count, where);
    if (status != CRACKLE_OK)
        return status;
    extents = s->extents;
    labels = s->labels;
    row = (struct crackle_label_extent *)*rows + *total;
    for (u64 i = 0; i < count; i++)
        if (extents[i].voxels) {
            row->label = labels[i];
            row->extent = extents[i];
            row++;
            *total += 1;
        }
    return CRACKLE_OK;
}

crackle_status crackle_batch_measure(const struct crackle_batch *batch, unsigned int flags,
                                     struct crackle_label_extent **rows_ret, uint64_t *row_ends, size_t *stream_ret,
                                     struct crackle_where *where)
{
    struct scratch s = {NULL, NULL, 0, 0};
    void *rows = NULL;
    size_t capacity = 0;
    u64 total = 0;
    crackle_status status = CRACKLE_OK;

    if (!ck_reserve(&rows, &capacity, 1, sizeof(**rows_ret)) ||
        !ck_reserve(&s.labels, &s.labels_capacity, 1, sizeof(u64)) ||
        !ck_reserve(&s.extents, &s.extents_capacity, 1, sizeof(struct crackle_extent)))
        status = CRACKLE_NO_MEMORY;
    for (size_t i = 0; status == CRACKLE_OK && i < batch->count; i++) {
        struct crackle_parts parts;

        *stream_ret = i;
        status = open_stream(batch, i, &parts, where);
        if (status == CRACKLE_OK)
            status = measure_stream(batch, &parts, flags, &s, &rows, &capacity, &total, where);
        row_ends[i] = total;
    }
    free(s.labels);
    free(s.extents);
    if (status == CRACKLE_OK)
        *rows_ret = rows;
    else
        free(rows);
    return status;
}
