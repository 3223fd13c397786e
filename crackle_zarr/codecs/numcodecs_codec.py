"""``Crackle``: Crackle as a numcodecs codec, and so as a compressor of Zarr format 2.

Shape. ``codecs/chunk.py`` maps a chunk's shape to the stream's. :meth:`Crackle.decode` returns the
voxels as a flat array in the memory order that :meth:`Crackle.encode` received. Zarr format 2 reshapes them
by the array's own order, so both C and F order round-trip.

Byte order. Format 2 passes chunks in the array's byte order and expects the same bytes back, but does not
tell the byte order when it decodes. A Crackle stream has no field for it. So the codec keeps *bytes*: it
treats a chunk as little-endian numbers, whatever its dtype, and returns little-endian numbers, which are the
same bytes for any array on any machine. Then the labels in the stream of a big-endian array are
byte-swapped: nothing is lost, but other readers of the stream have to swap them. With ``byteorder=">"``, the
stream of a big-endian array holds its true labels. The codec cannot guess this option, because the metadata
need it when the array is opened again; :func:`crackle_zarr.create_array` sets it.

Filters. A filter before Crackle passes a flat list of numbers, which has no slices and often no labels. The
codec cannot distinguish such a list from a chunk of a 1-D array: both are 1-D integers. So the codec refuses
filters where the difference shows: when Zarr is about to write the metadata of an array with filters.
"""

from __future__ import annotations

import sys
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numcodecs.abc import Codec  # type: ignore[import-untyped]
from numcodecs.registry import register_codec  # type: ignore[import-untyped]

from .. import _binding
from .._base.options import MarkovOrder, Preset, encoding, with_missing
from .chunk import as_volume, label_dtype, plain

_OPTIONS = ("markov_model_order", "allow_pins", "byteorder")


