"""``crackle-zarr skeletonize`` of Zarr arrays: in one piece or by tiles, as files or as a dataset."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ..files.volumes import UnusableError
from . import places
from .places import counted
from .skeleton_output import bar, print_rows, say_count, say_dust, show, write

if TYPE_CHECKING:
    from ..stored_skeletons import SkeletonDataset


@dataclass(frozen=True)
class Request:
    """What the command shall write.

    Attributes:
        target: the folder or file for the skeletons; None: the dataset alone.
        precomputed: the target, if it is a folder for Neuroglancer.
        dataset: the folder for a dataset; None: none is kept.
        png: the file for a picture.
        resume: go on with an interrupted run.
        force: replace what is there.
        every: show all rows on a terminal.
        progress: show a bar.
    """

    target: Path | None
    precomputed: Path | None
    dataset: Path | None
    png: Path | None
    resume: bool
    force: bool
    every: bool
    progress: bool


def skeletonize(
    array: Any,
    source: str,
    request: Request,
    teasar_of: Callable[[tuple[float, float, float], str | None], dict[str, Any]],
    *,
    labels: tuple[int, ...],
    anisotropy: tuple[float, float, float] | None,
    region: Any,
    memory: int,
    dust_threshold: float,
    **parameters: Any,
) -> None:
    """Skeletonize an array, and write and show the result."""
    from .. import verbs
    from ..skeletons import DimensionError, Report
    from ..stored.layout import box_of
    from ..stored.sources import layout_from
    from ..stored_skeletons.frame import frame_of
    from ..stored_skeletons.grid import grid_of

    if array.dtype.kind not in "iub":
        raise UnusableError(f"{source}: labels are integers, and this array has {array.dtype}")
    layout = layout_from(array)
    try:
        frame = frame_of(layout, box_of(region, layout.shape), anisotropy)
    except (DimensionError, ValueError) as error:
        raise UnusableError(f"{source}: {error}") from error
    teasar = teasar_of(frame.size, frame.unit)
    is_tiled = len(grid_of(frame, memory)) > 1
    if is_tiled and request.png is not None:
        raise UnusableError(
            f"{source}: --png draws volumes that fit --memory: choose a part by --region, or raise --memory"
        )
    dataset = request.dataset
    if dataset is None and is_tiled and not labels:
        # Until all is written: so that --resume has something to go on with.
        assert request.target is not None
        dataset = request.target.with_name(f"{request.target.name}.unfinished")
    if dataset is None and request.resume:
        raise UnusableError(
            f"{source} is skeletonized in one piece: there is nothing that --resume could go on with"
        )
    report = Report()
    began = time.perf_counter()
    with bar(request.progress, " tiles" if is_tiled else " components") as progress:
        given: dict[str, Any] = (
            {}
            if dataset is None
            else {
                "out": dataset,
                "resume": request.resume,
                "overwrite": request.force and not request.resume,
            }
        )
        found: Any = verbs.skeletonize(
            array,
            teasar,
            anisotropy,
            labels=labels or None,
            region=region,
            memory=memory,
            dust_threshold=dust_threshold,
            progress=progress,
            report=report,
            **parameters,
            **given,
        )
    seconds = time.perf_counter() - began
    if dataset is None:
        show(found, report, request.every)
    else:
        _show_dataset(found, request.every)
    say_count(len(found), seconds, frame.size, frame.unit, teasar["const"])
    say_dust(report, dust_threshold)
    if dataset is None:
        write(found, request.target, request.precomputed)
    else:
        _write_dataset(found, request)
    if request.dataset is None and dataset is not None:
        shutil.rmtree(dataset)
    if request.png is not None:
        from ..skeletons.drawing import draw

        voxels = frame.read(frame.start, frame.stop, True)
        of_voxels = {label: found[label].clone() for label in found}
        for one in of_voxels.values():
            one.vertices = (one.vertices - np.array(frame.origin)).astype(np.float32)
        draw(request.png, voxels, of_voxels, frame.size, frame.start)
        click.echo(f"drawn: {request.png}")
    missing = [label for label in labels if label not in found and label not in report.dust]
    if missing and not verbs.contains(array, missing[0], region=region):
        places.absent(source, missing[0])


def _show_dataset(found: SkeletonDataset, every: bool) -> None:
    """Print a table of the skeletons, the longest first."""
    columns = {name: found.table.column(name).to_numpy() for name in found.table.column_names}
    if not len(found):
        return
    order = np.lexsort((columns["label"], -columns["cable_length"]))

    def row(place: int) -> tuple[str, ...]:
        at = int(order[place])
        numbers = [f"{columns[name][at]:,}" for name in ("voxels", "vertices")]
        others = [f"{columns[name][at]:,}" for name in ("ends", "branches", "trees")]
        return (str(columns["label"][at]), *numbers, f"{columns['cable_length'][at]:,.1f}", *others)

    names = ("label", "voxels", "vertices", "cable length", "ends", "branches", "trees")
    print_rows(names, len(order), every, row)
    cut = int(np.count_nonzero(columns["cut_somas"]))
    if cut:
        click.echo(
            f"{counted(cut, 'label')} with a cell body that tiles cut (cut_somas in the table of labels): "
            f"--label with more --memory traces it in one piece"
        )


def _write_dataset(found: SkeletonDataset, request: Request) -> None:
    if request.dataset is not None:
        click.echo(f"-> {request.dataset}  vertices, edges and labels in Parquet")
    if request.target is None:
        return
    if request.precomputed is not None:
        found.to_precomputed(request.target)
        click.echo(f"-> {request.target}  for Neuroglancer")
    elif request.target.suffix.lower() == ".parquet":
        write(found.to_dict(), request.target, None)
    else:
        click.echo(f"-> {counted(found.to_swc(request.target), 'file')} in {request.target}")
