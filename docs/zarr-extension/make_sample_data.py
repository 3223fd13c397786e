"""Write the arrays in ``sample_data/``: ``python docs/zarr-extension/make_sample_data.py [FOLDER]``.

The contents are formulas of the coordinates, which ``sample_data/README.md`` repeats, so that a
reader in any language can compute what the chunks must decode to.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import zarr

from crackle_zarr import CrackleCodec

HERE = Path(__file__).resolve().parent


def blobs() -> npt.NDArray[np.uint32]:
    """Rings around a line along z, with a corner that holds nothing but the fill value 7."""
    z, y, x = np.ogrid[:5, :18, :22]
    rings = 1_000_000 + ((x - 9) ** 2 + (y - 8) ** 2) // 40 + z // 3
    return np.where((y >= 16) & (x >= 16), 7, rings).astype(np.uint32)


def stripes() -> npt.NDArray[np.int16]:
    """Oblique stripes with negative labels, in two channels."""
    c, z, y, x = np.ogrid[:2, :4, :12, :14]
    labels: npt.NDArray[np.int16] = ((x + 2 * y + 3 * z) // 8 - 4 * c - 2).astype(np.int16)
    return labels


def write(folder: Path) -> None:
    """Write both arrays into ``folder``, over what is there."""
    labels = zarr.create_array(
        store=folder / "blobs_uint32.zarr",
        shape=(5, 18, 22),
        chunks=(2, 16, 16),
        dtype="uint32",
        fill_value=7,
        serializer=CrackleCodec(markov_model_order=0, allow_pins=0),
        compressors=None,
        dimension_names=("z", "y", "x"),
        overwrite=True,
    )
    labels[...] = blobs()
    labels = zarr.create_array(
        store=folder / "stripes_int16_sharded.zarr",
        shape=(2, 4, 12, 14),
        chunks=(1, 2, 12, 14),
        shards=(1, 4, 12, 14),
        dtype="int16",
        fill_value=-1,
        serializer=CrackleCodec(markov_model_order=1, allow_pins=1),
        compressors=None,
        dimension_names=("c", "z", "y", "x"),
        overwrite=True,
    )
    labels[...] = stripes()


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "sample_data")
