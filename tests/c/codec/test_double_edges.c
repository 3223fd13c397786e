/*
 * test_double_edges.c - which edges of a graph of cracks are walked twice
 */
#include "codec/double_edges.h"
#include "codec/trace.h"
#include "codec/vertex_steps.h"
#include "cracks.h"

static void make_graph(struct ck_trail_graph *g, struct ck_tracer *t, const struct ck_bitmaps *b)
{
    ck_spread_steps(b, t->vertex_steps);
    CHECK(ck_make_trail_graph(g, t, b, ck_count_horizontal(b) + ck_count_vertical(b)));
}

/* What the edges that are doubled save together. */
static long total_saved(const struct ck_trail_graph *g)
{
    long total = 0;

    for (size_t i = 0; i < g->num_edges; i++)
        total += g->edges[i].is_doubled ? g->edges[i].saved : 0;
    return total;
}

/* What is saved by taking the edge that saves most, again and again. */
static long greedily_saved(const struct ck_trail_graph *g)
{
    char *taken = calloc(g->num_nodes + 1, 1);
    long total = 0;

    for (;;) {
        const struct ck_edge *best = NULL;

        for (size_t i = 0; i < g->num_edges; i++) {
            const struct ck_edge *e = &g->edges[i];

            if (e->saved > (best ? best->saved : 0) && !taken[e->node[0]] && !taken[e->node[1]])
                best = e;
        }
        if (!best)
            break;
        total += best->saved;
        taken[best->node[0]] = taken[best->node[1]] = 1;
    }
    free(taken);
    return total;
}

static void test_matching(const struct ck_trail_graph *g)
{
    size_t num_doubled = 0, num_nodes = 0;

    for (size_t i = 0; i < g->num_edges; i++) {
        const struct ck_edge *e = &g->edges[i];

        if (e->is_doubled) {
            num_doubled++;
            CHECK(e->saved > 0 && e->length <= CK_MAX_DOUBLED_LENGTH && e->node[0] != e->node[1]);
            CHECK(g->nodes[e->node[0]].doubled == CK_HALF(i));
            CHECK(g->nodes[e->node[1]].doubled == CK_OTHER_END(CK_HALF(i)));
        } else {
            CHECK(e->saved <= 0 || g->nodes[e->node[0]].doubled != CK_NO_HALF ||
                  g->nodes[e->node[1]].doubled != CK_NO_HALF);
        }
    }
    for (size_t n = 0; n < g->num_nodes; n++) {
        const struct ck_node *node = &g->nodes[n];

        num_nodes += node->doubled != CK_NO_HALF;
        CHECK(ck_is_junction(node) == (node->end != CK_NO_HALF));
        CHECK(node->doubled == CK_NO_HALF || ck_is_junction(node));
        CHECK(node->end == CK_NO_HALF || ck_node_of(g, node->end) == n);
    }
    CHECK(num_nodes == 2 * num_doubled);
    CHECK(total_saved(g) >= greedily_saved(g));
}

/* Costs of which none is 0, and which depend on the whole history. */
static void make_costs(struct ck_step_costs *costs, unsigned int order)
{
    costs->order = order;
    costs->bits = malloc((size_t)4 << 2 * order);
    for (size_t i = 0; i < (size_t)4 << 2 * order; i++)
        costs->bits[i] = (u8)(1 + random_number(3));
}

static void test_cracks(struct ck_bitmaps *b)
{
    struct ck_trail_graph *g = calloc(1, sizeof(*g));
    struct ck_step_costs costs;
    struct ck_tracer t;

    CHECK(ck_tracer_init(&t, b));
    make_graph(g, &t, b);
    CHECK(ck_double_edges(g, NULL));
    test_matching(g);
    for (unsigned int order = 1; order <= 5; order += 2) {
        make_costs(&costs, order);
        make_graph(g, &t, b);
        CHECK(ck_double_edges(g, &costs));
        test_matching(g);
        free(costs.bits);
    }
    ck_trail_graph_free(g);
    ck_tracer_free(&t);
}

/*
 * Four nodes in a row, three, two and three steps apart.  The edge in the middle saves most, and the two others more
 * together.
 *
 *     |       |
 *     +--+-+--+
 *     |  | |  |
 */
static void test_exchange(void)
{
    struct ck_trail_graph *g = calloc(1, sizeof(*g));
    struct ck_tracer t;
    struct ck_bitmaps b;

    CHECK(ck_bitmaps_init(&b, 40, 40));
    ck_bitmaps_clear(&b);
    for (u64 x = 10; x < 18; x++) /* from 10 to 18, at the height of 20 */
        ck_horizontal(&b, 20)[0] |= (u64)1 << x;
    /* Long ways down from 13 and 15, and up and down from 10 and 18, which meet at the border. */
    for (u64 y = 20; y < 40; y++) {
        ck_vertical(&b, y)[0] |= (u64)1 << 13 | (u64)1 << 15 | (u64)1 << 10 | (u64)1 << 18;
        ck_vertical(&b, 39 - y)[0] |= (u64)1 << 10 | (u64)1 << 18;
    }
    CHECK(ck_tracer_init(&t, &b));
    make_graph(g, &t, &b);
    CHECK(ck_double_edges(g, NULL));
    test_matching(g);
    CHECK(total_saved(g) == 14 && greedily_saved(g) == 9);
    ck_trail_graph_free(g);
    ck_tracer_free(&t);
    ck_bitmaps_free(&b);
}

int main(void)
{
    test_exchange();
    for_random_bitmaps(1000 / FEWER, test_cracks);
    return report("double edges");
}
