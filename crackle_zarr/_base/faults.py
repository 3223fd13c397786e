"""Faults that may pass, such as a lost connection, and how long to wait before the next try.

Nothing here needs Zarr: the command line has these numbers in its help texts.
"""

from __future__ import annotations

import asyncio
import errno
import random

from ..errors import CrackleError

RETRIES = 4
# Seconds before the first repeat; each further pause is twice as long, and by chance up to a half shorter, so
# that many workers do not come back at the same moment.
FIRST_PAUSE = 0.2

_PASSING_ERRNOS = {
    errno.EAGAIN,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.EINTR,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.EPIPE,
    errno.ETIMEDOUT,
}
# Of aiohttp, botocore, urllib3 and others, which need not be installed: too short a body, a lost connection.
_PASSING_NAMES = {
    "ClientConnectionError",
    "ClientConnectorError",
    "ClientOSError",
    "ClientPayloadError",
    "ConnectTimeoutError",
    "ConnectionClosedError",
    "EndpointConnectionError",
    "IncompleteRead",
    "ReadTimeoutError",
    "ResponseStreamingError",
    "ServerDisconnectedError",
    "ServerTimeoutError",
}


def may_pass(error: BaseException) -> bool:
    """Whether a fault may be gone at the next try: 429, 5xx, timeouts, lost connections, short bodies."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        status = _status(one)
        if status is not None:
            return status == 429 or 500 <= status < 600
        if isinstance(one, FileNotFoundError | PermissionError | MemoryError | CrackleError):
            return False
        if isinstance(one, TimeoutError | ConnectionError | asyncio.TimeoutError):
            return True
        if isinstance(one, OSError) and one.errno in _PASSING_ERRNOS:
            return True
        if any(kind.__name__ in _PASSING_NAMES for kind in type(one).__mro__):
            return True
        one = one.__cause__ or one.__context__
    return False


def _status(error: BaseException) -> int | None:
    """The status of HTTP that an error of aiohttp or botocore states."""
    status = getattr(error, "status", None)
    response = getattr(error, "response", None)
    if not isinstance(status, int) and isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status if isinstance(status, int) and 100 <= status < 600 else None


def pause_before(repeat: int) -> float:
    """Seconds to wait before a repeat, counted from 1."""
    return FIRST_PAUSE * 2.0 ** (repeat - 1) * (1 - random.random() / 2)
