"""Volumes for the viewer, and requests to it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import zlib
from typing import Any

import numpy as np


def blocks() -> np.ndarray:
    """Labels (z, y, x): 7 and 9 are boxes, 11 is a bar, and 0 is the rest."""
    seg = np.zeros((40, 70, 130), np.uint32)
    seg[5:15, 10:30, 20:60] = 7
    seg[20:30, 40:60, 70:120] = 9
    seg[18, 5:60, 10:14] = 11
    return seg


def status(url: str, data: bytes | None = None) -> tuple[int, str]:
    """The status of an answer, and its text."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=120) as answer:
            return answer.status, answer.reason
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.reason


class Client:
    """Asks a viewer for the data of a layer."""

    def __init__(self, viewer: Any, layer: str = "labels") -> None:
        token = viewer.url.rstrip("/").rpartition("/")[2]
        self.base = f"{viewer.server.origin}/data/{token}/{layer}"

    def get(self, path: str, **headers: str) -> bytes:
        """The body of an answer, decompressed."""
        request = urllib.request.Request(self.base + path, headers=headers)
        with urllib.request.urlopen(request, timeout=120) as answer:
            body: bytes = answer.read()
            if answer.headers.get("Content-Encoding") == "gzip":
                body = zlib.decompress(body, 31)
            return body

    def json(self, path: str) -> Any:
        """An answer in JSON."""
        return json.loads(self.get(path))

    def status(self, path: str) -> tuple[int, str]:
        """The status of an answer, and its text."""
        return status(self.base + path)

    def level(self, info: dict[str, Any], number: int) -> np.ndarray:
        """All voxels (x, y, z) of a level of precomputed, from its chunks."""
        scale = info["scales"][number]
        size, edges = scale["size"], scale["chunk_sizes"][0]
        out = np.empty(size, info["data_type"])
        for x in range(0, size[0], edges[0]):
            for y in range(0, size[1], edges[1]):
                for z in range(0, size[2], edges[2]):
                    ends = [min(a + b, n) for a, b, n in zip((x, y, z), edges, size, strict=True)]
                    name = "_".join(f"{a}-{b}" for a, b in zip((x, y, z), ends, strict=True))
                    raw = self.get(f"/volume/{scale['key']}/{name}")
                    shape = [b - a for a, b in zip((x, y, z), ends, strict=True)]
                    box = np.frombuffer(raw, out.dtype.newbyteorder("<")).reshape(shape, order="F")
                    out[x : ends[0], y : ends[1], z : ends[2]] = box
        return out


def mesh_of(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The vertices and the triangles of a mesh."""
    count = int(np.frombuffer(data, "<u4", 1)[0])
    vertices = np.frombuffer(data, "<f4", 3 * count, 4).reshape(-1, 3)
    return vertices, np.frombuffer(data, "<u4", offset=4 + 12 * count).reshape(-1, 3)


def enclosed(vertices: np.ndarray, triangles: np.ndarray) -> float:
    """The volume within a closed surface whose triangles turn outwards."""
    a, b, c = (vertices[triangles[:, corner]].astype(float) for corner in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)
