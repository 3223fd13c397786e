"""Labels that were saved as colours: three samples per voxel make one integer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..volumes import UnusableError
from .common import Box, Volume

# "rgb": red counts most, as VAST writes labels; "bgr": blue does, as webknossos writes them.
Packing = Literal["rgb", "bgr"]


def packed(place: Path | str, volume: Volume, packing: Packing | None) -> Volume:
    """A volume whose colours are packed into integers, or one without colours as it is.

    Raises:
        UnusableError: the volume has colours and ``packing`` is None, or ``packing`` is given and there are
            none, or a colour is not of three samples of 8 bits.
    """
    axes = volume.axes or ()
    if "s" not in axes:
        if packing is not None:
            raise UnusableError(f"{place}: --{packing} is for images of colours, and this file has none")
        return volume
    axis = axes.index("s")
    samples = volume.shape[axis]
    if packing is None:
        raise UnusableError(
            f"{place}: an image of colours ({samples} samples per pixel), but labels are single integers: "
            f"--rgb packs them as 65536 R + 256 G + B (VAST), --bgr as R + 256 G + 65536 B (webknossos)"
        )
    if samples not in (3, 4) or volume.dtype != np.uint8:
        raise UnusableError(
            f"{place}: --{packing} packs three samples of 8 bits, not {samples} of {volume.dtype}"
        )
    weights = (16, 8, 0) if packing == "rgb" else (0, 8, 16)
    read, rest = volume.read_box, [one for one in range(len(axes)) if one != axis]

    def read_box(box: Box) -> npt.NDArray[Any]:
        colours = read((*box[:axis], slice(0, samples), *box[axis:]))
        one = [colours.take(number, axis).astype(np.uint32) << shift for number, shift in enumerate(weights)]
        result: npt.NDArray[Any] = one[0] | one[1] | one[2]
        return result

    note = "opacity is left out" if samples == 4 else ""
    placed = len(volume.space.voxel_size or ()) == len(axes)
    return replace(
        volume,
        shape=tuple(volume.shape[one] for one in rest),
        dtype=np.dtype(np.uint32),
        read_box=read_box,
        space=volume.space.of_axes(rest) if placed else volume.space,
        axes=tuple(axes[one] for one in rest),
        note=", ".join(filter(None, [volume.note, f"colours packed, {packing.upper()}", note])),
    )
