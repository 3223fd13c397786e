"""Routes of the server: voxels, lists of labels, meshes and skeletons, beside Neuroglancer's own page.

The server is that of the neuroglancer package, which serves the page and keeps its state. The routes here are
added to it, so that everything has one port. Each begins with a token.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import zlib
from collections.abc import Callable
from typing import Any

import click
from neuroglancer import server as neuroglancer_server
from tornado import web

from .layers import LabelLayer, Layer
from .workers import BusyError, Workers

# How many requests work at once, and how many more wait. A browser opens six connections to a server, of
# which the state of the page takes one: meshes and skeletons must leave some for slices. What may not wait
# gets status 503, and the page asks again.
CHUNKS_AT_ONCE = max(2, min(8, os.cpu_count() or 2))
MESHES_AT_ONCE, MESHES_WAITING = 2, 0
SKELETONS_AT_ONCE, SKELETONS_WAITING = 1, 0

# Shorter answers are not compressed.
_COMPRESSED_FROM = 2**10


class Server:
    """Serves a page of Neuroglancer and the layers that it shows.

    Attributes:
        port: where it listens.
        origin: ``http://`` with address and port.
        chunks: the threads for voxels and lists.
        meshes: the threads for meshes.
        skeletons: the threads for skeletons.
    """

    def __init__(self, bind: str, port: int, token: str, on_error: Callable[[str], None]) -> None:
        """Listen; nothing is shown yet.

        Args:
            bind: the address.
            port: 0 takes a free one.
            token: must be in the path of every request.
            on_error: is called with a line about each failed request.

        Raises:
            OSError: the address or the port cannot be had.
            ValueError: it is no number of a port.
        """
        _check_place(bind, port)
        self._server: Any = neuroglancer_server.Server(bind_address=bind, bind_port=port)
        self.port: int = self._server.port
        self.origin: str = self._server.server_url
        self.chunks = Workers(CHUNKS_AT_ONCE)
        self.meshes = Workers(MESHES_AT_ONCE, MESHES_WAITING)
        self.skeletons = Workers(SKELETONS_AT_ONCE, SKELETONS_WAITING)
        self._layers: dict[str, Layer] = {}
        self._on_error = on_error
        self._told: set[str] = set()
        self._data = f"/data/{token}/"
        everything = {"server": self}
        routes = [
            (rf"{self._data}([^/]+)/volume/info", _Info, everything),
            (rf"{self._data}([^/]+)/volume/(\d+)/([-_\d]+)", _Chunk, everything),
            (rf"{self._data}([^/]+)/zarr/(\.z[a-z]+)", _ZarrGroup, everything),
            (rf"{self._data}([^/]+)/zarr/(\d+)/(\.zarray)", _ZarrArray, everything),
            (rf"{self._data}([^/]+)/zarr/(\d+)/([\d/]+)", _ZarrChunk, everything),
            (rf"{self._data}([^/]+)/properties/info", _Properties, everything),
            (rf"{self._data}([^/]+)/mesh/info", _MeshInfo, everything),
            (rf"{self._data}([^/]+)/mesh/(\d+):0", _MeshManifest, everything),
            (rf"{self._data}([^/]+)/mesh/(\d+)", _Mesh, everything),
            (rf"{self._data}([^/]+)/skeletons/info", _SkeletonInfo, everything),
            (rf"{self._data}([^/]+)/skeletons/(\d+)", _Skeleton, everything),
        ]
        self._server.app.add_handlers(".*", routes)

    @property
    def neuroglancer(self) -> Any:
        """The server of the neuroglancer package."""
        return self._server

    def url(self, layer: str, kind: str) -> str:
        """Where a layer's data of a kind are: volume, zarr, properties, mesh or skeletons."""
        return f"{self.origin}{self._data}{layer}/{kind}"

    def add(self, name: str, layer: Layer) -> None:
        """Serve a layer."""
        self._layers[name] = layer

    def add_folder(self, name: str, folder: str) -> str:
        """Serve a folder of files, with ranges of bytes; returns its URL."""
        path = f"{self._data}{name}/files/"
        routes = [(rf"{path}(.+)", _Files, {"path": folder})]
        self._server.app.add_handlers(".*", routes)
        return self.origin + path

    def layer(self, name: str) -> Layer:
        """A layer that is served.

        Raises:
            KeyError: there is no such layer.
        """
        return self._layers[name]

    def failed(self, text: str) -> None:
        """Tell about a failed request: each text once on stderr, and always to the page."""
        if text not in self._told:
            self._told.add(text)
            click.echo(f"crackle-zarr: {text}", file=sys.stderr)
        self._on_error(text)

    def close(self) -> None:
        """Stop listening, and close all connections. Threads that work end later."""
        if threading.current_thread() is not self._server._thread:
            self._server.stop()


