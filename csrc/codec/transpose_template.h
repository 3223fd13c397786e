/*
 * transpose_template.h - transpose.c for one width of labels; included once per width
 *
 *   CK_LABEL       the unsigned integer of that width
 *   CK_NAME(name)  the name with a suffix for the width
 *   CK_LOG2_LANES  the logarithm of how many labels sixteen bytes hold
 */

#define LANES (1 << CK_LOG2_LANES)

#if CK_HAVE_SSE2 || CK_HAVE_NEON

/*
 * Transpose LANES by LANES labels.  Interleaving the first half of the rows with the second rotates the bits of a
 * label's index by one.  Repeating that once per bit of a column index exchanges rows and columns.
 */
static inline void CK_NAME(move_tile)(const CK_LABEL *from, size_t from_stride, CK_LABEL *to, size_t to_stride,
                                      int past_cache)
{
    CK_NAME(lanes) rows[LANES], shuffled[LANES];

    for (int i = 0; i < LANES; i++)
        rows[i] = CK_NAME(load)(from + i * from_stride);
    for (int bit = 0; bit < CK_LOG2_LANES; bit++) {
        for (int i = 0; i < LANES / 2; i++) {
            shuffled[2 * i] = CK_NAME(low)(rows[i], rows[i + LANES / 2]);
            shuffled[2 * i + 1] = CK_NAME(high)(rows[i], rows[i + LANES / 2]);
        }
        memcpy(rows, shuffled, sizeof(rows));
    }
    for (int i = 0; i < LANES; i++)
        CK_NAME(store)(to + i * to_stride, rows[i], past_cache);
}

#endif

/*
 * to[c * to_stride + r] = from[r * from_stride + c].  'by_columns' finishes a column before the next: for scattering,
 * where a column is a line of the volume.  Gathering finishes rows.
 */
CK_FORCEINLINE void CK_NAME(move)(const CK_LABEL *from, size_t from_stride, u32 num_rows, u32 num_columns, CK_LABEL *to,
                                  size_t to_stride, int by_columns, int past_cache)
{
    u32 whole_rows = 0, whole_columns = 0;

#if CK_HAVE_SSE2 || CK_HAVE_NEON
    whole_rows = num_rows & ~(u32)(LANES - 1);
    whole_columns = num_columns & ~(u32)(LANES - 1);
    if (by_columns) {
        for (size_t c = 0; c < whole_columns; c += LANES)
            for (size_t r = 0; r < whole_rows; r += LANES)
                CK_NAME(move_tile)(from + r * from_stride + c, from_stride, to + c * to_stride + r, to_stride,
                                   past_cache);
    } else {
        for (size_t r = 0; r < whole_rows; r += LANES)
            for (size_t c = 0; c < whole_columns; c += LANES)
                CK_NAME(move_tile)(from + r * from_stride + c, from_stride, to + c * to_stride + r, to_stride,
                                   past_cache);
    }
#else
    (void)by_columns;
    (void)past_cache;
#endif
    for (size_t r = 0; r < num_rows; r++)
        for (size_t c = r < whole_rows ? whole_columns : 0; c < num_columns; c++)
            to[c * to_stride + r] = from[r * from_stride + c];
}

/* Prefetch the lines of a block some rows ahead. */
static inline void CK_NAME(fetch)(const CK_LABEL *from, size_t from_stride, u32 num_rows, u32 num_columns)
{
    for (size_t r = 0; r < num_rows; r++)
        for (size_t i = 0; i < num_columns * sizeof(*from); i += LINE_NBYTES)
            CK_PREFETCH((uintptr_t)from + r * from_stride * sizeof(*from) + i);
}

static void CK_NAME(gather)(const CK_LABEL *c_order, const struct crackle_volume *v, u32 count, CK_LABEL *slices,
                            size_t slice_stride)
{
    const u32 line = LINE_NBYTES / sizeof(*slices);
    const size_t column_stride = (size_t)v->sy * v->sz;

    for (u32 x = 0; x < v->sx; x += line < v->sx - x ? line : v->sx - x) {
        const u32 width = line < v->sx - x ? line : v->sx - x;
        const CK_LABEL *from = c_order + x * column_stride;

        for (u64 y = 0; y < v->sy; y++, from += v->sz) {
            if (v->sy - y > ROWS_AHEAD)
                CK_NAME(fetch)(from + (size_t)ROWS_AHEAD * v->sz, column_stride, width, count);
            CK_NAME(move)(from, column_stride, width, count, slices + y * v->sx + x, slice_stride, 0, 0);
        }
    }
}

/* Scatter a row of each slice. Its labels go to columns that begin at 'to'. */
static void CK_NAME(scatter_rows)(const CK_LABEL *rows, size_t row_stride, CK_LABEL *to, const struct crackle_volume *v,
                                  u32 count)
{
    const size_t column_stride = (size_t)v->sy * v->sz;

    if (is_past_cache(v, to))
        CK_NAME(move)(rows, row_stride, count, v->sx, to, column_stride, 1, 1);
    else
        CK_NAME(move)(rows, row_stride, count, v->sx, to, column_stride, 1, 0);
}

#undef LANES
#undef CK_LABEL
#undef CK_NAME
#undef CK_LOG2_LANES
