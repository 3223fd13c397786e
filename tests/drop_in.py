"""Test streams of many kinds, the answers of NumPy and SciPy about them, and comparisons."""

from __future__ import annotations

import functools
import inspect
import itertools
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import volumes

import crackle_zarr as crackle

Array = npt.NDArray[Any]
Index = tuple[Any, ...]


def with_background() -> Array:
    """Cells, some of them background, as in most segmentations."""
    volume = volumes.cells((24, 22, 8), 25, "u8")
    labels = np.unique(volume)
    volume[np.isin(volume, labels[::4])] = 0
    return volume


VOLUMES: dict[str, Callable[[], Array]] = {
    **volumes.VOLUMES,
    "cells and background": with_background,
    "two bytes, signed": lambda: volumes.palette([-(2**15), -300, 0, 7, 2**15 - 1], "i2"),
    "one cell of 0": lambda: np.zeros((5, 4, 3), np.uint32, order="F"),
}


@dataclass(frozen=True)
class Case:
    """A stream of a volume, and how its boundaries and labels are encoded."""

    name: str
    table: str  # "as made"; "merged": remapped; "shuffled": remapped in place, unsorted and with repeats
    pins: int
    markov: int
    version: int
    order: str

    def __str__(self) -> str:
        pins = "pins" if self.pins else "flat"
        return f"{self.name}, {self.table}, {pins}, m{self.markov}, v{self.version}, {self.order}"

    @property
    def rendered(self) -> str:
        """The stream's memory order; a volume contiguous in both orders counts as Fortran order."""
        return "F" if np.ascontiguousarray(made(self.name)).flags.f_contiguous else self.order

    @property
    def options(self) -> dict[str, int]:
        return {"allow_pins": self.pins, "markov_model_order": self.markov, "format_version": self.version}

    @property
    def volume(self) -> Array:
        return decoded(self.name, self.table)

    @property
    def stream(self) -> bytes:
        return encoded(self)

    @property
    def array(self) -> crackle.CrackleArray:
        return crackle.CrackleArray(self.stream)


@functools.cache
def made(name: str) -> Array:
    volume = VOLUMES[name]()
    return volume.view(np.uint8) if volume.dtype == bool else volume


