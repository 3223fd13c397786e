"""Neuroglancer's precomputed volumes of labels: read as Zarr arrays, and written.

A scale of a volume is shown to Zarr as a store, so every function on stored arrays takes it. Zarr's axes are
z, y, x; those of the format are x, y, z, with x fastest, which are the same bytes. Chunks of the encoding
``crackle`` are Crackle streams and stay what they are; those at the far edges are the exception: Zarr pads
them, and the format cuts them.

Source: Neuroglancer, "Precomputed: volumes" and "Precomputed: sharded format".
"""

from .reading import open_precomputed
from .writing import write_precomputed

__all__ = ["open_precomputed", "write_precomputed"]
