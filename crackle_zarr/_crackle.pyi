"""The extension that cffi compiles from ``csrc/``; see ``csrc/crackle.h`` for the manual."""

from typing import Any

ffi: Any
lib: Any
