"""Fixtures and settings that all tests share."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

PROJECT = Path(__file__).resolve().parent.parent

# "python -m pytest" puts the current folder in front of sys.path. In a clone whose extension was not compiled
# in place, the package of the source tree would hide the installed one.
if not [*(PROJECT / "crackle_zarr").glob("_crackle*.so"), *(PROJECT / "crackle_zarr").glob("_crackle*.pyd")]:
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != PROJECT]

import crackle_zarr  # noqa: E402 - from where sys.path has it now

# A shell without job control starts background processes with SIGINT ignored, and their child processes
# inherit that. The tests of Ctrl-C need the signal.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Test helpers such as `reference` and `volumes` are importable by name, however pytest is started.
sys.path.insert(0, str(PROJECT / "tests"))

# Interpreters that tests start import the package under test, not the source tree in the current folder:
# the tree has no extension when the package was installed from it.
os.environ["PYTHONSAFEPATH"] = "1"
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(Path(crackle_zarr.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
).rstrip(os.pathsep)

# The fixture that runs the command line.
from command_line import run as run  # noqa: E402

hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session", autouse=True)
def short_pauses() -> None:
    """Distant stores are asked again at once: tests fail many requests, and users wait seconds."""
    from crackle_zarr._base import faults

    faults.FIRST_PAUSE = 0.001


@pytest.fixture(scope="session", autouse=True)
def threads_for_few_voxels() -> None:
    """Threads are used for any volume: those of the tests are small, and users' are not."""
    from crackle_zarr._binding import parallel

    parallel.VOXELS_PER_THREAD = 1


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """What a call refers to is gone when it returns, or the test sees it.

    Without the collector, since it runs the destructors of other tests' garbage within any call; what they
    raise is kept by pytest, with the frames of that call.
    """
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of streams and data beside the project; tests that need it are skipped without it."""
    folder = PROJECT.parent / "shared"
    if not (folder / "golden" / "manifest.json").is_file():
        pytest.skip("the folder 'shared' with golden streams and data is not beside the project")
    return folder
