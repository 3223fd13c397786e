"""The commands components, dust, largest, fill-holes, split and renumber."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from cli_stored_cases import label, plain, read, seg, source  # noqa: F401
from command_line import one_line

import crackle_zarr as cz


@pytest.fixture
def specked(source, seg, label):
    """The array with a speck of a label in a corner."""
    array = zarr.open_array(source, mode="r+")
    array[0, 0, 0] = label
    return array[...]


def test_components(run, source, specked):
    """Components go to another array, with a table; the line counts them."""
    ran = run("components", source, "parts.zarr", "--table", "parts.csv", "-c", "6")
    assert ran.code == 0, ran.err
    report = cz.connected_components(zarr.open_array(source, mode="r"), 6, out={})
    assert np.array_equal(read("parts.zarr"), report.array[...])
    assert f"{report.count:,} components" in ran.out
    with open("parts.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["component"]) for row in rows] == list(range(1, report.count + 1))
    assert [int(row["voxel_count"]) for row in rows] == report.table["voxel_count"].tolist()
    assert np.array_equal(read(source), specked)


def test_components_refuses(run, source):
    """What is there is not replaced unasked; a background that is no label, and a file, are refused."""
    assert run("components", source, "parts.zarr").code == 0
    again = run("components", source, "parts.zarr")
    assert again.code == 2
    assert "exists already" in one_line(again)
    assert run("components", source, "parts.zarr", "--overwrite").code == 0
    assert "no label, and not none" in one_line(run("components", source, "x.zarr", "--background", "zero"))
    np.save("seg.npy", np.zeros((2, 3, 4), np.uint8))
    assert "is a file" in one_line(run("components", "seg.npy", "x.zarr"))
    assert "no axis 'q'" in one_line(run("components", source, "x.zarr", "--axes", "y,q"))


def test_dust(run, source, specked):
    """A dry run counts, an output leaves the source, and without one the array is edited."""
    expected = np.asarray(cz.decompress(cz.dust(np.ascontiguousarray(specked), 5)))
    assert not np.array_equal(expected, specked)
    dry = run("dust", source, "--threshold", "5", "--dry-run")
    assert dry.code == 0
    assert "would change" in dry.out
    assert run("dust", source, "--threshold", "5", "-o", "clean.zarr").code == 0
    assert np.array_equal(read("clean.zarr"), expected)
    assert np.array_equal(read(source), specked)
    told = json.loads(run("dust", source, "--threshold", "5", "--json").out)
    assert [0, 0, 0] in told["chunks"]
    assert np.array_equal(read(source), expected)


def test_options_that_exclude_each_other(run, source):
    """--overwrite needs --output, and --dry-run is for edits in place."""
    assert "--output DEST" in one_line(run("dust", source, "--threshold", "5", "--overwrite"))
    assert "in place" in one_line(run("largest", source, "-k", "1", "-n", "-o", "x.zarr"))
    assert "threshold" in one_line(run("dust", source))


def test_largest_and_holes(run, source, specked):
    """The largest components, and filled holes, as the functions give them."""
    assert run("largest", source, "-k", "2", "-o", "two.zarr").code == 0
    assert np.array_equal(read("two.zarr"), cz.decompress(cz.largest_k(np.ascontiguousarray(specked), 2)))
    assert run("fill-holes", source, "-o", "solid.zarr").code == 0
    assert np.array_equal(read("solid.zarr"), cz.decompress(cz.fill_holes(np.ascontiguousarray(specked))))


def test_split_and_renumber(run, source, specked, label):
    """A split names the speck; new numbers are written to a table."""
    ran = run("split", source, label)
    assert ran.code == 0, ran.err
    assert read(source)[0, 0, 0] == specked.max() + 1
    assert "no label" in one_line(run("split", source, "999999"))
    assert run("renumber", source, "--table", "names.csv").code == 0
    names = [line.split(",") for line in Path("names.csv").read_text().split()]
    assert names[0] == ["old", "new"]
    after = read(source)
    assert np.unique(after[after > 0]).tolist() == [int(new) for _, new in names[1:]]
    assert after[0, 0, 0] == int(dict(names[1:])[str(specked.max() + 1)])
    assert "end in .csv" in one_line(run("renumber", source, "--table", "names.txt"))
