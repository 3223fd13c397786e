"""``crackle-zarr view``: options, errors of one line, and Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from command_line import COMMAND, environment, one_line, run  # noqa: F401
from view_cases import Client, blocks, status

import crackle_zarr as cz
from crackle_zarr.cli import view as command

pytest.importorskip("neuroglancer", reason="the viewer needs neuroglancer")


@pytest.fixture
def seg(tmp_path, monkeypatch) -> np.ndarray:
    """The blocks, stored in the current folder."""
    monkeypatch.chdir(tmp_path)
    seg = blocks()
    cz.create_array("seg.zarr", data=seg)
    return seg


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch) -> None:
    """A command that should have failed does not wait for Ctrl-C."""
    monkeypatch.setattr(command, "wait", lambda: None)


@pytest.fixture
def shown(monkeypatch) -> list[dict[str, Any]]:
    """What the page shows when the command begins to wait, which it then does not."""
    from crackle_zarr.view import viewer

    states: list[dict[str, Any]] = []
    real = viewer.Viewer.__enter__

    def enter(self: cz.Viewer) -> cz.Viewer:
        properties = Client(self).json("/properties/info")
        states.append({**self.state.to_json(), "url": self.url, "listed": properties["inline"]["ids"]})
        return real(self)

    monkeypatch.setattr(viewer.Viewer, "__enter__", enter)
    return states


def test_view(run, seg, shown) -> None:
    """The command prints the address, and shows what the options say."""
    (image := np.ones((40, 70, 130), np.uint8))[0] = 2
    np.save("image.npy", image.T)
    with open("chosen.txt", "w") as file:
        file.write("11, 7\n")
    done = run(
        *("view", "seg.zarr", "--no-browser", "--label", 9, "--segments", "chosen.txt"),
        *("--voxel-size", "16,16,40", "--image", "image.npy", "--cache", "10M", "--no-skeletons"),
    )
    assert done.code == 0, done.err
    assert done.out == shown[0]["url"] + "\n"
    assert done.err == "Ctrl-C ends it.\n"
    layers = {layer["name"]: layer for layer in shown[0]["layers"]}
    assert list(layers) == ["image", "labels"]
    assert sorted(layers["labels"]["segments"], key=int) == ["7", "9", "11"]
    kinds = [source["url"].rpartition("/")[2] for source in layers["labels"]["source"]]
    assert kinds == ["volume", "properties", "mesh"]
    assert shown[0]["dimensions"]["z"] == [4e-8, "m"]
    assert shown[0]["listed"] == ["7", "9", "11"]


def test_the_browser_opens(run, seg, shown, monkeypatch) -> None:
    """Without --no-browser, the address is opened."""
    import webbrowser

    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    assert run("view", "seg.zarr").code == 0
    assert opened == [shown[0]["url"]]


def test_the_server_is_closed(run, seg, shown) -> None:
    """After the command, nobody listens."""
    assert run("view", "seg.zarr", "--no-browser").code == 0
    with pytest.raises(OSError, match=r"refused|reset|Connection"):
        status(shown[0]["url"])


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["no.zarr"], "no.zarr: No such file or directory", 2),
        (["seg.zarr", "--label", "8"], "there is no label 8; 'crackle-zarr labels seg.zarr' lists them", 3),
        (["seg.zarr", "--voxel-size", "1,2"], "is not a voxel size", 2),
        (["seg.zarr", "--cache", "much"], "is not a number of bytes", 2),
        (["seg.zarr", "--segments", "words.txt"], "'cell' is no label", 2),
        (["seg.zarr", "--image", "seg.zarr", "--no-image"], "exclude each other", 2),
        (["seg.zarr", "--skeletons", "words.txt"], "skeletons are a folder", 2),
        (["seg.zarr", "--storage-option", "a=1"], "--storage-option is for URLs", 2),
        (["seg.zarr", "--port", "80000"], "80000", 2),
        (["words.txt"], "words.txt: neither Crackle nor", 2),
    ],
)
def test_errors(run, seg, arguments, message, code) -> None:
    """Errors are one line."""
    with open("words.txt", "w") as file:
        file.write("cell 7\n")
    failed = run("view", "--no-browser", *arguments)
    assert failed.code == code
    assert message in one_line(failed)


def test_a_port_in_use(run, seg) -> None:
    """The message says how to get another one."""
    with cz.view(seg) as viewer:
        failed = run("view", "seg.zarr", "--no-browser", "--port", viewer.server.port)
        assert failed.code == 2
        assert "port 0 takes a free one" in one_line(failed)


def test_without_neuroglancer(run, seg, monkeypatch) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "neuroglancer", None)
    failed = run("view", "seg.zarr", "--no-browser")
    assert failed.code == 2
    assert "pip install 'crackle-zarr[view]'" in one_line(failed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7 9\n11", [7, 9, 11]),
        ("7;-9\n# 8\n", [7, -9]),
        ("[7, 18446744073709551615]", [7, 18446744073709551615]),
        ("voxels,label\n100,7\n50,9\n", [7, 9]),
        ("id,name\n7,axon\n", [7]),
        ("", []),
    ],
)
def test_files_of_segments(tmp_path, text, expected) -> None:
    """Lists, JSON and CSV are read."""
    (tmp_path / "segments").write_text(text)
    assert command.read_segments(tmp_path / "segments") == expected


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT for another process")
def test_interrupt(seg) -> None:
    """Ctrl-C ends the command, also while requests are in work."""
    arguments = [*COMMAND, "view", "seg.zarr", "--no-browser"]
    process = subprocess.Popen(
        arguments, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        url = process.stdout.readline().strip()
        assert process.stderr.readline() == "Ctrl-C ends it.\n"
        threads = [threading.Thread(target=_ask, args=(url, kind)) for kind in ("mesh", "skeletons") * 2]
        for thread in threads:
            thread.start()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        for thread in threads:
            thread.join(60)
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.stdout.close()
        process.stderr.close()


def _ask(url: str, kind: str) -> None:
    origin, _, token = url.rstrip("/").partition("/v/")
    try:
        status(f"{origin}/data/{token}/labels/{kind}/7")
    except OSError:
        return  # the server has ended
