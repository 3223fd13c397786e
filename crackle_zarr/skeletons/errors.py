"""Exceptions of skeletons that scripts written for Kimimaro catch."""

from __future__ import annotations


class DimensionError(Exception):
    """Labels have more than three axes that are longer than 1."""
