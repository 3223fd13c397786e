"""The layers of a page: what a request about an image or about labels gets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import verbs
from ..stored.layout import Layout
from ..stored.sources import layout_from
from . import meshes, precomputed, skeletons, zarr_format
from .cache import TileCache
from .objects import Mask, mask_of, native_label, shown_label
from .volume import Volume

# Bytes of meshes and skeletons that are kept.
_KEPT_OBJECTS = 2**25


class Layer:
    """An image or labels: its voxels at every resolution."""

    def __init__(self, volume: Volume, shift: Sequence[float] = (0, 0, 0)) -> None:
        """Prepare the answers; nothing is read.

        Args:
            volume: the voxels.
            shift: where the first voxel lies in the page, along x, y and z in nanometres.
        """
        self.volume = volume
        self.shift = tuple(shift)

    @property
    def is_precomputed(self) -> bool:
        """Whether the page reads the volume as precomputed: it has no further axes."""
        return not self.volume.others

    def info(self) -> dict[str, Any]:
        """The file ``info`` of precomputed."""
        self._refuse(self.is_precomputed)
        return precomputed.info(self.volume)

    def chunk(self, level: int, name: str) -> bytes:
        """A chunk of precomputed."""
        self._refuse(self.is_precomputed)
        return precomputed.chunk(self.volume, level, name)

    def zarr_group(self, name: str) -> dict[str, Any]:
        """A file of the group of OME-Zarr."""
        self._refuse(not self.is_precomputed and name in (".zgroup", ".zattrs"))
        return (
            {"zarr_format": 2} if name == ".zgroup" else zarr_format.group_metadata(self.volume, self.shift)
        )

    def zarr_array(self, level: int) -> dict[str, Any]:
        """The metadata of a level of OME-Zarr."""
        self._refuse(not self.is_precomputed)
        return zarr_format.array_metadata(self.volume, level)

    def zarr_chunk(self, level: int, key: str) -> bytes:
        """A chunk of OME-Zarr."""
        self._refuse(not self.is_precomputed)
        return zarr_format.chunk(self.volume, level, key)

    @staticmethod
    def _refuse(there_is: bool) -> None:
        if not there_is:
            raise KeyError("the layer has another format")


class LabelLayer(Layer):
    """Labels: also the list of labels, and meshes and skeletons of single labels."""

    def __init__(
        self,
        volume: Volume,
        *,
        has_meshes: bool,
        mesh_of: Callable[[int], bytes | None] | None = None,
        skeleton_of: Callable[[int], bytes | None] | bool,
    ) -> None:
        """Prepare the answers; nothing is read.

        Args:
            volume: the labels.
            has_meshes: whether there are meshes.
            mesh_of: gives the mesh of a label; the mesh of a label for which it gives None is made.
            skeleton_of: gives the skeleton of a label; True: traces it; False: there are none.
        """
        super().__init__(volume)
        self.has_meshes = has_meshes and self.is_precomputed
        self.has_skeletons = bool(skeleton_of) and self.is_precomputed
        self._mesh_of = mesh_of
        self._skeleton_of = skeleton_of
        self._layout: Layout | None = None
        self._lock = threading.Lock()
        self._properties: dict[str, Any] | None = None
        self._objects = TileCache(_KEPT_OBJECTS)

    @property
    def layout(self) -> Layout:
        """Of the finest level, for questions about labels."""
        with self._lock:
            if self._layout is None:
                self._layout = layout_from(self.volume.source.array)
            return self._layout

    def labels(self) -> list[int]:
        """All labels of the array but 0, from the label tables."""
        found: list[int] = verbs.labels(self.volume.source.array).tolist()
        return [int(label) for label in found if label != 0]

    def segment_properties(self) -> dict[str, Any]:
        """The list of labels with their names.

        The name of a negative label begins with the label, because the page shows unsigned integers.
        """
        if self._properties is None:
            labels = self.labels()
            shown = {shown_label(self.volume, label): label for label in labels}
            known = self.volume.source.label_names
            names = {}
            for one, label in shown.items():
                parts = [] if one == label else [str(label)]
                if label in known:
                    parts.append(known[label])
                if parts:
                    names[one] = " ".join(parts)
            self._properties = precomputed.segment_properties(sorted(shown), names)
        return self._properties

    def mask(self, label: int, most: int) -> Mask | None:
        """The mask of a label of the array, of bounded size."""
        return mask_of(self.layout, self.volume, label, most)

    def mesh_info(self) -> dict[str, Any]:
        """The file ``info`` of meshes."""
        self._refuse(self.has_meshes)
        return meshes.INFO

    def mesh_manifest(self, shown: int) -> dict[str, Any]:
        """The fragments of a mesh."""
        self._refuse(self.has_meshes)
        return meshes.manifest(shown)

    def mesh(self, shown: int) -> bytes | None:
        """The mesh of a label; None if the array does not have it."""
        self._refuse(self.has_meshes)
        if self._mesh_of is not None:
            label = native_label(self.volume, shown)
            found = None if label is None else self._mesh_of(label)
            if found is not None:
                return found
        return self._object("mesh", shown, meshes.MOST_VOXELS, meshes.mesh)

    def skeleton_info(self) -> dict[str, Any]:
        """The file ``info`` of skeletons."""
        self._refuse(self.has_skeletons)
        return skeletons.INFO

    def skeleton(self, shown: int) -> bytes | None:
        """The skeleton of a label; None if there is none."""
        self._refuse(self.has_skeletons)
        if callable(self._skeleton_of):
            label = native_label(self.volume, shown)
            return None if label is None else self._skeleton_of(label)
        return self._object("skeleton", shown, skeletons.MOST_VOXELS, skeletons.trace)

    def _object(
        self,
        kind: str,
        shown: int,
        most: int,
        make: Callable[[Mask, tuple[float, float, float]], bytes],
    ) -> bytes | None:
        label = native_label(self.volume, shown)
        if label is None:
            return None

        def made() -> np.ndarray[Any, np.dtype[np.uint8]]:
            mask = self.mask(label, most)
            data = b"" if mask is None else make(mask, self.volume.voxel_size)
            return np.frombuffer(data, np.uint8)

        return self._objects.get((kind, label), made).tobytes() or None
