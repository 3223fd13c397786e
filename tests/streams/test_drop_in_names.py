"""Names and parameters that users of crackle-codec know; sections, files, large volumes."""

from __future__ import annotations

import inspect
import io
import mmap
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import volumes
from drop_in import (  # noqa: F401
    SUFFIXES,
    TABLE,
    Case,
    a_label,
    every_case,
    holds,
    list_of,
    plain,
    renamed,
    same,
    some_cases,
)

import crackle_zarr as crackle


class TestNames:
    def test_parameters(self) -> None:
        """Every parameter has the name that the table gives."""
        missing = [
            (name, p)
            for name, names in TABLE.items()
            for p in names
            if p not in inspect.signature(getattr(crackle, name)).parameters
        ]
        assert not missing

    @pytest.mark.parametrize("name", [name for name, names in TABLE.items() if "binary" in names])
    def test_stream_by_name(self, name: str) -> None:
        """Every function takes its stream as ``binary=``."""
        if name == "signed_distance_to_boundary":
            pytest.importorskip("scipy")
        volume = volumes.rings()
        binary = crackle.compress(volume)
        given = {
            "label": 1,
            "labels": [1],
            "z_start": 0,
            "z_end": 1,
            "z": 1,
            "low": 0,
            "high": 9,
            "mapping": {1: 2},
            "preserve_missing_labels": True,
            "dtype": "u8",
            "scalar": 3,
            "mask_binary": binary,
            "markov_model_order": 1,
            "points": [[1, 2, 1]],
        }
        if name.startswith("subtract"):
            given["scalar"] = 0
        options = {p: given[p] for p in TABLE[name] if p in given}
        by_name = getattr(crackle, name)(binary=binary, **options)
        by_place = getattr(crackle, name)(binary, **options)
        assert plain(by_name, crackle.decompress) == plain(by_place, crackle.decompress)

    @pytest.mark.parametrize("owner", ["module", "CrackleArray"])
    def test_parameters_of_crackle_codec(self, owner: str) -> None:
        """Parameters have crackle-codec's names and defaults."""
        modules = [crackle, pytest.importorskip("crackle")]
        ours, theirs = modules if owner == "module" else [m.CrackleArray for m in modules]
        renamed = {
            ("apply_binary_mask", "input_binary"),
            ("array_equal", "binary1"),
            ("array_equal", "binary2"),
            ("header", "ignore_crc_check"),  # codec.check() is for damaged headers
        }
        ignored = {"memory_target"}  # two slices are enough
        missing, different = [], []
        for name in TABLE:
            if not inspect.isfunction(getattr(theirs, name, None)):
                continue
            parameters = inspect.signature(getattr(ours, name)).parameters
            others = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
            for p in inspect.signature(getattr(theirs, name)).parameters.values():
                if p.kind is not p.POSITIONAL_OR_KEYWORD or (name, p.name) in renamed:
                    continue
                if p.name in parameters:
                    default = parameters[p.name].default
                    if p.name not in ignored and isinstance(p.default, int | str | None):
                        different += [(name, p.name)] if (default or False) != (p.default or False) else []
                elif not (p.name == "parallel" and others):
                    missing.append((name, p.name))
        assert (missing, different) == ([], [])

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("bounding_boxes", (1, 1, True)),
            ("point_cloud", (1, 1, 0, 2)),
            ("each", (1, False, [1, 2])),
            ("voxel_counts", (1, 1)),
            ("centroids", (1, 1)),
            ("to_parquet", (1,)),
            ("contacts", ((1, 2, 3), 1)),
            ("mode_pooling_2x2x1", (False, 1)),
            ("voxel_connectivity_graph", (4, 1)),
            ("edge_labels", (1,)),
            ("reencode", (3, 1)),
            ("recompress", (1,)),
            ("renumber", (0, 1)),
            ("decompress", (1, 1, True)),
        ],
    )
    def test_places_of_crackle_codec(self, name: str, arguments: Any) -> None:
        """Positional arguments have crackle-codec's order, the number of threads included."""
        module = pytest.importorskip("crackle")
        if name == "to_parquet":
            pytest.importorskip("pyarrow")
        binary = crackle.compress(volumes.rings())
        by_name = inspect.signature(getattr(module, name)).bind(binary, *arguments).arguments
        del by_name["binary"]
        by_name.pop("parallel")
        expected = getattr(crackle, name)(binary, **by_name)
        got = getattr(crackle, name)(binary, *arguments)
        assert plain(got, crackle.decompress) == plain(expected, crackle.decompress)

    def test_length_of_each(self) -> None:
        """len(each(...)) is the number of objects, which progress bars need."""
        volume = volumes.rings()
        binary = crackle.compress(volume)
        assert len(crackle.each(binary)) == len(np.unique(volume))
        assert len(crackle.each(binary, labels=[1, 2])) == 2

    @pytest.mark.usefixtures("no_garbage_collection")
    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, "mmap", "array", "ndarray"], ids=str)
    def test_bytes_like(self, kind: Any, tmp_path: Path) -> None:
        """Any bytes-like object, a memory map and a CrackleArray are streams."""
        volume = volumes.rings()
        binary = crackle.compress(volume)
        source: Any
        if kind == "mmap":
            path = tmp_path / "rings.ckl"
            path.write_bytes(binary)
            with path.open("rb") as file:
                source = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        elif kind == "array":
            source = crackle.CrackleArray(binary)
        elif kind == "ndarray":
            source = np.frombuffer(binary, np.uint8)
        else:
            source = kind(binary)
        same(crackle.decompress(source), volume)
        same(crackle.labels(source), np.unique(volume))
        assert crackle.voxel_counts(source) == crackle.voxel_counts(binary)
        assert crackle.array_equal(source, binary)
        holds(crackle.zstack(crackle.zsplit(source, 1)), volume)
        holds(crackle.recompress(source), volume)
        if kind == "mmap":
            source.close()  # no call holds it any more

    @pytest.mark.parametrize("name", [n for n, names in TABLE.items() if names == ("binary",)])
    @pytest.mark.parametrize("source", [5, None, 1.5], ids=repr)
    def test_no_stream(self, name: str, source: Any) -> None:
        """An object without bytes raises TypeError in every function that takes only a stream."""
        with pytest.raises(TypeError):
            list_of(getattr(crackle, name)(source))

    @pytest.mark.parametrize("name", [n for n, names in TABLE.items() if names == ("binary",)])
    @pytest.mark.parametrize("source", [b"", b"crkl", b"crkl" + b"\1" * 200], ids=["", "crkl", "garbage"])
    def test_damaged_stream(self, name: str, source: bytes) -> None:
        """Foreign bytes raise FormatError in every function that takes only a stream."""
        with pytest.raises(crackle.FormatError):
            list_of(getattr(crackle, name)(source))


