"""The command line ``crackle-zarr``: a module per family of commands."""

from .commands import cli, main

__all__ = ["cli", "main"]
