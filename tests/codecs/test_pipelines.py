"""Other codec pipelines for Zarr read and write the same arrays.

Zarr 3.3 has a pipeline without an event loop, which reads parts of chunks through the codec's synchronous
methods. zarrs has its own codecs in Rust and none for Crackle: it leaves the array to Zarr's pipeline with a
warning, or refuses it in strict mode. Before 0.2 it refuses in any case.
"""

from __future__ import annotations

import contextlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from chunks import blocks
from zarr.storage import MemoryStore, WrapperStore

import crackle_zarr as cz
from crackle_zarr import _binding

SHAPE = (32, 40, 50)
LABELS = blocks(SHAPE, "<u4", block=4)
FUSED = "zarr.core.codec_pipeline.FusedCodecPipeline"
ZARRS = "zarrs.ZarrsCodecPipeline"

ARRAYS: dict[str, dict[str, Any]] = {
    "format 3": {"chunks": (16, 20, 50)},
    "shards": {"chunks": (8, 20, 25), "shards": (16, 40, 50)},
    "zstd behind": {"chunks": (16, 20, 50), "compressors": zarr.codecs.ZstdCodec(level=1)},
    "format 2": {"chunks": (16, 20, 50), "zarr_format": 2},
}


def require(pipeline: str) -> None:
    module, _, name = pipeline.rpartition(".")
    found = pytest.importorskip(module, reason=f"{module} is not installed")
    if not hasattr(found, name):
        pytest.skip(f"Zarr {zarr.__version__} has no {name}: 3.3 is the first that has it")


def falls_back() -> bool:
    """Whether zarrs leaves arrays with unknown codecs to Zarr's own pipeline."""
    return tuple(map(int, version("zarrs").split(".")[:2])) >= (0, 2)


def fallback_warning(pipeline: str) -> contextlib.AbstractContextManager[Any]:
    """The warning of zarrs that it does not take the array; other pipelines give none."""
    if pipeline == ZARRS:
        return pytest.warns(UserWarning, match=r"unsupported by ZarrsCodecPipeline: .*codec crackle")
    return contextlib.nullcontext()


@pytest.mark.parametrize("options", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("pipeline", [FUSED, ZARRS])
def test_reads_and_writes(pipeline: str, options: dict[str, Any], tmp_path: Path) -> None:
    """Arrays written through a pipeline are read by Zarr's own, and the other way round.

    Questions work.
    """
    require(pipeline)
    if pipeline == ZARRS and not falls_back():
        pytest.skip("zarrs refuses arrays of Crackle before 0.2: see test_zarrs_refuses")
    plain = cz.create_array(tmp_path / "plain.zarr", data=LABELS, **options)
    with zarr.config.set({"codec_pipeline.path": pipeline}):
        with fallback_warning(pipeline):
            made = cz.create_array(tmp_path / "made.zarr", shape=SHAPE, dtype="<u4", **options)
        made[...] = LABELS
        made[3:7, 5, ::2] = 1
        with fallback_warning(pipeline):
            again = zarr.open_array(tmp_path / "plain.zarr", mode="r")
        np.testing.assert_array_equal(again[...], LABELS)
        np.testing.assert_array_equal(again[5, 3:30], LABELS[5, 3:30])
        np.testing.assert_array_equal(
            again.oindex[[1, 20], :, [5, 6]], LABELS[np.ix_([1, 20], range(40), [5, 6])]
        )
        np.testing.assert_array_equal(again.vindex[[1, 20], [3, 4], [5, 6]], LABELS[[1, 20], [3, 4], [5, 6]])
        np.testing.assert_array_equal(cz.labels(again), np.unique(LABELS))
    expected = LABELS.copy()
    expected[3:7, 5, ::2] = 1
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "made.zarr", mode="r")[...], expected)
    np.testing.assert_array_equal(plain[...], LABELS)


@pytest.mark.parametrize("options", ARRAYS.values(), ids=ARRAYS)
def test_zarrs_refuses(options: dict[str, Any], tmp_path: Path) -> None:
    """codec_pipeline.strict turns the fallback into an error at creation; before 0.2 it always is one."""
    require(ZARRS)
    strict = {"codec_pipeline.path": ZARRS, "codec_pipeline.strict": True}
    with zarr.config.set(strict), pytest.raises(Exception) as raised:  # noqa: PT011 - the type is zarrs' own
        cz.create_array(tmp_path / "a.zarr", shape=SHAPE, dtype="<u4", **options)
    # The error of 0.2 has no message of its own; that of the codec is its cause.
    reason = raised.value.__cause__ if falls_back() else raised.value
    assert type(raised.value).__name__ == ("UnsupportedMetadataError" if falls_back() else "TypeError")
    assert "codec crackle" in str(reason)


@pytest.mark.parametrize("strict", [False, True])
def test_zarrs_leaves_memory_to_zarr(strict: bool) -> None:
    """zarrs opens no stores in memory and no wrappers: Zarr uses its own pipeline, without a warning."""
    require(ZARRS)
    if not falls_back():
        pytest.skip("zarrs refuses arrays of Crackle before 0.2: see test_zarrs_refuses")
    settings = {"codec_pipeline.path": ZARRS, "codec_pipeline.strict": strict}
    for store in (MemoryStore(), WrapperStore(MemoryStore())):
        with zarr.config.set(settings):
            array = cz.create_array(store, data=LABELS, chunks=(16, 20, 50))
        np.testing.assert_array_equal(array[5], LABELS[5])
        np.testing.assert_array_equal(cz.labels(array), np.unique(LABELS))


@pytest.mark.parametrize("missing", [False, True], ids=["there", "missing"])
def test_the_fused_pipeline_reads_parts(missing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one plane of a chunk is decoded; a missing chunk is fill value."""
    require(FUSED)
    decoded = []
    decode = _binding.Reader.decode

    def spy(self: Any, out: Any, z_start: int, z_end: int, **keywords: Any) -> None:
        decoded.append((z_start, z_end))
        decode(self, out, z_start, z_end, **keywords)

    store = MemoryStore()
    array = cz.create_array(store, shape=SHAPE, dtype="<u4", chunks=SHAPE, fill_value=7)
    if not missing:
        array[...] = LABELS
    monkeypatch.setattr(_binding.Reader, "decode", spy)
    with zarr.config.set({"codec_pipeline.path": FUSED}):
        plane = zarr.open_array(store, mode="r")[5]
    np.testing.assert_array_equal(plane, np.full(SHAPE[1:], 7) if missing else LABELS[5])
    assert decoded == ([] if missing else [(5, 6)])


def test_the_fused_pipeline_names_a_damaged_chunk(tmp_path: Path) -> None:
    """The error for a damaged part names its chunk."""
    require(FUSED)
    cz.create_array(tmp_path / "a.zarr", data=LABELS, chunks=(32, 20, 50))
    chunk = tmp_path / "a.zarr" / "c" / "0" / "1" / "0"
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    chunk.write_bytes(raw)
    with zarr.config.set({"codec_pipeline.path": FUSED}):
        array = zarr.open_array(tmp_path / "a.zarr", mode="r")
        damaged = []
        for z in range(SHAPE[0]):
            try:
                array[z]
            except cz.FormatError as error:
                damaged.append(error)
    assert damaged
    for error in damaged:
        assert any("c/0/1/0" in note for note in error.__notes__)
