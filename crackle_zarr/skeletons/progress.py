"""Progress of long work, as a bar on stderr or to the caller's function."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any


class Progress:
    """Shows how many items are done.

    Args:
        progress: True for a bar on stderr; a function of (done, total); False for neither.
        total: how many items there are.
        unit: what they are, in the plural.
    """

    def __init__(
        self, progress: bool | Callable[[int, int], object], total: int, unit: str = " components"
    ) -> None:
        self._progress, self._total, self._unit = progress, total, unit
        self._bar: Any = None

    def __enter__(self) -> Callable[[int], None]:
        """A function that takes the number of items done so far."""
        if self._progress is True and self._total:
            from tqdm import tqdm  # type: ignore[import-untyped]

            self._bar = tqdm(total=self._total, unit=self._unit)
        return self._show

    def _show(self, done: int) -> None:
        if callable(self._progress):
            self._progress(done, self._total)
        elif self._bar is not None:
            self._bar.update(done - self._bar.n)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
