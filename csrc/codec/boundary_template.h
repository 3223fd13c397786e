/*
 * boundary_template.h - boundary.c for one width of labels; included once per width and kind of processor
 *
 *   CK_LABEL       the unsigned integer of that width
 *   CK_NAME(name)  the name with a suffix for both
 *   CK_UNEQUAL     unequal_64() for the width
 *   CK_PUT_WORDS   put_words() for the kind of processor
 *   CK_TARGET      the attribute of functions that call either
 *
 * No function reads labels outside the slice.  A row of more than 64 labels ends with a word that overlaps the previous
 * one.  Reading a shorter row, which a chunk has by the thousand, runs on into the next row.  Only the last rows of a
 * slice are copied to a buffer of 65 labels first.
 */

/*
 * Compare a row with itself shifted by one: bit x says row[x] != row[x - 1].  'has_before': whether a label precedes
 * the row in memory.  'behind': how many labels there are from its first on.
 */
CK_TARGET static void CK_NAME(compare_to_left)(const CK_LABEL *row, u32 sx, int has_before, u64 behind, u64 *out)
{
    size_t w = 0;

    if (sx <= 64) {
        if (CK_LIKELY(has_before && behind >= 64)) {
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

/* The rows [y, y_end) begin at 'row'. Unless 'y' is 0, the row above precedes them. */
CK_TARGET static void CK_NAME(find_boundaries)(const CK_LABEL *row, struct ck_bitmaps *b, u64 y, u64 y_end)
{
    for (; y < y_end; y++, row += b->sx) {
        /*
         * A number, because it may lie behind the volume, where a pointer may not point.  Prefetching there does
         * nothing.
         */
        const uintptr_t ahead = (uintptr_t)row + FETCH_AHEAD;

        for (size_t i = 0; i < b->sx * sizeof(*row); i += 64)
            CK_PREFETCH(ahead + i);
        CK_NAME(compare_to_left)(row, b->sx, y > 0, (y_end - y) * b->sx, ck_vertical(b, y));
        if (y > 0)
            CK_NAME(compare_to_above)(row, row - b->sx, b->sx, (y_end - y) * b->sx, ck_horizontal(b, y));
    }
}

/*
 * Compare the labels from 'z' on of two columns of 'sz' labels: bit i says that labels z + i differ.  Bits of labels
 * behind a column are garbage.  Columns of less than 64 labels are read beyond their ends.
 */
CK_TARGET static inline u64 CK_NAME(compare_column)(const CK_LABEL *a, const CK_LABEL *b, u32 z, u32 sz)
{
    const u32 first = sz >= 64 && z > sz - 64 ? sz - 64 : z;

    return CK_UNEQUAL(a + first, b + first) >> (z - first);
}

/* Compare columns from (x, y) on with those to their left and above them. */
CK_TARGET static void CK_NAME(compare_columns)(const struct crackle_volume *v, u64 x, u64 y, u32 z, u32 count,
                                               struct ck_column_bits *bits)
{
    const size_t step_x = (size_t)v->sy * v->sz, step_y = v->sz;
    const CK_LABEL *const first = (const CK_LABEL *)v->voxels + x * step_x + y * step_y;
    const CK_LABEL *const end = (const CK_LABEL *)v->voxels + v->sx * step_x;
    CK_LABEL padded[3][2 * 64] = {{0}};

    for (u64 i = 0; i < CK_COLUMNS_X && x + i < v->sx; i++)
        for (u64 j = 0; j < CK_COLUMNS_Y && y + j < v->sy; j++) {
            const CK_LABEL *here = first + i * step_x + j * step_y;
            const CK_LABEL *left = x + i > 0 ? here - step_x : here;
            const CK_LABEL *above = y + j > 0 ? here - step_y : here;
            const uintptr_t ahead = (uintptr_t)(here + z) + COLUMNS_AHEAD * step_x * sizeof(*here);

            for (size_t k = 0; k < count * sizeof(*here); k += 64)
                CK_PREFETCH_L2(ahead + k);
            /* 64 labels from z < 64 on would end behind the volume. */
            if (CK_UNLIKELY(v->sz < 64 && end - here < 2 * 64)) {
                memcpy(padded[0], here, v->sz * sizeof(*here));
                memcpy(padded[1], left, v->sz * sizeof(*here));
                memcpy(padded[2], above, v->sz * sizeof(*here));
                here = padded[0];
                left = padded[1];
                above = padded[2];
            }
            for (u32 k = 0; k < count; k += 64) {
                bits->left[k / 64][j][i] = CK_NAME(compare_column)(here, left, z + k, v->sz);
                bits->up[k / 64][j][i] = CK_NAME(compare_column)(here, above, z + k, v->sz);
            }
        }
}

CK_TARGET static void CK_NAME(find_boundaries_of_columns)(const struct crackle_volume *v, u32 z, u32 count,
                                                          struct ck_bitmaps *slices, struct ck_column_bits *bits)
{
    for (size_t w = 0; w < slices->words; w += CK_COLUMNS_X / 64)
        for (u64 y = 0; y < v->sy; y += CK_COLUMNS_Y) {
            CK_NAME(compare_columns)(v, (u64)w * 64, y, z, count, bits);
            for (u64 j = 0; j < CK_COLUMNS_Y && y + j < v->sy; j++)
                for (size_t i = 0; i < CK_COLUMNS_X / 64 && w + i < slices->words; i++)
                    for (u32 k = 0; k < count; k += 64)
                        CK_PUT_WORDS(bits->left[k / 64][j] + i * 64, bits->up[k / 64][j] + i * 64, slices + k,
                                     count - k < 64 ? count - k : 64, y + j, w + i);
        }
}

#undef CK_LABEL
#undef CK_NAME
#undef CK_UNEQUAL
#undef CK_TARGET
#undef CK_PUT_WORDS
