/* operations.h - run every operation on the boundaries of a stream, also of a damaged one */
#ifndef OPERATIONS_H
#define OPERATIONS_H

#include "crackle.h"

#include <stdlib.h>
#include <string.h>

typedef void on_status(crackle_status status, const struct crackle_where *where);

/* Pass a status to 'callback', and keep the first that is not CRACKLE_OK in '*first'. */
static inline void note(crackle_status status, struct crackle_where *where, on_status *callback, crackle_status *first)
{
    const struct crackle_where nowhere = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};

    if (callback)
        callback(status, where);
    if (*first == CRACKLE_OK)
        *first = status;
    *where = nowhere;
}

static inline void part_operations(const uint8_t *stream, size_t nbytes, const struct crackle_parts *parts,
                                   const struct crackle_header *h, unsigned int flags, on_status *callback,
                                   crackle_status *first)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    const uint32_t middle = h->sz / 2;
    crackle_part *made[2] = {NULL, NULL}, *other = NULL;
    uint8_t *out = NULL;
    size_t out_nbytes;
    crackle_status status;

    if (middle > 0) {
        note(crackle_recompress_part(parts, 0, middle, flags, 0, &made[0], &where), &where, callback, first);
        note(crackle_recompress_part(parts, middle, h->sz, flags, 0, &made[1], &where), &where, callback, first);
    }
    if (made[0] && made[1]) {
        status = crackle_reassemble(stream, nbytes, 1, made, 2, NULL, &out, &out_nbytes, &where);
        note(status, &where, callback, first);
        if (status == CRACKLE_OK)
            crackle_free(out);
    }
    note(crackle_overlay_part(parts, parts, 0, h->sz, flags, 1, &other, &where), &where, callback, first);
    crackle_part_free(other);
    for (unsigned int depth = 1; depth < 3; depth++) {
        const uint32_t sz = (h->sz + depth - 1) / depth;
        struct crackle_volume shape = {NULL, 0, (h->sx + 1) / 2, (h->sy + 1) / 2, sz, h->data_width, h->is_signed, 1};
        const struct crackle_options options = {1, 0, 0, 0, 0};

        other = NULL;
        note(crackle_pool_part(parts, 0, sz, flags, depth, (int)depth - 1, 0, &other, &where), &where, callback, first);
        shape.nbytes = (size_t)shape.sx * shape.sy * shape.sz * shape.width;
        if (other) {
            status = crackle_assemble(&shape, &options, &other, 1, NULL, &out, &out_nbytes);
            note(status, &where, callback, first);
            if (status == CRACKLE_OK)
                crackle_free(out);
        }
        crackle_part_free(other);
    }
    crackle_part_free(made[0]);
    crackle_part_free(made[1]);
}

static inline void stack_operations(const uint8_t *stream, size_t nbytes, const struct crackle_header *h,
                                    on_status *callback, crackle_status *first)
{
    const struct crackle_piece pieces[3] = {
        {stream, nbytes, h->sz / 3, h->sz}, {stream, nbytes, 0, h->sz / 2}, {stream, nbytes, 0, 0}};
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    uint8_t *out = NULL;
    size_t out_nbytes, piece;
    crackle_status status;

    status = crackle_stack(pieces, 3, 2, h->data_width, h->is_signed, 1, &out, &out_nbytes, &piece, &where);
    note(status, &where, callback, first);
    if (status == CRACKLE_OK)
        crackle_free(out);
}

static inline void join_operations(const uint8_t *stream, size_t nbytes, const struct crackle_header *h,
                                   unsigned int flags, on_status *callback, crackle_status *first)
{
    for (unsigned int connectivity = 6; connectivity <= 26; connectivity += 20) {
        struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
        crackle_joiner *joiner = NULL;
        const struct crackle_joining how = {connectivity, connectivity == 6, 1, 0, connectivity == 6};
        crackle_status status = crackle_joiner_begin(stream, nbytes, flags, &how, &joiner, &where);

        note(status, &where, callback, first);
        if (status == CRACKLE_OK) {
            uint64_t *labels = NULL, *voxels = NULL, count;
            uint8_t *out = NULL;
            size_t out_nbytes;

            status = crackle_joiner_next(joiner, h->sz, &where);
            note(status, &where, callback, first);
            if (status == CRACKLE_OK) {
                status = crackle_joiner_finish(joiner, stream, &out, &out_nbytes, &labels, &voxels, &count);
                note(status, &where, callback, first);
            }
            if (status == CRACKLE_OK) {
                crackle_free(out);
                crackle_free(labels);
                crackle_free(voxels);
            }
        }
        crackle_joiner_free(joiner);
    }
}

