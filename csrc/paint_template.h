/*
 * paint_template.h - paint.c for one width of labels; included once per width
 *
 *   CK_LABEL       the unsigned integer of that width
 *   CK_NAME(name)  the name with a suffix for the width
 */

static void CK_NAME(paint)(const struct ck_components *c, const u64 *labels, CK_LABEL *slice, CK_LABEL *narrow)
{
    const struct ck_patch *patch = c->patches;
    CK_LABEL *row = slice;

    for (size_t i = 0; i < c->count; i++)
        narrow[i] = (CK_LABEL)labels[i];
    for (u64 y = 0; y < c->sy; y++, row += c->sx) {
        const struct ck_patch *const end = c->patches + c->row_end[y];

        if (y > 0)
            memcpy(row, row - c->sx, c->sx * sizeof(*row));
        for (; patch < end; patch++) {
            const CK_LABEL label = narrow[patch->component];
            u32 x = patch->begin;

            do /* a patch is not empty */
                row[x] = label;
            while (++x < patch->end);
        }
    }
}

#undef CK_LABEL
#undef CK_NAME
