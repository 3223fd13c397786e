"""The sections of a Crackle stream: their bytes, and which of them are damaged."""

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
    """What :func:`check` found: True is sound, False is damaged, None could not be judged."""

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
        checksum; ``labels``; ``markov_model``, where there is one; ``crack_codes``; ``crcs``, where there are
        any. They have nothing to do with connected components: the name is crackle-codec's.

    Raises:
        FormatError: the header or the crack index is damaged, or the sections do not add up to the length.
    """
    data, layout, head = _sections(binary)
    if head.voxels() == 0:  # the stream is its header
        return {"header": data}
    return {name: data[begin:end] for name, (begin, end) in _ranges_of(layout).items() if end > begin}


def component_lengths(binary: stream.Source) -> dict[str, int]:
    """The lengths in bytes of the sections that :func:`components` gives."""
    return {name: len(section) for name, section in components(binary).items()}


def crack_codes(binary: stream.Source) -> list[bytes]:
    """The crack code of every slice, as the stream has it: coded with the Markov model, if there is one.

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
    reader = _binding.Reader(stream.bytes_of(binary))  # which checks that the sections add up
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
    """Whether no part of a stream is damaged, as far as :func:`check` can tell.

    Raises:
        TypeError: ``binary`` is not bytes-like.
    """
    report = check(binary)
    return report["z"] == [] and all(found is True for name, found in report.items() if name != "z")


def check(binary: stream.Source) -> Report:
    """Find out which sections and slices of a stream are damaged.

    Everything is judged that can be, also behind a fault; damaged bytes never raise. A part's
    checksum is a part of it: where it is damaged or cut off, so is the part.

    What can be told differs. Version 1 has checksums for all but the Markov model: a damaged
    model shows in the slices instead. Version 0 has none: there, damage is found only where the
    bytes contradict themselves, and some changes give another sound stream.

    Args:
        binary: the stream.

    Returns:
        A dict:

        - ``header``: when it is damaged, nothing else can be judged;
        - ``crack_index``: when it is damaged, nothing behind it can be judged;
        - ``labels``: the labels section;
        - ``markov_model``: True where the stream has none;
        - ``length``: whether the sections add up to the length of ``binary``;
        - ``z``: the damaged slices in ascending order, those too that are missing.

        The values are True, False, or None for what could not be judged.

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
    """What of a stream is damaged, for people; empty where it is sound."""
    if not report["header"]:
        return ["header; nothing behind it can be judged"]
    if report["crack_index"] is False:
        return ["crack index; nothing behind it can be judged"]
    found = []
    for name, judged in (
        ("length", report["length"]),
        ("labels", report["labels"]),
        ("Markov model", report["markov_model"]),
    ):
        if judged is False:
            found.append(name)
    if report["z"]:
        found.append(f"slices z = {_ranges(report['z'])}")
    if not found and not all(judged is True for name, judged in report.items() if name != "z"):
        found.append("some of it cannot be judged")
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
    """Judge the labels, the model and the slices of a stream that reaches its crack codes at least."""
    codes = whole[layout.crack_codes : layout.checksums]
    tail = whole[layout.checksums : layout.end]
    tail_nbytes = layout.end - layout.checksums
    # Checksums that are cut off are filled up, so that those in front of them can be compared.
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
        except (FormatError, MemoryError):  # a damaged size can claim a slice that no memory holds
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
            if error.section == "markov model":  # then no slice can be read
                report["markov_model"] = False
                return
            damaged.append(z)
        else:
            if counts is not None:
                if head.format_version == 0 and components != counts[z]:
                    # One of the two is wrong, and the labels section agrees with itself.
                    damaged.append(z)
                else:
                    report["labels"] = False
    report["z"] = damaged + list(range(complete, head.sz))


def _complete_slices(whole: memoryview, head: CrackleHeader, layout: _binding.Layout) -> int:
    """How many slices, from the first on, are there with all their crack codes and their checksum."""
    index = np.frombuffer(whole, dtype="<u4", count=head.sz, offset=layout.crack_index)
    ends = layout.crack_codes + np.cumsum(index, dtype=np.uint64)
    complete = int(np.searchsorted(ends, np.uint64(len(whole)), side="right"))
    if layout.end > layout.checksums:
        # The checksum of the labels comes first.
        complete = min(complete, max(0, (len(whole) - layout.checksums) // 4 - 1))
    return complete


def _failing(passes: Callable[[int, int], bool], start: int, end: int) -> list[int]:
    """The slices in [start, end) that do not pass, found by halving: most often there are none."""
    if start == end or passes(start, end):
        return []
    if end - start == 1:
        return [start]
    middle = (start + end) // 2
    return _failing(passes, start, middle) + _failing(passes, middle, end)
