"""Checks of the encoding options that every adapter takes; imports nothing of the C library.

A codec is made from metadata that somebody else wrote, long before a voxel is encoded: a wrong
option has to be refused there and then, in the same words everywhere.
"""

from __future__ import annotations

import operator
from typing import Any

# The C library's CRACKLE_MAX_MARKOV_ORDER; the tests hold the two together.
MAX_MARKOV_MODEL_ORDER = 12
MAX_PINS = 2


def check_markov_model_order(value: Any) -> int:
    """Return ``value`` as a Markov order.

    Args:
        value: an integer from 0 (no model) to 12.

    Raises:
        TypeError: ``value`` is not an integer; a bool is not one.
        ValueError: it is outside its range.
    """
    order = _integer("markov_model_order", value, "an integer from 0 (off) to 12", bools=False)
    if not 0 <= order <= MAX_MARKOV_MODEL_ORDER:
        raise ValueError(f"markov_model_order is an integer from 0 (off) to 12, not {order}")
    return order


def check_allow_pins(value: Any) -> int:
    """Return ``value`` as an effort to spend on pins.

    Args:
        value: 0 or False (flat labels), 1 or True (pins), 2 (pins chosen with more effort).

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
