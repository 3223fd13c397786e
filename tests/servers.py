"""Servers for the tests of remote stores, on free ports of this machine; they record their responses.

``nginx`` serves a folder over HTTP as in production. ``files`` does it in this process, and ``s3`` is moto
behind the same WSGI wrapper: these two also fail on demand. All are context managers.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

HOST = "127.0.0.1"
PATIENCE = 20.0  # seconds within which a server starts or writes its log


class Request(NamedTuple):
    """A request and the size of its response."""

    method: str
    path: str
    status: int
    range: str  # the Range header, or ""
    nbytes: int  # of the body sent


class Traffic(list[Request]):
    """Requests, in the order of their answers."""

    @property
    def nbytes(self) -> int:
        """The bytes of all bodies."""
        return sum(request.nbytes for request in self)

    def under(self, part: str) -> Traffic:
        """The requests whose path contains this part."""
        return Traffic(request for request in self if part in request.path)


class Server:
    """Common to all servers: an address, and a record of requests."""

    url: str

    def since(self, mark: int) -> Traffic:
        """The requests after a mark."""
        raise NotImplementedError

    def mark(self) -> int:
        """The number of requests so far."""
        return len(self.since(0))

    @contextlib.contextmanager
    def watch(self) -> Iterator[Traffic]:
        """Yields a record that, at the end of the block, holds the requests of the block."""
        mark = self.mark()
        traffic = Traffic()
        yield traffic
        traffic.extend(self.since(mark))


# ---------------------------------------------------------------------------------------
# nginx

CONFIGURATION = """
daemon off;
master_process off;
pid {place}/nginx.pid;
error_log {place}/error.log warn;
events {{ worker_connections 512; }}
http {{
    log_format traffic escape=json
        '["$request_method","$uri","$status","$http_range","$body_bytes_sent"]';
    access_log {place}/access.log traffic;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    default_type application/octet-stream;
    log_not_found off;
    sendfile on;
    server {{
        listen {host}:{port};
        root {root};
        location / {{
            if (-f $request_filename.forbidden) {{ return 403; }}
        }}
        location /forbidden/ {{ return 403; }}
        location /missing/ {{ return 404; }}
        location /flush/ {{ return 204; }}
    }}
}}
"""


def nginx_binary() -> str:
    """The path of nginx; skips the test if nginx is not installed."""
    binary = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if binary is None:
        pytest.skip("nginx is neither on the path nor in /usr/sbin; Debian's package is nginx-light")
    return binary


class Nginx(Server):
    """A running nginx. Everything under /forbidden/ is 403, everything under /missing/ is 404."""

    def __init__(self, root: Path, place: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.root = root
        self.place = place
        self.url = f"http://{HOST}:{port}"
        self.process = process

    def since(self, mark: int) -> Traffic:
        """The requests after a mark: makes one more request, and waits until the log ends with it."""
        last = f"/flush/{time.monotonic_ns()}"
        with urllib.request.urlopen(self.url + last, timeout=PATIENCE):
            pass
        until = time.monotonic() + PATIENCE
        while True:
            lines = (self.place / "access.log").read_text().splitlines()
            if any(last in line for line in lines[-3:]):
                break
            assert time.monotonic() < until, "nginx does not write its log"
            time.sleep(0.005)
        fields = [json.loads(line) for line in lines]
        requests = [Request(f[0], f[1], int(f[2]), f[3], int(f[4])) for f in fields]
        return Traffic([request for request in requests if not request.path.startswith("/flush/")][mark:])

    def forbid(self, path: str) -> Callable[[], None]:
        """Answer 403 for a file until the returned function is called."""
        note = self.root / f"{path}.forbidden"
        note.touch()
        return note.unlink

    def stop(self) -> None:
        """Stop the server; a second call does nothing."""
        self.process.terminate()
        self.process.wait(PATIENCE)


@contextlib.contextmanager
def nginx(root: Path, place: Path) -> Iterator[Nginx]:
    """An nginx that serves the folder ``root``, with its own files in the folder ``place``."""
    binary = nginx_binary()
    place.mkdir(parents=True, exist_ok=True)
    server = None
    for _ in range(5):  # another process may take the free port before nginx does
        port = free_port()
        text = CONFIGURATION.format(place=place, root=root, host=HOST, port=port)
        (place / "nginx.conf").write_text(text)
        with (place / "output.log").open("ab") as output:
            process = subprocess.Popen(
                [binary, "-p", str(place), "-c", str(place / "nginx.conf")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        if answers(port, process):
            server = Nginx(root, place, port, process)
            break
        process.kill()
        process.wait(PATIENCE)
    if server is None:
        logs = [place / name for name in ("output.log", "error.log") if (place / name).exists()]
        raise RuntimeError("nginx does not start:\n" + "\n".join(log.read_text() for log in logs))
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """A port on which no process listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a process answers at a port; False if it ends first, or does not answer in time."""
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=PATIENCE):
            return True
        time.sleep(0.01)
    return False


# ---------------------------------------------------------------------------------------
# Servers in this process

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Door:
    """WSGI wrapper around an application: records responses, and fails on demand.

    Attributes:
        faults: path suffix -> fault: a number is the status of the response; "cut" sends half of the body and
            closes the connection. "PUT key" applies to that method alone.
        ranges: False to send the whole object for every range, as simple servers do.
    """

    def __init__(self, application: Application) -> None:
        self.application = application
        self.faults: dict[str, int | str] = {}
        self.ranges = True
        self.requests: list[Request] = []

    def fault(self, method: str, path: str) -> int | str | None:
        """The fault that a request meets, if any."""
        for place, fault in list(self.faults.items()):
            only, _, end = place.rpartition(" ")
            if path.endswith(end) and only in ("", method):
                return fault
        return None

    @contextlib.contextmanager
    def failing(self, faults: dict[str, int | str]) -> Iterator[None]:
        """Set faults for the duration of a block."""
        self.faults.update(faults)
        try:
            yield
        finally:
            self.faults.clear()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        method = environ["REQUEST_METHOD"]
        asked = environ.get("HTTP_RANGE", "")
        if not self.ranges:
            environ.pop("HTTP_RANGE", None)
        fault = self.fault(method, path)
        if isinstance(fault, int):
            self.requests.append(Request(method, path, fault, asked, 0))
            start_response(f"{fault} Fault", [("Content-Length", "0")])
            return []

        status = 0

        def start(line: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            nonlocal status
            status = int(line.split()[0])
            return start_response(line, headers, *rest)

        parts = self.application(environ, start)
        try:
            body = b"".join(parts)
        finally:
            if hasattr(parts, "close"):
                parts.close()
        if fault == "cut" and method == "GET":  # the header still has the full length
            body = body[: len(body) // 2]
        if method == "HEAD":
            body = b""
        self.requests.append(Request(method, path, status, asked, len(body)))
        return [body]


class InProcess(Server):
    """A WSGI application that a thread of this process serves."""

    def __init__(self, application: Application) -> None:
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, *args: Any) -> None:
                pass

        self.door = Door(application)
        self.server = make_server(HOST, 0, self.door, threaded=True, request_handler=Quiet)
        self.url = f"http://{HOST}:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def since(self, mark: int) -> Traffic:
        return Traffic(self.door.requests[mark:])

    def stop(self) -> None:
        """Stop the server; a second call does nothing."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@contextlib.contextmanager
