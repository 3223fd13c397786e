"""Arrays, streams and damaged streams for the tests of the npm package, with what each must give.

``write(folder)`` writes Zarr arrays and streams, their voxels as raw little-endian bytes, and
``manifest.json``, which names them. The tests in ``wasm/tests`` read the folder.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import TransposeCodec, ZstdCodec

import crackle_zarr
from crackle_zarr import Crackle, CrackleCodec
from crackle_zarr.synthetic import neurons

Labels = np.ndarray[Any, np.dtype[Any]]


def little(labels: Labels, order: str) -> bytes:
    """The bytes of an array in memory order C or F, little-endian."""
    return labels.astype(labels.dtype.newbyteorder("<")).tobytes(order)  # type: ignore[arg-type]


def volumes() -> dict[str, Labels]:
    """Volumes (z, y, x) of every data type that a stream can have."""
    seg = neurons((9, 37, 70), seed=3)
    numbers = np.unique(seg, return_inverse=True)[1].reshape(seg.shape)
    return {
        "uint8": (numbers % 251).astype(np.uint8),
        "uint16": numbers.astype(np.uint16) + np.uint16(300),
        "uint32": numbers.astype(np.uint32) * np.uint32(1_000_003),
        "uint64": numbers.astype(np.uint64) + np.uint64(2**63 + 5),
        "int8": (numbers % 100 - 50).astype(np.int8),
        "int16": (numbers - 30).astype(np.int16),
        "int32": (numbers - 70_000).astype(np.int32),
        "int64": numbers.astype(np.int64) - 2**60,
    }


# ---------------------------------------------------------------------------------------
# Zarr arrays


def arrays(folder: Path) -> dict[str, Labels]:
    """Write Zarr arrays of both formats; returns their contents by path."""
    written: dict[str, Labels] = {}

    def format_3(name: str, labels: Labels, chunks: tuple[int, ...], **settings: Any) -> None:
        options = {"serializer": CrackleCodec(), "compressors": None, "filters": None, **settings}
        array = zarr.create_array(
            folder / name, shape=labels.shape, dtype=labels.dtype, chunks=chunks, **options
        )
        array[...] = labels
        written[name] = labels

    def format_2(name: str, labels: Labels, chunks: tuple[int, ...], order: str, codec: Crackle) -> None:
        array = zarr.create_array(
            folder / name,
            shape=labels.shape,
            dtype=labels.dtype,
            chunks=chunks,
            zarr_format=2,
            order=order,  # type: ignore[arg-type]
            compressors=codec,
            filters=None,
            fill_value=0,
        )
        array[...] = labels
        written[name] = labels

    kinds = volumes()
    for dtype, labels in kinds.items():
        format_3(f"v3_{dtype}", labels, (4, 16, 32))
        format_2(f"v2_C_{dtype}", labels, (4, 16, 32), "C", Crackle())
        format_2(f"v2_F_{dtype}", labels, (4, 16, 32), "F", Crackle(preset="small"))
    big = kinds["uint32"].astype(">u4")
    format_2("v2_C_big", big, (4, 16, 32), "C", Crackle())
    format_2("v2_F_big_named", big, (4, 16, 32), "F", Crackle(byteorder=">"))
    format_2("v2_C_bool", kinds["uint8"] > 90, (4, 16, 32), "C", Crackle())
    format_3("v3_bool", kinds["uint8"] > 90, (4, 16, 32))
    format_3("v3_pins", kinds["uint32"], (9, 37, 70), serializer=CrackleCodec(preset="small"))
    for dtype in ("uint32", "uint64"):
        format_3(f"v3_sharded_{dtype}", kinds[dtype], (4, 16, 32), shards=(8, 32, 64))
    format_3(
        "v3_transposed_zstd",
        kinds["uint32"].transpose(2, 1, 0),
        (32, 16, 4),
        filters=[TransposeCodec(order=(2, 1, 0))],
        compressors=[ZstdCodec(level=3)],
    )
    for order in itertools.permutations(range(3)):
        format_3(
            f"v3_transposed_{''.join(map(str, order))}",
            kinds["uint16"],
            (4, 16, 32),
            filters=[TransposeCodec(order=order)],
        )
    format_3(
        "v3_transposed_twice",
        kinds["uint32"],
        (4, 16, 32),
        filters=[TransposeCodec(order=(1, 2, 0)), TransposeCodec(order=(0, 2, 1))],
    )
    format_3("v3_1d", kinds["uint32"][0, 5], (32,))
    format_3("v3_2d", kinds["uint32"][0], (16, 32))
    format_3("v3_4d", np.stack([kinds["int16"], kinds["int16"][::-1]]), (1, 4, 16, 32))
    format_3("v3_partly_written", np.where(kinds["uint32"] < 40_000_000, 0, kinds["uint32"]), (2, 8, 8))
    return written


# ---------------------------------------------------------------------------------------
# Streams


def streams() -> dict[str, bytes]:
    """Streams of every data type, and of the options of the encoder."""
    kinds = volumes()
    made = {dtype: crackle_zarr.compress(labels.T) for dtype, labels in kinds.items()}
    made["C order"] = crackle_zarr.compress(np.ascontiguousarray(kinds["uint32"].T))
    for preset in crackle_zarr.PRESETS:
        made[preset] = crackle_zarr.compress(kinds["uint32"].T, preset=preset)
    made["large"] = crackle_zarr.compress(neurons((40, 200, 300), seed=5).astype(np.uint32).T)
    made["noise"] = crackle_zarr.compress(
        np.random.default_rng(1).integers(0, 9000, (60, 40, 3)).astype(np.uint16)
    )
    made["binary noise"] = crackle_zarr.compress(np.random.default_rng(1).random((130, 70, 2)) < 0.5)
    made["components of 18 bits"] = crackle_zarr.compress(
        np.arange(512 * 300).reshape(512, 300, 1, order="F")
    )
    made["constant"] = crackle_zarr.compress(np.full((5, 4, 3), 7, np.uint16))
    made["one voxel"] = crackle_zarr.compress(np.full((1, 1, 1), 7, np.uint8))
    made["empty"] = crackle_zarr.compress(np.zeros((0, 4, 3), np.uint8))
    made["repeated labels"] = crackle_zarr.remap(
        made["uint32"], {int(crackle_zarr.labels(made["uint32"])[-1]): 0}, preserve_missing_labels=True
    )
    return made


def expected(stream: bytes) -> dict[str, Any]:
    """What the functions of the package must give for a stream."""
    header = crackle_zarr.header(stream)
    labels = crackle_zarr.labels(stream)
    voxels = crackle_zarr.decompress(stream)
    some = int(labels[len(labels) // 2]) if len(labels) else 0
    half = header.sz // 2
    return {
        "dtype": str(header.dtype),
        "shape": header.shape,
        "labels": [str(label) for label in labels],
        "sha256": sha256(voxels),
        "some": str(some),
        "mask": sha256(crackle_zarr.decompress(stream, label=some).astype(np.uint8)),
        "half": sha256(voxels[:, :, half:]),
    }


def sha256(volume: Labels) -> str:
    """The digest of a volume's bytes, x fastest."""
    return hashlib.sha256(little(volume, "F")).hexdigest()