# ---- sections and files ----


class TestSections:
    @every_case
    def test_components(self, case: Case) -> None:
        """The sections of components() join to the stream, and crack_codes() to the section of codes."""
        sections = crackle.components(case.stream)
        assert b"".join(section.tobytes() for section in sections.values()) == case.stream
        lengths = crackle.component_lengths(case.stream)
        assert lengths == {name: section.nbytes for name, section in sections.items()}
        assert ("markov_model" in sections) == bool(crackle.header(case.stream).markov_model_order)
        assert ("crcs" in sections) == (case.version == 1)
        codes = crackle.crack_codes(case.stream)
        assert len(codes) == case.volume.shape[2]
        assert b"".join(codes) == sections["crack_codes"].tobytes()

    @every_case
    def test_damage(self, case: Case) -> None:
        """A flipped bit in the labels or in one slice damages that part alone in the report."""
        report = crackle.codec.check(case.stream)
        assert report["z"] == []
        assert crackle.codec.ok(case.stream) is True
        if case.version == 0:
            return
        lengths = crackle.component_lengths(case.stream)
        start = lengths["header"] + lengths["z_index"]
        damaged = bytearray(case.stream)
        damaged[start + lengths["labels"] - 1] ^= 4
        report = crackle.codec.check(damaged)
        assert report["labels"] is False
        assert report["header"] is True
        assert crackle.codec.ok(damaged) is False
        with pytest.raises(crackle.FormatError):
            crackle.decompress(bytes(damaged))
        codes = crackle.crack_codes(case.stream)
        z = len(codes) // 2
        if codes[z]:
            damaged = bytearray(case.stream)
            end = len(damaged) - lengths["crcs"] - sum(map(len, codes[z + 1 :]))
            damaged[end - len(codes[z]) // 2 - 1] ^= 4
            report = crackle.codec.check(bytes(damaged))
            assert report["labels"] is True
            assert report["z"] == [z]
            with pytest.raises(crackle.FormatError):
                crackle.decompress(bytes(damaged))


class TestFiles:
    @pytest.mark.parametrize("suffix", SUFFIXES)
    @some_cases
    def test_round_trip(self, case: Case, suffix: str, tmp_path: Path) -> None:
        """Files of every compression give back the stream, in all ways of loading."""
        for i, content in enumerate((case.stream, case.array, bytearray(case.stream))):
            path = tmp_path / f"{i}.ckl{suffix}"
            crackle.save(content, path)
            same(crackle.load(str(path)), case.volume, case.order)
            assert bytes(crackle.bload(path)) == case.stream
        same(crackle.load(path, a_label(case.volume)), case.volume == a_label(case.volume))
        array = crackle.aload(path)
        assert isinstance(array, crackle.CrackleArray)
        same(array.numpy(), case.volume)
        assert sorted(os.listdir(tmp_path)) == [f"{i}.ckl{suffix}" for i in range(3)]

    @some_cases
    def test_volume(self, case: Case, tmp_path: Path) -> None:
        """save() compresses a volume with the caller's options; aload() can map the file."""
        path = tmp_path / "volume.ckl"
        crackle.save(case.volume, path, **case.options)
        assert path.read_bytes() == crackle.compress(case.volume, **case.options)
        case.array.save(path)
        assert path.read_bytes() == case.stream
        mapped = crackle.aload(path, allow_mmap=True)
        same(mapped.numpy(), case.volume)

    def test_file_objects(self) -> None:
        """save() and the ways of loading take open file objects."""
        volume = volumes.rings()
        file = io.BytesIO()
        crackle.save(volume, file)
        assert file.getvalue() == crackle.compress(volume)
        for read in (crackle.load, lambda f: crackle.aload(f).numpy()):
            same(read(io.BytesIO(file.getvalue())), volume)
        assert bytes(crackle.bload(io.BytesIO(file.getvalue()))) == file.getvalue()

    @every_case
    def test_save_numpy(self, case: Case, tmp_path: Path) -> None:
        """save_numpy() writes the volume to a path or a file object, in blocks."""
        path = tmp_path / "volume.npy"
        for content in (case.stream, case.array):
            crackle.save_numpy(content, path, block_size=3000)
            same(np.load(path), case.volume, case.order)
        file = io.BytesIO()
        crackle.save_numpy(case.stream, file)
        same(np.load(io.BytesIO(file.getvalue())), case.volume, case.order)

    def test_not_crackle(self, tmp_path: Path) -> None:
        """Another file raises FormatError that names it; a missing file raises FileNotFoundError."""
        np.save(tmp_path / "other.npy", volumes.rings())
        (tmp_path / "other.ckl").write_bytes(b"not a stream, but for its name")
        for function in (crackle.load, crackle.aload, crackle.bload):
            name = "other.ckl" if function is crackle.load else "other.npy"  # load reads other formats, too
            with pytest.raises(crackle.FormatError, match=re.escape(name)):
                function(tmp_path / name)
            with pytest.raises(FileNotFoundError):
                function(tmp_path / "nothing.ckl")

    def test_failed_save(self, tmp_path: Path) -> None:
        """A save that fails leaves the old file, and no other file beside it."""
        path = tmp_path / "volume.ckl"
        crackle.save(volumes.rings(), path)
        before = path.read_bytes()
        for content, error in ((b"crkl", crackle.FormatError), (np.ones(3), TypeError), (None, TypeError)):
            with pytest.raises(error):
                crackle.save(content, path)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["volume.ckl"]
        with pytest.raises(ValueError, match="block_size"):
            crackle.save_numpy(before, tmp_path / "volume.npy", block_size=0)

    @pytest.mark.parametrize("suffix", SUFFIXES[:4])
    def test_files_of_crackle_codec(self, suffix: str, tmp_path: Path) -> None:
        """Each package loads the files of the other."""
        theirs = pytest.importorskip("crackle")
        volume = volumes.cells()
        path = str(tmp_path / f"volume.ckl{suffix}")
        theirs.save(volume, path)
        same(crackle.load(path), volume)
        crackle.save(volume, path)
        same(theirs.load(path), volume)


# ---- volumes of more than 2^32 voxels ----


class TestLarge:
    SHAPE = (70_000, 70_000, 3)
    VOXELS = 70_000 * 70_000 * 3

    def test_full(self) -> None:
        """full() makes a volume of more than 2^32 voxels in less than 200 bytes."""
        array = crackle.full(self.SHAPE, 7, np.uint64)
        assert array.shape == self.SHAPE
        assert array.size == self.VOXELS
        assert array.nbytes == 8 * self.VOXELS
        assert crackle.nbytes(array.binary) == 8 * self.VOXELS
        assert crackle.header(array.binary).voxels() == self.VOXELS
        assert len(array) < 200

    def test_label_table(self) -> None:
        """Operations on the label table do not depend on the number of voxels."""
        array = crackle.full(self.SHAPE, 7, np.uint32)
        assert array.labels().tolist() == [7]
        assert array.remap({7: 70_000}).labels().tolist() == [70_000]
        assert (array * 100 - 1).max() == 699
        assert (array == 7).min() == 1
        assert 7 in array
        assert 8 not in array
        assert array.mask([7]).max() == 0
        assert array.renumber(3)[1] == {7: 3}
        assert array.refit().dtype == np.uint8
        assert array.astype(np.int64).nbytes == 8 * self.VOXELS
        assert array.all()
        assert array.asfortranarray().header().fortran_order
        with pytest.raises(OverflowError):
            _ = array * 2**31

    def test_slices(self) -> None:
        """Slices are stacked, split and cut without decoding them."""
        low, high = (crackle.full((*self.SHAPE[:2], n), n, np.uint8) for n in (1, 2))
        array = low.zstack([high, crackle.full((*self.SHAPE[:2], 4), 300, np.uint16)])
        assert array.shape == (*self.SHAPE[:2], 7)
        assert array.dtype == np.uint16
        assert array.labels().tolist() == [1, 2, 300]
        assert array.labels_for_z_range(1, 3).tolist() == [2]
        assert [part.shape[2] for part in array.zsplit(2)] == [2, 1, 4]
        assert [part.max() for part in array.zshatter()] == [1, 2, 2, 300, 300, 300, 300]
        assert array.zrange(2, 4).labels().tolist() == [2, 300]
        assert set(crackle.crack_codes(array.binary)) == set(crackle.crack_codes(low.binary))

    @pytest.mark.parametrize(
        "shape", [(2**31, 1, 3), (1, 2**31, 3), (2**32 - 1, 1, 2), (2**20, 2**13, 2)], ids=str
    )
    def test_thin(self, shape: tuple[int, int, int]) -> None:
        """Volumes with axes of up to 2^32 - 1 voxels are stacked, cut and asked for labels."""
        layers = [crackle.full((*shape[:2], 1), z + 1, np.uint32) for z in range(shape[2])]
        array = crackle.CrackleArray(crackle.zstack(layers))
        assert array.shape == shape
        assert array.nbytes == 4 * np.prod(shape, dtype=object)
        assert array.labels().tolist() == list(range(1, shape[2] + 1))
        assert array.labels(-1).tolist() == [shape[2]]
        assert (array + 1).max() == shape[2] + 1
        assert array.zrange(1, 2).min() == 2

    def test_too_large(self) -> None:
        """2^64 bytes raise ValueError; a volume larger than memory raises MemoryError when decoded."""
        with pytest.raises(ValueError, match="bytes"):
            crackle.full((2**32 - 1, 2**32 - 1, 2**20), 7)
        with pytest.raises(MemoryError):
            crackle.full((2**30, 2**30, 1), 7, np.uint8).numpy()

    def test_statistics(self) -> None:
        """Counts and sums of coordinates past 2^32 and 2^53 are exact, for two labels that touch."""
        side, low, high = 2**15, 3, 2
        array = crackle.CrackleArray(
            crackle.zstack([crackle.full((side, side, low), 5), crackle.full((side, side, high), 9)])
        )
        assert array.size > 2**32
        table = array.statistics()
        assert table["label"].tolist() == [5, 9]
        assert table["voxel_count"].tolist() == [low * side**2, high * side**2]
        assert table["start"].tolist() == [[0, 0, 0], [0, 0, low]]
        assert table["stop"].tolist() == [[side, side, low], [side, side, low + high]]
        middle = (side - 1) / 2
        assert table["centroid"].tolist() == [[middle, middle, 1.0], [middle, middle, 3.5]]

    def test_memory(self) -> None:
        """Within 1 GB of address space, such volumes are made, stacked, split and relabelled."""
        program = """
            import resource
            import crackle_zarr as crackle
            resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
            a = crackle.full((70_000, 70_000, 3), 7, "u8")
            b = a.zstack([a + 1, a * 2, a == 7])
            parts = b.zsplit(5)
            print(b.labels().tolist(), [p.shape[2] for p in parts], b.remap({1: 2}, True).num_labels())
        """
        lines = "\n".join(line.strip() for line in program.strip().splitlines())
        result = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, timeout=60)
        assert result.stderr == ""
        assert result.stdout.splitlines() == ["[1, 7, 8, 14] [5, 1, 6] 4"]


