"""A cache of arrays with a bound in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import numpy.typing as npt


class TileCache:
    """Keeps the arrays that were used last, up to a number of bytes. Threads share it.

    Attributes:
        limit: the most bytes to keep.
        nbytes: the bytes that are kept now.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.nbytes = 0
        self._kept: OrderedDict[Hashable, npt.NDArray[Any]] = OrderedDict()
        self._in_progress: dict[Hashable, threading.Event] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many arrays are kept."""
        return len(self._kept)

    def get(self, key: Hashable, make: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """The array of a key, made if it is not kept; threads that ask for the same key wait for one."""
        while True:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
                done = self._in_progress.get(key)
                if done is None:
                    self._in_progress[key] = done = threading.Event()
                    break
            done.wait()
        try:
            array = make()
            self._keep(key, array)
            return array
        finally:
            with self._lock:
                del self._in_progress[key]
            done.set()

    def _keep(self, key: Hashable, array: npt.NDArray[np.generic]) -> None:
        if array.nbytes > self.limit:
            return
        with self._lock:
            while self.nbytes + array.nbytes > self.limit:
                _, dropped = self._kept.popitem(last=False)
                self.nbytes -= dropped.nbytes
            self._kept[key] = array
            self.nbytes += array.nbytes