def files(root: Path) -> Iterator[InProcess]:
    """A server of the files in a folder, with faults."""
    need("werkzeug")
    from werkzeug.exceptions import HTTPException
    from werkzeug.utils import send_from_directory

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        response: Any
        try:
            response = send_from_directory(root, environ["PATH_INFO"].lstrip("/"), environ, conditional=True)
        except HTTPException as error:
            response = error
        body: Iterable[bytes] = response(environ, start_response)
        return body

    server = InProcess(application)
    try:
        yield server
    finally:
        server.stop()


class S3(InProcess):
    """moto's S3."""

    user = "testing"
    region = "us-east-1"

    def environment(self) -> dict[str, str]:
        """The environment variables by which a process finds this server."""
        return {
            "AWS_ACCESS_KEY_ID": self.user,
            "AWS_SECRET_ACCESS_KEY": self.user,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def storage_options(self) -> dict[str, Any]:
        """The storage options by which s3fs finds this server."""
        return {
            "key": self.user,
            "secret": self.user,
            "endpoint_url": self.url,
            "client_kwargs": {"region_name": self.region},
            "config_kwargs": {"retries": {"max_attempts": 1}},
        }

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Send one request without s3fs."""
        # moto does not check the signature, but reads service and region from it.
        credential = f"{self.user}/20250101/{self.region}/s3/aws4_request"
        headers = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0",
            "Content-Type": "application/octet-stream",
        }
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            answer: bytes = response.read()
        return answer

    def upload(self, folder: Path, bucket: str) -> None:
        """Create a bucket with all files of a folder."""
        self.ask("PUT", f"/{bucket}")
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.ask("PUT", f"/{bucket}/{path.relative_to(folder).as_posix()}", path.read_bytes())


@contextlib.contextmanager
def s3() -> Iterator[S3]:
    """An S3 server. All servers of a process share their buckets; when one ends, it deletes all of them."""
    need("moto.server")
    from moto.server import DomainDispatcherApplication, create_backend_app

    # moto's dispatcher looks up the service for each request, which takes as long as the answer.
    server = S3(create_backend_app("s3"))
    try:
        yield server
        if server.thread.is_alive():
            server.door.application = DomainDispatcherApplication(create_backend_app)
            server.ask("POST", "/moto-api/reset")
    finally:
        server.stop()


def need(module: str) -> None:
    """Skip the test unless a module is installed."""
    with contextlib.suppress(ImportError):
        if importlib.util.find_spec(module) is not None:
            return
    pytest.skip(f"{module} is not installed")
