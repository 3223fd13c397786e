/*
 * paint_template.h - paint.c for one width of labels; included once per width
 *
 *   CK_LABEL       the unsigned integer of that width
 *   CK_NAME(name)  the name with a suffix for the width
 */

#if CK_MAYBE_V4
CK_TARGET_V4 static void CK_NAME(put_row_patches_v4)(CK_LABEL *row, const struct ck_patch *patch,
                                                     const struct ck_patch *end, const u64 *labels)
{
    for (; patch < end; patch++)
        CK_NAME(ck_put_patch_v4)(row, patch->begin, patch->end, (CK_LABEL)labels[patch->component]);
}
#endif

/* Write the patches of row 'y', as labels, into the row above. */
static inline void CK_NAME(put_row_patches)(CK_LABEL *row, const struct ck_components *c, u64 y, const u64 *labels)
{
    const struct ck_patch *patch = c->patches + ck_row_begin(c, y);
    const struct ck_patch *const end = c->patches + c->row_end[y];

#if CK_MAYBE_V4
    if (ck_cpu_has_v4()) {
        CK_NAME(put_row_patches_v4)(row, patch, end, labels);
        return;
    }
#endif
    if (ck_is_dense((size_t)(end - patch), c->sx))
        for (; patch < end; patch++)
            CK_NAME(ck_put_patch_scalar)(row, patch->begin, patch->end, (CK_LABEL)labels[patch->component]);
    for (; patch < end; patch++)
        CK_NAME(ck_put_patch)(row, patch->begin, patch->end, (CK_LABEL)labels[patch->component]);
}

static void CK_NAME(paint)(const struct ck_components *c, const u64 *labels, CK_LABEL *slice, enum ck_paint_to to,
                           CK_LABEL *row)
{
    memset(row, 0, ((size_t)c->sx + CK_ROW_SPARE) * sizeof(*row));
    for (u64 y = 0; y < c->sy; y++, slice += c->sx) {
        CK_NAME(put_row_patches)(row, c, y, labels);
        ck_copy_lines((u8 *)slice, (const u8 *)row, c->sx * sizeof(*row), to == CK_TO_MEMORY);
    }
    ck_copy_ends();
}

static void CK_NAME(paint_columns)(const struct ck_slice_to_paint *slices, u32 count, const struct crackle_volume *out,
                                   u32 z, CK_LABEL *rows)
{
    const size_t stride = (size_t)out->sx + CK_ROW_SPARE;
    const u32 height = ck_rows_at_once(out, count);

    memset(rows, 0, stride * count * height * sizeof(*rows));
    for (u64 y = 0; y < out->sy; y += height) {
        const u32 num_rows = height < out->sy - y ? height : (u32)(out->sy - y);

        for (u32 j = 0; j < num_rows; j++)
            for (u32 i = 0; i < count; i++) {
                CK_LABEL *row = rows + (j * count + i) * stride;

                if (height > 1)
                    memmove(row, j > 0 ? row - count * stride : row + (height - 1) * count * stride,
                            out->sx * sizeof(*row));
                CK_NAME(put_row_patches)(row, slices[i].components, y + j, slices[i].labels);
            }
        ck_scatter_rows(rows, stride, out, y, z, num_rows * count);
    }
}

#undef CK_LABEL
#undef CK_NAME
