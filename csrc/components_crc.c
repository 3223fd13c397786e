/*
 * components_crc.c - the checksum of an image that is never made
 *
 * The CRC of a slice covers its component image, a 32-bit number per voxel.  Making that
 * image and running over it would cost as much as everything else together.  But a CRC is
 * linear (crc.h): the part of a row y in the state after it is
 *
 *     R(y) = sum over x of  number(x, y) * weight(x),   weight(x) = x^(32 (sx - x))
 *
 * so R(y) = R(y - 1) + the sum over the voxels that changed of (old xor new) * weight(x).
 * A changed voxel costs one carry-less multiplication; the sum is reduced once per row,
 * and the state passes over the row by one more multiplication, with x^(32 sx).
 */
#include "components.h"
#include "crc.h"

int ck_image_crc_init(struct ck_image_crc *crc, u32 sx)
{
    u32 weight = CK_CRC_ONE;

    crc->weight = ck_malloc(sx, sizeof(*crc->weight));
    if (!crc->weight)
        return 0;
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

#define CK_NAME(name) name##_portable
#define CK_CLMUL ck_clmul_portable
#define CK_TARGET
#include "components_crc_template.h"

#if CK_MAYBE_PCLMUL

#include <wmmintrin.h>

CK_TARGET_PCLMUL static inline u64 clmul_pclmul(u32 a, u32 b)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)a), _mm_cvtsi32_si128((int)b), 0);

    return (u64)_mm_cvtsi128_si64(product);
}

#define CK_NAME(name) name##_pclmul
#define CK_CLMUL clmul_pclmul
#define CK_TARGET CK_TARGET_PCLMUL
#include "components_crc_template.h"

#endif /* CK_MAYBE_PCLMUL */

u32 ck_components_crc(const struct ck_image_crc *crc, const struct ck_components *c)
{
#if CK_MAYBE_PCLMUL
    if (ck_cpu_has_pclmul())
        return components_crc_pclmul(crc, c);
#endif
    return components_crc_portable(crc, c);
}