@functools.cache
def new_names(name: str, table: str) -> dict[int, int]:
    """A mapping from the stream's labels to labels of the same volume, so that they fit the stored width."""
    labels = np.unique(made(name))
    if table == "merged":
        new = labels[np.arange(len(labels)) // 3 * 3]
    else:
        rng = np.random.default_rng(len(labels))
        new = rng.permutation(labels)
        new[rng.random(len(labels)) < 0.4] = labels[0]
    return dict(zip(labels.tolist(), new.tolist(), strict=True))


def renamed(volume: Array, mapping: dict[int, int]) -> Array:
    """The volume with every label replaced, in Fortran order and the same dtype."""
    labels, places = np.unique(volume, return_inverse=True)
    new = np.array([mapping[label] for label in labels.tolist()], volume.dtype)
    return np.asfortranarray(new[places.reshape(volume.shape)])


@functools.cache
def decoded(name: str, table: str) -> Array:
    volume = made(name)
    if table != "as made":
        volume = renamed(volume, new_names(name, table))
    volume = volume.copy(order="F")
    volume.flags.writeable = False
    return volume


@functools.cache
def encoded(case: Case) -> bytes:
    volume = made(case.name)
    volume = np.asfortranarray(volume) if case.order == "F" else np.ascontiguousarray(volume)
    binary = crackle.compress(volume, **case.options)
    if case.table == "merged":
        return crackle.remap(binary, new_names(case.name, case.table))
    if case.table == "shuffled":
        buffer = bytearray(binary)
        crackle.remap(buffer, new_names(case.name, case.table), in_place=True)
        return bytes(buffer)
    return binary


# Order 2: its model of 10 bytes pays in most of these volumes. The encoder leaves out a model that does not.
ENCODINGS = list(itertools.product((0, 1), (0, 2), (1, 0), "FC"))


def all_cases() -> Iterator[Case]:
    """Every volume with every kind of label table; the sixteen encodings take turns."""
    for i, (name, table) in enumerate(itertools.product(VOLUMES, ("as made", "merged", "shuffled"))):
        yield Case(name, table, *ENCODINGS[7 * i % 16])


CASES = list(all_cases())


def over(names: list[str], test: Callable[..., None]) -> Callable[..., None]:
    """Run a test over all cases of a volume, as one test per volume, because there are thousands of cases."""

    @functools.wraps(test)
    def run(*args: Any, name: str, **kwargs: Any) -> None:
        for case in CASES:
            if case.name == name:
                try:
                    test(*args, case=case, **kwargs)
                except BaseException as error:
                    error.add_note(f"in the case of {case}")
                    raise

    parameters = list(inspect.signature(test).parameters.values())
    parameters = [p.replace(name="name", kind=p.KEYWORD_ONLY) if p.name == "case" else p for p in parameters]
    parameters.sort(key=lambda p: p.kind)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return pytest.mark.parametrize("name", names)(run)


every_case = functools.partial(over, list(VOLUMES))
some_cases = functools.partial(over, ["balls", "cells and background", "negative, wide"])


def same(got: Array, expected: Array, order: str | None = None) -> None:
    """Assert that two arrays are equal in dtype, shape and contents."""
    assert isinstance(got, np.ndarray)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert np.array_equal(got, expected)
    if order is not None:
        assert got.flags.f_contiguous if order == "F" else got.flags.c_contiguous


def holds(binary: Any, expected: Array, order: str | None = None) -> None:
    """Assert that a stream is sound and decodes to these voxels."""
    assert isinstance(binary, bytes)
    assert crackle.codec.ok(binary)
    same(crackle.decompress(binary), expected, order)


def labels_of(volume: Array) -> list[int]:
    return np.unique(volume).tolist()


def a_label(volume: Array) -> int:
    """A label of medium size: its mask is neither empty nor full, if possible."""
    labels, counts = np.unique(volume, return_counts=True)
    return int(labels[np.argsort(counts, kind="stable")[len(labels) // 2]])


def no_label(volume: Array) -> int:
    """A number that the volume's dtype can hold and that is not one of its labels."""
    info = np.iinfo(volume.dtype)
    taken = set(labels_of(volume))
    return next(n for n in range(info.max, info.min, -1) if n not in taken)


def smallest_dtype(low: int, high: int, signed: bool) -> np.dtype[Any]:
    kinds = ("i1", "i2", "i4", "i8") if signed else ("u1", "u2", "u4", "u8")
    return next(np.dtype(k) for k in kinds if np.iinfo(k).min <= low and high <= np.iinfo(k).max)


def no_number(labels: list[int]) -> int:
    """A small number that is not one of the labels; the dtype need not hold it."""
    return next(n for n in itertools.count(1) if n not in set(labels))


SCALAR = {
    "add_scalar": operator.add,
    "subtract_scalar": operator.sub,
    "multiply_scalar": operator.mul,
    "floordiv_scalar": operator.floordiv,
}


def fits(values: Array, dtype: Any) -> bool:
    info = np.iinfo(dtype)
    return all(info.min <= value <= info.max for value in np.unique(values).tolist())


# ---- boundaries ----


def as_compressed(case: Case, markov: Any, pins: int) -> bytes:
    volume = case.volume if case.order == "F" else np.ascontiguousarray(case.volume)
    options = {"markov_model_order": markov, "format_version": case.version, "allow_pins": pins}
    return crackle.compress(volume, **options)


def no_number_for(volume: Array) -> int:
    """A number that the dtype can hold and the volume lacks, or else its rarest label."""
    info = np.iinfo(volume.dtype)
    labels, counts = np.unique(volume, return_counts=True)
    taken = set(labels.tolist())
    return next((n for n in range(info.max, info.min, -1) if n not in taken), int(labels[counts.argmin()]))


# ---- objects ----


@functools.cache
def boxes_of(name: str, table: str) -> dict[int, tuple[slice, ...]]:
    ndimage = pytest.importorskip("scipy.ndimage")
    volume = decoded(name, table)
    labels, places = np.unique(volume, return_inverse=True)
    found = ndimage.find_objects(places.reshape(volume.shape) + 1)
    return dict(zip(labels.tolist(), found, strict=True))


@functools.cache
def centroids_of(name: str, table: str) -> dict[int, Array]:
    ndimage = pytest.importorskip("scipy.ndimage")
    volume = decoded(name, table)
    labels, places = np.unique(volume, return_inverse=True)
    places = places.reshape(volume.shape)
    means = ndimage.center_of_mass(np.ones(volume.shape), places, range(len(labels)))
    return {label: np.array(mean) for label, mean in zip(labels.tolist(), means, strict=True)}


@functools.cache
def counts_of(name: str, table: str) -> dict[int, int]:
    labels, counts = np.unique(decoded(name, table), return_counts=True)
    return dict(zip(labels.tolist(), counts.tolist(), strict=True))


@functools.cache
def same_label(name: str, table: str) -> list[Array]:
    return same_label_of(decoded(name, table))


def same_label_of(volume: Array) -> list[Array]:
    """For +x, -x, +y, -y, +z and -z: whether that neighbour has the same label; False outside."""
    ways = []
    for axis in range(3):
        equal = np.diff(np.unique(volume, return_inverse=True)[1].reshape(volume.shape), axis=axis) == 0
        before, after = [(0, 0)] * 3, [(0, 0)] * 3
        before[axis], after[axis] = (1, 0), (0, 1)
        ways += [np.pad(equal, after), np.pad(equal, before)]
    return ways


@functools.cache
def surfaces_of(name: str, table: str) -> dict[int, Array]:
    """The surface voxels of each label in lexicographic order."""
    volume = decoded(name, table)
    points = np.argwhere(~np.logical_and.reduce(same_label(name, table)))
    labels = volume[tuple(points.T)]
    order = np.argsort(labels, kind="stable")
    unique, starts = np.unique(labels[order], return_index=True)
    return dict(zip(unique.tolist(), np.split(points[order].astype(np.uint16), starts[1:]), strict=True))


def components_of(volume: Array, connectivity: int) -> Array:
    """The components by cc3d, numbered by first voxel, x fastest."""
    cc3d = pytest.importorskip("cc3d")
    _labels, places = np.unique(volume, return_inverse=True)
    places = np.where(volume == 0, 0, places.reshape(volume.shape) + 1).astype(np.uint32)
    found = cc3d.connected_components(np.asfortranarray(places), connectivity=connectivity)
    flat = found.ravel(order="F")
    numbers, first = np.unique(flat, return_index=True)
    rank = np.zeros(int(flat.max()) + 1, np.uint64)
    foreground = numbers[np.argsort(first)]
    foreground = foreground[foreground != 0]
    rank[foreground] = np.arange(1, len(foreground) + 1)
    return rank[found]


LABEL_QUESTIONS = ["voxel_counts", "centroids", "bounding_boxes", "point_cloud"]


# ---- CrackleArray ----


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, name)
    for name in ("add", "sub", "mul", "floordiv", "mod", "and_", "or_", "xor", "lshift", "rshift")
}
COMPARISONS = {name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}
OPERANDS = [0, 1, 2, 7, 200, -1, -3, 255, 2**40]


def computed(name: str, a: Any, b: Any) -> Array | type[Exception]:
    """The result of Python's integers, voxel by voxel, or the error that they raise."""
    objects = [x.astype(object) if isinstance(x, np.ndarray) else x for x in (a, b)]
    try:
        return np.asarray(OPERATORS[name](*objects), object)
    except (ZeroDivisionError, ValueError, OverflowError) as error:
        return type(error)


def random_key(rng: np.random.Generator, length: int) -> int | slice:
    if rng.random() < 0.3:
        return int(rng.integers(-length, length))
    low, high = sorted(rng.integers(-length - 2, length + 3, 2).tolist())
    step = int(rng.choice([-3, -2, -1, 1, 1, 2, 3]))
    ends: list[int | None] = [low, high] if step > 0 else [high, low]
    ends = [None if rng.random() < 0.3 else end for end in ends]
    return slice(ends[0], ends[1], None if step == 1 else step)


def random_index(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Integers and slices for some or all axes, sometimes with an Ellipsis."""
    kind = rng.random()
    if kind < 0.1:
        return (..., slice(None))[int(rng.integers(0, 2))]
    first = int(rng.integers(0, 4))
    if kind < 0.4:
        return tuple(random_key(rng, n) for n in shape[:first])
    last = int(rng.integers(0, 4 - first))
    before = [random_key(rng, n) for n in shape[:first]]
    after = [random_key(rng, n) for n in shape[3 - last :]]
    if kind < 0.5:
        return tuple(random_key(rng, n) for n in shape)
    return (*before, ..., *after)


def random_value(rng: np.random.Generator, selected: Array) -> Any:
    """A number, or an array of labels that has or broadcasts to the selection's shape."""
    labels = rng.choice([0, 1, 5, 77, 100], 3).tolist()
    kind = rng.random()
    if kind < 0.3 or selected.size == 0:
        return labels[0]
    shape = [1 if rng.random() < 0.3 else n for n in selected.shape]
    while shape and rng.random() < 0.2:
        shape = shape[1:]
    value = rng.choice(labels, shape).astype(rng.choice(["u1", "i8", "u4"]))
    return crackle.compressa(value) if kind < 0.5 and value.ndim == 3 else value


def plain(result: Any, stream: Callable[[Any], Any]) -> Any:
    """Answers as nested lists and dicts of numbers, and streams as volumes, so that == compares them."""
    if isinstance(result, bytes | bytearray | memoryview) and bytes(result[:4]) != b"crkl":
        return bytes(result)
    if isinstance(result, bytes | bytearray | memoryview) or hasattr(result, "binary"):
        volume = stream(getattr(result, "binary", result))
        return (np.dtype(volume.dtype).str, volume.shape, volume.ravel().tolist())
    if isinstance(result, np.ndarray):
        return plain(result.tolist(), stream)
    if isinstance(result, np.generic):
        return result.item()
    if isinstance(result, dict):
        return {plain(k, stream): plain(v, stream) for k, v in result.items()}
    if isinstance(result, set):
        return {plain(v, stream) for v in result}
    if hasattr(result, "to_pydict"):
        return result.to_pydict()
    if isinstance(result, tuple | list) and not isinstance(result, str):
        kind = tuple if isinstance(result, tuple) else list
        return kind(plain(v, stream) for v in result)
    if isinstance(result, Iterator | crackle.objects.Objects):
        return [plain(v, stream) for v in result]
    return result


METHODS: dict[str, Callable[[Array], tuple[Any, ...] | dict[str, Any]]] = {
    "apply_binary_mask": lambda v: (crackle.compressa(volumes.noise(2, v.shape)),),
    "array_equal": lambda v: (crackle.compressa(v),),
    "ascontiguousarray": lambda v: (),
    "asfortranarray": lambda v: (),
    "astype": lambda v: ("u8", "C"),
    "bounding_boxes": lambda v: {"label": a_label(v), "no_slice_conversion": True},
    "centroids": lambda v: (a_label(v),),
    "connected_components": lambda v: (6, True),
    "contacts": lambda v: ((1, 2, 3),),
    "contains": lambda v: (a_label(v),),
    "contains_range": lambda v: (1, 5000),
    "decompress": lambda v: (a_label(v),),
    "each": lambda v: {"crop": False, "labels": [a_label(v)]},
    "point_cloud": lambda v: {"label": [a_label(v)], "z_start": 1, "z_end": 3},
    "edge_labels": lambda v: (),
    "header": lambda v: (),
    "labels": lambda v: (),
    "labels_for_z_range": lambda v: (1, 2),
    "mask": lambda v: ([a_label(v)], 3),
    "mask_except": lambda v: ([a_label(v)], 3),
    "max": lambda v: (),
    "min": lambda v: (),
    "mode_pooling": lambda v: ((2, 2, 2), True),
    "mode_pooling_2x2x1": lambda v: (True,),
    "mode_pooling_2x2x2": lambda v: (True,),
    "num_labels": lambda v: (),
    "overlaps": lambda v: (crackle.compressa(volumes.noise(2, v.shape)),),
    "recompress": lambda v: (),
    "reencode": lambda v: (2,),
    "refit": lambda v: (),
    "remap": lambda v: ({a_label(v): 9}, True),
    "renumber": lambda v: (5,),
    "select_enclosed_points": lambda v: (a_label(v), np.argwhere(v == a_label(v))),
    "signed_distance_to_boundary": lambda v: (a_label(v), np.argwhere(v == a_label(v)), (1, 2, 3)),
    "statistics": lambda v: (),
    "to_parquet": lambda v: (),
    "voxel_connectivity_graph": lambda v: (4,),
    "voxel_counts": lambda v: (a_label(v),),
    "zrange": lambda v: (1, 3),
    "zshatter": lambda v: (),
    "zsplit": lambda v: (1,),
}


def flat(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple | list) else [result]


TABLE: dict[str, tuple[str, ...]] = {
    "compress": ("labels", "allow_pins", "markov_model_order", "bgcolor", "parallel"),
    "compressa": ("labels", "allow_pins", "markov_model_order", "bgcolor", "parallel"),
    "decompress": ("binary", "label", "parallel", "crop"),
    "header": ("binary",),
    "labels": ("binary",),
    "num_labels": ("binary",),
    "min": ("binary",),
    "max": ("binary",),
    "nbytes": ("binary",),
    "labels_for_z_range": ("binary", "z_start", "z_end"),
    "contains": ("binary", "label"),
    "contains_range": ("binary", "low", "high"),
    "remap": ("binary", "mapping", "preserve_missing_labels", "in_place", "parallel"),
    "mask": ("binary", "labels", "value"),
    "mask_except": ("binary", "labels", "value"),
    "refit": ("binary",),
    "renumber": ("binary", "start"),
    "astype": ("binary", "dtype", "order", "casting"),
    "asfortranarray": ("binary",),
    "ascontiguousarray": ("binary",),
    "add_scalar": ("binary", "scalar"),
    "subtract_scalar": ("binary", "scalar"),
    "multiply_scalar": ("binary", "scalar"),
    "floordiv_scalar": ("binary", "scalar"),
    "zeros": ("shape", "dtype", "order"),
    "ones": ("shape", "dtype", "order"),
    "full": ("shape", "fill_value", "dtype", "order"),
    "zstack": ("images",),
    "zsplit": ("binary", "z"),
    "zshatter": ("binary",),
    "apply_binary_mask": ("binary", "mask_binary"),
    "recompress": ("binary",),
    "reencode": ("binary", "markov_model_order"),
    "voxel_counts": ("binary", "label"),
    "centroids": ("binary", "label"),
    "bounding_boxes": ("binary", "label", "no_slice_conversion"),
    "statistics": ("binary",),
    "point_cloud": ("binary", "label", "z_start", "z_end", "skip_background"),
    "each": ("binary", "crop", "labels", "multi"),
    "voxel_connectivity_graph": ("binary", "connectivity"),
    "contacts": ("binary", "anisotropy"),
    "connected_components": (
        *("binary", "connectivity", "binary_image", "memory_target"),
        *("progress", "return_mapping"),
    ),
    "component_map": ("component_binary", "parent_binary"),
    "edge_labels": ("binary",),
    "select_enclosed_points": ("binary", "label", "points"),
    "signed_distance_to_boundary": ("binary", "label", "points", "anisotropy"),
    "mode_pooling_2x2x1": ("binary", "sparse"),
    "array_equal": ("a", "b"),
    "to_parquet": ("binary",),
    "crack_codes": ("binary",),
    "components": ("binary",),
    "component_lengths": ("binary",),
    "save": ("labels",),
    "load": (),
    "aload": (),
    "bload": (),
    "save_numpy": (),
}


def list_of(result: Any) -> Any:
    """A function's results as a list, which makes a generator start."""
    return list(result) if isinstance(result, Iterator | crackle.objects.Objects) else result


SUFFIXES = ["", ".gz", ".xz", ".lzma", ".bz2", ".zst"]
