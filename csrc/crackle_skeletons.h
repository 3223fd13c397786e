/*
 * crackle_skeletons.h - centre lines of objects
 *
 * A part of crackle.h, which includes this file and has the conventions.  An object is a set of voxels, usually one
 * connected component of a label; it is known as runs, and no function here paints the voxels of a stream.
 *
 * Points are voxels (x, y, z).  Lengths are physical: voxels times 'voxel_size'.
 */
#ifndef CRACKLE_SKELETONS_H
#define CRACKLE_SKELETONS_H

#ifndef CRACKLE_H
#  error "include crackle.h instead"
#endif

/* cffi: begin */

/* ------------------------------------------------------------------------ */
/*                                   Runs                                    */
/* ------------------------------------------------------------------------ */

/* The voxels of objects, as runs along x. */
typedef struct crackle_runs crackle_runs;

/*
 * crackle_runs_read() - the runs of some objects of a stream
 *
 * 'objects' has the object of each entry of the label table, as crackle_read_table() lists them, from 1 on; entries with
 * 0 are left out.  'count' is the number of entries, 'num_objects' the highest object.  Verifies the same checksums as
 * crackle_decode().  Time is linear in the boundaries.  Memory: some 16 bytes per run, and 20 more until it returns.
 * Free the result with crackle_runs_free().
 */
crackle_status crackle_runs_read(const struct crackle_parts *parts, unsigned int flags, const uint32_t *objects,
                                 uint64_t count, uint64_t num_objects, const volatile int32_t *stop,
                                 crackle_runs **runs_ret, struct crackle_where *where);

/*
 * crackle_runs_make() - objects from runs
 *
 * 'runs' has x, the end of x, y and z of each run; object i has the runs begin[i] to begin[i + 1] - 1; begin[0] is 0.
 * CRACKLE_BAD_ARGUMENT: the runs of an object are not in the volume, not sorted by z, y and x, or touch along x.
 */
crackle_status crackle_runs_make(uint32_t sx, uint32_t sy, uint32_t sz, const uint32_t *runs, const uint64_t *begin,
                                 uint64_t num_objects, crackle_runs **runs_ret);

/*
 * crackle_fill_voids() - the runs of an object with its voids
 *
 * A void is what the object encloses: voxels outside it, connected over faces, that do not reach the faces of its
 * bounding box.  With 'is_planar', each slice z is filled for itself.  '*filled_ret' receives '*count_ret' runs, to be
 * freed with crackle_free(), or NULL if there are no voids.  Time is near-linear in the runs.
 */
crackle_status crackle_fill_voids(const uint32_t *runs, uint64_t count, int is_planar, uint32_t **filled_ret,
                                  uint64_t *count_ret);

/* 'runs' may be NULL. */
void crackle_runs_free(crackle_runs *runs);

/*
 * crackle_runs_of() - the runs of object 'object', which is counted from 0
 *
 * '*runs_ret' receives the first of '*count_ret' runs: x, the end of x, y and z of each, sorted by z, y and x.  They
 * belong to 'runs'.
 */
crackle_status crackle_runs_of(const crackle_runs *runs, uint64_t object, const uint32_t **runs_ret,
                               uint64_t *count_ret);

/*
 * crackle_split_by_graph() - the connected components of labels where a graph says which voxels are connected
 *
 * 'graph' has a number per voxel, x fastest, whose bits say which steps to the 26 neighbours are allowed, as in
 * crackle_connectivity().  Bits 0 to 5 are +x, -x, +y, -y, +z, -z; 6 to 9 the diagonals of x and y with the signs ++,
 * -+, +-, --; 10, 11, 14, 15 those of x and z; 12, 13, 16, 17 those of y and z; 18 to 25 the corners with the signs
 * +++, -++, +-+, --+, ++-, -+-, +--, ---.  A step that is allowed in one direction joins.  'volume' must have x as its
 * fastest axis.  'components' receives the number of each voxel's component, from 1 on in the order of their first
 * voxels; 0 where the label is 0.  CRACKLE_TOO_LARGE: there are 2^32 - 1 voxels or more.
 */
crackle_status crackle_split_by_graph(const struct crackle_volume *volume, const uint32_t *graph,
                                      const volatile int32_t *stop, uint32_t *components, uint32_t *count_ret);

/* ------------------------------------------------------------------------ */
/*                                  Tracing                                  */
/* ------------------------------------------------------------------------ */

/* Memory for tracing one object at a time, which is kept from one to the next.  A thread needs its own. */
typedef struct crackle_tracer crackle_tracer;

/* NULL when there is no memory. */
crackle_tracer *crackle_tracer_new(void);

/* 'tracer' may be NULL. */
void crackle_tracer_free(crackle_tracer *tracer);

