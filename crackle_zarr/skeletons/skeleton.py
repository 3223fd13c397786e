class Skeleton:
    def __init__(self, vertices, edges, radii, segid, transform, space):
        self.vertices, self.edges, self.radius, self.id, self.transform, self.space = (
            vertices,
            edges,
            radii,
            segid,
            transform,
            space,
        )
