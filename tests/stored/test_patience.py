"""Distant stores: ranges that they refuse, faults that pass, and passwords that nobody should see."""

from __future__ import annotations

import asyncio
import errno
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.abc.store import RangeByteRequest, Store, SuffixByteRequest
from zarr.storage import MemoryStore

import crackle_zarr as cz
from crackle_zarr._base import faults, passwords, patience
from crackle_zarr.synthetic import neurons

CHUNKS = (8, 16, 16)


class StatusError(Exception):
    """An error as aiohttp has it: with the status of HTTP."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class Distant(Store):
    """A store that is neither a disk nor memory; ``objection`` may raise at any request."""

    supports_writes = True
    supports_deletes = True
    supports_partial_writes = False
    supports_listing = True

    def __init__(self, inside: Store | None = None) -> None:
        super().__init__()
        self.inside = MemoryStore() if inside is None else inside
        self.requests: list[tuple[str, str, Any]] = []
        self.objection: Callable[[str, str, Any], None] = lambda *_: None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Distant) and other.inside == self.inside

    def __str__(self) -> str:
        return "distant://me:secret@host/seg"

    async def _ask(self, method: str, key: str, byte_range: Any = None) -> None:
        self.requests.append((method, key, byte_range))
        self.objection(method, key, byte_range)

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        await self._ask("get", key, byte_range)
        return await self.inside.get(key, prototype, byte_range)

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[Any]) -> list[Any]:
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def getsize(self, key: str) -> int:
        await self._ask("getsize", key)
        return await self.inside.getsize(key)

    async def exists(self, key: str) -> bool:
        await self._ask("exists", key)
        return await self.inside.exists(key)

    async def set(self, key: str, value: Any) -> None:
        await self._ask("set", key)
        await self.inside.set(key, value)

    async def set_if_not_exists(self, key: str, value: Any) -> None:
        await self._ask("set", key)
        await self.inside.set_if_not_exists(key, value)

    async def set_partial_values(self, key_start_values: Any) -> None:
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        await self._ask("delete", key)
        await self.inside.delete(key)

    async def list(self) -> AsyncIterator[str]:
        async for key in self.inside.list():
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        await self._ask("list", prefix)
        async for key in self.inside.list_prefix(prefix):
            yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        await self._ask("list", prefix)
        async for key in self.inside.list_dir(prefix):
            yield key


def seg() -> np.ndarray:
    """Neurons whose chunks are smaller than a first request, and larger ones."""
    labels = neurons((24, 48, 40), seed=3, dtype=np.uint32)
    labels[:8, :16, :16] = 7
    return labels


@pytest.fixture
def store() -> Distant:
    """A distant store."""
    return Distant()


def stored(store: Distant, **options: Any) -> zarr.Array:
    """The labels in a distant store."""
    options = {"chunks": CHUNKS, **options}
    array = cz.create_array(store, shape=seg().shape, dtype="u4", **options)
    array[...] = seg()
    store.requests.clear()
    return array


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody waits; the list has the pauses."""
    pauses: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await real(0)

    monkeypatch.setattr(patience.asyncio, "sleep", sleep)
    return pauses


# ---------------------------------------------------------------------------------------
# Ranges


def no_ranges(method: str, key: str, byte_range: Any) -> None:
    """A web server without ranges, as obstore sees it."""
    if byte_range is not None:
        raise NotImplementedError("Range request not supported")


def no_suffixes(method: str, key: str, byte_range: Any) -> None:
    """A store that takes no suffix ranges, such as Azure's."""
    if isinstance(byte_range, SuffixByteRequest):
        raise ValueError("suffix ranges are not supported")


def nothing_past_the_end(store: Distant) -> Callable[[str, str, Any], None]:
    """A store like Icechunk 2.3."""

    def objection(method: str, key: str, byte_range: Any) -> None:
        if isinstance(byte_range, RangeByteRequest) and key in store.inside._store_dict:
            length = len(store.inside._store_dict[key])
            if byte_range.end > length:
                raise RuntimeError(f"byte range {byte_range} is out of bounds for chunk of length {length}")

    return objection


REFUSALS = {
    "ranges": lambda store: no_ranges,
    "suffixes": lambda store: no_suffixes,
    "past the end": nothing_past_the_end,
}