/* The parameters of TEASAR. All lengths are physical. */
struct crackle_teasar {
    double voxel_size[3];
    double scale, constant;                    /* a voxel of a path invalidates up to scale * radius + constant */
    double pdrf_scale, pdrf_exponent;          /* of the penalty field */
    double soma_detection, soma_acceptance;    /* radii: above the first voids are filled, above the second it is a soma */
    double soma_scale, soma_constant;          /* of invalidation around the soma */
    uint64_t max_paths;                        /* UINT64_MAX: as many as it takes */
    uint8_t fix_branching;                     /* paths end at paths, not at the root */
    uint8_t border_faces;                      /* begin with targets on these faces: bits 0 to 5 are the first x, last x,
                                                  first y, last y, first z and last z; 63 is all of them */
    const uint32_t *graph;                     /* NULL, or the steps out of every voxel of the volume, x fastest */
};

/* A skeleton. Free each array with crackle_free(). */
struct crackle_skeleton {
    uint32_t *vertices;       /* x, y and z of each, sorted by x, y and z; of crackle_connect() in the order of the path */
    float *radii;             /* the distance to the boundary, per vertex */
    uint32_t *edges;          /* two vertices each, the lower first; sorted */
    uint64_t num_vertices, num_edges;
    uint64_t num_paths;
    uint32_t root;            /* the vertex at the root, or UINT32_MAX */
    float soma_radius;        /* 0: no soma was found */
};

/*
 * crackle_trace() - the skeleton of an object, by TEASAR
 *
 * 'before' and 'after' are voxels that paths have to reach: before all others, the last first, and at the end.  Those
 * that are not in the object are ignored.  An object of one voxel has no skeleton, that is no vertices.
 * CRACKLE_BAD_ARGUMENT: a parameter is not finite or negative, a voxel size is not within 1e-9 to 1e9, or the object is
 * not connected (26 neighbours).  CRACKLE_TOO_LARGE: the object has some 2^31 voxels or more.
 * Time: near-linear in the voxels of the object.  Memory: some 30 bytes for each.
 */
crackle_status crackle_trace(crackle_tracer *tracer, const crackle_runs *runs, uint64_t object,
                             const struct crackle_teasar *parameters, const uint32_t *before, uint64_t num_before,
                             const uint32_t *after, uint64_t num_after, const volatile int32_t *stop,
                             struct crackle_skeleton *skeleton_ret);

/*
 * crackle_connect() - the centre line from voxel 'end' to voxel 'start' of an object
 *
 * Of 'parameters', only voxel_size, pdrf_scale and pdrf_exponent are used.  The faces of the volume count as boundaries.
 * CRACKLE_BAD_ARGUMENT: as above, or a voxel is not in the object.
 */
crackle_status crackle_connect(crackle_tracer *tracer, const crackle_runs *runs, uint64_t object,
                               const struct crackle_teasar *parameters, const uint32_t *start, const uint32_t *end,
                               const volatile int32_t *stop, struct crackle_skeleton *skeleton_ret);

/*
 * crackle_widest() - the largest distance of a voxel of an object to its boundary, and the first such voxel
 *
 * In the order z, y, x.  '*radius_ret' is 0 if the object has no voxels.
 */
crackle_status crackle_widest(crackle_tracer *tracer, const crackle_runs *runs, uint64_t object,
                              const struct crackle_teasar *parameters, const volatile int32_t *stop,
                              float *radius_ret, uint32_t *point_ret);

/* ------------------------------------------------------------------------ */
/*                            Skeletons as graphs                            */
/* ------------------------------------------------------------------------ */

/*
 * An edge is a pair of vertices, numbered from 0.  The functions below return CRACKLE_BAD_ARGUMENT if an edge names a
 * vertex that does not exist, and CRACKLE_TOO_LARGE from 2^32 - 1 vertices or edges on.
 */

/*
 * crackle_graph_components() - the connected component of each vertex, numbered by their lowest vertices
 */
crackle_status crackle_graph_components(uint64_t num_vertices, const uint32_t *edges, uint64_t num_edges,
                                        uint32_t *numbers, uint64_t *count_ret);

/*
 * crackle_graph_consolidate() - the graph with each place once
 *
 * 'vertices' has x, y and z of each.  'kept', with room for all vertices, receives the first vertex at each place, sorted
 * by x, y and z.  'new_edges', with room for all edges, receives pairs of places, the lower first, sorted, each once;
 * none joins a place with itself.  Places without an edge are left out, unless 'keep_isolated', or there is just one.
 * CRACKLE_BAD_ARGUMENT: a coordinate is NaN.
 */
crackle_status crackle_graph_consolidate(const float *vertices, uint64_t num_vertices, const uint32_t *edges,
                                         uint64_t num_edges, int keep_isolated, uint32_t *kept,
                                         uint64_t *num_kept_ret, uint32_t *new_edges, uint64_t *num_new_ret);

/*
 * crackle_graph_segments() - the paths between critical vertices, which are those with other than two edges
 *
 * A cycle without one is a path from its lowest vertex to that vertex.  '*vertices_ret' receives all paths, one behind the
 * other, and '*ends_ret' where each ends in it.  Free both with crackle_free().
 */
