/*
 * boundary_template.h - boundary.c for one width of labels; included once per width and kind of processor
 *
 *   CK_LABEL       the unsigned integer of that width
 *   CK_NAME(name)  the name with a suffix for both
 *   CK_UNEQUAL     unequal_64() for the width
 *   CK_TARGET      the attribute of functions that call it
 *
 * No label outside the row is ever read: rows of more than 64 labels end with a word that
 * overlaps the one before, shorter rows are copied to a buffer of 65.
 */

/*
 * The comparisons of a row with itself shifted by one: bit x of the row says
 * row[x] != row[x - 1].
 */
CK_TARGET static void CK_NAME(compare_to_left)(const CK_LABEL *row, u32 sx, u64 *out)
{
    size_t w = 0;

    if (sx <= 64) {
        CK_LABEL padded[65] = {0};

        memcpy(padded, row, sx * sizeof(*row));
        out[0] = (CK_UNEQUAL(padded + 1, padded) << 1) & ck_low_bits(sx);
        if (sx == 64)
            out[1] = 0;
        return;
    }
    /* Bit 0 has no left neighbour and stays clear. */
    out[0] = CK_UNEQUAL(row + 1, row) << 1;
    for (w = 1; (u64)w * 64 + 64 <= sx; w++)
        out[w] = CK_UNEQUAL(row + w * 64, row + w * 64 - 1);
    out[w] = 0;
    if (sx % 64 != 0)
        out[w] = CK_UNEQUAL(row + sx - 64, row + sx - 65) >> (64 - sx % 64);
}

/* Bit x says row[x] != above[x]. */
CK_TARGET static void CK_NAME(compare_to_above)(const CK_LABEL *row, const CK_LABEL *above, u32 sx, u64 *out)
{
    size_t w;

    if (sx < 64) {
        CK_LABEL a[64] = {0};
        CK_LABEL b[64] = {0};

        memcpy(a, row, sx * sizeof(*row));
        memcpy(b, above, sx * sizeof(*row));
        out[0] = CK_UNEQUAL(a, b);
        return;
    }
    for (w = 0; (u64)w * 64 + 64 <= sx; w++)
        out[w] = CK_UNEQUAL(row + w * 64, above + w * 64);
    out[w] = 0;
    if (sx % 64 != 0)
        out[w] = CK_UNEQUAL(row + sx - 64, above + sx - 64) >> (64 - sx % 64);
}

CK_TARGET static void CK_NAME(find_boundaries)(const CK_LABEL *slice, struct ck_bitmaps *b)
{
    const CK_LABEL *row = slice;

    for (u64 y = 0; y < b->sy; y++, row += b->sx) {
        /* As a number: it may lie behind the volume, where fetching does nothing. */
        const uintptr_t ahead = (uintptr_t)row + FETCH_AHEAD;

        for (size_t i = 0; i < b->sx * sizeof(*row); i += 64)
            CK_PREFETCH(ahead + i);
        CK_NAME(compare_to_left)(row, b->sx, ck_vertical(b, y));
        if (y > 0)
            CK_NAME(compare_to_above)(row, row - b->sx, b->sx, ck_horizontal(b, y));
    }
}

#undef CK_LABEL
#undef CK_NAME
#undef CK_UNEQUAL
#undef CK_TARGET