class Crackle(Codec):  # type: ignore[misc]  # numcodecs has no types
    """Labels, compressed as a Crackle stream.

    Args:
        markov_model_order: 0 to 12: how many previous moves the Markov model of the boundaries uses.
            Higher is smaller and slower; 0 is no model. "auto" is the order that makes a chunk smallest.
            None: as in the preset.
        allow_pins: 0 stores a label per connected component of a slice; 1 stores labels as pins through
            the slices, if that is smaller; 2 does the same, and spends more time on choosing the pins.
            None: as in the preset.
        preset: "fast", "balanced" or "small": the options to use for those that are not given, see
            :data:`crackle_zarr.PRESETS`. None is "balanced". The codec and the metadata keep the options,
            not the name of the preset.
        byteorder: ">" for arrays of big-endian dtype, so that the stream holds their labels without
            swapped bytes. All arrays round-trip without it, too.

    Raises:
        TypeError, ValueError: an option is of a wrong type or outside its range, or there is no such
            preset.

    Examples:
        >>> import numpy as np
        >>> labels = np.zeros((4, 5, 6), dtype="uint32")
        >>> stream = Crackle().encode(labels)
        >>> np.array_equal(Crackle().decode(stream).reshape(labels.shape), labels)
        True
    """

    codec_id = "crackle"

    def __init__(  # documented in the class
        self,
        markov_model_order: MarkovOrder | None = None,
        allow_pins: int | None = None,
        *,
        preset: Preset | None = None,
        byteorder: Literal["<", ">"] | None = None,
    ) -> None:
        options = encoding(preset, markov_model_order, allow_pins)
        self.markov_model_order = options["markov_model_order"]
        self.allow_pins = options["allow_pins"]
        if byteorder not in (None, "<", ">"):
            raise ValueError(f"byteorder is '<', '>' or None, not {byteorder!r}")
        # '<' and None mean the same; keeping None makes configurations comparable.
        self.byteorder: Literal[">"] | None = ">" if byteorder == ">" else None

    def encode(self, buf: npt.NDArray[Any]) -> bytes:
        """Encode a chunk.

        Args:
            buf: an array of integers or bool of any shape, byte order and strides. An array that is
                contiguous in C or F order keeps that order; any other is encoded in C order.

        Raises:
            TypeError: ``buf`` is not an array of integers or bool.
            ValueError: ``buf`` is larger than a stream can be, or is little-endian while ``byteorder`` is
                ">".
        """
        if not isinstance(buf, np.ndarray):
            raise TypeError(
                f"Crackle encodes NumPy arrays of labels, not {type(buf).__name__}. If a filter before it "
                f"has turned the chunk into bytes, remove it: Crackle has to be the first codec of a chunk"
            )
        if isinstance(buf, np.ma.MaskedArray):
            raise TypeError("Crackle encodes arrays without a mask: use filled() first")
        native = label_dtype(buf.dtype)
        chunk = plain(np.asarray(buf))
        if native.itemsize > 1:
            if self.byteorder == ">" and chunk.dtype.str[0] == "<":
                raise ValueError(
                    f"this codec has byteorder='>', which is for big-endian arrays, not {chunk.dtype.str!r}: "
                    f"leave it out for such an array"
                )
            chunk = chunk.view(native.newbyteorder(self.byteorder or "<")).astype(native, copy=False)
        return _binding.encode(
            as_volume(chunk),
            fortran_order=True,
            pins=self.allow_pins,
            markov_order=self.markov_model_order,
            parallel=1,  # Zarr runs chunks side by side already
        )

    def decode(self, buf: _binding.Buffer, out: _binding.Buffer = None) -> Any:
        """Decode a chunk; every checksum is verified.

        Args:
            buf: a Crackle stream.
            out: the memory to decode into: writable, contiguous and of exactly the chunk's size; an array
                of any shape and order, or another buffer.

        Returns:
            ``out``, or a 1-D array of the voxels in the memory order of the encoded chunk, little-endian
            (big-endian where ``byteorder`` is ">"). Bool comes back as uint8.

        Raises:
            FormatError: the stream is damaged, truncated or foreign.
            TypeError, ValueError: ``buf`` is not bytes-like; or ``out`` is not writable and contiguous, or
                has another size.
        """
        reader = _binding.Reader(buf)
        header = reader.header
        if out is None:
            reader.check_claims(header.nbytes, 0)
            voxels = np.empty(header.voxels(), dtype=header.dtype)
        else:
            target = _memory(out)
            if target.nbytes != header.nbytes:
                raise ValueError(f"the chunk decodes to {header.nbytes} bytes, and out has {target.nbytes}")
            voxels = target.view(header.dtype)
            if not voxels.flags.aligned:
                voxels = np.empty_like(voxels)
        order: Literal["F", "C"] = "F" if header.fortran_order else "C"
        reader.decode(voxels.reshape(header.shape, order=order), 0, header.sz, parallel=1)
        returned = header.dtype.newbyteorder(self.byteorder or "<")
        if not returned.isnative:
            voxels.byteswap(inplace=True)
        if out is None:
            return voxels.view(returned)
        if not np.shares_memory(voxels, target):
            target[...] = voxels.view(np.uint8)
        return out

    def get_config(self) -> dict[str, Any]:
        """The options that change bytes, for JSON.

        Raises:
            ValueError: Zarr asks for the configuration of an array that has a filter before Crackle.
        """
        _refuse_filters_before(self)
        return {"id": self.codec_id, **self._options()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Crackle:
        """The codec for a configuration without its "id".

        A missing order, or missing pins, are 0, which was their meaning when the metadata were written; no
        preset replaces them. The options affect chunks that will be written; reading does not need them.

        Raises:
            TypeError, ValueError: an option is of a wrong type or outside its range, or there is no option
                of that name.
        """
        unknown = sorted(set(config) - set(_OPTIONS))
        if unknown:
            raise ValueError(f"Crackle has the options {', '.join(_OPTIONS)}, not {', '.join(unknown)}")
        return cls(**with_missing(config))

    def _options(self) -> dict[str, Any]:
        options = {name: getattr(self, name) for name in _OPTIONS}
        return {name: value for name, value in options.items() if value is not None}

    def __eq__(self, other: object) -> bool:
        """Whether the other is a Crackle codec with the same options."""
        if not isinstance(other, Crackle):
            return NotImplemented
        return self._options() == other._options()

    def __hash__(self) -> int:
        """A hash that is the same for equal codecs."""
        return hash(tuple(self._options().items()))

    def __repr__(self) -> str:
        """A Python expression for an equal codec."""
        options = ", ".join(f"{name}={value!r}" for name, value in self._options().items())
        return f"{type(self).__name__}({options})"


def _memory(out: _binding.Buffer) -> npt.NDArray[np.uint8]:
    """The memory of ``out`` as flat bytes."""
    try:
        array = out if isinstance(out, np.ndarray) else np.asarray(memoryview(out))
    except (TypeError, ValueError):
        raise TypeError(f"out is writable memory, such as an array, not {type(out).__name__}") from None
    if array.dtype.hasobject:
        raise TypeError(f"out is memory for numbers, not of dtype {array.dtype}")
    if not array.flags.writeable:
        raise ValueError("out is read-only")
    if not array.flags.c_contiguous:
        if not array.flags.f_contiguous:
            raise ValueError(f"out has to be contiguous, and has the strides {array.strides}")
        array = array.T
    return array.reshape(-1).view(np.uint8)


def _refuse_filters_before(codec: Crackle) -> None:
    """Raise if Zarr is writing the metadata of an array with a filter before ``codec``.

    A filter flattens the chunk, so the codec after it does not know where a slice begins.
    """
    # Without Zarr, nothing writes an array. Importing it here would take longer than the rest of this codec.
    if "zarr" not in sys.modules:
        return
    from .._base.zarr_facts import filters_being_written

    chain = filters_being_written()
    if chain is not None and chain[0] is not codec and any(link is codec for link in chain):
        raise ValueError(
            f"Crackle has to be the first codec of a chunk, and here {chain[0]!r} comes before it: a "
            f"filter flattens the chunk, so that it has no slices. Use filters=None; "
            f"Crackle stores labels in the fewest bytes by itself"
        )


register_codec(Crackle)
