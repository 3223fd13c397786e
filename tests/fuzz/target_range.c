/* target_range.c - decode some slices from the parts that a reader would fetch, and compare with the whole */
#include "fuzz.h"

void fuzz_one(const u8 *data, size_t nbytes)
{
    struct crackle_where where = {CRACKLE_SECTION_NONE, CRACKLE_NO_SLICE};
    struct crackle_volume whole, range;
    struct crackle_parts parts;
    struct fuzz_stream s;
    crackle_status whole_status, status;
    u64 begin, end;
    u32 z_start, z_end;
    size_t slice;

    if (!fuzz_open(&s, data, nbytes) || s.num_voxels == 0)
        return;
    fuzz_range(&s, &z_start, &z_end);
    parts = s.parts;
    whole = fuzz_volume(&s, GUARD_VOXELS, s.header.data_width, 1, s.header.sz);
    whole_status = crackle_decode(&parts, 0, s.header.sz, s.flags, &whole, 0, &where);

    FUZZ_CHECK(crackle_codes_range(s.bytes, s.nbytes, z_start, z_end, &begin, &end, NULL) == CRACKLE_OK);
    parts.codes = guard_copy(GUARD_CODES, s.bytes + begin, (size_t)(end - begin));
    parts.codes_nbytes = (size_t)(end - begin);
    parts.codes_z = z_start;
    if (s.flags & CRACKLE_NO_VERIFY) {
        parts.tail = guard_room(GUARD_TAIL, 0);
        parts.tail_nbytes = 0;
    }
    range = fuzz_volume(&s, GUARD_OTHER_VOXELS, s.header.data_width, s.control[3] & 1, z_end - z_start);
    status = crackle_decode(&parts, z_start, z_end, s.flags, &range, z_start, &where);
    fuzz_status(status, &where);
    if (status == CRACKLE_OK)
        guard_is_written(range.voxels, range.nbytes);
    if (whole_status == CRACKLE_OK) {
        FUZZ_CHECK(status == CRACKLE_OK);
        slice = (size_t)s.header.sx * s.header.sy;
        for (size_t i = 0; i < slice * (z_end - z_start); i++)
            FUZZ_CHECK(fuzz_voxel(&range, i) == fuzz_voxel(&whole, i + slice * z_start));
    }
    if (z_start > 0) /* the codes of the preceding slice are missing */
        FUZZ_CHECK(crackle_decode(&parts, z_start - 1, z_end, s.flags, &range, z_start - 1, &where) != CRACKLE_OK);
}
