"""Connected components in 3-D: the connected parts of the labels of a stream.

Slices are joined one after the other, so memory holds a few slices and the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from .. import _binding
from . import stream
from .neighbours import overlaps
from .objects import signed_labels
from .stream import Source, bytes_of, compress, is_array


def connected_components(
    binary: Source,
    connectivity: Literal[6, 26] = 26,
    binary_image: bool = False,
    memory_target: int = 0,
    progress: bool | Callable[[int, int], object] = False,
    return_mapping: bool = False,
) -> Any:
    """The connected components of a volume, as a stream of component numbers.

    Touching voxels of one label are one component; label 0 is the background and stays 0. Numbers begin with
    1 and follow the order of the volume, x fastest.

    Args:
        binary: the stream.
        connectivity: 6: voxels touch if they share a face; 26: also if they share an edge or a corner.
        binary_image: treat all labels but 0 as one label.
        memory_target: accepted for compatibility with crackle-codec. Memory holds two slices at a time, and
            eight bytes for every component of every slice.
        progress: True for a bar on stderr, or a function of (slices done, slices in all).
        return_mapping: also return the labels of the components.

    Returns:
        A stream of the smallest unsigned dtype that holds the numbers, with the boundaries of ``binary``;
        with ``return_mapping`` also a dict component -> label, which includes 0 if there is background. In a
        binary image, the label of a component is the label of its first voxel.

    Raises:
        ValueError: ``connectivity`` is neither 6 nor 26, or all slices together have more than 2**32 - 2
            components.
    """
    if connectivity not in (6, 26):
        raise ValueError(f"connectivity is 6 or 26, not {connectivity!r}")
    parent = compress(binary, preset="fast") if is_array(binary) else bytes_of(binary)
    reader = _binding.Reader(parent)
    with _progress_reports(progress) as report:
        components, labels, _ = _binding.connected_components(
            parent, connectivity, bool(binary_image), report
        )
    if binary_image and reader.header.voxels():
        # Take out the boundaries between labels that are now one component.
        components = _binding.recompress(components, reader.header.markov_model_order)
    if not return_mapping:
        return components
    mapping = dict(enumerate(signed_labels(labels, reader.header.dtype), start=1))
    if stream.contains(components, 0):
        mapping = {0: 0, **mapping}
    return components, mapping


class _progress_reports:  # noqa: N801 - used like a function, in a with statement
    """Reports finished slices to the caller's function, to a bar, or not at all."""

    def __init__(self, progress: bool | Callable[[int, int], object]) -> None:
        self._bar: Any = None
        self._report = progress if callable(progress) else self._show if progress else None

    def _show(self, done: int, total: int) -> None:
        if self._bar is None:
            from tqdm import tqdm  # type: ignore[import-untyped]

            self._bar = tqdm(total=total, unit="slice")
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Callable[[int, int], object] | None:
        return self._report

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def component_map(component_binary: Source, parent_binary: Source, parallel: int = 0) -> dict[int, int]:
    """The label of another volume in which each component lies.

    Args:
        component_binary: a stream of components, such as :func:`connected_components` returns.
        parent_binary: a stream of the same shape with the parents: the labels around the components.
        parallel: threads; 0 is one per core.

    Returns:
        A dict component -> parent. If a component has several parents, it is the parent with the most voxels,
        and of equal ones the lowest.

    Raises:
        ValueError: the shapes differ.
    """
    most: dict[int, tuple[int, int]] = {}
    for (component, parent), voxels in overlaps(component_binary, parent_binary, parallel).items():
        if component not in most or voxels > most[component][1]:
            most[component] = (parent, voxels)
    return {component: parent for component, (parent, _) in most.items()}