@pytest.mark.parametrize("shards", [None, (8, 32, 32)], ids=["chunks", "shards"])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_refused_ranges(store: Distant, refusal: str, shards: Any) -> None:
    """Every question is answered by a store that refuses a kind of range, and so are edits."""
    array = stored(store, shards=shards)
    labels = seg()
    store.objection = REFUSALS[refusal](store)
    np.testing.assert_array_equal(cz.labels(array), np.unique(labels))
    np.testing.assert_array_equal(cz.labels(array, region=np.s_[3:9]), np.unique(labels[3:9]))
    some = int(np.unique(labels)[4])
    assert cz.find(array, some).slices == cz.bounding_boxes(cz.compress(labels), some)
    assert cz.statistics(array)["voxel_count"].sum() == labels.size
    assert cz.verify(array) == []
    cz.remap(array, {some: 1})
    labels[labels == some] = 1
    np.testing.assert_array_equal(cz.labels(array), np.unique(labels))
    if shards is None or refusal == "past the end":  # Zarr's own codec reads shards by ranges
        np.testing.assert_array_equal(array[...], labels)
        np.testing.assert_array_equal(array[11], labels[11])


@pytest.mark.parametrize("refusal", ["ranges", "past the end"])
def test_a_refusal_is_remembered(store: Distant, refusal: str) -> None:
    """Once a store was asked in vain, it is not again; another store has its own memory."""
    array = stored(store)
    other = stored(Distant())
    vain: list[Any] = []
    objection = REFUSALS[refusal](store)

    def counted(method: str, key: str, byte_range: Any) -> None:
        try:
            objection(method, key, byte_range)
        except Exception:
            vain.append(key)
            raise

    store.objection = counted
    cz.labels(array, parallel=1)
    first = len(vain)
    assert first >= 1
    cz.labels(array)
    array[3]
    assert len(vain) == first
    cz.labels(other)
    asked = [one for _, key, one in other.store_path.store.requests if "c/" in key]
    assert {type(one) for one in asked} == {RangeByteRequest}


def test_a_missing_chunk_stays_missing(store: Distant) -> None:
    """Fill values come from chunks that do not exist, not from requests that fail."""
    array = cz.create_array(store, shape=(8, 8), dtype="u4", chunks=(8, 8), fill_value=5)
    store.objection = no_ranges
    assert cz.labels(array).tolist() == [5]


def test_an_error_of_both_ways_is_raised(store: Distant) -> None:
    """If the whole object cannot be read either, the error is that of the range."""
    array = stored(store)

    def broken(method: str, key: str, byte_range: Any) -> None:
        if "/" in key and method == "get":
            raise RuntimeError("no range" if byte_range is not None else "no object")

    store.objection = broken
    with pytest.raises(cz.StoreError, match="RuntimeError: no range"):
        cz.labels(array)


# ---------------------------------------------------------------------------------------
# Faults that pass

PASSING: dict[str, Callable[[], Exception]] = {
    "503": lambda: StatusError(503),
    "429": lambda: StatusError(429),
    "500": lambda: StatusError(500),
    "timeout": TimeoutError,
    "reset": lambda: ConnectionResetError("peer"),
    "no route": lambda: OSError(errno.EHOSTUNREACH, "no route"),
    "botocore": lambda: _botocore(503),
    "cause": lambda: _caused(ConnectionAbortedError()),
}
STAYING: dict[str, Callable[[], Exception]] = {
    "403": lambda: StatusError(403),
    "404": lambda: StatusError(404),
    "401": lambda: _botocore(401),
    "permission": lambda: PermissionError("not yours"),
    "bug": lambda: RuntimeError("what"),
    "disk": lambda: OSError(errno.EIO, "disk"),
}


def _botocore(status: int) -> Exception:
    error = Exception("client error")
    error.response = {"ResponseMetadata": {"HTTPStatusCode": status}}  # type: ignore[attr-defined]
    return error


def _caused(cause: Exception) -> Exception:
    error = OSError("the request failed")
    error.__cause__ = cause
    return error


class EveryFifth:
    """An objection to each fifth request."""

    def __init__(self, fault: Callable[[], Exception], methods: tuple[str, ...]) -> None:
        self.fault, self.methods, self.count = fault, methods, 0

    def __call__(self, method: str, key: str, byte_range: Any) -> None:
        if method in self.methods:
            self.count += 1
            if self.count % 5 == 0:
                raise self.fault()


