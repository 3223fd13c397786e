/*
 * part.c - some consecutive slices of a stream, encoded but not yet assembled
 */
#include "part.h"

crackle_part *ck_part_new(u32 z_start, u32 z_end, int permissible)
{
    crackle_part *part = ck_calloc(1, sizeof(*part));

    if (part) {
        part->z_start = z_start;
        part->z_end = z_end;
        part->permissible = permissible != 0;
    }
    return part;
}

void crackle_part_free(crackle_part *part)
{
    if (!part)
        return;
    free(part->slices);
    free(part->keys);
    free(part->moved);
    free(part->codes.data);
    ck_label_set_free(&part->labels);
    free(part);
}
