/*
 * connect.c - the centre line between two voxels of an object
 *
 * One cheapest path through the penalties of the object (paths.c), searched from both ends.  The geodesic field that
 * breaks ties starts from the first voxel.
 *
 * Cost: near-linear in the voxels of the object.
 */
#include "../crackle.h"
#include "tracer.h"

crackle_status crackle_connect(crackle_tracer *tracer, const crackle_runs *runs, uint64_t object,
                               const struct crackle_teasar *parameters, const uint32_t *start, const uint32_t *end,
                               const volatile int32_t *stop, struct crackle_skeleton *skeleton_ret)
{
    struct ck_job j;
    u32 target;
    crackle_status status = ck_begin_job(&j, tracer, runs, object, parameters, stop);

    memset(skeleton_ret, 0, sizeof(*skeleton_ret));
    skeleton_ret->root = UINT32_MAX;
    if (status != CRACKLE_OK)
        return status;
    if (runs->begin[object] == runs->begin[object + 1])
        return CRACKLE_BAD_ARGUMENT;
    status = ck_measure(&j, runs->runs + runs->begin[object], runs->begin[object + 1] - runs->begin[object], 1);
    if (status == CRACKLE_OK && !(ck_place_of(&tracer->places, start[0], start[1], start[2], &j.root) &&
                                  ck_place_of(&tracer->places, end[0], end[1], end[2], &target)))
        status = CRACKLE_BAD_ARGUMENT;
    if (status == CRACKLE_OK)
        status = ck_geodesic_field(tracer, j.root, 1, &j.farthest);
    if (status == CRACKLE_OK) {
        ck_penalty_field(tracer, j.radius_max, tracer->fields.geodesic[j.farthest], parameters->pdrf_scale,
                         parameters->pdrf_exponent);
        for (u32 i = 0; i < tracer->places.count; i++)
            tracer->fields.key[i] = ck_is_voxel(tracer, i) ? INFINITY : -1;
        status = ck_path_to_root(tracer, target, j.root);
    }
    if (status == CRACKLE_OK)
        status = ck_add_path(&j);
    if (status == CRACKLE_OK)
        status = ck_put_skeleton(&j, 0, skeleton_ret);
    ck_end_job(&j);
    return status;
}
