"""Sections of a stream and checks for damage, under the module name of crackle-codec."""

from __future__ import annotations

from .streams.sections import Report, check, component_lengths, components, crack_codes, ok, reencode

__all__ = ["Report", "check", "component_lengths", "components", "crack_codes", "ok", "reencode"]
