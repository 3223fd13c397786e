"""Surfaces of labels as triangle meshes: of stored arrays of any size, and of volumes in memory.

A volume is cut into tiles, which share a plane of voxels with their neighbours. The first pass runs marching
cubes on each tile; vertices on the shared planes are the same in both tiles. The second pass joins the pieces
of each label, simplifies the whole, and writes it. Both passes run on any executor.
"""

from __future__ import annotations

from .dataset import MeshFolder, open_meshes
from .mesh import Mesh

__all__ = ["Mesh", "MeshFolder", "open_meshes"]
