/*
 * components_crc_template.h - components_crc.c for one way to multiply; included once each
 *
 *   CK_NAME(name)  the name with a suffix for the way
 *   CK_CLMUL(a,b)  the carry-less product of two 32-bit numbers
 *   CK_TARGET      attribute of functions that use it
 */

CK_TARGET static u32 CK_NAME(components_crc)(const struct ck_image_crc *crc, const struct ck_components *c)
{
    const struct ck_patch *patch = c->patches;
    const u32 *weight = crc->weight;
    u32 *row = c->row;
    u32 state = 0xffffffff;
    u32 row_part = 0;

    memset(row, 0, c->sx * sizeof(*row)); /* a row of zeros has the part zero */
    for (u64 y = 0; y < c->sy; y++) {
        const struct ck_patch *const end = c->patches + c->row_end[y];
        u64 change = 0;

        for (; patch < end; patch++) {
            const u32 component = patch->component;
            u32 x = patch->begin;

            do { /* a patch is not empty */
                change ^= CK_CLMUL(row[x] ^ component, weight[x]);
                row[x] = component;
            } while (++x < patch->end);
        }
        row_part ^= ck_crc_reduce(change);
        state = ck_crc_reduce(CK_CLMUL(state, crc->row_weight)) ^ row_part;
    }
    return ~state;
}

#undef CK_NAME
#undef CK_CLMUL
#undef CK_TARGET
