/* faces.c - faces between different labels, within a slice and to the previous slice */
#include "faces.h"

#if CK_HAVE_SSE2
#include <emmintrin.h>
#endif

void ck_faces_free(struct ck_faces *f)
{
    ck_reading_free(&f->reading);
    ck_label_set_free(&f->labels);
    free(f->number_of_entry);
    free(f->differ);
    for (int i = 0; i < 2; i++) {
        ck_components_free(&f->layers[i].components);
        free(f->layers[i].numbers);
    }
}

/* Give equal labels equal numbers, even if they are different entries. */
static crackle_status number_labels(struct ck_faces *f)
{
    const struct ck_label_table *table = &f->reading.map.table;
    const u64 count = ck_num_entries(table);

    if (count > UINT32_MAX)
        return CRACKLE_UNSUPPORTED;
    f->number_of_entry = ck_malloc(count, sizeof(*f->number_of_entry));
    if (!f->number_of_entry)
        return CRACKLE_NO_MEMORY;
    for (u64 i = 0; i < count; i++)
        if (!ck_label_set_add(&f->labels, ck_label_of_entry(&f->reading.header, table, i), &f->number_of_entry[i]))
            return CRACKLE_NO_MEMORY;
    return CRACKLE_OK;
}

crackle_status ck_faces_begin(struct ck_faces *f, const struct crackle_parts *parts, u32 z_start, u32 z_end,
                              struct crackle_where *where)
{
    const struct crackle_header *h = &f->reading.header;
    crackle_status status;

    memset(&f->labels, 0, sizeof(f->labels));
    memset(f->layers, 0, sizeof(f->layers));
    f->number_of_entry = NULL;
    f->differ = NULL;
    f->before = NULL;
    f->layer = NULL;
    status = ck_reading_begin(&f->reading, parts, z_start, z_end, where);
    if (status == CRACKLE_OK)
        status = number_labels(f);
    if (status == CRACKLE_OK) {
        f->differ = ck_calloc((u64)h->sx / 64 + 1, 64);
        status = f->differ ? CRACKLE_OK : CRACKLE_NO_MEMORY;
    }
    for (int i = 0; i < 2 && status == CRACKLE_OK; i++)
        if (!ck_components_init(&f->layers[i].components, h->sx, h->sy))
            status = CRACKLE_NO_MEMORY;
    return status;
}

crackle_status ck_faces_next(struct ck_faces *f, u32 z, struct crackle_where *where)
{
    struct ck_layer *layer = f->layer == &f->layers[0] ? &f->layers[1] : &f->layers[0];
    crackle_status status = ck_reading_next(&f->reading, z, where);
    struct ck_components swap;
    void *numbers = layer->numbers;
    int ok;

    if (status != CRACKLE_OK)
        return status;
    ok = ck_reserve(&numbers, &layer->numbers_capacity, f->reading.components.count, sizeof(*layer->numbers));
    layer->numbers = numbers;
    if (!ok)
        return CRACKLE_NO_MEMORY;
    for (size_t i = 0; i < f->reading.components.count; i++)
        layer->numbers[i] = f->number_of_entry[f->reading.entries[i]];
    swap = layer->components;
    layer->components = f->reading.components;
    f->reading.components = swap;
    f->before = f->layer;
    f->layer = layer;
    return CRACKLE_OK;
}

/* ----------------------------------- Faces --------------------------------- */

/* Write the patches of row 'y' into the row above. A changed number is a face. */
static void find_faces_above(const struct ck_layer *layer, u64 y, const struct ck_patch **patch, u64 *faces)
{
    const struct ck_components *c = &layer->components;
    const struct ck_patch *const end = c->patches + c->row_end[y];

    for (; *patch < end; ++*patch) {
        const u32 number = layer->numbers[(*patch)->component];

        for (u32 x = (*patch)->begin; x < (*patch)->end; x++) {
            faces[x / 64] |= (u64)(c->row[x] != number) << x % 64;
            c->row[x] = number;
        }
    }
}

/* Keep the cracks of a row that lie between different labels. */
static void find_faces_left(const u64 *cracks, size_t words, const u32 *row, u64 *faces)
{
    for (size_t w = 0; w < words; w++) {
        u64 found = cracks[w];

        for (u64 left = found; left; left &= left - 1) {
            const u64 x = (u64)w * 64 + ck_ctz64(left);

            found ^= row[x - 1] == row[x] ? left & (0 - left) : 0;
        }
        faces[w] = found;
    }
}

/* Compare a row with that of the previous slice under its own patches. */
static void compare_patches(const struct ck_patch *patch, const struct ck_patch *end, const u32 *row,
                            const u32 *before, u8 *differ)
{
    for (; patch < end; patch++) {
        u32 x = patch->begin;

        do /* a patch is not empty */
            differ[x] = row[x] != before[x];
        while (++x < patch->end);
    }
}

/* Write the patches of row 'y' of the previous slice into its row above, and compare under them. */
static void compare_next_row(const struct ck_layer *layer, u64 y, const struct ck_patch **patch, const u32 *row,
                             u8 *differ)
{
    const struct ck_components *c = &layer->components;
    const struct ck_patch *const end = c->patches + c->row_end[y];

    for (; *patch < end; ++*patch) {
        const u32 number = layer->numbers[(*patch)->component];
        u32 x = (*patch)->begin;

        do {
            c->row[x] = number;
            differ[x] = row[x] != number;
        } while (++x < (*patch)->end);
    }
}

/* Pack 64 bytes, each 0 or 1, to 64 bits. */
#if CK_HAVE_SSE2
static inline u64 pack_64(const u8 *bytes)
{
    u64 word = 0;

    for (unsigned int i = 0; i < 64; i += 16) {
        const __m128i lowest = _mm_loadu_si128((const __m128i *)(bytes + i));

        word |= (u64)(unsigned int)_mm_movemask_epi8(_mm_slli_epi16(lowest, 7)) << i;
    }
    return word;
}
#else
static inline u64 pack_64(const u8 *bytes)
{
    u64 word = 0;

    for (unsigned int i = 0; i < 8; i++) /* the product gathers the lowest bits of eight bytes in the highest byte */
        word |= (ck_load64(bytes + 8 * i) * 0x0102040810204080u >> 56) << 8 * i;
    return word;
}
#endif

void ck_find_faces(const struct ck_faces *f, struct ck_bitmaps *b, u64 *z)
{
    const struct ck_components *c = &f->layer->components;
    const struct ck_components *before = f->before && z ? &f->before->components : NULL;
    const struct ck_patch *patch = c->patches, *other = before ? before->patches : NULL;
    const size_t words = b->words;

    memset(b->horizontal, 0, ((size_t)c->sy + 1) * words * sizeof(u64));
    for (u64 y = 0; y < c->sy; y++) {
        const struct ck_patch *const begin = patch;

        if (y == 0)
            ck_next_row(f->layer, y, &patch); /* no row lies above */
        else
            find_faces_above(f->layer, y, &patch, ck_horizontal(b, y));
        find_faces_left(ck_vertical(&f->reading.bitmaps, y), words, c->row, ck_vertical(b, y));
        if (!before)
            continue;
        compare_next_row(f->before, y, &other, c->row, f->differ);
        compare_patches(begin, patch, c->row, before->row, f->differ);
        for (size_t w = 0; w < words; w++) /* zeros fill the row up to a whole word */
            *z++ = pack_64(f->differ + 64 * w);
    }
    if (z && !before)
        memset(z, 0, (size_t)c->sy * words * sizeof(u64));
}
