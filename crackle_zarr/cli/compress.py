"""``crackle-zarr compress`` and ``crackle-zarr decompress``: a file of one volume to a stream, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np

from .._base.options import MarkovOrder, Preset
from ..files import crackle_files, volumes
from ..files.volumes import UnusableError
from ..streams import saving, stream
from . import _common
from ._common import EXIT_CODES, AbsentError


def _destinations(
    inputs: Sequence[Path], output: Path | None, name: Callable[[Path], str], kind: volumes.Kind
) -> dict[Path, Path]:
    """The output path of each input."""
    if len(set(inputs)) < len(inputs):
        repeated = next(path for path in inputs if list(inputs).count(path) > 1)
        raise click.UsageError(f"{repeated} is given twice.")
    if output is not None and not output.is_dir():
        if len(inputs) > 1:
            raise click.UsageError(
                f"--output {output} is not an existing directory; {len(inputs)} inputs need one."
            )
        if not output.parent.is_dir():
            raise click.UsageError(f"--output {output}: there is no directory {output.parent}.")
        volumes.check_name(output, kind)
        return {inputs[0]: output}
    destinations = {path: (output or path.parent) / name(path) for path in inputs}
    by_target: dict[Path, Path] = {}
    for path, target in destinations.items():
        if target in by_target:
            raise click.UsageError(f"{by_target[target]} and {path} have the same output, {target}.")
        by_target[target] = path
    return destinations


def _check_target(source: Path, target: Path, force: bool) -> None:
    if not target.exists():
        return
    if source.exists() and target.samefile(source):
        raise UnusableError(f"{target}: this output would replace its source; name another with --output")
    if not force:
        raise UnusableError(f"{target} exists already: --force replaces it, --output names another file")


def _summary(source: Path, target: Path, raw: int) -> str:
    size = target.stat().st_size
    return f"{source} -> {target}  {raw:,} -> {size:,} bytes, ratio {raw / max(1, size):.1f}"


# ---------------------------------------------------------------------------------------
# compress, decompress


@click.command(epilog=EXIT_CODES)
@_common.inputs
@_common.output
@_common.preset
@_common.markov
@_common.pins
@click.option("-z", "--gzip", is_flag=True, help="Also compress the stream with gzip, as .ckl.gz.")
@_common.parallel
@_common.force
def compress(
    inputs: tuple[Path, ...],
    output: Path | None,
    preset: Preset | None,
    markov: MarkovOrder | None,
    pins: int | None,
    gzip: bool,
    parallel: int,
    force: bool,
) -> None:
    """Turn volumes of labels into Crackle streams.

    A volume has up to three axes, of integers or bools. seg.npy becomes seg.npy.ckl, and so does
    seg.npy.gz. The axes of the array are the stream's x, y and z. To compress a .ckl file again
    with other options, name the output.

    \b
    Examples:
      crackle-zarr compress seg.npy
      crackle-zarr compress --preset small seg.npy     smaller, slower
      crackle-zarr compress --preset small -p 0 seg.npy
      crackle-zarr compress -o streams/ a.npy b.npy.gz
      crackle-zarr compress -o small.ckl.xz seg.npy
      crackle-zarr compress -m 5 -o small.ckl seg.ckl
    """

    def name(path: Path) -> str:
        stem = volumes.split_name(path)[0]
        return f"{stem.removesuffix('.ckl')}.ckl{'.gz' if gzip else ''}"

    if gzip and output is not None and not output.is_dir():
        raise click.UsageError("--gzip is not for a named output file: name the file .ckl.gz instead.")
    destinations = _destinations(inputs, output, name, "ckl")

    def work(path: Path) -> str:
        target = destinations[path]
        _check_target(path, target, force)
        volume = volumes.read_volume(path, parallel)
        crackle_files.save(
            volume, target, preset=preset, markov_model_order=markov, allow_pins=pins, parallel=parallel
        )
        return _summary(path, target, volume.nbytes)

    _common.Batch().run(inputs, work)


@click.command(epilog=EXIT_CODES)
@_common.inputs
@_common.output
@click.option(
    "-l",
    "--label",
    metavar="LABEL",
    type=int,
    help="Write the mask (bool) of this label instead of all labels.",
)
@_common.parallel
@_common.force
def decompress(
    inputs: tuple[Path, ...], output: Path | None, label: int | None, parallel: int, force: bool
) -> None:
    """Turn Crackle streams back into .npy files.

    seg.npy.ckl and seg.ckl.gz become seg.npy. The array has the axes (x, y, z), and the dtype and
    the memory order of the compressed volume. Checksums are verified, and a damaged stream is an
    error.

    \b
    Examples:
      crackle-zarr decompress seg.npy.ckl
      crackle-zarr decompress -o seg.npy.gz seg.ckl
      crackle-zarr decompress --label 42 seg.ckl       makes seg.label-42.npy
    """

    def name(path: Path) -> str:
        stem = volumes.split_name(path)[0].removesuffix(".ckl").removesuffix(".npy")
        return f"{stem}.npy" if label is None else f"{stem}.label-{label}.npy"

    destinations = _destinations(inputs, output, name, "npy")

    def work(path: Path) -> str:
        target = destinations[path]
        _check_target(path, target, force)
        binary = volumes.read_stream(path)
        if label is not None and not stream.contains(binary, label):
            raise AbsentError(f"{path}: there is no label {label}; 'crackle-zarr labels {path}' lists them")
        volume = stream.decompress(binary, label, parallel)
        saving.save_numpy(volume, target)
        count = "" if label is None else f"  {int(np.count_nonzero(volume)):,} voxels of label {label}"
        return f"{path} -> {target}  {target.stat().st_size:,} bytes{count}"

    _common.Batch().run(inputs, work)
