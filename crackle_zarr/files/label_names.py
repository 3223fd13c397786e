"""Names and colours of labels, and the attributes of a Zarr array that hold them.

``label_names`` is a JSON object from labels, as text, to names; ``label_colors`` one from labels to red,
green, blue and opacity, 0 to 255.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from .._base.integers import holds, integer
from ..errors import FormatError

NAMES, COLORS = "label_names", "label_colors"
Color: TypeAlias = tuple[int, int, int, int]


class LabelNames(dict[int, str]):
    """The names of labels: a dict from labels to names, and the colours of some labels.

    Attributes:
        colors: from labels to red, green, blue and opacity, 0 to 255. A label may have a colour without a
            name.
    """

    def __init__(
        self, names: Mapping[int, str] | None = None, colors: Mapping[int, Sequence[int]] | None = None
    ) -> None:
        """Check names and colours.

        Raises:
            TypeError: a label is no integer, or a name no text.
            ValueError: a colour is not three or four integers from 0 to 255.
        """
        super().__init__({integer("label", label): _text(name) for label, name in (names or {}).items()})
        self.colors = {integer("label", label): rgba(color) for label, color in (colors or {}).items()}

    def __bool__(self) -> bool:
        """Whether any label has a name or a colour."""
        return len(self) > 0 or len(self.colors) > 0

    def __eq__(self, other: object) -> bool:
        """Whether names are equal; of another ``LabelNames``, also the colours."""
        return super().__eq__(other) and (not isinstance(other, LabelNames) or self.colors == other.colors)

    __hash__ = None

    def __ne__(self, other: object) -> bool:
        """Whether names or colours differ."""
        return not self == other

    def __repr__(self) -> str:
        """The names as a dict, and the colours if there are any."""
        colors = f", colors={self.colors!r}" if self.colors else ""
        return f"LabelNames({dict(self)!r}{colors})"

    def within(self, dtype: Any) -> LabelNames:
        """Those of labels that a dtype can hold."""
        native = np.dtype(np.uint8) if np.dtype(dtype).kind == "b" else np.dtype(dtype).newbyteorder("=")
        return LabelNames(
            {label: name for label, name in self.items() if holds(native, label)},
            {label: color for label, color in self.colors.items() if holds(native, label)},
        )

    def attributes(self) -> dict[str, Any]:
        """The attributes of a Zarr array."""
        found: dict[str, Any] = {}
        if len(self):
            found[NAMES] = {str(label): self[label] for label in sorted(self)}
        if self.colors:
            found[COLORS] = {str(label): list(self.colors[label]) for label in sorted(self.colors)}
        return found

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any], place: str) -> LabelNames:
        """The names and colours in the attributes of a Zarr array.

        Raises:
            FormatError: they are damaged; the message names ``place``.
        """
        names, colors = (attributes.get(key, {}) for key in (NAMES, COLORS))
        try:
            return cls(
                {int(label): name for label, name in names.items()},
                {int(label): color for label, color in colors.items()},
            )
        except (AttributeError, TypeError, ValueError) as error:
            raise FormatError(
                f"{place}: the attributes {NAMES} and {COLORS} are objects from labels to names, and to red, "
                f"green, blue and opacity: {error}"
            ) from error


def _text(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name of a label is text, not {name!r}")
    return name


def rgba(color: Sequence[int]) -> Color:
    """A colour as red, green, blue and opacity.

    Raises:
        ValueError: it is not three or four integers from 0 to 255.
    """
    parts = [int(part) for part in color]
    parts += [255] if len(parts) == 3 else []
    if len(parts) != 4 or not all(0 <= part <= 255 for part in parts):
        raise ValueError(f"a colour is red, green, blue and perhaps opacity from 0 to 255, not {color!r}")
    return parts[0], parts[1], parts[2], parts[3]
