"""The fields of a stream's header, with the names of crackle-codec."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LABEL_FORMATS = {0: "flat", 1: "fixed-width pins", 2: "condensed pins"}


@dataclass(frozen=True)
class CrackleHeader:
    """The header of a Crackle stream; see ``docs/format.md``, section 2.

    Attributes:
        sx: the volume's length along x, the stream's fastest axis, in voxels.
        sy: its length along y.
        sz: its length along z: the number of slices.
        data_width: bytes per voxel of the volume.
        stored_data_width: bytes per label in the label table.
        label_format: 0 flat, 2 condensed pins.
        crack_format: 0 impermissible (cracks between unequal labels), 1 permissible.
        fortran_order: memory order that the stream decodes to; True: x fastest.
        signed: whether labels are signed.
        markov_model_order: 0 if the crack codes have no Markov model.
        is_sorted: whether the label table ascends without repeats.
        format_version: 0 or 1.
        num_label_bytes: bytes of the labels section.
    """

    sx: int
    sy: int
    sz: int
    data_width: int
    stored_data_width: int
    label_format: int
    crack_format: int
    fortran_order: bool
    signed: bool
    markov_model_order: int
    is_sorted: bool
    format_version: int
    num_label_bytes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(sx, sy, sz)."""
        return (self.sx, self.sy, self.sz)

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """The volume's dtype."""
        return np.dtype(f"{'i' if self.signed else 'u'}{self.data_width}")

    @property
    def order(self) -> str:
        """The memory order that the stream decodes to: "F" or "C"."""
        return "F" if self.fortran_order else "C"

    @property
    def nbytes(self) -> int:
        """Bytes of the volume when decoded."""
        return self.voxels() * self.data_width

    def voxels(self) -> int:
        """The number of voxels."""
        return self.sx * self.sy * self.sz

    def details(self) -> str:
        """The fields as text, a line each."""
        rows = {
            "format version": self.format_version,
            "shape (x, y, z)": f"{self.sx} x {self.sy} x {self.sz}",
            "dtype": self.dtype.name,
            "memory order": self.order,
            "stored label width": f"{self.stored_data_width} bytes",
            "label format": LABEL_FORMATS.get(self.label_format, str(self.label_format)),
            "label section": f"{self.num_label_bytes} bytes",
            "label table": "sorted" if self.is_sorted else "unsorted",
            "crack format": "permissible" if self.crack_format else "impermissible",
            "Markov order": self.markov_model_order or "off",
        }
        return "\n".join(f"{name:<20}{value}" for name, value in rows.items())
