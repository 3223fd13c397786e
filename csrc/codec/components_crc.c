/*
 * components_crc.c - the checksum of an image that is never made
 *
 * The CRC of a slice covers its component image: a 32-bit number per voxel.  Making that image and its CRC would cost
 * as much as all the rest.  But a CRC is linear (crc.h).  A row y contributes to the state after it
 *
 *     R(y) = sum over x of  number(x, y) * weight(x),   weight(x) = x^(32 (sx - x))
 *
 * so R(y) is R(y - 1) plus the sum of (old xor new) * weight(x) over the voxels that change.  A changed voxel costs one
 * carry-less multiplication.  The sum is reduced once per row.  One more multiplication, by x^(32 sx), moves the state
 * past the row.  For a row in which nearly every voxel changes, the plain CRC of its words is faster.
 *
 * Cost: linear in the patches.
 */
#include "../base/crc.h"
#include "components.h"

int ck_image_crc_init(struct ck_image_crc *crc, u32 sx)
{
    u32 weight = CK_CRC_ONE;

    crc->weight = ck_calloc((u64)sx + CK_ROW_SPARE, sizeof(*crc->weight));
    if (!crc->weight)
        return 0;
    crc->weight[sx] = weight;
    for (u32 x = sx; x-- > 0;) {
        weight = ck_crc_word(weight);
        crc->weight[x] = weight;
    }
    crc->row_weight = weight;
    return 1;
}

void ck_image_crc_free(struct ck_image_crc *crc)
{
    free(crc->weight);
    crc->weight = NULL;
}

static u32 components_crc(const struct ck_image_crc *crc, const struct ck_components *c)
{
    const struct ck_patch *patch = c->patches;
    const u32 *weight = crc->weight;
    u32 *row = c->row;
    u32 state = CK_CRC_START;
    u32 row_part = 0;

    memset(row, 0, c->sx * sizeof(*row)); /* a row of zeros contributes zero */
    for (u64 y = 0; y < c->sy; y++) {
        const struct ck_patch *const end = c->patches + c->row_end[y];
        u64 change = 0;

        if (ck_is_dense((size_t)(end - patch), c->sx)) {
            ck_put_row_patches(row, patch, end, c->sx);
            patch = end;
            row_part = 0;
            for (u32 x = 0; x < c->sx; x++)
                row_part = ck_crc_word(row_part ^ row[x]);
        }
        for (; patch < end; patch++) {
            const u32 component = patch->component;
            u32 x = patch->begin;

            do { /* a patch is not empty */
                change ^= ck_clmul_portable(row[x] ^ component, weight[x]);
                row[x] = component;
            } while (++x < patch->end);
        }
        row_part ^= ck_crc_reduce(change);
        state = ck_crc_reduce(ck_clmul_portable(state, crc->row_weight)) ^ row_part;
    }
    return ~state;
}

#if CK_MAYBE_CRC

/*
 * The code for both architectures differs only in the type of a sum of carry-less products (95 bits), its halves, and
 * change_four().
 *
 * change_four() writes the component into the first 'count' of four voxels, and adds the change to the sum.  Two
 * adjacent voxels form a 64-bit number, which has the weight of the second voxel and takes one multiplication.  So four
 * voxels take two products, without a branch on 'count'.
 */
#if CK_MAYBE_V3

typedef __m128i sum_95;
typedef __m128i four_voxels;

CK_TARGET_CRC static inline sum_95 no_sum(void)
{
    return _mm_setzero_si128();
}

CK_TARGET_CRC static inline u64 low_half(sum_95 sum)
{
    return (u64)_mm_cvtsi128_si64(sum);
}

CK_TARGET_CRC static inline u64 high_half(sum_95 sum)
{
    return (u64)_mm_cvtsi128_si64(_mm_unpackhi_epi64(sum, sum));
}

CK_TARGET_CRC static inline four_voxels four_of(u32 component)
{
    return _mm_set1_epi32((int)component);
}

