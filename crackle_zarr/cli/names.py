"""Names of labels on the command line: the option ``--names``, and names that sources and files have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..files import formats
from ..files.label_names import LabelNames
from ..files.label_tables import read_label_names
from .places import is_url

if TYPE_CHECKING:
    import zarr


def option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option for a file with names of labels."""
    return click.option(
        "--names",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        callback=_read,
        help="Give labels the names and colours in this file: ITK-SNAP's label descriptions, a colour table "
        "of Slicer or FreeSurfer, CSV with the columns label and name, or .seg.nrrd. The default: those of "
        "the source.",
    )(command)


def _read(ctx: click.Context, param: click.Parameter, value: Path | None) -> LabelNames | None:
    return None if value is None else read_label_names(value)


def of_array(source: Any) -> LabelNames:
    """The names of the labels of a stored array or group."""
    from ..ome.names import known_names

    return known_names(source)


def for_file(
    volume: formats.Volume, given: LabelNames | None, format: str | None
) -> tuple[formats.Volume, str]:
    """A volume with its names, or those given, for a file; and what the format cannot hold, as text."""
    names = given or volume.label_names
    if not names:
        return volume, ""
    if format != "nrrd":
        return volume, "names of labels"
    return replace(volume, label_names=names.within(volume.dtype)), ""


def give(array: zarr.Array[Any], names: LabelNames | None) -> None:
    """Give names to the array that shows a file; the conversion copies them with the other attributes."""
    fitting = (names or LabelNames()).within(array.dtype)
    if fitting:
        array.update_attributes(fitting.attributes())


def write(destination: str, names: LabelNames, storage_options: dict[str, Any] | None) -> None:
    """Write names to the arrays of a conversion that has finished."""
    import zarr

    from ..ome import open_multiscale, set_label_names
    from .places import opened

    found = opened(destination, storage_options if is_url(destination) else None, "r+")
    targets: list[Any]
    if isinstance(found, zarr.Array):
        targets = [found]
    elif "multiscales" in found.attrs or "ome" in found.attrs:
        set_label_names(found, names.within(open_multiscale(found).levels[0].dtype))
        return
    else:
        targets = [member for _, member in found.members(max_depth=None) if isinstance(member, zarr.Array)]
    for array in targets:
        set_label_names(array, names.within(array.dtype))


def as_properties(names: LabelNames, dtype: Any) -> dict[str, Any]:
    """The arguments of ``write_ome_labels`` for names and colours."""
    fitting = names.within(dtype)
    return {
        "properties": {label: {"name": name} for label, name in fitting.items()} or None,
        "colors": fitting.colors or None,
    }


def records(labels: Iterable[int], names: LabelNames) -> list[dict[str, Any]]:
    """Labels, names and colours for JSON. Labels are text: many JSON readers cannot hold large ones."""
    return [
        {
            "label": str(label),
            "name": names.get(label),
            "color": list(names.colors[label]) if label in names.colors else None,
        }
        for label in labels
    ]


def line(label: int, names: LabelNames) -> str:
    """A label and its name with a tab between them, on one line; without a name, the label alone."""
    name = " ".join(names.get(label, "").split())
    return f"{label}\t{name}" if name else str(label)
