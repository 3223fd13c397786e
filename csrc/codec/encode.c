/*
 * encode.c - labels -> stream
 *
 *   labels -> bitmaps -> { components -> label map, checksum ; trace -> moves -> bytes } -> assemble
 *
 * This file begins with a volume in memory.  It finds the boundaries of the volume's slices, and guesses which of the
 * two crack formats needs fewer cracks.  encode_part.c does the middle of the line above, assemble.c the end.
 */
#include "assemble.h"
#include "boundary.h"
#include "encode_part.h"
#include "transpose.h"
#include "volume.h"

/* The crack format is guessed from this many voxels at most. A wrong guess costs time, and not bytes. */
#define GUESS_VOXELS 512

/* Limit for the bitmaps of a batch of slices. */
#define MAX_BATCH_NBYTES ((u64)16 << 20)

/*
 * Fewer slices of a C-order volume are transposed, because most of the 64 bits of a word would be wasted.  Some rows at a
 * time stay in the cache, and are enough for some cache lines of each column.
 */
#define FEW_SLICES 12
#define BAND_NBYTES ((u64)1 << 20)

/* How many labels ahead the voxels of a C-order volume are prefetched. */
#define LABELS_AHEAD 16

/* A ck_slice_source that reads a volume. */
struct volume_source {
    const struct crackle_volume *volume;
    u32 z, z_end;                   /* the current slice; where the part ends */
    /* C order: the boundaries of several slices, found at once. */
    struct ck_bitmaps *batch;
    u32 batch_z, batch_count, batch_capacity;
    struct ck_column_bits *scratch; /* for many slices */
    u8 *band;                       /* for few: of each slice, a row and 'band_rows' rows behind it */
    u64 band_rows;
};

static int init_volume_source(struct volume_source *s, const struct crackle_volume *v, u32 z_start, u32 z_end)
{
    const u32 num_slices = z_end - z_start;
    const u64 bitmaps_nbytes = (u64)v->sx * v->sy / 4 + 1;

    memset(s, 0, sizeof(*s));
    s->volume = v;
    s->z_end = z_end;
    if (v->fortran_order)
        return 1;
    s->batch_capacity = num_slices < CK_COLUMN_SLICES ? num_slices : CK_COLUMN_SLICES;
    while (s->batch_capacity > 1 && s->batch_capacity * bitmaps_nbytes > MAX_BATCH_NBYTES)
        s->batch_capacity--;
    s->batch = ck_calloc(s->batch_capacity, sizeof(*s->batch));
    for (u32 i = 0; s->batch && i < s->batch_capacity; i++)
        if (!ck_bitmaps_init(&s->batch[i], v->sx, v->sy))
            return 0;
    if (num_slices < FEW_SLICES) {
        const size_t rows_nbytes = (size_t)s->batch_capacity * v->sx * v->width; /* the volume is in memory */

        s->band_rows = BAND_NBYTES / rows_nbytes ? BAND_NBYTES / rows_nbytes : 1;
        s->band_rows = s->band_rows < v->sy ? s->band_rows : v->sy;
        s->band = ck_malloc(s->band_rows + 1, rows_nbytes);
    } else {
        s->scratch = ck_calloc(1, sizeof(*s->scratch));
    }
    return s->batch && (s->band || s->scratch);
}

static void free_volume_source(struct volume_source *s)
{
    for (u32 i = 0; s->batch && i < s->batch_capacity; i++)
        ck_bitmaps_free(&s->batch[i]);
    free(s->batch);
    free(s->scratch);
    free(s->band);
}

/* The boundaries of the slices of the batch, some rows at a time. */
static void find_boundaries_by_bands(struct volume_source *s)
{
    const struct crackle_volume *v = s->volume;
    const size_t row_nbytes = (size_t)v->sx * v->width, slice_nbytes = (size_t)(s->band_rows + 1) * row_nbytes;

    for (u64 y = 0; y < v->sy; y += s->band_rows) {
        const u64 num_rows = v->sy - y < s->band_rows ? v->sy - y : s->band_rows;

        for (u32 i = 0; y > 0 && i < s->batch_count; i++)
            memcpy(s->band + i * slice_nbytes, s->band + (i + 1) * slice_nbytes - row_nbytes, row_nbytes); /* above */
        ck_gather_rows(v, s->batch_z, s->batch_count, y, num_rows, s->band + row_nbytes, slice_nbytes / v->width);
        for (u32 i = 0; i < s->batch_count; i++)
            ck_find_boundaries_of_rows(s->band + i * slice_nbytes + row_nbytes, v->width, &s->batch[i], y, y + num_rows);
    }
}

static crackle_status boundaries_of_volume(void *self, u32 z, struct ck_bitmaps *b, struct crackle_where *where)
{
    struct volume_source *s = self;
    const struct crackle_volume *v = s->volume;
    struct ck_bitmaps swap = *b;

    (void)where;
    s->z = z;
    if (v->fortran_order) {
        ck_find_boundaries(ck_slice_of(v, z), v->width, b);
        return CRACKLE_OK;
    }
    if (z < s->batch_z || z - s->batch_z >= s->batch_count) {
        s->batch_z = z;
        s->batch_count = s->z_end - z < s->batch_capacity ? s->z_end - z : s->batch_capacity;
        if (s->band)
            find_boundaries_by_bands(s);
        else
            ck_find_boundaries_of_columns(v, z, s->batch_count, s->batch, s->scratch);
    }
    *b = s->batch[z - s->batch_z];
    s->batch[z - s->batch_z] = swap;
    return CRACKLE_OK;
}

