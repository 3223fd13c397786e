/* voxel_graph.h - which neighbours a voxel is connected to, where the caller says so */
#ifndef CK_VOXEL_GRAPH_H
#define CK_VOXEL_GRAPH_H

#include "../base/common.h"

/*
 * The steps out of a voxel of a volume of 'size', as bits by direction (places.h).  A step is allowed if the graph allows it
 * in either direction.
 */
u32 ck_allowed_steps(const u32 *graph, const u32 *size, u32 x, u32 y, u32 z);

#endif /* CK_VOXEL_GRAPH_H */
