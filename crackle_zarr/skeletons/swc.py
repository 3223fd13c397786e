"""SWC: a skeleton as text, a line for each vertex, with the vertex from which it hangs.

Every tree has a root: its soma, a vertex of type 1, or else its thickest end. A cycle loses one edge. The
header says which space the coordinates are in and how voxels are scaled, so that ``Skeleton.from_swc`` gives
back what was written, to six decimals.

The format: Cannon, Turner, Pyapali, Wheal: An on-line archive of reconstructed hippocampal neurons (1998).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._binding import skeleton_graphs as graphs

if TYPE_CHECKING:
    from .skeleton import Skeleton, Space

SOMA = 1


def to_swc(skeleton: Skeleton, contributors: str = "") -> str:
    """A skeleton as SWC.

    Coordinates and radii are written as they are, with six decimals. Vertices without edges are trees of
    their own.

    Args:
        skeleton: the skeleton.
        contributors: names for the header.

    Complexity: linear.
    """
    scale = np.linalg.norm(skeleton.transform[:, :3], axis=0)
    lines = [
        "# ORIGINAL_SOURCE crackle_zarr",
        "# CREATURE",
        "# REGION",
        "# FIELD/LAYER",
        "# TYPE",
        f"# CONTRIBUTOR {contributors}".rstrip(),
        "# REFERENCE",
        f"# RAW {'' if skeleton.id is None else skeleton.id}".rstrip(),
        "# EXTRAS",
        "# SOMA_AREA",
        "# SHINKAGE_CORRECTION",
        "# VERSION_NUMBER",
        "# VERSION_DATE",
        f"# SCALE {' '.join(f'{one:.6f}' for one in scale)}",
        f"# SPACE {skeleton.space}",
        f"# TRANSFORM {' '.join(repr(float(one)) for one in skeleton.transform.reshape(-1))}",
        "",
    ]
    parents, order = graphs.orient(len(skeleton.vertices), skeleton.edges, _roots(skeleton))
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(1, len(order) + 1)
    above = np.where(parents >= 0, number[parents], -1)
    places, radii, types = skeleton.vertices, skeleton.radius, skeleton.vertex_types
    for vertex in order.tolist():
        numbers = " ".join(f"{one:.6f}" for one in (*places[vertex].tolist(), float(radii[vertex])))
        lines.append(f"{number[vertex]} {types[vertex]} {numbers} {above[vertex]}")
    return "\n".join(lines) + "\n"


def _roots(skeleton: Skeleton) -> npt.NDArray[np.uint32]:
    """For each tree its soma, or else its thickest end; of equal ones the first."""
    ends = skeleton.degrees() == 1
    is_soma = skeleton.vertex_types == SOMA
    candidates = np.flatnonzero(ends | is_soma)
    order = np.lexsort((candidates, -skeleton.radius[candidates], ~is_soma[candidates]))
    return candidates[order].astype(np.uint32)


def parse_swc(text: str) -> dict[str, Any]:
    """The arguments of ``Skeleton`` from SWC.

    Fields are separated by any white space; lines may come in any order; parents may come later. Lines that
    are empty or begin with # are comments, of which SCALE, SPACE, TRANSFORM and RAW are understood.

    Raises:
        ValueError: a line is not a vertex, two have one number, or a parent is missing; the message names the
            line.
    """
    numbers: dict[int, int] = {}
    rows: list[tuple[float, ...]] = []
    types: list[int] = []
    parents: list[tuple[int, int]] = []
    header: dict[str, list[str]] = {}
    for at, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        if fields[0].startswith("#"):
            words = line.lstrip("# \t").split()
            if words:
                header[words[0].upper()] = words[1:]
            continue
        try:
            name, kind, parent = int(fields[0]), int(fields[1]), int(fields[6])
            row = tuple(float(one) for one in fields[2:6])
        except (ValueError, IndexError):
            raise ValueError(
                f"line {at} is no vertex, which is a number, a type, x, y, z, a radius and a parent: "
                f"{line.strip()!r}"
            ) from None
        if not 0 <= kind <= 255:
            raise ValueError(f"line {at}: the type of a vertex is 0 to 255, not {kind}")
        if name in numbers:
            raise ValueError(f"line {at}: there are two vertices with the number {name}")
        numbers[name] = len(rows)
        rows.append(row)
        types.append(kind)
        parents.append((at, parent))
    edges = []
    for number, (at, parent) in enumerate(parents):
        if parent < 0:
            continue
        if parent not in numbers:
            raise ValueError(f"line {at}: there is no vertex {parent}, which is named as the parent")
        edges.append((numbers[parent], number))
    table = np.array(rows, np.float64).reshape(-1, 4)
    return {
        "vertices": table[:, :3].astype(np.float32),
        "edges": np.array(edges, np.uint32).reshape(-1, 2),
        "radii": table[:, 3].astype(np.float32),
        "vertex_types": np.array(types, np.uint8),
        "segid": _id(header),
        "transform": _transform(header),
        "space": _space(header),
    }


def _space(header: dict[str, list[str]]) -> Space:
    """As the header says; programs that write SCALE alone write physical coordinates."""
    if header.get("SPACE") == ["voxel"]:
        return "voxel"
    return "physical" if "SCALE" in header or header.get("SPACE") == ["physical"] else "voxel"


def _transform(header: dict[str, list[str]]) -> npt.NDArray[np.float32] | None:
    for name, count in (("TRANSFORM", 12), ("SCALE", 3)):
        try:
            values = np.array([float(word) for word in header.get(name, [])], np.float32)
        except ValueError:
            continue
        if len(values) == count and np.isfinite(values).all():
            if count == 12:
                return values.reshape(3, 4)
            made = np.zeros((3, 4), np.float32)
            made[range(3), range(3)] = values
            return made
    return None


def _id(header: dict[str, list[str]]) -> int | None:
    words = header.get("RAW", [])
    return int(words[0]) if len(words) == 1 and re.fullmatch(r"[+-]?\d+", words[0]) else None
