"""Streams in files: written at once or not at all, and read by what is in them."""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import mmap
import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import volumes

import crackle_zarr
from crackle_zarr import FormatError, _binding
from crackle_zarr._base import atomic_files
from crackle_zarr.streams import saving

VOLUME = volumes.cells((12, 10, 4), 8)
BINARY = crackle_zarr.compress(VOLUME)

SUFFIXES = {
    ".ckl": b"crkl",
    ".ckl.gz": b"\x1f\x8b",
    ".ckl.xz": b"\xfd7zXZ\0",
    ".ckl.lzma": b"\x5d\0\0",
    ".ckl.bz2": b"BZh",
    ".ckl.zst": b"\x28\xb5\x2f\xfd",
}


def has_zstd() -> bool:
    try:
        atomic_files.zstd()
    except ImportError:
        return False
    return True


no_zstd = pytest.mark.skipif(not has_zstd(), reason="there is no zstd module")
ALL = [pytest.param(suffix, marks=no_zstd if suffix.endswith(".zst") else ()) for suffix in SUFFIXES]
COMPRESSED = ALL[1:]

posix = pytest.mark.skipif(os.name != "posix", reason="permissions and devices as POSIX has them")


def packed(suffix: str, folder: Path, content: bytes = BINARY) -> bytes:
    """Content as it is in a file of this suffix."""
    path = folder / f"packed{suffix}"
    if content == BINARY:
        crackle_zarr.save(content, path)
    else:
        with open(path, "wb") as file:
            outer = atomic_files.OUTER_SUFFIX.get(path.suffix)
            if outer is None:
                file.write(content)
            else:
                with atomic_files.compressor(file, outer) as inner:
                    inner.write(content)
    return path.read_bytes()


