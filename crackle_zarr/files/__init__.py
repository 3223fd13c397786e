"""Files: Crackle's own, and the formats that other programs read and write."""

from .crackle_files import FileLike, aload, bload, load, save, save_numpy

__all__ = ["FileLike", "aload", "bload", "load", "save", "save_numpy"]