CK_TARGET_CRC static inline sum_95 change_four(sum_95 sum, const u32 *weight, u32 *row, u32 count,
                                               four_voxels component)
{
    __m128i *four = (__m128i *)row;
    const __m128i old = _mm_loadu_si128(four);
    const __m128i change = _mm_and_si128(_mm_xor_si128(old, component), ck_first_lanes_32(count));
    const __m128i weights = _mm_srli_epi64(_mm_loadu_si128((const __m128i *)weight), 32);

    _mm_storeu_si128(four, _mm_xor_si128(old, change));
    sum = _mm_xor_si128(sum, _mm_clmulepi64_si128(change, weights, 0x00));
    return _mm_xor_si128(sum, _mm_clmulepi64_si128(change, weights, 0x11));
}

#else

typedef uint64x2_t sum_95;
typedef uint32x4_t four_voxels;

CK_TARGET_CRC static inline sum_95 no_sum(void)
{
    return vdupq_n_u64(0);
}

CK_TARGET_CRC static inline u64 low_half(sum_95 sum)
{
    return vgetq_lane_u64(sum, 0);
}

CK_TARGET_CRC static inline u64 high_half(sum_95 sum)
{
    return vgetq_lane_u64(sum, 1);
}

CK_TARGET_CRC static inline four_voxels four_of(u32 component)
{
    return vdupq_n_u32(component);
}

CK_TARGET_CRC static inline sum_95 change_four(sum_95 sum, const u32 *weight, u32 *row, u32 count,
                                               four_voxels component)
{
    const uint32x4_t old = vld1q_u32(row);
    const uint32x4_t change = vandq_u32(veorq_u32(old, component), ck_first_lanes_32(count));
    const poly64x2_t changes = vreinterpretq_p64_u32(change);
    const poly64x2_t weights = vreinterpretq_p64_u64(vshrq_n_u64(vreinterpretq_u64_u32(vld1q_u32(weight)), 32));

    vst1q_u32(row, veorq_u32(old, change));
    sum = veorq_u64(sum, vreinterpretq_u64_p128(vmull_p64(vgetq_lane_p64(changes, 0), vgetq_lane_p64(weights, 0))));
    return veorq_u64(sum, vreinterpretq_u64_p128(vmull_high_p64(changes, weights)));
}

#endif

/* The contribution of a row, from its words alone. */
CK_TARGET_CRC static inline u32 part_of_row(const u32 *row, u32 sx)
{
    u64 part = 0;
    u32 x = 0;

    for (; sx - x >= 2; x += 2)
        part = ck_crc_take_64(part, row[x] | (u64)row[x + 1] << 32);
    return x < sx ? ck_crc_take_32((u32)part, row[x]) : (u32)part;
}

/* The contribution of all changes in a row, not reduced. */
CK_TARGET_CRC static inline sum_95 sum_of_changes(const u32 *weight, u32 *row, const struct ck_patch *patch,
                                                  const struct ck_patch *end)
{
    sum_95 sum = no_sum();

    for (; patch < end; patch++) {
        const four_voxels component = four_of(patch->component);
        u32 x = patch->begin;

        do {
            const u32 stop = CK_LIKELY(patch->end - x <= 4) ? patch->end : x + 4;

            sum = change_four(sum, weight + x, row + x, stop - x, component);
            x = stop;
        } while (CK_UNLIKELY(x < patch->end));
    }
    return sum;
}

/* ck_crc_reduce() for a sum of products of 95 bits. */
CK_TARGET_CRC static inline u32 reduce_95(sum_95 sum)
{
    const u64 low = low_half(sum);
    const u64 high = high_half(sum) << 1 | low >> 63;

    return ck_crc_take_32(0, ck_crc_take_32(0, (u32)(low << 1)) ^ (u32)(low >> 31)) ^ (u32)high;
}

/* a * b modulo the polynomial. */
CK_TARGET_CRC static inline u32 multiply(u32 a, u32 b)
{
    const u64 aligned = ck_clmul_32(a, b) << 1;

    return ck_crc_take_32(0, (u32)aligned) ^ (u32)(aligned >> 32);
}