@pytest.mark.parametrize("fault", PASSING)
def test_questions_outlive_faults_that_pass(store: Distant, fault: str) -> None:
    """With one request in five failing, answers are right, and none ends in an error."""
    array = stored(store)
    labels = seg()
    store.objection = EveryFifth(PASSING[fault], ("get", "getsize", "exists", "list"))
    np.testing.assert_array_equal(cz.labels(array), np.unique(labels))
    assert cz.statistics(array)["voxel_count"].sum() == labels.size
    assert cz.verify(array) == []


def test_edits_and_conversions_outlive_faults_that_pass(store: Distant) -> None:
    """One failing request in five, of any kind: a remap and a conversion are finished, and right."""
    array = stored(store)
    labels = seg()
    store.objection = EveryFifth(PASSING["503"], ("get", "getsize", "exists", "list", "set", "delete"))
    some = int(np.unique(labels)[4])
    cz.remap(array, {some: 1})
    labels[labels == some] = 1
    target = Distant()
    target.objection = EveryFifth(PASSING["reset"], ("get", "exists", "list", "set", "delete"))
    cz.convert(array, target, to="zstd")
    store.objection = target.objection = lambda *_: None
    np.testing.assert_array_equal(array[...], labels)
    np.testing.assert_array_equal(zarr.open_array(target)[...], labels)


@pytest.mark.parametrize("fault", STAYING)
def test_what_does_not_pass_is_not_repeated(store: Distant, fault: str) -> None:
    """A refusal, a missing permission and a bug are told at once."""
    array = stored(store)
    asked: list[Any] = []

    def always(method: str, key: str, byte_range: Any) -> None:
        if method == "get" and key.endswith("c/0/0/0"):
            asked.append(byte_range)
            raise STAYING[fault]()

    store.objection = always
    with pytest.raises(cz.StoreError) as caught:
        cz.labels(array, parallel=1)
    assert "tried" not in str(caught.value)
    assert len(asked) <= 2, "once, and once without a range"


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_the_error_tells_how_often_it_was_tried(store: Distant, retries: int, no_pauses: list[float]) -> None:
    """A fault that stays ends the question after the given number of repeats, with growing pauses."""
    array = stored(store)
    count = 0

    def always(method: str, key: str, byte_range: Any) -> None:
        nonlocal count
        if method == "get" and key.endswith("c/0/0/0"):
            count += 1
            raise StatusError(503)

    store.objection = always
    with pytest.raises(cz.StoreError, match=r"c/0/0/0 cannot be read from .*status 503") as caught:
        cz.labels(array, retries=retries)
    assert count == retries + 1
    assert (f"(tried {count} times)" in str(caught.value)) == (retries > 0)
    assert len(no_pauses) == retries
    for number, pause in enumerate(no_pauses):
        longest = faults.FIRST_PAUSE * 2**number
        assert longest / 2 <= pause <= longest


@pytest.mark.parametrize(
    ("retries", "kind", "message"),
    [(-1, ValueError, "not -1"), (1.5, TypeError, "retries"), ("2", TypeError, "retries")],
)
def test_wrong_retries(store: Distant, retries: Any, kind: type[Exception], message: str) -> None:
    """The number of repeats is a whole number from 0 on."""
    with pytest.raises(kind, match=message):
        cz.labels(stored(store), retries=retries)


def test_disk_and_memory_need_no_patience(tmp_path: Any) -> None:
    """Stores of this machine are not wrapped, so they stay as fast as they are."""
    for place in (str(tmp_path / "a.zarr"), {}):
        array = cz.create_array(place, shape=(8, 8), dtype="u4", chunks=(8, 8))
        assert patience.patient(array.store_path.store) is array.store_path.store


def test_patient_stores_wrap_once() -> None:
    """A patient store is not wrapped again, changes its retries, and pickles."""
    store = patience.patient(Distant())
    assert patience.patient(store) is store
    assert patience.patient(store, 1).retries == 1
    assert isinstance(patience.patient(store, 1)._store, Distant)
    remote = patience.PatientStore(MemoryStore(), 7)
    assert pickle.loads(pickle.dumps(remote)).retries == 7


