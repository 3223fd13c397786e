"""Connected components in 3-D: the parts into which the labels of a stream fall.

Slices are joined one after the other, so memory is that of a few slices and of the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from .. import _binding
from . import stream
from .neighbours import overlaps
from .objects import signed_labels
from .stream import Source, bytes_of


def connected_components(
    binary: Source,
    connectivity: Literal[6, 26] = 26,
    binary_image: bool = False,
    memory_target: int = 0,
    progress: bool | Callable[[int, int], None] = False,
    return_mapping: bool = False,
) -> Any:
    """The connected components of a volume, as a stream of their numbers.

    Voxels of one label that touch are one component; label 0 is the background and stays 0. Components are
    numbered from 1 on in the order of the volume, x fastest.

    Args:
        binary: the stream.
        connectivity: 6: voxels touch that share a face; 26: an edge or a corner will do as well.
        binary_image: take all labels but 0 for one.
        memory_target: accepted for crackle-codec's sake: two slices are in memory at a time, and eight bytes
            for every component of every slice.
        progress: True for a bar on stderr, or a function that is called with (slices done, slices in all).
        return_mapping: return the labels of the components, too.

    Returns:
        A stream of the smallest unsigned dtype that holds the numbers, with the boundaries of ``binary``;
        with ``return_mapping`` also a dict component -> label, 0 included where there is background. The
        label of a component of a binary image is that of its first voxel.

    Raises:
        ValueError: ``connectivity`` is another number, or there are more than 2**32 - 2 components in all
            slices.
    """
    if connectivity not in (6, 26):
        raise ValueError(f"connectivity is 6 or 26, not {connectivity!r}")
    held = bytes_of(binary)
    reader = _binding.Reader(held)
    with _telling(progress) as told:
        made, labels = _binding.connected_components(held, connectivity, bool(binary_image), told)
    if binary_image and reader.header.voxels():
        # Between two labels of one component there is no boundary.
        made = _binding.recompress(made, reader.header.markov_model_order)
    if not return_mapping:
        return made
    mapping = dict(enumerate(signed_labels(labels, reader.header.dtype), start=1))
    if stream.contains(made, 0):
        mapping = {0: 0, **mapping}
    return made, mapping


class _telling:  # noqa: N801 - it is used like a function
    """Who is told of slices that are done: nobody, a bar, or the caller's function."""

    def __init__(self, progress: bool | Callable[[int, int], None]) -> None:
        self._bar: Any = None
        self._told = progress if callable(progress) else self._show if progress else None

    def _show(self, done: int, total: int) -> None:
        if self._bar is None:
            from tqdm import tqdm  # type: ignore[import-untyped]

            self._bar = tqdm(total=total, unit="slice")
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Callable[[int, int], None] | None:
        return self._told

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def component_map(component_binary: Source, parent_binary: Source, parallel: int = 0) -> dict[int, int]:
    """In which label of another volume each component lies.

    Args:
        component_binary: the stream of components, such as :func:`connected_components` makes.
        parent_binary: the stream of the labels that they lie in, of the same shape.
        parallel: threads; 0 is one per core.

    Returns:
        A dict component -> parent. Of several parents it is the one with the most voxels, and of equal ones
        the lowest.

    Raises:
        ValueError: the shapes differ.
    """
    most: dict[int, tuple[int, int]] = {}
    for (component, parent), voxels in overlaps(component_binary, parent_binary, parallel).items():
        if component not in most or voxels > most[component][1]:
            most[component] = (parent, voxels)
    return {component: parent for component, (parent, _) in most.items()}
