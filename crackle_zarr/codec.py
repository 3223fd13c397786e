"""Sections of a stream and their damage, under the module name that crackle-codec's users know."""

from __future__ import annotations

from .streams.sections import Report, check, component_lengths, components, crack_codes, ok, reencode

__all__ = ["Report", "check", "component_lengths", "components", "crack_codes", "ok", "reencode"]