def _check_place(bind: str, port: int) -> None:
    """Raise OSError if an address or a port cannot be had: the server would leave a thread behind."""
    if not 0 <= port <= 65535:
        raise ValueError(f"a port is 0 to 65535, not {port}")
    try:
        found = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; port 0 takes a free one", f"{bind}:{port}") from error


# ---------------------------------------------------------------------------------------
# Requests


class _Files(web.StaticFileHandler):
    """Files as they are."""

    def set_extra_headers(self, path: str) -> None:
        """Let pages of other origins read."""
        self.set_header("Access-Control-Allow-Origin", "*")


class _Handler(web.RequestHandler):
    """A request about a layer."""

    content_type = "application/octet-stream"

    def initialize(self, server: Server) -> None:
        """Keep the server."""
        self._server = server
        self._is_closed = False

    def set_default_headers(self) -> None:
        """Let pages of other origins read: a token is needed all the same."""
        self.set_header("Access-Control-Allow-Origin", "*")

    def on_connection_close(self) -> None:
        """Do not begin what nobody waits for."""
        self._is_closed = True

    def workers(self) -> Workers:
        """The threads that answer."""
        return self._server.chunks

    def answer(self, layer: Any, *arguments: str) -> bytes | dict[str, Any] | None:
        """The answer, made in a thread; None: there is none."""
        raise NotImplementedError

    async def get(self, name: str, *arguments: str) -> None:
        """Answer a request."""
        accepts_gzip = "gzip" in self.request.headers.get("Accept-Encoding", "")

        def work() -> tuple[bytes, bool] | None:
            try:
                found = self.answer(self._server.layer(name), *arguments)
            except KeyError:
                return None
            if found is None:
                return None
            data = found if isinstance(found, bytes) else json.dumps(found).encode()
            if not accepts_gzip or len(data) < _COMPRESSED_FROM:
                return data, False
            return _gzip(data), True

        try:
            done = await self.workers().run(work, lambda: not self._is_closed)
        except BusyError:
            self.send_error(503, reason="Busy, ask again")
            return
        except Exception as error:  # whatever a store, a codec or a file raises is told, and not fatal
            text = _one_line(error)
            self._server.failed(text)
            self.send_error(500, reason=text)
            return
        if self._is_closed:
            return
        if done is None:
            self.send_error(404, reason="Not found")
            return
        data, is_compressed = done
        self.set_header("Content-Type", self.content_type)
        if is_compressed:
            self.set_header("Content-Encoding", "gzip")
        await self.finish(data)

    def log_exception(self, *_: Any) -> None:
        """Nothing: failures are told above."""


def _gzip(data: bytes) -> bytes:
    encoder = zlib.compressobj(1, zlib.DEFLATED, 31)
    return encoder.compress(data) + encoder.flush()


def _one_line(error: BaseException) -> str:
    """An error as one line of the characters that a status of HTTP may have."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text.encode("latin-1", "replace").decode("latin-1")[:500]


class _Json(_Handler):
    content_type = "application/json"


class _Info(_Json):
    def answer(self, layer: Layer, *_: str) -> dict[str, Any]:
        return layer.info()


class _Chunk(_Handler):
    def answer(self, layer: Layer, *arguments: str) -> bytes:
        level, name = arguments
        return layer.chunk(int(level), name)


class _ZarrGroup(_Json):
    def answer(self, layer: Layer, *arguments: str) -> dict[str, Any] | None:
        return layer.zarr_group(arguments[0])


class _ZarrArray(_Json):
    def answer(self, layer: Layer, *arguments: str) -> dict[str, Any]:
        return layer.zarr_array(int(arguments[0]))


class _ZarrChunk(_Handler):
    def answer(self, layer: Layer, *arguments: str) -> bytes:
        level, key = arguments
        return layer.zarr_chunk(int(level), key)


class _Properties(_Json):
    def answer(self, layer: LabelLayer, *_: str) -> dict[str, Any]:
        return layer.segment_properties()


class _MeshInfo(_Json):
    def answer(self, layer: LabelLayer, *_: str) -> dict[str, Any]:
        return layer.mesh_info()


class _MeshManifest(_Json):
    def answer(self, layer: LabelLayer, *arguments: str) -> dict[str, Any]:
        return layer.mesh_manifest(int(arguments[0]))


class _Mesh(_Handler):
    def workers(self) -> Workers:
        return self._server.meshes

    def answer(self, layer: LabelLayer, *arguments: str) -> bytes | None:
        return layer.mesh(int(arguments[0]))


class _SkeletonInfo(_Json):
    def answer(self, layer: LabelLayer, *_: str) -> dict[str, Any]:
        return layer.skeleton_info()


class _Skeleton(_Handler):
    def workers(self) -> Workers:
        return self._server.skeletons

    def answer(self, layer: LabelLayer, *arguments: str) -> bytes | None:
        return layer.skeleton(int(arguments[0]))
