/*
 * trail_graph.c - the cracks of a slice as a graph: nodes, and the edges between them
 */
#include "../base/sets.h"
#include "format.h"
#include "trail_graph.h"

void ck_trail_graph_free(struct ck_trail_graph *g)
{
    if (!g)
        return;
    free(g->nodes);
    free(g->group);
    free(g->edges);
    free(g->headings);
    free(g->node_at);
    free(g->partner);
    free(g->trail);
    free(g->has_end);
    free(g->is_walked);
    free(g);
}

static struct ck_node *add_node(struct ck_trail_graph *g, size_t vertex)
{
    struct ck_node *node;

    if (!ck_grow(&g->nodes, &g->nodes_capacity, (u64)g->num_nodes + 1, sizeof(*g->nodes)) ||
        !ck_grow(&g->group, &g->group_capacity, (u64)g->num_nodes + 1, sizeof(*g->group)))
        return NULL;
    node = &g->nodes[g->num_nodes];
    node->vertex = vertex;
    for (unsigned int i = 0; i < 4; i++)
        node->half[i] = CK_NO_HALF;
    node->doubled = node->end = node->next = CK_NO_HALF;
    g->group[g->num_nodes] = (u32)g->num_nodes;
    g->num_nodes++;
    return node;
}

static struct ck_edge *add_edge(struct ck_trail_graph *g, u32 from)
{
    struct ck_edge *e;

    if (!ck_grow(&g->edges, &g->edges_capacity, (u64)g->num_edges + 1, sizeof(*g->edges)))
        return NULL;
    e = &g->edges[g->num_edges++];
    memset(e, 0, sizeof(*e));
    e->node[0] = e->node[1] = from;
    e->steps = g->num_headings;
    return e;
}

/*
 * Walk from 'vertex' to the next node, or back to 'vertex'.  Clear the vertices on the way, and return the last.
 * 'heading' is that of the first step, and becomes that of the last.
 */
static size_t follow_edge(struct ck_trail_graph *g, u8 *vertex_steps, const ptrdiff_t step[4], size_t vertex,
                          unsigned int *heading, struct ck_edge *e)
{
    const size_t start = vertex;
    unsigned int h = *heading;

    for (;;) {
        unsigned int turn;

        g->headings[g->num_headings++] = (u8)CK_HEADING(CK_DIRECTION_OF_HEADING(h));
        vertex += (size_t)step[CK_DIRECTION_OF_HEADING(h)];
        turn = vertex_steps[vertex];
        if (!(turn & CK_STEPS_TURN) || vertex == start)
            break;
        vertex_steps[vertex] = 0;
        h ^= turn;
    }
    *heading = h;
    e->length = (u32)(g->num_headings - e->steps);
    return vertex;
}

static int find_nodes(struct ck_trail_graph *g, const u8 *vertex_steps, size_t num_vertices)
{
    for (size_t vertex = 0;; vertex++) {
        vertex = ck_next_vertex_with_steps(vertex_steps, vertex, num_vertices);
        if (vertex >= num_vertices)
            return 1;
        if (vertex_steps[vertex] & CK_STEPS_LISTED) {
            g->node_at[vertex] = (u32)g->num_nodes;
            if (!add_node(g, vertex))
                return 0;
        }
    }
}

static int find_edges(struct ck_trail_graph *g, u8 *vertex_steps, const ptrdiff_t step[4])
{
    for (u32 n = 0; n < g->num_nodes; n++)
        for (unsigned int d = 0; d < 4; d++) {
            struct ck_node *node = &g->nodes[n];
            unsigned int heading = CK_HEADING(d);
            const u32 half = CK_HALF(g->num_edges);
            struct ck_edge *e;
            u32 end;

            if (!(vertex_steps[node->vertex] >> d & 1) || node->half[d] != CK_NO_HALF)
                continue;
            e = add_edge(g, n);
            if (!e)
                return 0;
            end = g->node_at[follow_edge(g, vertex_steps, step, node->vertex, &heading, e)];
            e->node[1] = end;
            node->half[d] = half;
            g->nodes[end].half[CK_OPPOSITE(CK_DIRECTION_OF_HEADING(heading))] = CK_OTHER_END(half);
            ck_unite(g->group, n, end);
        }
    for (size_t n = 0; n < g->num_nodes; n++)
        vertex_steps[g->nodes[n].vertex] = 0;
    return 1;
}

/* What is left are closed outlines. */
static int find_outlines(struct ck_trail_graph *g, const struct ck_bitmaps *b, u8 *vertex_steps, size_t num_vertices,
                         const ptrdiff_t step[4])
{
    for (size_t vertex = 0;; vertex++) {
        struct ck_node *node;
        struct ck_edge *e;
        unsigned int heading;

        vertex = ck_next_vertex_with_steps(vertex_steps, vertex, num_vertices);
        if (vertex >= num_vertices)
            return 1;
        node = add_node(g, vertex);
        e = node ? add_edge(g, (u32)g->num_nodes - 1) : NULL;
        if (!e)
            return 0;
        node->half[0] = CK_HALF(g->num_edges - 1);
        node->half[1] = CK_OTHER_END(node->half[0]);
        heading = CK_HEADING(ck_ctz64(ck_cracks_at(b, vertex)));
        follow_edge(g, vertex_steps, step, vertex, &heading, e);
        vertex_steps[vertex] = 0;
    }
}

int ck_make_trail_graph(struct ck_trail_graph *g, const struct ck_tracer *t, const struct ck_bitmaps *b,
                        u64 num_cracks)
{
    const size_t num_vertices = ((size_t)b->sy + 1) * b->stride;
    const ptrdiff_t step[4] = {-(ptrdiff_t)b->stride, 1, (ptrdiff_t)b->stride, -1};

    g->num_nodes = g->num_edges = g->num_headings = 0;
    if (!ck_grow(&g->headings, &g->headings_capacity, num_cracks, 1) ||
        !ck_grow(&g->node_at, &g->node_at_capacity, num_vertices, sizeof(*g->node_at)) ||
        !find_nodes(g, t->vertex_steps, num_vertices) || !find_edges(g, t->vertex_steps, step) ||
        !find_outlines(g, b, t->vertex_steps, num_vertices, step))
        return 0;
    for (u32 n = 0; n < g->num_nodes; n++) {
        struct ck_node *group = &g->nodes[ck_find_root(g->group, n)];

        if (&g->nodes[n] == group)
            continue;
        g->nodes[n].next = group->next;
        group->next = n;
    }
    return 1;
}
