"""Crackle files, and files in the formats of other programs."""

from .._base.atomic_files import FileLike
from ..streams.saving import save_numpy
from .crackle_files import aload, bload, save
from .loading import load

__all__ = ["FileLike", "aload", "bload", "load", "save", "save_numpy"]
