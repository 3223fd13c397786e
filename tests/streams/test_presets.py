"""Presets have the documented options at every entry point, and make streams as small as documented."""

from __future__ import annotations

import dataclasses
import functools
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import volumes
import zarr
from click.testing import CliRunner

import crackle_zarr
from crackle_zarr import PRESETS, Crackle, CrackleArray, CrackleCodec, cli, create_array
from crackle_zarr._base import options
from crackle_zarr.synthetic import neurons

Array = npt.NDArray[Any]

# The documented options; the tests below compare with these, and not with PRESETS itself.
MEANT: dict[str | None, dict[str, Any]] = {
    "fast": {"allow_pins": 0, "markov_model_order": 0},
    "balanced": {"allow_pins": 0, "markov_model_order": 3},
    "small": {"allow_pins": 2, "markov_model_order": "auto"},
    None: {"allow_pins": 0, "markov_model_order": 3},
}
ORDERS = [0, 1, 3, 5, "auto"]
WRONG = ["", "Fast", "best", 3, ["fast"], True]
NAMES = "preset is 'fast', 'balanced' or 'small', not "

every_preset = pytest.mark.parametrize("preset", MEANT)
every_wrong_preset = pytest.mark.parametrize("preset", WRONG, ids=repr)


@functools.cache
def tissue() -> Array:
    """Neurons (x, y, z): large enough for models and pins to save bytes."""
    volume = neurons((24, 96, 96), seed=3, dtype=np.uint32).T
    volume.flags.writeable = False
    return volume


VOLUMES = {
    "neurons": tissue,
    "thick neurons": lambda: neurons((64, 64, 64), seed=5).T,
    "flat neurons": lambda: neurons((4, 200, 180), seed=6, dtype=np.uint16).T,
    "balls": volumes.balls,
    "cells": volumes.cells,
    "columns": volumes.columns,
    "noise": lambda: volumes.noise(2000),
    "one voxel": lambda: np.full((1, 1, 1), 7, np.uint8),
    "constant": volumes.constant,
}
every_volume = pytest.mark.parametrize("name", VOLUMES)


def v2(preset: str | None, **options: Any) -> dict[str, Any]:
    """The compressor's JSON in the metadata of a Zarr format 2 array."""
    store: dict[str, Any] = {}
    create_array(store, shape=(4, 5, 6), dtype="u4", zarr_format=2, preset=preset, **options)
    found = json.loads(store[".zarray"].to_bytes())["compressor"]
    assert found.pop("id") == "crackle"
    return found


def v3(preset: str | None, **options: Any) -> dict[str, Any]:
    """The codec's JSON in the metadata of a Zarr format 3 array."""
    store: dict[str, Any] = {}
    create_array(store, shape=(4, 5, 6), dtype="u4", preset=preset, **options)
    [codec] = json.loads(store["zarr.json"].to_bytes())["codecs"]
    assert codec.pop("name") == "crackle"
    return codec["configuration"]


# ---- their options ----


def test_presets() -> None:
    """There are three presets, and an option missing from metadata is still 0."""
    assert list(PRESETS) == ["fast", "balanced", "small"]
    assert {name: PRESETS[name] for name in PRESETS} == {name: MEANT[name] for name in PRESETS}
    assert options.MISSING == {"allow_pins": 0, "markov_model_order": 0}


@every_preset
def test_compress(preset: Any) -> None:
    """Every function that writes a stream makes that of the plain options."""
    expected = crackle_zarr.compress(tissue(), **MEANT[preset])
    assert crackle_zarr.compress(tissue(), preset=preset) == expected
    assert crackle_zarr.compressa(tissue(), preset=preset).binary == expected
    assert crackle_zarr.compress(tissue(), MEANT[preset]["allow_pins"], preset=preset) == expected
    if preset is None:
        assert crackle_zarr.compress(tissue()) == expected


@every_preset
def test_save(preset: Any, tmp_path: Path) -> None:
    """save() writes the file of the plain options."""
    path = tmp_path / "seg.ckl"
    crackle_zarr.save(tissue(), path, preset=preset)
    assert path.read_bytes() == crackle_zarr.compress(tissue(), **MEANT[preset])


@every_preset
def test_codecs(preset: Any) -> None:
    """Codecs keep, show and write the plain options, and their configuration makes an equal codec."""
    plain = MEANT[preset]
    second, third = Crackle(preset=preset), CrackleCodec(preset=preset)
    assert second == Crackle(**plain)
    assert third == CrackleCodec(**plain)
    assert second.get_config() == {"id": "crackle", **plain}
    assert third.to_dict() == {"name": "crackle", "configuration": plain}
    for codec in (second, third):
        assert "preset" not in repr(codec)
        assert eval(repr(codec)) == codec
        assert pickle.loads(pickle.dumps(codec)) == codec
    config = json.loads(json.dumps(second.get_config()))
    del config["id"]
    assert Crackle.from_config(config) == second
    assert CrackleCodec.from_dict(json.loads(json.dumps(third.to_dict()))) == third
    assert dataclasses.replace(third, allow_pins=1) == CrackleCodec(**{**plain, "allow_pins": 1})
    assert bytes(second.encode(tissue().T)) == crackle_zarr.compress(tissue(), **plain)


