"""Damaged volumes: the error names what is damaged, and no wrong labels are read in silence."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from precomputed_cases import SHARDINGS, blobs, by_tensorstore, of_crackle

import crackle_zarr
from crackle_zarr import open_precomputed
from crackle_zarr.errors import FormatError, StoreError

SCALE = {
    "key": "s",
    "size": [4, 4, 4],
    "resolution": [1, 1, 1],
    "chunk_sizes": [[4, 4, 4]],
    "encoding": "raw",
}
INFO = {"type": "segmentation", "data_type": "uint8", "num_channels": 1, "scales": [SCALE]}
SHARDS = {
    "@type": "neuroglancer_uint64_sharded_v1",
    "hash": "identity",
    "preshift_bits": 0,
    "minishard_bits": 0,
    "shard_bits": 0,
}


def volume_of(place: Path, **changes: Any) -> Path:
    """A volume whose info file has some changes."""
    place.mkdir(exist_ok=True)
    (place / "info").write_text(json.dumps({**INFO, **changes}))
    return place


def scales(**changes: Any) -> dict[str, Any]:
    scale = {**SCALE, **changes}
    return {"scales": [{key: value for key, value in scale.items() if value is not None}]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scales": []}, '"scales" is a list of one or more'),
        ({"scales": None}, '"scales" is a list of one or more'),
        ({"scales": [7]}, "a scale is a JSON object, not 7"),
        ({"num_channels": 0}, '"num_channels" is 1 whole numbers of 1 or more'),
        (scales(key=None), '"key" of a scale is a text'),
        (scales(size=[4, 4]), '"size of s" is 3 whole numbers of 0 or more'),
        (scales(size=[4, 4, -1]), '"size of s" is 3 whole numbers of 0 or more'),
        (scales(size=[4, 4, 4.5]), '"size of s" is 3 whole numbers'),
        (scales(resolution=[1, 0, 1]), '"resolution" of s is three positive numbers'),
        (scales(resolution="4"), '"resolution" of s is three positive numbers'),
        (scales(chunk_sizes=[]), '"chunk_sizes" of s is a list of one or more'),
        (scales(chunk_sizes=[[0, 4, 4]]), '"chunk_sizes of s" is 3 whole numbers of 1 or more'),
        (scales(voxel_offset=[0.5, 0, 0]), '"voxel_offset of s" is 3 whole numbers'),
        (scales(encoding=None), '"encoding" of s is a text'),
        (scales(sharding={}), '"sharding" has the "@type"'),
        (scales(sharding={**SHARDS, "hash": "md5"}), '"hash" is "identity" or'),
        (scales(sharding={**SHARDS, "shard_bits": 65}), '"shard_bits" of the sharding is an integer'),
        (scales(sharding={**SHARDS, "data_encoding": "zstd"}), "the encodings of the sharding"),
        (
            scales(size=[2**30, 2**30, 2**30], chunk_sizes=[[1, 1, 1]], sharding=SHARDS),
            "needs more than 64 bits",
        ),
    ],
)
def test_damaged_info(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """The error says which field is wrong, and what it has to be."""
    with pytest.raises(FormatError, match="its info file is damaged") as raised:
        open_precomputed(volume_of(tmp_path / "v", **changes))
    assert message in str(raised.value)
    assert "precomputed://" in str(raised.value)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_no_json(tmp_path: Path, raw: bytes) -> None:
    """A file that is no JSON object is damaged."""
    (tmp_path / "info").write_bytes(raw)
    with pytest.raises(FormatError, match="its info file is damaged"):
        open_precomputed(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "image"}, "type in its info file is 'image'"),
        ({"type": None}, "type in its info file is None"),
        ({"@type": "neuroglancer_skeletons"}, "type in its info file is 'neuroglancer_skeletons'"),
        ({"data_type": "float32"}, "labels are integers, and its data_type is 'float32'"),
        (scales(encoding="jpeg"), "has the encoding 'jpeg'; this package reads raw, compressed_seg"),
        (scales(encoding="compresso"), "has the encoding 'compresso'"),
        (scales(encoding="compressed_segmentation"), "labels of uint32 or uint64, not uint8"),
        ({"num_channels": 2, **scales(encoding="crackle")}, "chunks of Crackle have one channel, not 2"),
    ],
)
def test_other_volumes(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """Volumes that this package does not read are refused."""
    with pytest.raises(ValueError, match=message):
        open_precomputed(volume_of(tmp_path / "v", **changes))


def test_places_without_a_volume(tmp_path: Path) -> None:
    """A missing folder, a folder without a volume, and options for a path."""
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        open_precomputed(f"precomputed://{tmp_path / 'x'}")
    with pytest.raises(FileNotFoundError, match="has no file 'info'"):
        open_precomputed(tmp_path)
    with pytest.raises(ValueError, match="storage options are for URLs"):
        open_precomputed(tmp_path, storage_options={"anon": True})
    with pytest.raises(ValueError, match="name a folder"):
        open_precomputed("precomputed://")


# ---------------------------------------------------------------------------------------
# Chunks


def first_chunk(place: Path) -> Path:
    return place / "4_4_40" / "0-16_0-16_0-16"


def refuses(place: Path, name: str) -> str:
    """Neither reading nor converting passes over the damage; returns the message."""
    with pytest.raises((FormatError, StoreError)):
        open_precomputed(place)[...]
    shutil.rmtree(place.parent / "seg.zarr", ignore_errors=True)
    with pytest.raises((FormatError, StoreError), match=name) as raised:
        crackle_zarr.convert(f"precomputed://{place}", place.parent / "seg.zarr")
    return str(raised.value)


@pytest.mark.parametrize("encoding", ["raw", "compressed_segmentation"])
def test_damaged_chunks(tmp_path: Path, encoding: str) -> None:
    """Truncated and foreign chunks are named."""
    by_tensorstore(tmp_path / "v", blobs(1, (20, 20, 20)) + np.uint32(1), encoding)
    chunk = first_chunk(tmp_path / "v")
    raw = chunk.read_bytes()
    for damaged in (b"", raw[:-1] if encoding == "raw" else raw[: len(raw) // 2], b"\xff" * 99):
        chunk.write_bytes(damaged)
        refuses(tmp_path / "v", "0-16_0-16_0-16")
    chunk.write_bytes(gzip.compress(raw)[:-9])
    assert "damaged gzip" in refuses(tmp_path / "v", "0-16_0-16_0-16")
    chunk.unlink()
    Path(f"{chunk}.br").write_bytes(raw)
    with pytest.raises((ValueError, StoreError), match=r"0-16_0-16_0-16\.br"):
        open_precomputed(tmp_path / "v")[...]


def test_damaged_streams(tmp_path: Path) -> None:
    """Every byte of a stream may be wrong: a copy notices, unless the byte is not part of the labels."""
    volume = blobs(2, (20, 20, 20)) + np.uint32(1)
    streams = of_crackle(tmp_path / "v", volume)
    for name in ("0-16_0-16_0-16", "16-20_0-16_0-16"):
        file = tmp_path / "v" / "4_4_40" / name
        raw = streams[name]
        file.write_bytes(raw[:-1])
        refuses(tmp_path / "v", name)
        file.write_bytes(raw[:10])
        refuses(tmp_path / "v", name)
        noticed = 0
        for place in range(5, len(raw), max(1, len(raw) // 60)):
            damaged = bytearray(raw)
            damaged[place] ^= 0x5A
            file.write_bytes(damaged)
            made: dict[str, Any] = {}
            try:
                crackle_zarr.convert(f"precomputed://{tmp_path / 'v'}", made)
            except (FormatError, StoreError) as error:
                assert name in str(error)  # noqa: PT017 - not every byte is noticed
                noticed += 1
            else:
                np.testing.assert_array_equal(open_precomputed(tmp_path / "v")[...], volume.T)
        assert noticed > 40
        file.write_bytes(raw)
    # A stream of another chunk has another shape.
    whole, edge = (tmp_path / "v" / "4_4_40" / name for name in ("0-16_0-16_0-16", "16-20_0-16_0-16"))
    edge.write_bytes(streams[whole.name])
    assert "has the shape (x, y, z) = (16, 16, 16), and the chunk (4, 16, 16)" in refuses(
        tmp_path / "v", edge.name
    )
    edge.write_bytes(streams[edge.name])
    whole.write_bytes(streams[edge.name])
    refuses(tmp_path / "v", whole.name)


@pytest.mark.parametrize("spec", SHARDINGS, ids=lambda spec: f"{spec[0]}-{spec[4]}-{spec[5]}")
@pytest.mark.parametrize("crackle", [False, True])
def test_damaged_shards(tmp_path: Path, spec: tuple[Any, ...], crackle: bool) -> None:
    """Wherever a shard is cut or overwritten, labels are right or an error names the volume."""
    volume = blobs(3, (40, 40, 40)) + np.uint32(1)
    if crackle:
        of_crackle(tmp_path / "v", volume, spec=spec)
    else:
        by_tensorstore(tmp_path / "v", volume, spec=spec)
    shard = max((tmp_path / "v" / "4_4_40").iterdir(), key=lambda file: file.stat().st_size)
    raw = shard.read_bytes()
    rng = np.random.default_rng(4)
    cuts = [raw[:-1], raw[: len(raw) // 2], raw[:20], raw[:8], b""]
    for damaged in cuts:
        shard.write_bytes(damaged)
        with pytest.raises((FormatError, StoreError), match=shard.name):
            open_precomputed(tmp_path / "v")[...]
    index = 16 << spec[2]
    for place in [
        *range(0, index, 5),
        *rng.integers(index, len(raw), 15),
        *range(len(raw) - 60, len(raw), 7),
    ]:
        damaged = bytearray(raw)
        damaged[place] ^= 0x41
        shard.write_bytes(damaged)
        try:
            found = open_precomputed(tmp_path / "v")[...]
        except (FormatError, StoreError) as error:
            said = " ".join([str(error), *getattr(error, "__notes__", ())])
            assert "precomputed://" in said or shard.name in said
        else:
            # Raw voxels and the numbers of chunks have no checksum: a wrong byte changes or loses one.
            assert found.shape == volume.T.shape
            if crackle and place >= index:
                assert set(np.unique(found)) <= {0, *np.unique(volume)}
