/*
 * graph.h - skeletons as graphs: who is joined to whom
 *
 * Vertices are numbered from 0; an edge is a pair of them, and has no direction.  Edges may repeat, and may join a vertex
 * with itself, unless a function says otherwise.
 */
#ifndef CK_GRAPH_H
#define CK_GRAPH_H

#include "../base/common.h"
#include "../crackle.h"

/* The edges at every vertex. */
struct ck_adjacency {
    u64 *begin;     /* the neighbours of v are neighbours[begin[v]] to neighbours[begin[v + 1] - 1] */
    u32 *neighbours;
    u32 *edges;     /* the edge that leads to each neighbour */
};

/* CRACKLE_BAD_ARGUMENT if an edge names a vertex that does not exist. Self-edges are left out. */
crackle_status ck_adjacency_init(struct ck_adjacency *a, u64 num_vertices, const u32 *edges, u64 num_edges);
void ck_adjacency_free(struct ck_adjacency *a);

static inline u64 ck_degree(const struct ck_adjacency *a, u64 vertex)
{
    return a->begin[vertex + 1] - a->begin[vertex];
}

#endif /* CK_GRAPH_H */