/* Uses the instructions for carry-less products and for CRC32C. */
CK_TARGET_CRC static u32 components_crc_by_instructions(const struct ck_image_crc *crc, const struct ck_components *c)
{
    const struct ck_patch *patch = c->patches;
    u32 state = CK_CRC_START;
    u32 row_part = 0;

    memset(c->row, 0, c->sx * sizeof(*c->row));
    for (u64 y = 0; y < c->sy; y++) {
        const struct ck_patch *const end = c->patches + c->row_end[y];

        if (ck_is_dense((size_t)(end - patch), c->sx)) {
            ck_put_row_patches(c->row, patch, end, c->sx);
            row_part = part_of_row(c->row, c->sx);
        } else {
            row_part ^= reduce_95(sum_of_changes(crc->weight, c->row, patch, end));
        }
        patch = end;
        state = multiply(state, crc->row_weight) ^ row_part;
    }
    return ~state;
}

#endif /* CK_MAYBE_CRC */

#if CK_HAVE_WASM_SIMD

/*
 * WebAssembly has no carry-less multiplication.  But a sum of products needs none until its end: let S(j) be the sum of
 * the weights of the voxels whose change has bit j.  The sum of products is the sum of x^j * S(j).  A vector holds four
 * of these sums, and a changed voxel adds its weight to the lanes whose bits it has.  Numbers of components are small,
 * so a few vectors hold all sums of a slice.
 */
#define MAX_SUMS 8

/* The sum of products of a row's changes. */
CK_FORCEINLINE u64 sum_of_changes(const u32 *weight, u32 *row, const struct ck_patch *patch,
                                  const struct ck_patch *end, unsigned int num_sums)
{
    v128_t sums[MAX_SUMS];
    u64 change = 0;

    for (unsigned int k = 0; k < num_sums; k++)
        sums[k] = wasm_u32x4_const_splat(0);
    for (; patch < end; patch++) {
        const u32 component = patch->component;
        u32 x = patch->begin;

        do { /* a patch is not empty */
            const v128_t bits = wasm_u32x4_splat(row[x] ^ component);
            const v128_t of_x = wasm_v128_load32_splat(weight + x);

            row[x] = component;
            for (unsigned int k = 0; k < num_sums; k++) {
                const u32 first = 1u << 4 * k;
                const v128_t lanes = wasm_u32x4_make(first, first << 1, first << 2, first << 3);
                const v128_t has = wasm_i32x4_eq(wasm_v128_and(bits, lanes), lanes);

                sums[k] = wasm_v128_xor(sums[k], wasm_v128_and(has, of_x));
            }
        } while (++x < patch->end);
    }
    for (unsigned int k = num_sums; k-- > 0;) {
        change = change << 4 ^ (u64)wasm_u32x4_extract_lane(sums[k], 3) << 3;
        change ^= (u64)wasm_u32x4_extract_lane(sums[k], 2) << 2 ^ (u64)wasm_u32x4_extract_lane(sums[k], 1) << 1 ^
                  wasm_u32x4_extract_lane(sums[k], 0);
    }
    return change;
}

/* components_crc() for numbers of at most 4 * num_sums bits. */
CK_FORCEINLINE u32 components_crc_by_bits(const struct ck_image_crc *crc, const struct ck_components *c,
                                          unsigned int num_sums)
{
    const struct ck_patch *patch = c->patches;
    u64 multiple[16];
    u32 state = CK_CRC_START;
    u32 row_part = 0;

    ck_clmul_multiples(crc->row_weight, multiple);
    memset(c->row, 0, c->sx * sizeof(*c->row));
    for (u64 y = 0; y < c->sy; y++) {
        const struct ck_patch *const end = c->patches + c->row_end[y];

        row_part ^= ck_crc_reduce(sum_of_changes(crc->weight, c->row, patch, end, num_sums));
        patch = end;
        state = ck_crc_reduce(ck_clmul_by_multiples(multiple, state)) ^ row_part;
    }
    return ~state;
}

#endif /* CK_HAVE_WASM_SIMD */

u32 ck_components_crc(const struct ck_image_crc *crc, const struct ck_components *c)
{
#if CK_HAVE_WASM_SIMD
    if (c->count <= 1u << 8)
        return components_crc_by_bits(crc, c, 2);
    if (c->count <= 1u << 12)
        return components_crc_by_bits(crc, c, 3);
    if (c->count <= 1u << 16)
        return components_crc_by_bits(crc, c, 4);
    return components_crc_by_bits(crc, c, MAX_SUMS);
#endif
#if CK_MAYBE_CRC
    if (ck_cpu_has_crc())
        return components_crc_by_instructions(crc, c);
#endif
    return components_crc(crc, c);
}
