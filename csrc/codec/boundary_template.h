/*
 * boundary_template.h - boundary.c for one width of labels; included once per width and kind of processor
 *
 *   CK_LABEL       the unsigned integer of that width
 *   CK_NAME(name)  the name with a suffix for both
 *   CK_UNEQUAL     unequal_64() for the width
 *   CK_TARGET      the attribute of functions that call it
 *
 * No function reads labels outside the slice.  A row of more than 64 labels ends with a word that overlaps the previous
 * one.  Reading a shorter row, which a chunk has by the thousand, runs on into the next row.  Only the last rows of a
 * slice are copied to a buffer of 65 labels first.
 */

/*
 * Compare a row with itself shifted by one: bit x says row[x] != row[x - 1].  The slice has 'before' labels before the
 * row, and 'behind' labels from its first on.
 */
CK_TARGET static void CK_NAME(compare_to_left)(const CK_LABEL *row, u32 sx, u64 before, u64 behind, u64 *out)
{
    size_t w = 0;

    if (sx <= 64) {
        if (CK_LIKELY(before > 0 && behind >= 64)) {
            out[0] = CK_UNEQUAL(row, row - 1) & ck_low_bits(sx) & ~(u64)1;
        } else {
            CK_LABEL padded[65] = {0};

            memcpy(padded, row, sx * sizeof(*row));
            out[0] = (CK_UNEQUAL(padded + 1, padded) << 1) & ck_low_bits(sx);
        }
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
CK_TARGET static void CK_NAME(compare_to_above)(const CK_LABEL *row, const CK_LABEL *above, u32 sx, u64 behind,
                                                u64 *out)
{
    size_t w;

    if (sx < 64) {
        CK_LABEL a[64] = {0};
        CK_LABEL b[64] = {0};

        if (CK_LIKELY(behind >= 64)) {
            out[0] = CK_UNEQUAL(row, above) & ck_low_bits(sx);
            return;
        }
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
        /*
         * A number, because it may lie behind the volume, where a pointer may not point.  Prefetching there does
         * nothing.
         */
        const uintptr_t ahead = (uintptr_t)row + FETCH_AHEAD;

        for (size_t i = 0; i < b->sx * sizeof(*row); i += 64)
            CK_PREFETCH(ahead + i);
        CK_NAME(compare_to_left)(row, b->sx, y * b->sx, (b->sy - y) * b->sx, ck_vertical(b, y));
        if (y > 0)
            CK_NAME(compare_to_above)(row, row - b->sx, b->sx, (b->sy - y) * b->sx, ck_horizontal(b, y));
    }
}

/*
 * Find the boundaries of a row of blocks of columns.  A block has as many columns as fit the bits of a cache line, and
 * the column to their left.  The columns are copied for two reasons: a processor loads many cache lines at once if
 * nothing waits for them; and columns often lie a power of two apart, so a cache can hold only few of them.
 */
CK_TARGET static void CK_NAME(find_boundaries_of_columns)(const CK_LABEL *first, const struct crackle_volume *v,
                                                          u32 count, struct ck_bitmaps *slices, void *scratch)
{
    CK_LABEL *rows[2];

    rows[0] = scratch;
    rows[1] = rows[0] + (CK_COLUMNS_AT_ONCE + 1) * CK_COLUMN_SLICES;
    memset(rows[0], 0, 2 * (CK_COLUMNS_AT_ONCE + 1) * CK_COLUMN_SLICES * sizeof(CK_LABEL));
    for (size_t block = 0; block < slices->words; block += CK_COLUMNS_AT_ONCE / 64) {
        const u64 x = (u64)block * 64;
        const u64 left_over = x < v->sx ? v->sx - x : 0;
        const u64 width = left_over < CK_COLUMNS_AT_ONCE ? left_over : CK_COLUMNS_AT_ONCE;

        for (u64 y = 0; y < v->sy; y++) {
            CK_LABEL *row = rows[y % 2];
            const CK_LABEL *above = rows[(y + 1) % 2];

            for (u64 i = x == 0; i <= width; i++)
                memcpy(row + i * CK_COLUMN_SLICES, first + ((x + i - 1) * v->sy + y) * v->sz, count * sizeof(*row));
            for (size_t w = block; w < slices->words && w < block + CK_COLUMNS_AT_ONCE / 64; w++) {
                const size_t from = ((w - block) * 64 + 1) * CK_COLUMN_SLICES;
                u64 left[64], up[64];

                for (size_t i = 0; i < 64; i++) {
                    const CK_LABEL *column = row + from + i * CK_COLUMN_SLICES;

                    left[i] = CK_UNEQUAL(column, column - CK_COLUMN_SLICES);
                    up[i] = CK_UNEQUAL(column, above + from + i * CK_COLUMN_SLICES);
                }
                transpose_64(left);
                transpose_64(up);
                for (u32 z = 0; z < count; z++) {
                    ck_vertical(&slices[z], y)[w] = left[z] & ck_interior_vertical(slices, w);
                    if (y > 0)
                        ck_horizontal(&slices[z], y)[w] = up[z] & ck_interior_horizontal(slices, w);
                }
            }
        }
    }
}

#undef CK_LABEL
#undef CK_NAME
#undef CK_UNEQUAL
#undef CK_TARGET
