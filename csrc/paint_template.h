/*
 * paint_template.h - paint.c for one width of labels; included once per width
 *
 *   CK_LABEL       the unsigned integer of that width
 *   CK_NAME(name)  the name with a suffix for the width
 */

static void CK_NAME(paint)(const struct ck_components *c, const u64 *labels, CK_LABEL *slice, enum ck_paint_to to,
                           CK_LABEL *scratch)
{
    const struct ck_patch *patch = c->patches;
    CK_LABEL *row = scratch;
    CK_LABEL *narrow = scratch + (u64)c->sx + CK_ROW_SPARE;

    for (size_t i = 0; i < c->count; i++)
        narrow[i] = (CK_LABEL)labels[i];
    memset(row, 0, ((size_t)c->sx + CK_ROW_SPARE) * sizeof(*row));
    for (u64 y = 0; y < c->sy; y++, slice += c->sx) {
        const struct ck_patch *const end = c->patches + c->row_end[y];

        if (ck_is_dense((size_t)(end - patch), c->sx))
            for (; patch < end; patch++) {
                u32 x = patch->begin;

                CK_LAY_EACH(row, x, patch->end, narrow[patch->component]);
            }
        for (; patch < end; patch++)
            CK_NAME(ck_lay)(row, patch->begin, patch->end, narrow[patch->component]);
        put_row((u8 *)slice, (const u8 *)row, c->sx * sizeof(*row), to);
    }
    put_end(to);
}

#undef CK_LABEL
#undef CK_NAME
