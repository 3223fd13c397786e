/* target_decode.c - decode the whole volume, with and without checksums, in both memory orders */
#include "fuzz.h"

void fuzz_one(const u8 *data, size_t nbytes)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    struct crackle_volume verified, again;
    struct fuzz_stream s;
    crackle_status status, same;

    if (!fuzz_open(&s, data, nbytes))
        return;
    verified = fuzz_volume(&s, GUARD_VOXELS, s.header.data_width, !(s.control[1] & 1), s.header.sz);
    status = crackle_decode(&s.parts, 0, s.header.sz, 0, &verified, 0, &where);
    fuzz_status(status, &where);
    again = fuzz_volume(&s, GUARD_OTHER_VOXELS, s.header.data_width, s.control[1] & 1, s.header.sz);
    same = crackle_decode(&s.parts, 0, s.header.sz, CRACKLE_NO_VERIFY, &again, 0, &where);
    fuzz_status(same, &where);
    if (same == CRACKLE_OK)
        guard_is_written(again.voxels, again.nbytes);
    if (status != CRACKLE_OK)
        return;
    guard_is_written(verified.voxels, verified.nbytes);
    FUZZ_CHECK(same == CRACKLE_OK);
    for (size_t i = 0; i < s.num_voxels; i++)
        FUZZ_CHECK(fuzz_voxel(&verified, i) == fuzz_voxel(&again, i));
    if (s.num_voxels) {
        u64 components = 0, *counts = (u64 *)(void *)guard_room(GUARD_TABLE, (size_t)s.header.sz * 8);

        FUZZ_CHECK(crackle_component_counts(&s.parts, counts, NULL) == CRACKLE_OK);
        for (u32 z = 0; z < s.header.sz; z++) {
            FUZZ_CHECK(crackle_check_slice(&s.parts, z, &components, NULL) == CRACKLE_OK);
            FUZZ_CHECK(components == counts[z]);
        }
    }
}