def damaged() -> list[tuple[bytes, crackle_zarr.FormatError]]:
    """Damaged streams, and the errors that Python raises for them."""
    seg = neurons((4, 40, 50), seed=2).astype(np.uint32)
    found: list[tuple[bytes, crackle_zarr.FormatError]] = []
    for preset in ("fast", "balanced", "small"):
        stream = crackle_zarr.compress(seg.T, preset=preset)
        flips = (stream[:i] + bytes([stream[i] ^ 0x11]) + stream[i + 1 :] for i in range(len(stream)))
        cuts = (stream[:length] for length in range(0, len(stream), 7))
        for bad in itertools.chain(flips, cuts, [stream + b"\0"]):
            try:
                crackle_zarr.decompress(bad)
            except crackle_zarr.FormatError as error:
                found.append((bad, error))
    return found


def write(folder: Path, golden: Path | None) -> None:
    """Write everything.

    Args:
        folder: where to.
        golden: the folder of streams of other writers, whose digests are in its ``manifest.json``; or None.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest: dict[str, Any] = {"arrays": [], "streams": [], "golden": []}
    for name, labels in arrays(folder).items():
        (folder / f"{name}.raw").write_bytes(little(labels, "C"))
        manifest["arrays"].append({"name": name, "shape": labels.shape, "dtype": labels.dtype.name})
    for name, stream in streams().items():
        (folder / f"{name}.ckl").write_bytes(stream)
        manifest["streams"].append({"name": name, "file": f"{name}.ckl", **expected(stream)})
    manifest["damaged"] = [
        {"hex": stream.hex(), "message": str(error), "section": error.section, "slice": error.slice}
        for stream, error in damaged()
    ]
    if golden is not None:
        for name, facts in json.loads((golden / "manifest.json").read_text()).items():
            manifest["golden"].append(
                {
                    "name": name,
                    "file": str(golden / name),
                    "shape": facts["shape"],
                    "dtype": np.dtype(facts["dtype"]).name,
                    "sha256": facts["sha256"],
                }
            )
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


# ---------------------------------------------------------------------------------------
# A site for browsers


def write_site(folder: Path) -> None:
    """Write the arrays that the tests of the example pages open, and their voxels as raw bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    seg = np.unique(neurons((24, 96, 128), seed=7), return_inverse=True)[1].reshape(24, 96, 128)
    kinds = {
        "seg": (seg.astype(np.uint32), None),
        "wide": (seg.astype(np.uint64) + np.uint64(2**60 + 1), (16, 64, 128)),
        "damaged": (seg.astype(np.uint32), None),
    }
    for name, (labels, shards) in kinds.items():
        array = crackle_zarr.create_array(
            folder / f"{name}.zarr",
            shape=labels.shape,
            dtype=labels.dtype,
            chunks=(8, 32, 64),
            shards=shards,
            dimension_names=("z", "y", "x"),
        )
        array[...] = labels
        (folder / f"{name}.raw").write_bytes(little(labels, "C"))
    chunk = folder / "damaged.zarr" / "c" / "1" / "1" / "1"
    stream = bytearray(chunk.read_bytes())
    stream[-40] ^= 1
    chunk.write_bytes(stream)