class TestSave:
    @pytest.mark.parametrize("suffix", ALL)
    def test_suffix_picks_the_outer_format(self, suffix: str, tmp_path: Path) -> None:
        """Each format is written by its suffix, whatever its case, and read again."""
        for path in (tmp_path / f"a{suffix}", tmp_path / f"B{suffix.upper()}"):
            crackle_zarr.save(VOLUME, path)
            assert path.read_bytes().startswith(SUFFIXES[suffix])
            np.testing.assert_array_equal(crackle_zarr.load(path), VOLUME)
            assert crackle_zarr.bload(path) == BINARY
        assert len(list(tmp_path.iterdir())) == 2

    @pytest.mark.parametrize("suffix", COMPRESSED)
    def test_equal_streams_make_equal_files(self, suffix: str, tmp_path: Path) -> None:
        """No name and no time is in a compressed file."""
        crackle_zarr.save(BINARY, tmp_path / f"a{suffix}")
        crackle_zarr.save(BINARY, tmp_path / f"b{suffix}")
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()

    @pytest.mark.parametrize("suffix", [".ckl", ".ckl.gz", ".ckl.xz", ".ckl.lzma"])
    def test_crackle_codec_reads_and_is_read(self, suffix: str, tmp_path: Path) -> None:
        """The formats that crackle-codec has are exchanged with it in both directions."""
        crackle = pytest.importorskip("crackle")
        path = str(tmp_path / f"a{suffix}")
        crackle_zarr.save(VOLUME, path)
        np.testing.assert_array_equal(crackle.load(path), VOLUME)
        crackle.save(VOLUME, path)
        np.testing.assert_array_equal(crackle_zarr.load(path), VOLUME)

    @pytest.mark.parametrize(
        "wrap",
        [
            bytes,
            bytearray,
            memoryview,
            crackle_zarr.CrackleArray,
            lambda b: memoryview(b"".join(bytes([byte, 0]) for byte in b))[::2],
        ],
        ids=["bytes", "bytearray", "memoryview", "CrackleArray", "strided memoryview"],
    )
    def test_streams_are_written_as_they_are(self, wrap: Callable[[bytes], Any], tmp_path: Path) -> None:
        """A stream in any form is not encoded again."""
        crackle_zarr.save(wrap(BINARY), tmp_path / "a.ckl")
        assert (tmp_path / "a.ckl").read_bytes() == BINARY

    def test_options_of_compress(self, tmp_path: Path) -> None:
        """A volume is compressed with the options given; for a stream there are none."""
        crackle_zarr.save(volumes.cells(), tmp_path / "a.ckl", markov_model_order=4, format_version=0)
        head = crackle_zarr.header(crackle_zarr.bload(tmp_path / "a.ckl"))
        assert (head.markov_model_order, head.format_version) == (4, 0)
        for stream in (BINARY, crackle_zarr.CrackleArray(BINARY)):
            with pytest.raises(TypeError, match="markov_model_order"):
                crackle_zarr.save(stream, tmp_path / "b.ckl", markov_model_order=4)
        assert not (tmp_path / "b.ckl").exists()

    @pytest.mark.parametrize("kind", [str, os.fsencode, Path])
    def test_kinds_of_paths(self, kind: Callable[[Any], Any], tmp_path: Path) -> None:
        """A path is text, bytes or an os.PathLike."""
        path = kind(str(tmp_path / "ä b.ckl.gz"))
        crackle_zarr.save(VOLUME, path)
        np.testing.assert_array_equal(crackle_zarr.load(path), VOLUME)

    def test_relative_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A bare name is a file in the current directory."""
        monkeypatch.chdir(tmp_path)
        crackle_zarr.save(VOLUME, "a.ckl")
        assert [path.name for path in tmp_path.iterdir()] == ["a.ckl"]

    @pytest.mark.parametrize(
        ("labels", "error", "message"),
        [
            (np.zeros(3), TypeError, "float64"),
            ("labels", TypeError, "not <U6"),
            (None, TypeError, "object"),
            (b"PK\x03\x04" + bytes(50), FormatError, "crkl"),
            (BINARY[:-1], FormatError, "ends too early"),
        ],
        ids=["floats", "text", "None", "foreign bytes", "truncated stream"],
    )
    def test_what_cannot_be_saved(
        self, labels: Any, error: type[Exception], message: str, tmp_path: Path
    ) -> None:
        """It is refused before there is a file, and the old one stays."""
        path = tmp_path / "a.ckl"
        path.write_bytes(b"old")
        with pytest.raises(error, match=message):
            crackle_zarr.save(labels, path)
        assert path.read_bytes() == b"old"
        assert len(list(tmp_path.iterdir())) == 1

    @pytest.mark.parametrize("target", [None, 5, [], object()], ids=repr)
    def test_what_is_no_file(self, target: Any) -> None:
        """TypeError for neither a path nor a file object."""
        with pytest.raises(TypeError, match="path or a file object"):
            crackle_zarr.save(VOLUME, target)
        with pytest.raises(TypeError, match="path or a file object"):
            crackle_zarr.load(target)


class TestAtomicSave:
    @pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
    @pytest.mark.parametrize("suffix", [".ckl", ".ckl.gz"])
    def test_a_failure_leaves_the_old_file(
        self, failing: str, error: BaseException, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever fails and when, the old file is whole and nothing lies beside it."""

        def fail(*_: Any) -> Any:
            raise error

        path = tmp_path / f"a{suffix}"
        crackle_zarr.save(np.ones(3, np.uint8), path)
        before = path.read_bytes()
        if failing == "write":
            monkeypatch.setattr(saving, "write_all", fail)
            monkeypatch.setattr(gzip.GzipFile, "write", fail)
        else:
            monkeypatch.setattr(os, failing, fail)
        with pytest.raises(type(error)):
            crackle_zarr.save(VOLUME, path)
        assert path.read_bytes() == before
        assert [path] == list(tmp_path.iterdir())
        fresh = tmp_path / f"b{suffix}"
        with pytest.raises(type(error)):
            crackle_zarr.save(VOLUME, fresh)
        assert [path] == list(tmp_path.iterdir())

    def test_readers_never_see_a_part(self, tmp_path: Path) -> None:
        """While a file is written again and again, every read finds a whole one."""
        path = tmp_path / "a.ckl"
        crackle_zarr.save(VOLUME, path)
        stop = threading.Event()
        failures: list[Exception] = []

        def read() -> None:
            while not stop.is_set():
                try:
                    crackle_zarr.load(path)
                except Exception as error:
                    failures.append(error)
                    return

        reader = threading.Thread(target=read)
        reader.start()
        for shift in range(30):
            crackle_zarr.save(VOLUME + np.uint32(shift), path)
        stop.set()
        reader.join()
        assert failures == []

    @posix
    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077], ids=oct)
    def test_permissions_of_a_new_file(self, umask: int, tmp_path: Path) -> None:
        """They are those that open() gives."""
        old = os.umask(umask)
        try:
            crackle_zarr.save(VOLUME, tmp_path / "a.ckl")
            (tmp_path / "b").open("wb").close()
        finally:
            os.umask(old)
        modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.ckl", "b")]
        assert modes[0] == modes[1] == 0o666 & ~umask

    @posix
    @pytest.mark.parametrize("mode", [0o600, 0o644, 0o666, 0o755], ids=oct)
    def test_permissions_of_an_old_file(self, mode: int, tmp_path: Path) -> None:
        """They stay, as they do with open()."""
        path = tmp_path / "a.ckl"
        path.touch()
        path.chmod(mode)
        crackle_zarr.save(VOLUME, path)
        assert stat.S_IMODE(path.stat().st_mode) == mode
        np.testing.assert_array_equal(crackle_zarr.load(path), VOLUME)

    @posix
    def test_a_file_that_must_not_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """PermissionError as with open(), although a rename would be possible."""
        path = tmp_path / "a.ckl"
        path.write_bytes(b"old")
        path.chmod(0o444)
        if os.access(path, os.W_OK):  # root may write to everything
            monkeypatch.setattr(os, "access", lambda *_: False)
        with pytest.raises(PermissionError, match=r"a\.ckl"):
            crackle_zarr.save(VOLUME, path)
        assert path.read_bytes() == b"old"

    @posix
    def test_a_symbolic_link_is_followed(self, tmp_path: Path) -> None:
        """The file behind the link is replaced, and the link stays one, also where it leads nowhere yet."""
        (tmp_path / "folder").mkdir()
        target, link = tmp_path / "folder" / "a.ckl", tmp_path / "link.ckl"
        link.symlink_to(target)
        for _ in range(2):
            crackle_zarr.save(VOLUME, link)
            assert link.is_symlink()
            assert not target.is_symlink()
            np.testing.assert_array_equal(crackle_zarr.load(target), VOLUME)

    @posix
    def test_a_pipe_is_written_to(self, tmp_path: Path) -> None:
        """What is not a regular file is not replaced by one."""
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        received: list[bytes] = []
        reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
        reader.start()
        crackle_zarr.save(VOLUME, pipe)
        reader.join()
        assert received == [BINARY]
        assert stat.S_ISFIFO(pipe.stat().st_mode)
        writer = threading.Thread(target=lambda: pipe.write_bytes(gzip.compress(BINARY)))
        writer.start()
        np.testing.assert_array_equal(crackle_zarr.load(pipe), VOLUME)
        writer.join()

    def test_directories(self, tmp_path: Path) -> None:
        """A directory is not a file, and one that is not there is not made."""
        with pytest.raises(OSError, match=tmp_path.name):
            crackle_zarr.save(VOLUME, tmp_path)
        with pytest.raises(FileNotFoundError):
            crackle_zarr.save(VOLUME, tmp_path / "no" / "a.ckl")
        assert list(tmp_path.iterdir()) == []


