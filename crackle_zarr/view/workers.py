"""Threads for requests: a bound on how many work at once, and on how many wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class BusyError(Exception):
    """As many requests are in work, or wait, as may."""


class Workers:
    """Runs functions in threads, at most ``most`` at once, for coroutines of one event loop.

    The threads are daemons: they do not keep the process from ending.

    Attributes:
        most: how many functions run at once.
        waiting: how many more wait; None: any number.
        running: how many run now.
        peak: the most that ever ran at once.
    """

    def __init__(self, most: int, waiting: int | None = None) -> None:
        self.most, self.waiting = most, waiting
        self.running = self.peak = 0
        self._queued = 0
        self._turns = asyncio.Semaphore(most)

    async def run(self, work: Callable[[], T], is_wanted: Callable[[], bool] = lambda: True) -> T | None:
        """Run a function in a thread, and return its result.

        Args:
            work: the function.
            is_wanted: is asked when it is the function's turn; if not, the function is left out, and the
                result is None.

        Raises:
            BusyError: too many wait already.
            Exception: what the function raised.
        """
        if self.waiting is not None and self._queued >= self.most + self.waiting:
            raise BusyError
        self._queued += 1
        try:
            async with self._turns:
                if not is_wanted():
                    return None
                self.running += 1
                self.peak = max(self.peak, self.running)
                try:
                    return await _in_thread(work)
                finally:
                    self.running -= 1
        finally:
            self._queued -= 1


async def _in_thread(work: Callable[[], T]) -> T:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def run() -> None:
        result: Any = None
        failed: BaseException | None = None
        try:
            result = work()
        except BaseException as error:  # it belongs to whoever waits
            failed = error
        try:
            loop.call_soon_threadsafe(settle, result, failed)
        except RuntimeError:  # the server ended in the meantime
            return

    threading.Thread(target=run, daemon=True).start()
    return await future
