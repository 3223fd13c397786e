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
static inline void CK_NAME(move_tile)(const CK_LABEL *from, size_t from_stride, CK_LABEL *to, size_t to_stride)
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
        CK_NAME(store)(to + i * to_stride, rows[i]);
}

#endif

/* to[c * to_stride + r] = from[r * from_stride + c]. */
CK_FORCEINLINE void CK_NAME(move)(const CK_LABEL *from, size_t from_stride, u32 num_rows, u32 num_columns, CK_LABEL *to,
                                  size_t to_stride)
{
    u32 whole_rows = 0, whole_columns = 0;

#if CK_HAVE_SSE2 || CK_HAVE_NEON
    whole_rows = num_rows & ~(u32)(LANES - 1);
    whole_columns = num_columns & ~(u32)(LANES - 1);
    for (size_t r = 0; r < whole_rows; r += LANES)
        for (size_t c = 0; c < whole_columns; c += LANES)
            CK_NAME(move_tile)(from + r * from_stride + c, from_stride, to + c * to_stride + r, to_stride);
#endif
    for (size_t c = whole_columns; c < num_columns; c++)
        for (size_t r = 0; r < whole_rows; r++)
            to[c * to_stride + r] = from[r * from_stride + c];
    for (size_t r = whole_rows; r < num_rows; r++)
        for (size_t c = 0; c < num_columns; c++)
            to[c * to_stride + r] = from[r * from_stride + c];
}

/* Prefetch the lines of a block some rows ahead. */
static inline void CK_NAME(fetch)(const CK_LABEL *from, size_t from_stride, u32 num_rows, u32 num_columns)
{
    for (size_t r = 0; r < num_rows; r++)
        for (size_t i = 0; i < num_columns * sizeof(*from); i += CK_LINE_NBYTES)
            CK_PREFETCH((uintptr_t)from + r * from_stride * sizeof(*from) + i);
}

/* Gather rows of some of the slices of a volume; 'first' is the first label of column 0. */
static void CK_NAME(gather_some)(const struct crackle_volume *v, const CK_LABEL *first, u32 count, u64 num_rows,
                                 CK_LABEL *rows, size_t stride)
{
    const u32 line = CK_LINE_NBYTES / sizeof(*rows);
    const size_t column_stride = (size_t)v->sy * v->sz;

    for (u32 x = 0; x < v->sx; x += line < v->sx - x ? line : v->sx - x) {
        const u32 width = line < v->sx - x ? line : v->sx - x;
        const CK_LABEL *from = first + x * column_stride;

        for (u64 y = 0; y < num_rows; y++, from += v->sz) {
            if (num_rows - y > ROWS_AHEAD)
                CK_NAME(fetch)(from + (size_t)ROWS_AHEAD * v->sz, column_stride, width, count);
            CK_NAME(move)(from, column_stride, width, count, rows + y * v->sx + x, stride);
        }
    }
}

/* Gather rows of all slices of a volume: a matrix of sx rows and num_rows * sz columns. */
static void CK_NAME(gather_all)(const struct crackle_volume *v, const CK_LABEL *first, u64 num_rows, CK_LABEL *rows,
                                size_t stride)
{
    CK_LABEL lines[ROWS_AT_ONCE * CK_LINE_NBYTES / sizeof(CK_LABEL)];
    const u32 line = CK_LINE_NBYTES / sizeof(*rows);
    const size_t column_stride = (size_t)v->sy * v->sz;
    const size_t num_columns = (size_t)num_rows * v->sz; /* the volume is in memory */
    const int past_cache = num_columns * v->sx * sizeof(*rows) > CK_CACHE_NBYTES;

    for (size_t column = 0; column < num_columns; column += ROWS_AT_ONCE) {
        const u32 count = num_columns - column < ROWS_AT_ONCE ? (u32)(num_columns - column) : ROWS_AT_ONCE;

        for (u32 x = 0; x < v->sx; x += line < v->sx - x ? line : v->sx - x) {
            const u32 width = line < v->sx - x ? line : v->sx - x;
            size_t y = column / v->sz;
            u32 z = (u32)(column % v->sz);

            CK_NAME(move)(first + x * column_stride + column, column_stride, width, count, lines, line);
            for (u32 i = 0; i < count; i++) {
                ck_copy_lines((u8 *)(rows + z * stride + y * v->sx + x), (const u8 *)(lines + i * line),
                              width * sizeof(*rows), past_cache);
                if (++z == v->sz) {
                    z = 0;
                    y++;
                }
            }
        }
    }
    ck_copy_ends();
}

static void CK_NAME(gather_rows)(const struct crackle_volume *v, u32 z, u32 count, u64 y, u64 num_rows, CK_LABEL *rows,
                                 size_t stride)
{
    const CK_LABEL *first = (const CK_LABEL *)v->voxels + (size_t)y * v->sz + z;

    if (count == v->sz)
        CK_NAME(gather_all)(v, first, num_rows, rows, stride);
    else
        CK_NAME(gather_some)(v, first, count, num_rows, rows, stride);
}

/*
 * Scatter some rows.  Their labels go to columns that begin at 'to'.  A few columns at a time are put together first.
 */
static void CK_NAME(scatter_rows)(const CK_LABEL *rows, size_t row_stride, CK_LABEL *to, const struct crackle_volume *v,
                                  u32 count)
{
    CK_LABEL columns[LANES * ROWS_AT_ONCE];
    const size_t column_stride = (size_t)v->sy * v->sz;
    const int past_cache = v->nbytes > CK_CACHE_NBYTES;

    for (u32 r = 0; r < count; r += ROWS_AT_ONCE) {
        const u32 num_rows = count - r < ROWS_AT_ONCE ? count - r : ROWS_AT_ONCE;

        for (u32 x = 0; x < v->sx; x += LANES) {
            const u32 width = v->sx - x < LANES ? v->sx - x : LANES;

            CK_NAME(move)(rows + r * row_stride + x, row_stride, num_rows, width, columns, ROWS_AT_ONCE);
            for (u32 i = 0; i < width; i++)
                ck_copy_lines((u8 *)(to + (x + i) * column_stride + r), (const u8 *)(columns + i * ROWS_AT_ONCE),
                              num_rows * sizeof(*to), past_cache);
        }
    }
}

#undef LANES
#undef CK_LABEL
#undef CK_NAME
#undef CK_LOG2_LANES