class TestExactness:
    def test_truth(self) -> None:
        """bool() of one voxel is its value; of several it raises ValueError, as in NumPy."""
        assert not crackle.zeros((1, 1, 1))
        assert crackle.ones((1, 1, 1))
        with pytest.raises(ValueError, match="ambiguous"):
            bool(crackle.ones((2, 1, 1)) == crackle.zeros((2, 1, 1)))

    def test_shift_of_a_large_number(self) -> None:
        """Shifts of numbers past 64 bits are exact, or raise OverflowError."""
        assert (2**100 >> crackle.full((1, 1, 1), 70)).numpy()[0, 0, 0] == 2**30
        assert (crackle.full((1, 1, 1), 5) >> 200).numpy()[0, 0, 0] == 0
        with pytest.raises(OverflowError):
            crackle.full((1, 1, 1), 1) << 64

    def test_set_integers_of_a_list(self) -> None:
        """A list of integers is assigned exactly, although NumPy would make floats of it."""
        array = crackle.zeros((1, 1, 2))
        array[0, 0] = [2**63, 1]
        assert array.labels().tolist() == [1, 2**63]
        with pytest.raises(OverflowError):
            array[0, 0] = [2**63, -1]
        array[0:0, 0:0, 0:0] = []
        with pytest.raises(TypeError):
            array[0, 0] = [1.5, 2]
