/*
 * trail_graph.h - the cracks of a slice as a graph: nodes, and the edges between them
 *
 * A node is a vertex at which a walk can end or has a choice: with one, three or four cracks.  An edge is a line of
 * cracks between two nodes.  A closed outline without such vertices becomes one node with one edge.
 *
 * An edge may be doubled: two copies of it may be walked.  A half-edge is an end of a copy, and names a way to leave a
 * node.  It is a number: 4 * edge + 2 * copy + end.
 */
#ifndef CK_TRAIL_GRAPH_H
#define CK_TRAIL_GRAPH_H

#include "../base/bitmaps.h"
#include "format.h"
#include "markov.h"
#include "tracer.h"
#include "vertex_steps.h"

#define CK_NO_HALF UINT32_MAX

#define CK_HALF(edge) ((u32)(edge) << 2) /* of the first copy, at node[0] */
#define CK_EDGE_OF(half) ((half) >> 2)
#define CK_COPY_OF(half) ((half) >> 1) /* numbered through the graph */
#define CK_OTHER_END(half) ((half) ^ 1)
#define CK_OTHER_COPY(half) ((half) ^ 2)

/* Slices with more cracks have no graph, because half-edges must fit into 32 bits. */
#define CK_MAX_GRAPH_CRACKS ((u64)1 << 29)

/* The longest edge that is doubled. Seven steps cost more than a stretch as often as not. */
#define CK_MAX_DOUBLED_LENGTH 6

struct ck_node {
    size_t vertex;
    u32 half[4];        /* the half-edges of first copies that leave here; CK_NO_HALF if there are fewer */
    u32 doubled;        /* the one of these whose edge is doubled, or CK_NO_HALF */
    u32 end;            /* the one of three by which a trail ends, unless one is doubled (double_edges.c) */
    unsigned int bits;  /* with a model: of the first steps around the node, if a trail ends so */
    u32 next;           /* the next node above it in the group, or CK_NO_HALF */
};

struct ck_edge {
    u32 node[2];
    u32 length;
    int is_doubled;
    int saved;          /* what doubling it saves; nothing, or less, if it must not be doubled (double_edges.c) */
    size_t steps;       /* where its headings begin in 'headings', from node[0] to node[1] */
};

struct ck_trail_graph {
    struct ck_node *nodes;
    size_t num_nodes, nodes_capacity;
    u32 *group;         /* per node: leads to the lowest node of its group of connected nodes (sets.h) */
    size_t group_capacity;
    struct ck_edge *edges;
    size_t num_edges, edges_capacity;
    u8 *headings;       /* of all edges */
    size_t num_headings, headings_capacity;
    u32 *node_at;       /* per vertex that is a node: its number */
    size_t node_at_capacity;
    /* The trails (pair_trails.c). */
    u32 *partner;       /* per half-edge: the one by which a trail that arrives here leaves, or CK_NO_HALF */
    u32 *trail;         /* per copy: leads to the lowest copy of its trail (sets.h) */
    u8 *has_end;        /* per lowest copy of a trail: whether the trail is open */
    u8 *is_walked;      /* per copy */
    size_t partner_capacity, trail_capacity, has_end_capacity, is_walked_capacity;
};

void ck_trail_graph_free(struct ck_trail_graph *g);

/*
 * Make the graph of all cracks that 't->vertex_steps' lists, and clear them there.  'num_cracks' is at most
 * CK_MAX_GRAPH_CRACKS.  False when there is no memory.
 */
int ck_make_trail_graph(struct ck_trail_graph *g, const struct ck_tracer *t, const struct ck_bitmaps *b,
                        u64 num_cracks);

static inline u32 ck_node_of(const struct ck_trail_graph *g, u32 half)
{
    return g->edges[CK_EDGE_OF(half)].node[half & 1];
}

/* Whether a node has three cracks. */
static inline int ck_is_junction(const struct ck_node *node)
{
    unsigned int num_cracks = 0;

    for (unsigned int i = 0; i < 4; i++)
        num_cracks += node->half[i] != CK_NO_HALF;
    return num_cracks == 3;
}

/* The direction of a step, counted from 0, of a walk that leaves by 'half'. */
static inline unsigned int ck_step_of_half(const struct ck_trail_graph *g, u32 half, u32 step)
{
    const struct ck_edge *e = &g->edges[CK_EDGE_OF(half)];

    return half & 1 ? CK_OPPOSITE(CK_DIRECTION_OF_HEADING(g->headings[e->steps + e->length - 1 - step]))
                    : CK_DIRECTION_OF_HEADING(g->headings[e->steps + step]);
}

#endif /* CK_TRAIL_GRAPH_H */