class TestFileObjects:
    def test_round_trip(self) -> None:
        """A file object gets the bare stream, and is read from where it stands."""
        file = io.BytesIO(b"before")
        file.seek(0, io.SEEK_END)
        crackle_zarr.save(VOLUME, file, markov_model_order=1)
        assert file.getvalue() == b"before" + crackle_zarr.compress(VOLUME, markov_model_order=1)
        file.seek(6)
        np.testing.assert_array_equal(crackle_zarr.load(file), VOLUME)

    @pytest.mark.parametrize("suffix", ALL)
    def test_content_is_recognised(self, suffix: str, tmp_path: Path) -> None:
        """A compressed file is recognised in a file object too."""
        content = packed(suffix, tmp_path)
        np.testing.assert_array_equal(crackle_zarr.load(io.BytesIO(content)), VOLUME)
        assert crackle_zarr.aload(io.BytesIO(content), allow_mmap=True).binary == BINARY

    def test_opened_files(self, tmp_path: Path) -> None:
        """Files that are open already, buffered or not, stay open."""
        for buffering in (0, -1):
            with open(tmp_path / "a.ckl", "wb", buffering) as file:
                crackle_zarr.save(BINARY, file)
                assert not file.closed
            with open(tmp_path / "a.ckl", "rb", buffering) as file:
                assert crackle_zarr.bload(file) == BINARY
                assert not file.closed

    def test_writers_that_take_a_part(self) -> None:
        """A writer that takes a few bytes at a time gets them all; one that does not count too."""

        class Slow:
            def __init__(self, counts: bool) -> None:
                self.taken = b""
                self.counts = counts

            def write(self, data: Any) -> int | None:
                part = bytes(data[:7]) if self.counts else bytes(data)
                self.taken += part
                return len(part) if self.counts else None

        for counts in (True, False):
            file: Any = Slow(counts)
            crackle_zarr.save(BINARY, file)
            assert file.taken == BINARY

    def test_text_mode(self, tmp_path: Path) -> None:
        """TypeError for a file object that gives text."""
        with pytest.raises(TypeError, match="binary mode"):
            crackle_zarr.load(io.StringIO("crkl"))  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            crackle_zarr.save(VOLUME, io.StringIO())  # type: ignore[arg-type]

    def test_errors_name_the_file(self, tmp_path: Path) -> None:
        """The name of a file object is in the message, where it has one."""
        (tmp_path / "wrong.ckl").write_bytes(b"something else")
        with open(tmp_path / "wrong.ckl", "rb") as file, pytest.raises(FormatError, match=r"wrong\.ckl"):
            crackle_zarr.load(file)
        with pytest.raises(FormatError, match="BytesIO"):
            crackle_zarr.load(io.BytesIO(b"something else"))