@every_preset
def test_create_array(preset: Any) -> None:
    """Metadata of both formats have the plain options, and chunks are made with them."""
    assert v2(preset) == v3(preset) == MEANT[preset]
    chunk = np.ascontiguousarray(tissue().T)
    for zarr_format, key in ((2, "0.0.0"), (3, "c/0/0/0")):
        store: dict[str, Any] = {}
        create_array(store, data=chunk, chunks=chunk.shape, zarr_format=zarr_format, preset=preset)
        assert store[key].to_bytes() == crackle_zarr.compress(tissue(), **MEANT[preset])
        assert np.array_equal(zarr.open_array(store, mode="r")[...], chunk)


@every_preset
def test_convert(preset: Any) -> None:
    """A converted array has the plain options, whatever options the source had."""
    source = create_array({}, data=tissue().T, chunks=(24, 96, 96), allow_pins=1, markov_model_order=1)
    store: dict[str, Any] = {}
    crackle_zarr.convert(source, store, preset=preset)
    assert zarr.open_array(store, mode="r").metadata.codecs == (CrackleCodec(**MEANT[preset]),)
    assert store["c/0/0/0"].to_bytes() == crackle_zarr.compress(tissue(), **MEANT[preset])


def command(*arguments: object) -> Any:
    return CliRunner().invoke(cli.cli, [str(argument) for argument in arguments])


