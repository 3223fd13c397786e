"""obstore and fsspec read an array from a web server that knows no ranges."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import crackle_zarr as cz
from crackle_zarr.synthetic import neurons


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Python's own server, which ignores ranges, without a line per request."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The URL of a folder."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def seg(tmp_path: Path) -> np.ndarray:
    """Labels, stored in a folder; some chunks are smaller than a first request."""
    labels = neurons((24, 48, 40), seed=3, dtype=np.uint32)
    labels[:8, :16, :16] = 7
    array = cz.create_array(str(tmp_path / "seg.zarr"), shape=labels.shape, dtype="u4", chunks=(8, 16, 16))
    array[...] = labels
    return labels


@pytest.mark.parametrize("library", ["obstore", "fsspec"])
def test_server_without_ranges(tmp_path: Path, seg: np.ndarray, library: str) -> None:
    """Slices, labels and boxes are right, through either library."""
    with served(tmp_path) as url:
        if library == "obstore":
            stores = pytest.importorskip("obstore.store")
            zarr_storage = pytest.importorskip("zarr.storage")
            inner = stores.HTTPStore.from_url(f"{url}/seg.zarr", client_options={"allow_http": True})
            array = zarr.open_array(zarr_storage.ObjectStore(inner, read_only=True), mode="r")
        else:
            pytest.importorskip("aiohttp")
            array = zarr.open_array(f"{url}/seg.zarr", mode="r")
        np.testing.assert_array_equal(array[11], seg[11])
        np.testing.assert_array_equal(array[...], seg)
        np.testing.assert_array_equal(cz.labels(array), np.unique(seg))
        some = int(np.unique(seg)[4])
        found = cz.find(array, some)
        assert found.slices is not None
        assert (seg[found.slices] == some).sum() == (seg == some).sum()