/* The stream twice, in one batch; and all of it decoded by one call. */
static inline void batch_operations(const uint8_t *stream, size_t nbytes, const struct crackle_header *h,
                                    unsigned int flags, on_status *callback, crackle_status *first)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    const uint64_t ends[2] = {nbytes, 2 * (uint64_t)nbytes};
    struct crackle_batch batch = {NULL, 2 * nbytes, ends, 2, h->sx, h->sy, h->sz, h->data_width, h->is_signed};
    struct crackle_volume out = {NULL, 0, h->sx, h->sy, h->sz, h->data_width, h->is_signed, 1};
    uint8_t *twice = malloc(2 * nbytes);
    struct crackle_label_extent *rows = NULL;
    uint64_t *labels = NULL, row_ends[2];
    size_t at;

    if (!twice)
        return;
    memcpy(twice, stream, nbytes);
    memcpy(twice + nbytes, stream, nbytes);
    batch.bytes = twice;
    note(crackle_batch_tables(&batch, flags, &labels, row_ends, &at, &where), &where, callback, first);
    crackle_free(labels);
    note(crackle_batch_measure(&batch, flags, &rows, row_ends, &at, &where), &where, callback, first);
    crackle_free(rows);
    free(twice);
    out.nbytes = (size_t)h->sx * h->sy * h->sz * h->data_width;
    out.voxels = malloc(out.nbytes ? out.nbytes : 1);
    if (out.voxels)
        note(crackle_decode_stream(stream, nbytes, flags, &out, &where), &where, callback, first);
    free(out.voxels);
}

/*
 * Run all operations, and return the status of the first that fails.  The volume must have voxels, and few labels.
 * 'selected' and 'per_entry' have 'count' elements.
 */
static inline crackle_status all_operations(const uint8_t *stream, size_t nbytes, const struct crackle_parts *parts,
                                            const struct crackle_header *h, unsigned int flags,
                                            const uint8_t *selected, uint64_t *per_entry, uint64_t count,
                                            on_status *callback)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    struct crackle_contact *contacts = NULL;
    struct crackle_overlap *overlaps = NULL;
    struct crackle_volume graph = {NULL, 0, h->sx, h->sy, h->sz, 1, 0, (uint8_t)(h->sz % 2)};
    void *points = NULL;
    uint64_t number;
    int equal = 0;
    crackle_status first = CRACKLE_OK;

    note(crackle_surface(parts, 0, h->sz, flags, selected, count, 2, NULL, &points, per_entry, &where), &where,
         callback, &first);
    crackle_free(points);
    graph.nbytes = (size_t)h->sx * h->sy * h->sz;
    graph.voxels = malloc(graph.nbytes ? graph.nbytes : 1);
    note(crackle_connectivity(parts, 0, h->sz, flags, 6, &graph, 0, &where), &where, callback, &first);
    free(graph.voxels);
    note(crackle_contacts(parts, h->sz / 2, h->sz, flags, &contacts, &number, &where), &where, callback, &first);
    crackle_free(contacts);
    contacts = NULL;
    note(crackle_contacts_within(parts, 0, h->sz, flags, h->sx / 3, h->sx, h->sy / 3, h->sy, 7, &contacts, &number,
                                 &where), &where, callback, &first);
    crackle_free(contacts);
    note(crackle_overlaps(parts, parts, 0, h->sz, flags, &overlaps, &number, &where), &where, callback, &first);
    crackle_free(overlaps);
    note(crackle_equal(parts, parts, 0, h->sz, flags, &equal, &where), &where, callback, &first);
    part_operations(stream, nbytes, parts, h, flags, callback, &first);
    join_operations(stream, nbytes, h, flags, callback, &first);
    stack_operations(stream, nbytes, h, callback, &first);
    batch_operations(stream, nbytes, h, flags, callback, &first);
    return first;
}

#endif /* OPERATIONS_H */