# ---------------------------------------------------------------------------------------
# Passwords


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:pass@host/x", "http://user:***@host/x"),
        ("see s3://key:se.cr-et@bucket: no", "see s3://key:***@bucket: no"),
        ("http://host:8080/a@b", "http://host:8080/a@b"),
        ("file:///tmp/a:b@c", "file:///tmp/a:b@c"),
        ("https://:token@host", "https://:***@host"),
        ("no url a:b@c", "no url a:b@c"),
        ("http://user:p@ss@host/x", "http://user:***@host/x"),
        (
            "'https://b/s?X-Amz-Credential=A%2F1&X-Amz-Signature=0f&X-Amz-Security-Token=t&E=9' failed",
            "'https://b/s?X-Amz-Credential=***&X-Amz-Signature=***&X-Amz-Security-Token=***&E=9' failed",
        ),
        ("https://b.host/s?sv=2&sig=a%2Bb%3D&se=2", "https://b.host/s?sv=2&sig=***&se=2"),
        ("https://h/s?level=3&token=ab#x", "https://h/s?level=3&token=***#x"),
        ("https://h/s?sigma=3&keys=4&design=5", "https://h/s?sigma=3&keys=4&design=5"),
    ],
)
def test_without_password(text: str, shown: str) -> None:
    """The password and the signature of a URL are left out, and nothing else."""
    assert passwords.without_password(text) == shown


def test_messages_show_no_password(store: Distant) -> None:
    """Errors of questions and edits name the store without its password."""
    array = stored(store)

    def always(method: str, key: str, byte_range: Any) -> None:
        if "c/" in key:
            raise RuntimeError("http://me:secret@host refused")

    store.objection = always
    for ask in (cz.labels, cz.statistics, lambda array: cz.remap(array, {7: 8})):
        with pytest.raises(cz.StoreError) as caught:
            ask(array)
        assert "secret" not in str(caught.value)
        assert "me:***@host" in str(caught.value)


def test_the_command_line_shows_no_password(run: Any) -> None:
    """Whatever a command says of a URL, its password is not in it."""
    pytest.importorskip("aiohttp")
    for command in ("labels", "info", "verify"):
        ran = run(command, "http://me:sec@ret@127.0.0.1:9/seg.zarr")
        assert ran.code != 0
        assert "me:***@127.0.0.1" in ran.err
        assert "ret@" not in ran.out + ran.err
        ran = run(command, "http://127.0.0.1:9/seg.zarr?sig=secret&se=2")
        assert ran.code != 0
        assert "secret" not in ran.out + ran.err


def test_an_endpoint_that_is_not_there() -> None:
    """One line says so, and nothing follows it as the process ends."""
    pytest.importorskip("s3fs")
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_MAX_ATTEMPTS": "1",
        "NO_PROXY": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "crackle_zarr", "labels", "s3://bucket/seg.zarr"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 2
    # Former releases of s3fs say in two lines that they did not close a session.
    said = [
        one for one in done.stderr.splitlines() if not one.lower().startswith(("unclosed", "client_session"))
    ]
    assert len(said) == 1, done.stderr
    assert "127.0.0.1:9" in done.stderr


class Busy(SimpleHTTPRequestHandler):
    """A web server that answers every third request with 503."""

    requests = 0

    def send_head(self) -> Any:
        type(self).requests += 1
        if self.requests % 3 == 0:
            self.send_error(503)
            return None
        return super().send_head()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_commands_are_patient(run: Any, tmp_path: Path) -> None:
    """Every command that opens a URL repeats what may pass, from opening on; --retries 0 gives up at once."""
    pytest.importorskip("aiohttp")
    (tmp_path / "www").mkdir()
    array = cz.create_array(tmp_path / "www" / "seg.zarr", shape=(8, 16, 16), dtype="u2", chunks=(4, 8, 8))
    array[...] = np.arange(2048).reshape(8, 16, 16) // 100
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Busy, directory=str(tmp_path / "www"))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/seg.zarr"
            for command in (["info"], ["labels"], ["verify"], ["find", "--json"], ["convert"]):
                after = {"find": [7], "convert": ["copy.zarr"]}.get(command[0], [])
                ran = run(*command, url, *after)
                assert ran.code == 0, ran.err
            assert np.array_equal(zarr.open_array("copy.zarr", mode="r")[...], array[...])
            assert str(len(cz.labels(array))) in run("labels", "--count", url).out
            failed = [run(command, url, "--retries", 0) for command in ("info", "labels", "verify")]
            assert any(ran.code == 2 and "503" in ran.err for ran in failed)
            assert run("info", url, "--retries", -1).code == 2
        finally:
            server.shutdown()
            thread.join()