crackle_status crackle_graph_segments(uint64_t num_vertices, const uint32_t *edges, uint64_t num_edges,
                                      uint32_t **vertices_ret, uint64_t *num_vertices_ret, uint64_t **ends_ret,
                                      uint64_t *num_paths_ret);

/*
 * crackle_graph_root_paths() - from each end of a component to its root
 *
 * The root of a component is the vertex that is most steps away from its lowest one.  Vertices without edges have no
 * path.  Results as above.
 */
crackle_status crackle_graph_root_paths(uint64_t num_vertices, const uint32_t *edges, uint64_t num_edges,
                                        uint32_t **vertices_ret, uint64_t *num_vertices_ret, uint64_t **ends_ret,
                                        uint64_t *num_paths_ret);

/*
 * crackle_graph_orient() - trees: the parent of each vertex, and all vertices in depth-first order
 *
 * Components begin with the first of 'roots' that is in them, or else with their lowest vertex; that has the parent
 * UINT32_MAX.  Of a cycle, one edge is not used.
 */
crackle_status crackle_graph_orient(uint64_t num_vertices, const uint32_t *edges, uint64_t num_edges,
                                    const uint32_t *roots, uint64_t num_roots, uint32_t *parent, uint32_t *order);

/*
 * crackle_graph_remove_loops() - open all cycles
 *
 * 'vertices' are places in physical space; 'radii' may be negative where they are not known.  'edges', which must not
 * repeat nor join a vertex with itself, are changed: '*num_left_ret' of them are left, in no order, some of them new.  Near
 * linear.  CRACKLE_BAD_ARGUMENT also for an edge from a vertex to itself.
 */
crackle_status crackle_graph_remove_loops(const float *vertices, const float *radii, uint64_t num_vertices,
                                          uint32_t *edges, uint64_t num_edges, const volatile int32_t *stop,
                                          uint64_t *num_left_ret);

/*
 * crackle_graph_join() - edges that join components which come close
 *
 * The closest vertices of two components are joined, the closest first, if they are no farther apart than 'radius'.  With
 * 'restrict_by_radius', only the closest vertices of every two components are, and only if the sum of their radii reaches
 * from one to the other.  '*joins_ret' receives '*count_ret' edges; free it with crackle_free().
 * CRACKLE_BAD_ARGUMENT also for coordinates that are not finite.
 */
crackle_status crackle_graph_join(const float *vertices, const float *radii, uint64_t num_vertices,
                                  const uint32_t *edges, uint64_t num_edges, double radius, int restrict_by_radius,
                                  const volatile int32_t *stop, uint32_t **joins_ret, uint64_t *count_ret);

/*
 * crackle_graph_remove_ticks() - remove short ends, the shortest first
 *
 * Segments between critical vertices that lead to an end and are shorter than 'threshold' go, unless they are all of a
 * tree.  'edges', of trees, are changed: '*num_left_ret' of them are left, in no order.
 */
crackle_status crackle_graph_remove_ticks(const float *vertices, uint64_t num_vertices, uint32_t *edges,
                                          uint64_t num_edges, double threshold, uint64_t *num_left_ret);

/* ------------------------------------------------------------------------ */
/*                       Objects along their skeletons                       */
/* ------------------------------------------------------------------------ */

/*
 * crackle_sections() - the areas of plane sections of an object
 *
 * Plane i goes through point i, in voxels, at a right angle to normal i, which is physical.  Its section is the part of
 * the object that it cuts which is connected (26 neighbours that it cuts) with the voxel of the point.  'areas' receives
 * physical areas: 0 where the voxel is not one of the object.  'contacts' receives the faces of the volume that the
 * section reaches: bits 0 to 5 are the first and last x, y and z.  Time: linear in the voxels that are cut.
 * CRACKLE_BAD_ARGUMENT: a normal has no length, a number is not finite, or a voxel size is not within 1e-9 to 1e9.
 */
crackle_status crackle_sections(const crackle_runs *runs, uint64_t object, const double *voxel_size,
                                const double *points, const double *normals, uint64_t count,
                                const volatile int32_t *stop, double *areas, uint8_t *contacts);

/*
 * crackle_nearest_seeds() - which of some voxels is the nearest, for all voxels of an object
 *
 * Distances are those of paths over 26 neighbours in the object.  Seeds are voxels, numbered from 0; those that are not in
 * the object are ignored, and of two that are equally near, the later one counts.  'nearest' receives 'count' numbers,
 * which is the number of voxels, in the order of the runs: UINT32_MAX where no seed can be reached.  Time: near-linear.
 * CRACKLE_BAD_ARGUMENT: 'count' is wrong, or a voxel size is not within 1e-9 to 1e9.
 */
crackle_status crackle_nearest_seeds(const crackle_runs *runs, uint64_t object, const double *voxel_size,
                                     const uint32_t *seeds, uint64_t num_seeds, const volatile int32_t *stop,
                                     uint32_t *nearest, uint64_t count);

/* cffi: end */

#endif /* CRACKLE_SKELETONS_H */
