/*
 * encode_part.h - slices -> a part, whatever the slices come from
 */
#ifndef CK_ENCODE_PART_H
#define CK_ENCODE_PART_H

#include "components.h"
#include "part.h"

/*
 * Where slices come from: a volume (encode.c), or other streams (../streams/).  ck_encode_part() calls the functions
 * for ascending z, find_boundaries() before read_labels().
 */
struct ck_slice_source {
    void *self;
    /* Set 'b' to the boundaries of slice 'z'.  'b' may have any bits set before. */
    crackle_status (*find_boundaries)(void *self, u32 z, struct ck_bitmaps *b, struct crackle_where *where);
    /* The labels of the components of that slice; a component's label is that of its first voxel. */
    crackle_status (*read_labels)(void *self, const struct ck_components *c, u64 *labels);
};

/* Encode the slices [z_start, z_end), which are not empty. */
crackle_status ck_encode_part(const struct ck_slice_source *source, u32 sx, u32 sy, u32 z_start, u32 z_end,
                              int permissible, crackle_part **part_ret, struct crackle_where *where);

#endif /* CK_ENCODE_PART_H */
