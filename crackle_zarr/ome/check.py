"""Verify a label image: the checksums of all levels, and that each level is the pooled one before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import FormatError
from ..stored import verify as verification
from ..stored.encoding import decoded
from ..stored.engine import Options, run
from ..stored.layout import Coords, common
from ..stored.relabel import object_box
from ..stored.verify import Damage
from .edit import Pyramid
from .objects import Pooling


@dataclass(frozen=True)
class Agree:
    """Compare a chunk of a level with the level before."""

    pooling: Pooling
    coords: Coords

    @property
    def weight(self) -> int:
        """Chunks."""
        return 1

    def __call__(self) -> list[Damage] | None:
        """The chunk, if it differs; None otherwise, also if a chunk is damaged, which has been reported."""
        layout = self.pooling.coarse
        box = common(layout.chunk_box(self.coords), object_box(layout, self.coords))
        key = layout.path(layout.key(self.coords))
        try:
            agrees = np.array_equal(decoded(layout, box, key), self.pooling.voxels(box))
        except FormatError:
            return None
        fine = self.pooling.fine.array.path.rpartition("/")[2]
        message = f"its voxels are not those that pooling {fine} makes: build_pyramid makes them anew"
        return None if agrees else [Damage(self.coords, key, message)]


def verify(pyramid: Pyramid, options: Options) -> list[Damage]:
    """The damaged chunks of all levels, then those that differ from what pooling makes."""
    damaged = []
    for layout in pyramid.layouts:
        damaged += verification.verify(layout, layout.everything, options)
    for number, step in enumerate(pyramid.steps, 1):
        fine, coarse = pyramid.layouts[number - 1 : number + 1]
        pooling = Pooling(fine, coarse, step, pyramid.sparse)
        tasks = (Agree(pooling, coords) for coords in coarse.coords_in(coarse.everything))
        found = run(tasks, options, total=coarse.num_chunks, unit="chunk", merge=lambda a, b: a + b) or []
        damaged += sorted(found, key=lambda damage: damage.chunk)
    return damaged
