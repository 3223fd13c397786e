"""The encoding options of all functions and codecs: presets and checks, without the C library.

A codec is created from metadata that may come from other software, long before it encodes a voxel. So wrong
options are refused when the codec is created, with the same messages everywhere.
"""

from __future__ import annotations

import operator
from typing import Any, Literal, TypeAlias, TypedDict

# The C library's CRACKLE_MAX_MARKOV_ORDER; a test compares the two.
MAX_MARKOV_MODEL_ORDER = 12
MAX_PINS = 2

MarkovOrder: TypeAlias = int | Literal["auto"]
Preset: TypeAlias = Literal["fast", "balanced", "small"]


class Encoding(TypedDict):
    """The encoding options, without a preset."""

    allow_pins: int
    markov_model_order: MarkovOrder


PRESETS: dict[Preset, Encoding] = {
    "fast": {"allow_pins": 0, "markov_model_order": 0},
    "balanced": {"allow_pins": 0, "markov_model_order": 3},
    "small": {"allow_pins": 2, "markov_model_order": "auto"},
}
"""The options of each preset, as :func:`crackle_zarr.compress` and the codecs take them.

"fast" encodes and decodes fastest, "balanced" is the default, and "small" makes the smallest streams.
"""

DEFAULT_PRESET: Preset = "balanced"

# The values of options that are missing in metadata. docs/zarr-extension fixes them, independently of the
# default preset.
MISSING: Encoding = {"allow_pins": 0, "markov_model_order": 0}


def encoding(preset: Any, markov_model_order: Any, allow_pins: Any) -> Encoding:
    """Combine a preset and the options given besides it.

    Args:
        preset: "fast", "balanced" or "small"; None is "balanced".
        markov_model_order: as in :func:`check_markov_model_order`; None: as in the preset.
        allow_pins: as in :func:`check_allow_pins`; None: as in the preset.

    Raises:
        TypeError: an option is of a wrong type.
        ValueError: there is no such preset, or an option is outside its range.
    """
    if preset is None:
        preset = DEFAULT_PRESET
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ValueError(f"preset is 'fast', 'balanced' or 'small', not {preset!r}")
    options = PRESETS[preset]
    if markov_model_order is None:
        markov_model_order = options["markov_model_order"]
    if allow_pins is None:
        allow_pins = options["allow_pins"]
    return {
        "allow_pins": check_allow_pins(allow_pins),
        "markov_model_order": check_markov_model_order(markov_model_order),
    }


def with_missing(config: dict[str, Any]) -> dict[str, Any]:
    """Complete the options of metadata; missing options get :data:`MISSING`, and no preset applies.

    Raises:
        TypeError, ValueError: an order or pins are of a wrong type (in metadata, None is one) or outside
            their range.
    """
    options = {**MISSING, **config}
    check_markov_model_order(options["markov_model_order"])
    check_allow_pins(options["allow_pins"])
    return options


def check_markov_model_order(value: Any) -> MarkovOrder:
    """Return ``value`` as a Markov order.

    Args:
        value: an integer from 0 (no model) to 12, or "auto": the order that makes the stream smallest.

    Raises:
        TypeError: ``value`` is neither an integer nor "auto"; a bool does not count as an integer.
        ValueError: it is outside its range.
    """
    if isinstance(value, str) and value == "auto":
        return "auto"
    meaning = "an integer from 0 (off) to 12, or 'auto'"
    order = _integer("markov_model_order", value, meaning, bools=False)
    if not 0 <= order <= MAX_MARKOV_MODEL_ORDER:
        raise ValueError(f"markov_model_order is {meaning}, not {order}")
    return order


def check_allow_pins(value: Any) -> int:
    """Return ``value`` as a level of effort for pins.

    Args:
        value: 0 or False (flat labels), 1 or True (pins), 2 (pins, chosen with more effort).

    Raises:
        TypeError: ``value`` is neither an integer nor a bool.
        ValueError: it is outside its range.
    """
    meaning = "0 (off), 1 (fast) or 2 (smaller and slower)"
    pins = _integer("allow_pins", value, meaning, bools=True)
    if not 0 <= pins <= MAX_PINS:
        raise ValueError(f"allow_pins is {meaning}, not {pins}")
    return pins


def _integer(name: str, value: Any, meaning: str, *, bools: bool) -> int:
    if bools and type(value).__name__ in ("bool", "bool_"):
        return int(value)
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {meaning}, not {value!r} of type {type(value).__name__}") from None