/* Where the voxel of a slice, y * sx + x, lies in a C-order volume. */
static inline size_t voxel_in_c_order(const struct crackle_volume *v, u64 voxel, u32 z)
{
    return (size_t)((voxel % v->sx * v->sy + voxel / v->sx) * v->sz + z);
}

static crackle_status labels_of_volume(void *self, const struct ck_components *c, u64 *labels)
{
    const struct volume_source *s = self;
    const struct crackle_volume *v = s->volume;

    if (v->fortran_order) {
        for (size_t i = 0; i < c->count; i++)
            labels[i] = ck_native_label(ck_slice_of(v, s->z), c->first[i], v->width, v->is_signed);
        return CRACKLE_OK;
    }
    for (size_t i = 0; i < c->count; i++) {
        if (c->count - i > LABELS_AHEAD)
            CK_PREFETCH((const u8 *)v->voxels + voxel_in_c_order(v, c->first[i + LABELS_AHEAD], s->z) * v->width);
        labels[i] = ck_native_label(v->voxels, voxel_in_c_order(v, c->first[i], s->z), v->width, v->is_signed);
    }
    return CRACKLE_OK;
}

crackle_status crackle_encode_part(const struct crackle_volume *volume, uint32_t z_start, uint32_t z_end,
                                   int permissible, crackle_part **part_ret)
{
    struct volume_source s;
    struct ck_slice_source source;
    crackle_status status = CRACKLE_NO_MEMORY;

    if (!ck_is_volume(volume) || z_start > z_end || z_end > volume->sz)
        return CRACKLE_BAD_ARGUMENT;
    if (volume->nbytes == 0 || z_start == z_end) {
        crackle_part *part = ck_part_new(z_start, z_end, permissible);

        if (!part)
            return CRACKLE_NO_MEMORY;
        *part_ret = part;
        return CRACKLE_OK;
    }
    if (init_volume_source(&s, volume, z_start, z_end)) {
        source.self = &s;
        source.find_boundaries = boundaries_of_volume;
        source.read_labels = labels_of_volume;
        status = ck_encode_part(&source, volume->sx, volume->sy, z_start, z_end, permissible, part_ret, NULL);
    }
    free_volume_source(&s);
    return status;
}

/* Compare some voxels with their neighbours in x and y. Count the boundaries, and all pairs compared. */
static void sample_voxels(const struct crackle_volume *v, u64 *boundaries, u64 *pairs)
{
    const u64 num_voxels = (u64)v->sx * v->sy * v->sz;
    const u64 count = num_voxels / 8 < GUESS_VOXELS ? num_voxels / 8 + 1 : GUESS_VOXELS;
    u64 random = 1;

    for (u64 i = 0; i < count; i++) {
        const u64 step_x = v->fortran_order ? 1 : (u64)v->sy * v->sz;
        const u64 step_y = v->fortran_order ? v->sx : v->sz;
        const u64 step_z = v->fortran_order ? (u64)v->sx * v->sy : 1;
        u64 x, y, z, voxel, label;

        random = random * 6364136223846793005u + 1442695040888963407u; /* Knuth's; only its high bits are random */
        /* Products, not remainders: three divisions take as long as all the rest. */
        x = (random >> 48) * v->sx >> 16;
        y = (random >> 32 & 0xffff) * v->sy >> 16;
        z = (random >> 16 & 0xffff) * v->sz >> 16;
        voxel = x * step_x + y * step_y + z * step_z;
        label = ck_native_label(v->voxels, voxel, v->width, 0);
        if (x > 0)
            *boundaries += label != ck_native_label(v->voxels, voxel - step_x, v->width, 0);
        if (y > 0)
            *boundaries += label != ck_native_label(v->voxels, voxel - step_y, v->width, 0);
        *pairs += (u64)(x > 0) + (y > 0);
    }
}

int crackle_guess_crack_format(const struct crackle_volume *v)
{
    u64 boundaries = 0, pairs = 0;

    if (!ck_is_volume(v) || v->nbytes == 0)
        return 0;
    sample_voxels(v, &boundaries, &pairs);
    return boundaries > pairs / 2;
}

int crackle_fewer_cracks(crackle_part *const *parts, size_t num_parts)
{
    u64 boundaries = 0, interior = 0;

    for (size_t i = 0; i < num_parts; i++) {
        boundaries += parts[i]->num_boundaries;
        interior += parts[i]->num_interior;
    }
    return boundaries > interior - boundaries;
}

crackle_status crackle_encode(const struct crackle_volume *volume, const struct crackle_options *options,
                              uint8_t **out_ret, size_t *out_nbytes_ret)
{
    int permissible = crackle_guess_crack_format(volume);
    crackle_part *part = NULL;
    crackle_status status = crackle_encode_part(volume, 0, volume->sz, permissible, &part);

    if (status == CRACKLE_OK && crackle_fewer_cracks(&part, 1) != permissible) {
        crackle_part_free(part);
        part = NULL;
        status = crackle_encode_part(volume, 0, volume->sz, !permissible, &part);
    }
    if (status == CRACKLE_OK)
        status = crackle_assemble(volume, options, &part, 1, NULL, out_ret, out_nbytes_ret);
    crackle_part_free(part);
    return status;
}

void crackle_free(void *buffer)
{
    free(buffer);
}