@every_preset
def test_commands(preset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``compress`` and ``convert`` take presets, for a file and for an array."""
    monkeypatch.chdir(tmp_path)
    np.save("seg.npy", tissue())
    expected = crackle_zarr.compress(tissue(), **MEANT[preset])
    given = () if preset is None else ("--preset", preset)
    assert command("compress", *given, "seg.npy").exit_code == 0
    assert Path("seg.npy.ckl").read_bytes() == expected
    assert command("convert", "seg.npy", "other.ckl", *given).exit_code == 0
    assert Path("other.ckl").read_bytes() == expected
    assert command("convert", "seg.npy", "seg.zarr", *given).exit_code == 0
    assert zarr.open_array("seg.zarr", mode="r").metadata.codecs == (CrackleCodec(**MEANT[preset]),)


@pytest.mark.parametrize("to", [("copy.zarr", "--to", "zstd"), ("copy.npy",)], ids=" ".join)
def test_command_without_crackle(
    to: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A preset for a destination without Crackle is an error."""
    monkeypatch.chdir(tmp_path)
    create_array("seg.zarr", data=volumes.balls())
    ran = command("convert", "seg.zarr", *to, "--preset", "small")
    assert ran.exit_code == 2
    assert "--preset, --markov and --pins are for Crackle" in " ".join(ran.output.split())


# ---- an option overrides its preset ----


@pytest.mark.parametrize("option", [{"markov_model_order": 1}, {"allow_pins": 1}, {"markov_model_order": 0}])
@every_preset
def test_options_override(preset: Any, option: dict[str, int]) -> None:
    """A given option, 0 included, overrides its preset; the other option stays the preset's."""
    plain: dict[str, Any] = {**MEANT[preset], **option}
    assert crackle_zarr.compress(tissue(), preset=preset, **option) == crackle_zarr.compress(
        tissue(), **plain
    )
    assert Crackle(preset=preset, **option) == Crackle(**plain)
    assert CrackleCodec(preset=preset, **option) == CrackleCodec(**plain)
    assert v2(preset, **option) == v3(preset, **option) == plain


def test_options_override_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--markov and --pins override --preset; --markov takes auto."""
    monkeypatch.chdir(tmp_path)
    np.save("seg.npy", tissue())
    for number, (words, plain) in enumerate(
        [
            (("--preset", "small", "-p", 0), {"allow_pins": 0, "markov_model_order": "auto"}),
            (("--preset", "small", "-m", 2), {"allow_pins": 2, "markov_model_order": 2}),
            (("-m", "auto"), {"allow_pins": 0, "markov_model_order": "auto"}),
            (("-m", 0, "--preset", "balanced"), {"allow_pins": 0, "markov_model_order": 0}),
        ]
    ):
        assert command("compress", *words, "-o", f"{number}.ckl", "seg.npy").exit_code == 0
        assert Path(f"{number}.ckl").read_bytes() == crackle_zarr.compress(tissue(), **plain)


# ---- errors ----


@every_wrong_preset
def test_wrong_presets(preset: Any, tmp_path: Path) -> None:
    """Every entry point refuses another name, lists the three presets, and writes nothing."""
    store: dict[str, Any] = {}
    for act in (
        lambda: crackle_zarr.compress(tissue(), preset=preset),
        lambda: crackle_zarr.compressa(tissue(), preset=preset),
        lambda: crackle_zarr.save(tissue(), tmp_path / "a.ckl", preset=preset),
        lambda: Crackle(preset=preset),
        lambda: CrackleCodec(preset=preset),
        lambda: create_array(store, shape=(3, 4), dtype="u1", preset=preset),
        lambda: create_array(store, shape=(3, 4), dtype="u1", preset=preset, zarr_format=2),
        lambda: crackle_zarr.convert(create_array({}, shape=(3, 4), dtype="u1"), store, preset=preset),
        # The preset is wrong even if both options are given.
        lambda: crackle_zarr.compress(tissue(), 0, 0, preset=preset),
    ):
        with pytest.raises(ValueError, match="preset") as caught:
            act()
        assert str(caught.value) == f"{NAMES}{preset!r}"
    assert store == {}
    assert list(tmp_path.iterdir()) == []


def test_presets_are_not_metadata() -> None:
    """A codec's JSON takes no preset, because its options may change with a release."""
    with pytest.raises(ValueError, match="not preset"):
        Crackle.from_config({"preset": "small"})
    with pytest.raises(ValueError, match="not preset"):
        CrackleCodec.from_dict({"name": "crackle", "configuration": {"preset": "small"}})


def test_stream_with_a_preset(tmp_path: Path) -> None:
    """A stream is saved unchanged, so a preset for it is an error."""
    with pytest.raises(TypeError, match="preset"):
        crackle_zarr.save(crackle_zarr.compress(tissue()), tmp_path / "a.ckl", preset="small")


# ---- sizes and voxels ----


@every_volume
def test_sizes_and_voxels(name: str) -> None:
    """Every preset gives every voxel back, and "small" <= "balanced" <= "fast" in size."""
    volume = VOLUMES[name]()
    streams = {preset: crackle_zarr.compress(volume, preset=preset) for preset in PRESETS}
    for stream in streams.values():
        assert np.array_equal(crackle_zarr.decompress(stream), volume)
    assert len(streams["small"]) <= len(streams["balanced"]) <= len(streams["fast"])


def test_presets_differ() -> None:
    """On tissue, each preset is smaller than the one before by the documented means: models, then pins."""
    streams = {preset: crackle_zarr.compress(tissue(), preset=preset) for preset in PRESETS}
    assert len(streams["small"]) < len(streams["balanced"]) < 0.9 * len(streams["fast"])
    heads = {preset: crackle_zarr.header(stream) for preset, stream in streams.items()}
    assert [heads[preset].markov_model_order for preset in ("fast", "balanced")] == [0, 3]
    assert [heads[preset].label_format for preset in PRESETS] == [0, 0, 2]


# ---- the order "auto" ----


@every_volume
def test_auto_is_no_larger(name: str) -> None:
    """The order "auto" is as small as the best of some orders.

    Half a percent is allowed: the encoder chooses by the length of the codes before they are spelt for the
    model, and the spelling saves a little more with one order than with another.
    """
    volume = VOLUMES[name]()
    sizes = {order: len(crackle_zarr.compress(volume, markov_model_order=order)) for order in ORDERS}
    assert sizes["auto"] <= 1.005 * min(sizes.values())


@pytest.mark.parametrize("pins", [0, 2])
@every_volume
def test_auto_is_one_of_the_orders(name: str, pins: int) -> None:
    """The "auto" stream is no longer than that of the order in its header, the same on several threads."""
    volume = VOLUMES[name]()
    stream = crackle_zarr.compress(volume, pins, "auto", parallel=1)
    order = crackle_zarr.header(stream).markov_model_order
    given = crackle_zarr.compress(volume, pins, order)
    # With "auto", walks are traced in more ways than with a low order.
    assert len(stream) <= len(given) if order in (1, 2, 3, 4) else stream == given
    assert np.array_equal(crackle_zarr.decompress(stream), volume)
    assert stream == crackle_zarr.compress(volume, pins, "auto", parallel=3)


@every_volume
def test_reencode_auto(name: str) -> None:
    """``reencode`` chooses the order that ``compress`` chooses."""
    volume = VOLUMES[name]()
    expected = crackle_zarr.compress(volume, markov_model_order="auto")
    for order in (0, 1, 3):
        stream = crackle_zarr.compress(volume, markov_model_order=order)
        assert crackle_zarr.reencode(stream, "auto") == expected
        assert crackle_zarr.codec.reencode(stream, markov_model_order="auto") == expected
        assert CrackleArray(stream).reencode("auto").binary == expected


@pytest.mark.parametrize("preset", PRESETS)
@every_volume
def test_crackle_codec_reads_it(name: str, preset: Any) -> None:
    """crackle-codec reads the streams of all presets."""
    theirs = pytest.importorskip("crackle")
    volume = VOLUMES[name]()
    stream = crackle_zarr.compress(volume, preset=preset)
    assert np.array_equal(theirs.decompress(stream), volume)
