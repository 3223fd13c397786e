"""A dataset of skeletons on disk, read label by label or part by part."""

from __future__ import annotations

import bisect
import importlib
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import FormatError
from ..skeletons.folders import write_folder
from ..skeletons.skeleton import Skeleton
from ..skeletons.tables import from_arrow, pyarrow_modules
from . import plan as plans
from .parts import PLAN, part_path


class SkeletonDataset(Mapping[int, Skeleton]):
    """The skeletons of a stored array, in Parquet files; a mapping label -> skeleton that reads them lazily.

    ``len``, ``in`` and ``labels`` read the labels alone; ``dataset[label]`` reads one skeleton; iteration
    over ``values()`` and ``items()`` reads a range of labels at a time.

    Attributes:
        path: the folder.
        plan: what the skeletons were made of and how, as ``skeletons.json`` has it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a dataset: see :func:`open_skeletons`."""
        self.path = Path(path)
        if not (self.path / PLAN).is_file():
            raise FileNotFoundError(2, f"no dataset of skeletons, which has a file {PLAN}", str(self.path))
        self.plan: dict[str, Any] = plans.read(self.path)
        if self.plan["state"] != "whole":
            raise FormatError(
                f"{self.path} is an unfinished dataset of skeletons: skeletonize the same array with the "
                f"same parameters and resume=True"
            )
        self._ranges: list[list[int]] = self.plan["ranges"]

    def __repr__(self) -> str:
        """In short."""
        return f"<SkeletonDataset {self.path}: {len(self)} skeletons>"

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """The edges of a voxel along x, y and z."""
        x, y, z = self.plan["space"]["voxel_size"]
        return x, y, z

    @property
    def unit(self) -> str | None:
        """The unit of all lengths; None if the array did not state it."""
        unit: str | None = self.plan["space"]["unit"]
        return unit

    @cached_property
    def labels(self) -> npt.NDArray[Any]:
        """The labels that have a skeleton, ascending: int64 or uint64."""
        _, parquet = pyarrow_modules()
        columns = [
            parquet.read_table(self._part("labels", number), columns=["label"]).column("label").to_numpy()
            for number in range(len(self._ranges))
        ]
        return np.concatenate(columns) if columns else np.zeros(0, np.uint64)

    @property
    def table(self) -> Any:
        """A row for each label, as a table of pyarrow.

        Columns: ``label``; ``voxels`` of the connected components that have a skeleton; ``cable_length``;
        ``vertices`` and ``edges``, how many; ``trees``, ``ends``, ``branches``; ``somas`` and, of these, the
        ones that tiles cut, ``cut_somas``; and the box of the skeleton, ``min_x`` to ``max_z``.
        """
        pyarrow, parquet = pyarrow_modules()
        tables = [parquet.read_table(self._part("labels", number)) for number in range(len(self._ranges))]
        return pyarrow.concat_tables(tables) if tables else pyarrow.table({"label": np.zeros(0, np.uint64)})

    def __len__(self) -> int:
        """How many skeletons there are."""
        return len(self.labels)

    def __iter__(self) -> Iterator[int]:
        """The labels, ascending."""
        return iter(self.labels.tolist())

    def __contains__(self, label: object) -> bool:
        """Whether a label has a skeleton."""
        if isinstance(label, bool) or not isinstance(label, int | np.integer):
            return False
        place = int(np.searchsorted(self.labels, label)) if self._fits(int(label)) else len(self)
        return place < len(self) and int(self.labels[place]) == int(label)

    def _fits(self, label: int) -> bool:
        info = np.iinfo(self.labels.dtype)
        return info.min <= label <= info.max

    def __getitem__(self, label: int) -> Skeleton:
        """The skeleton of a label.

        Raises:
            KeyError: it has none.
        """
        if label not in self:
            raise KeyError(label)
        pyarrow, parquet = pyarrow_modules()
        number = bisect.bisect_right([low for low, _ in self._ranges], int(label)) - 1
        # A plain int is taken for an int64, which does not hold all labels.
        typed = pyarrow.scalar(int(label), pyarrow.from_numpy_dtype(self.labels.dtype))
        wanted = importlib.import_module("pyarrow.compute").field("label") == typed
        vertices, edges = (
            parquet.read_table(self._part(kind, number), filters=wanted) for kind in ("vertices", "edges")
        )
        return from_arrow(vertices, edges)[int(label)]

    def _parts(self) -> Iterator[dict[int, Skeleton]]:
        _, parquet = pyarrow_modules()
        for number in range(len(self._ranges)):
            yield from_arrow(
                parquet.read_table(self._part("vertices", number)),
                parquet.read_table(self._part("edges", number)),
            )

    def _part(self, kind: str, number: int) -> str:
        return str(part_path(self.path, kind, number))

    def skeletons(self) -> Iterator[Skeleton]:
        """All skeletons, by ascending label; a range of labels is in memory at a time."""
        for part in self._parts():
            yield from part.values()

    def to_dict(self) -> dict[int, Skeleton]:
        """All skeletons, in memory."""
        return {label: one for part in self._parts() for label, one in part.items()}

    def to_swc(self, folder: str | os.PathLike[str]) -> int:
        """Write a file LABEL.swc for every skeleton into a folder; returns how many."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        for one in self.skeletons():
            one.save(target / f"{one.id}.swc")
        return len(self)

    def to_precomputed(self, folder: str | os.PathLike[str], sharded: bool | None = None) -> int:
        """Write a folder that Neuroglancer opens; returns how many skeletons it has.

        Args:
            folder: new, or with other files than this writes.
            sharded: write shards, which are files with many skeletons each; None: from 10,000 skeletons on.

        Raises:
            ValueError: a label is negative.
        """
        from .precomputed import write_sharded

        if sharded or (sharded is None and len(self) >= _MANY):
            return write_sharded(Path(folder), self.skeletons(), len(self))
        return write_folder(folder, self.skeletons())


# A folder of more files than this is a burden for many file systems and servers.
_MANY = 10_000


def open_skeletons(path: str | os.PathLike[str]) -> SkeletonDataset:
    """Open a dataset of skeletons that :func:`crackle_zarr.skeletonize` wrote with ``out``.

    Raises:
        FileNotFoundError: there is none.
        FormatError: it is unfinished or damaged.
        ImportError: pyarrow is not installed.
    """
    pyarrow_modules()
    return SkeletonDataset(path)
