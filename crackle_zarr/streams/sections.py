"""The sections of a Crackle stream: their bytes, and checks for damage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from .. import _binding
from .._base.header import CrackleHeader
from ..errors import FormatError
from . import stream
from .rewriting import reencode

__all__ = ["check", "component_lengths", "components", "crack_codes", "ok", "reencode"]


class Report(TypedDict):
    """The result of :func:`check`: True is sound, False is damaged, None could not be checked."""

    header: bool
    crack_index: bool | None
    labels: bool | None
    markov_model: bool | None
    length: bool | None
    z: list[int] | None


# ---------------------------------------------------------------------------------------
# Sections


def components(binary: stream.Source) -> dict[str, npt.NDArray[np.uint8]]:
    """The sections of a stream as bytes, in the order in which they follow each other.

    Returns:
        A dict of uint8 arrays, views of ``binary``: ``header``; ``z_index``, the crack index with its
        checksum; ``labels``; ``markov_model``, if the stream has one; ``crack_codes``; ``crcs``, if it has
        any. The function has nothing to do with connected components: its name is crackle-codec's.

    Raises:
        FormatError: the header or the crack index is damaged, or the sections do not add up to the length.
    """
    data, layout, head = _sections(binary)
    if head.voxels() == 0:  # the stream is its header
        return {"header": data}
    return {name: data[begin:end] for name, (begin, end) in _ranges_of(layout).items() if end > begin}


def component_lengths(binary: stream.Source) -> dict[str, int]:
    """The lengths in bytes of the sections that :func:`components` returns."""
    return {name: len(section) for name, section in components(binary).items()}


def crack_codes(binary: stream.Source) -> list[bytes]:
    """The bytes of every slice's crack code, unchanged: coded with the Markov model, if there is one.

    Raises:
        FormatError: the header or the crack index is damaged, or the sections do not add up to the length.
    """
    data, layout, head = _sections(binary)
    if head.voxels() == 0:
        return []
    lengths = np.frombuffer(data, dtype="<u4", count=head.sz, offset=layout.crack_index)
    ends = layout.crack_codes + np.cumsum(lengths, dtype=np.uint64)
    begins = ends - lengths
    return [data[begin:end].tobytes() for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]


def _sections(
    binary: stream.Source,
) -> tuple[npt.NDArray[np.uint8], _binding.Layout, CrackleHeader]:
    reader = _binding.Reader(stream.bytes_of(binary))  # checks that the sections add up
    view = memoryview(stream.bytes_of(binary))
    data = np.frombuffer(view if view.c_contiguous else view.tobytes(), dtype=np.uint8)
    return data, _binding.read_layout(data), reader.header


def _ranges_of(layout: _binding.Layout) -> dict[str, tuple[int, int]]:
    return {
        "header": (0, layout.crack_index),
        "z_index": (layout.crack_index, layout.labels),
        "labels": (layout.labels, layout.markov_model),
        "markov_model": (layout.markov_model, layout.crack_codes),
        "crack_codes": (layout.crack_codes, layout.checksums),
        "crcs": (layout.checksums, layout.end),
    }


# ---------------------------------------------------------------------------------------
# Damage


def ok(binary: stream.Source) -> bool:
    """Whether :func:`check` finds no damage in a stream.

    Raises:
        TypeError: ``binary`` is not bytes-like.
    """
    report = check(binary)
    return report["z"] == [] and all(found is True for name, found in report.items() if name != "z")


def check(binary: stream.Source) -> Report:
    """Find the damaged sections and slices of a stream.

    The function checks everything that it can, also behind damage, and never raises because of damaged
    bytes. A checksum is a part of its section: if it is damaged or cut off, so is the section.

    The format version decides which damage shows. Version 1 has checksums for everything but the Markov
    model, whose damage shows in the slices instead. Version 0 has no checksums: only contradictions show, and
    some changes of bytes give another sound stream.

    Args:
        binary: the stream.

    Returns:
        A dict:

        - ``header``: if it is damaged, nothing else can be checked;
        - ``crack_index``: if it is damaged, nothing behind it can be checked;
        - ``labels``: the labels section;
        - ``markov_model``: True if the stream has none;
        - ``length``: whether the sections add up to the length of ``binary``;
        - ``z``: the damaged and the missing slices, in ascending order.

        The values are True, False, or None if the section could not be checked.

    Raises:
        TypeError: ``binary`` is not bytes-like.
    """
    report = Report(header=False, crack_index=None, labels=None, markov_model=None, length=None, z=None)
    data = stream.bytes_of(binary)
    try:
        head = _binding.read_header(data)
    except FormatError:
        return report
    report["header"] = True
    view = memoryview(data)
    whole = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
    try:
        layout = _binding.read_layout(whole)
    except FormatError:
        report["crack_index"] = False
        return report
    report["crack_index"] = True
    report["length"] = len(whole) == layout.end
    if head.voxels() == 0:  # the stream is its header
        report["labels"], report["markov_model"], report["z"] = True, True, []
        return report
    if len(whole) < layout.crack_codes:
        report["labels"] = False if len(whole) < layout.markov_model else None
        report["markov_model"] = len(whole) >= layout.crack_codes or layout.markov_model == layout.crack_codes
        report["z"] = list(range(head.sz))
        return report
    _check_parts(whole, head, layout, report)
    return report


def damaged_parts(report: Report) -> list[str]:
    """The damaged parts of a stream in words; an empty list if it is sound."""
    if not report["header"]:
        return ["header; nothing behind it can be checked"]
    if report["crack_index"] is False:
        return ["crack index; nothing behind it can be checked"]
    found = []
    for name, is_sound in (
        ("length", report["length"]),
        ("labels", report["labels"]),
        ("Markov model", report["markov_model"]),
    ):
        if is_sound is False:
            found.append(name)
    if report["z"]:
        found.append(f"slices z = {_ranges(report['z'])}")
    if not found and not all(is_sound is True for name, is_sound in report.items() if name != "z"):
        found.append("some sections cannot be checked")
    return found


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers as "3, 5-8"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _check_parts(whole: memoryview, head: CrackleHeader, layout: _binding.Layout, report: Report) -> None:
    """Check labels, model and slices of a stream that is complete at least up to its crack codes."""
    codes = whole[layout.crack_codes : layout.checksums]
    tail = whole[layout.checksums : layout.end]
    tail_nbytes = layout.end - layout.checksums
    # Replace missing checksums by zeros, so that those in front of them can be verified.
    reader = _binding.Reader.from_parts(
        whole[: layout.crack_codes], codes, 0, bytes(tail) + bytes(tail_nbytes - len(tail))
    )
    complete = _complete_slices(whole, head, layout)

    counts = None
    try:
        reader.table()
        counts = reader.component_counts()
    except FormatError:
        pass
    report["labels"] = counts is not None and (tail_nbytes == 0 or len(tail) >= 4)
    report["markov_model"] = True

    def decodes(start: int, end: int) -> bool:
        try:
            for first, last in stream.slabs(head, start, end, head.data_width):
                slab = stream.empty_volume((head.sx, head.sy, last - first), head.dtype, "F")
                reader.decode(slab, first, last)
        except (FormatError, MemoryError):  # a damaged size can claim a slice larger than the memory
            return False
        return True

    damaged: list[int] = []
    suspects = range(complete) if counts is None else _failing(decodes, 0, complete)
    for z in suspects:
        try:
            components = reader.check_slice(z)
        except MemoryError:
            damaged.append(z)
        except FormatError as error:
            if error.section == "markov model":  # no slice can be read without it
                report["markov_model"] = False
                return
            damaged.append(z)
        else:
            if counts is not None:
                if head.format_version == 0 and components != counts[z]:
                    # One of the two is wrong, and the labels section is consistent in itself.
                    damaged.append(z)
                else:
                    report["labels"] = False
    report["z"] = damaged + list(range(complete, head.sz))


def _complete_slices(whole: memoryview, head: CrackleHeader, layout: _binding.Layout) -> int:
    """The number of slices, from the first on, whose crack codes and checksum are complete."""
    index = np.frombuffer(whole, dtype="<u4", count=head.sz, offset=layout.crack_index)
    ends = layout.crack_codes + np.cumsum(index, dtype=np.uint64)
    complete = int(np.searchsorted(ends, np.uint64(len(whole)), side="right"))
    if layout.end > layout.checksums:
        # The checksum of the labels comes first.
        complete = min(complete, max(0, (len(whole) - layout.checksums) // 4 - 1))
    return complete


def _failing(passes: Callable[[int, int], bool], start: int, end: int) -> list[int]:
    """The slices in [start, end) that fail; bisection finds them, since mostly there are none."""
    if start == end or passes(start, end):
        return []
    if end - start == 1:
        return [start]
    middle = (start + end) // 2
    return _failing(passes, start, middle) + _failing(passes, middle, end)
