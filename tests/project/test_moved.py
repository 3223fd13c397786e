"""Imports and pickles find moved modules under their former names."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

import crackle_zarr as cz
from crackle_zarr import _moved
from crackle_zarr._base.mapping import LabelMapping

# Functions and classes of the former modules that users may have imported.
NAMES = {
    "_header": ["CrackleHeader"],
    "_mapping": ["LabelMapping"],
    "arithmetic": ["add_scalar", "mask", "apply_binary_mask"],
    "array": ["CrackleArray", "compressa", "full", "ones", "zeros"],
    "create": ["create_array"],
    "demo": ["CountingStore"],
    "numcodecs_codec": ["Crackle"],
    "objects": ["contacts", "each", "connected_components", "signed_distance_to_boundary", "Objects"],
    "rewriting": ["recompress", "mode_pooling"],
    "slices": ["zstack", "zsplit"],
    "stream": ["compress", "decompress", "labels"],
    "zarr_codec": ["CrackleCodec"],
}


def test_every_former_module_is_tried() -> None:
    """The table above has every former module."""
    assert set(NAMES) == set(_moved.MOVED)


@pytest.mark.parametrize("name", NAMES)
def test_former_modules_import(name: str) -> None:
    """A former module can be imported, by this interpreter and by a new one, and has its names."""
    module = importlib.import_module(f"crackle_zarr.{name}")
    for member in NAMES[name]:
        assert getattr(getattr(cz, name), member) is getattr(module, member)
    code = f"from crackle_zarr.{name} import {', '.join(NAMES[name])}; import crackle_zarr.{name}"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


PICKLES = {
    "crackle_zarr.array": lambda: cz.CrackleArray(cz.compress(np.ones((2, 3, 4), np.uint8))),
    "crackle_zarr.numcodecs_codec": lambda: cz.Crackle(preset="small"),
    "crackle_zarr.zarr_codec": lambda: cz.CrackleCodec(preset="small"),
    "crackle_zarr._mapping": lambda: LabelMapping({1: 2, 2: 1}, preserve=True),
    "crackle_zarr._header": lambda: cz.header(cz.compress(np.ones((2, 3, 4), np.uint8))),
}


@pytest.mark.parametrize("former", PICKLES)
def test_pickles_of_before_load(former: str) -> None:
    """A pickle that names a class by its former module loads as an equal object of today's class."""
    value = PICKLES[former]()
    now = type(value).__module__
    # Protocol 0 writes names as lines of text.
    old = pickle.dumps(value, protocol=0).replace(now.encode() + b"\n", former.encode() + b"\n")
    assert former.encode() in old
    assert now.encode() not in old
    again = pickle.loads(old)
    assert type(again) is type(value)
    if isinstance(value, cz.CrackleArray):
        assert again.binary == value.binary
    elif isinstance(value, LabelMapping):
        assert again.renamed(np.array([0, 1, 2])).tolist() == [0, 2, 1]
    else:
        assert again == value


def test_a_remapped_view_of_before_loads() -> None:
    """The pickle of a remapped view also names its mapping's class."""
    labels = np.arange(8, dtype=np.uint32).reshape(2, 2, 2)
    view = cz.lazy_remap(cz.create_array({}, data=labels), {1: 5})
    old = pickle.dumps(view, protocol=0).replace(b"crackle_zarr._base.mapping\n", b"crackle_zarr._mapping\n")
    assert b"crackle_zarr._mapping" in old
    assert pickle.loads(old)[...].tolist() == np.where(labels == 1, 5, labels).tolist()


def test_other_names_are_unknown() -> None:
    """A name that never existed is neither a module nor an attribute."""
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("crackle_zarr.nothing")
    with pytest.raises(AttributeError, match="nothing"):
        cz.nothing  # noqa: B018