class TestLoad:
    @pytest.mark.parametrize("name", ["a.ckl", "a.gz", "a.xz", "a.lzma", "a.bz2", "a.zst", "a.npy", "a"])
    @pytest.mark.parametrize("suffix", ALL)
    def test_content_counts_and_not_the_name(self, suffix: str, name: str, tmp_path: Path) -> None:
        """Under whatever name, what is in a file is found out."""
        path = tmp_path / name
        path.write_bytes(packed(suffix, tmp_path))
        np.testing.assert_array_equal(crackle_zarr.load(path), VOLUME)

    @pytest.mark.parametrize(
        "content",
        [
            gzip.compress(BINARY, 9, mtime=5),
            gzip.compress(BINARY[:50]) + gzip.compress(BINARY[50:]),
            lzma.compress(BINARY, lzma.FORMAT_XZ, preset=9 | lzma.PRESET_EXTREME),
            lzma.compress(BINARY, lzma.FORMAT_ALONE, preset=0),
            lzma.compress(BINARY, lzma.FORMAT_ALONE, preset=9),
            bz2.compress(BINARY, 1),
        ],
        ids=["gzip", "gzip in two members", "xz", "lzma, small window", "lzma, large window", "bzip2"],
    )
    def test_other_writers(self, content: bytes, tmp_path: Path) -> None:
        """What other programs make with other settings is read."""
        (tmp_path / "a").write_bytes(content)
        np.testing.assert_array_equal(crackle_zarr.load(tmp_path / "a"), VOLUME)

    def test_mask_and_threads(self, tmp_path: Path) -> None:
        """A label gives its mask."""
        crackle_zarr.save(VOLUME, tmp_path / "a.ckl")
        label = int(VOLUME[3, 3, 3])
        np.testing.assert_array_equal(crackle_zarr.load(tmp_path / "a.ckl", label, 2), label == VOLUME)

    @pytest.mark.parametrize("suffix", ALL)
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"c",
            b"crk",
            b"crkl",
            b"hello, world",
            b"\x93NUMPY" + bytes(90),
            b"\x1f\x8b",
            b"crkl" + bytes(40),
        ],
        ids=repr,
    )
    def test_what_is_not_crackle(self, content: bytes, suffix: str, tmp_path: Path) -> None:
        """FormatError names the file, whichever function reads it."""
        path = tmp_path / f"foreign{suffix}"
        path.write_bytes(packed(suffix, tmp_path, content))
        for function in (crackle_zarr.load, crackle_zarr.aload, crackle_zarr.bload):
            with pytest.raises(FormatError, match=rf"foreign{suffix}".replace(".", r"\.")):
                function(path)
        with pytest.raises(FormatError, match="foreign"):
            crackle_zarr.aload(path, allow_mmap=True)

    @pytest.mark.parametrize("suffix", ALL)
    def test_every_truncation(self, suffix: str, tmp_path: Path) -> None:
        """A file that is cut off anywhere raises FormatError with its name."""
        whole = packed(suffix, tmp_path, crackle_zarr.compress(volumes.nested()))
        path = tmp_path / "cut"
        np.testing.assert_array_equal(load_bytes(whole, path), volumes.nested())
        for length in range(len(whole)):
            if suffix == ".ckl.lzma" and length > len(whole) - 8:
                continue  # the end marker: all of the stream is there without it
            with pytest.raises(FormatError, match="cut: "):
                load_bytes(whole[:length], path)

    @pytest.mark.parametrize("suffix", COMPRESSED)
    def test_every_damaged_byte(self, suffix: str, tmp_path: Path) -> None:
        """A changed byte raises FormatError, or does not matter; voxels are never wrong."""
        volume = volumes.nested()
        whole = packed(suffix, tmp_path, crackle_zarr.compress(volume))
        noticed = 0
        for place in range(len(whole)):
            changed = bytearray(whole)
            changed[place] ^= 0x10
            try:
                back = load_bytes(bytes(changed), tmp_path / "damaged")
            except (FormatError, MemoryError):  # a window of gigabytes may be asked for
                noticed += 1
            else:
                np.testing.assert_array_equal(back, volume)
        assert noticed > len(whole) // 2

    def test_damage_is_placed(self, tmp_path: Path) -> None:
        """FormatError for a damaged slice names file, section and slice."""
        binary = bytearray(BINARY)
        binary[_binding.read_layout(BINARY).checksums + 4 + 4 * 2] ^= 1
        (tmp_path / "a.ckl").write_bytes(binary)
        with pytest.raises(FormatError, match=r"a\.ckl: .*slice z = 2") as caught:
            crackle_zarr.load(tmp_path / "a.ckl")
        assert caught.value.slice == 2
        assert caught.value.section is not None

    def test_missing_files(self, tmp_path: Path) -> None:
        """A file that is not there, and a directory, raise what open() raises."""
        for function in (crackle_zarr.load, crackle_zarr.aload, crackle_zarr.bload):
            with pytest.raises(FileNotFoundError):
                function(tmp_path / "no.ckl")
            with pytest.raises(OSError, match=tmp_path.name):
                function(tmp_path)

    def test_trouble_of_the_disk_is_not_damage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An OSError of the system stays one."""

        def fail(*_: Any) -> Any:
            raise OSError(5, "Input/output error")

        crackle_zarr.save(VOLUME, tmp_path / "a.ckl.gz")
        monkeypatch.setattr(gzip.GzipFile, "read", fail)
        with pytest.raises(OSError, match="Input/output") as caught:
            crackle_zarr.load(tmp_path / "a.ckl.gz")
        assert not isinstance(caught.value, FormatError)


def load_bytes(content: bytes, path: Path) -> np.ndarray:
    path.write_bytes(content)
    return crackle_zarr.load(path)


class TestMemoryMaps:
    def test_on_request(self, tmp_path: Path) -> None:
        """A bare stream in a regular file is mapped where that is allowed, and only then."""
        crackle_zarr.save(VOLUME, tmp_path / "a.ckl")
        mapped = crackle_zarr.bload(tmp_path / "a.ckl", allow_mmap=True)
        assert isinstance(mapped, mmap.mmap)
        assert type(crackle_zarr.bload(tmp_path / "a.ckl")) is bytes
        np.testing.assert_array_equal(crackle_zarr.decompress(mapped), VOLUME)
        assert (
            crackle_zarr.aload(tmp_path / "a.ckl", allow_mmap=True).labels().tolist()
            == np.unique(VOLUME).tolist()
        )

    def test_saving_over_a_mapped_file(self, tmp_path: Path) -> None:
        """The map keeps the old file, since the new one is renamed over it."""
        if sys.platform == "win32":
            pytest.skip("a mapped file cannot be replaced there")
        path = tmp_path / "a.ckl"
        crackle_zarr.save(VOLUME, path)
        mapped = crackle_zarr.aload(path, allow_mmap=True)
        mapped.remap({int(VOLUME[0, 0, 0]): 5}, True).save(path)
        np.testing.assert_array_equal(mapped.numpy(), VOLUME)
        assert 5 in crackle_zarr.aload(path)

    @pytest.mark.parametrize("suffix", COMPRESSED)
    def test_not_of_compressed_files(self, suffix: str, tmp_path: Path) -> None:
        """They are unpacked into memory instead."""
        crackle_zarr.save(VOLUME, tmp_path / f"a{suffix}")
        assert type(crackle_zarr.bload(tmp_path / f"a{suffix}", allow_mmap=True)) is bytes


class TestZstd:
    @pytest.fixture
    def without_zstd(self, monkeypatch: pytest.MonkeyPatch) -> None:
        original = importlib.import_module

        def import_module(name: str, package: str | None = None) -> Any:
            if name.endswith("zstd"):
                raise ImportError(name)
            return original(name, package)

        monkeypatch.setattr(importlib, "import_module", import_module)

    @pytest.mark.usefixtures("without_zstd")
    def test_without_the_module(self, tmp_path: Path) -> None:
        """ImportError tells what to install, and nothing is written."""
        with pytest.raises(ImportError, match=r"pip install 'crackle_zarr\[zstd\]'"):
            crackle_zarr.save(VOLUME, tmp_path / "a.ckl.zst")
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "a.ckl").write_bytes(SUFFIXES[".ckl.zst"] + bytes(20))
        with pytest.raises(ImportError, match="zstd"):
            crackle_zarr.load(tmp_path / "a.ckl")
