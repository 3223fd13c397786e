"""What ``crackle-zarr skeletonize`` shows and writes: a bar, a table, and files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm  # type: ignore[import-untyped]

from .places import counted

if TYPE_CHECKING:
    from ..skeletons import Skeleton

# Rows of a table on a terminal, without --all.
_ROWS = 40


def say_count(
    count: int, seconds: float, size: tuple[float, float, float], unit: str | None, reach: float
) -> None:
    """Print how many skeletons there are, and in what lengths are."""
    click.echo(
        f"{counted(count, 'skeleton')} in {seconds:.1f} s; lengths in "
        f"{unit or 'units of the voxel size'}, voxel size {', '.join(f'{edge:g}' for edge in size)}, "
        f"const {reach:g}"
    )


def say_dust(report: Any, dust: float) -> None:
    """Print how many labels have no skeleton, if any."""
    if report.dust:
        largest = max(report.dust.values())
        click.echo(
            f"{counted(len(report.dust), 'label')} without a skeleton: no connected component of more "
            f"than {dust:g} voxels (the largest has {largest:,}; --dust {max(largest - 1, 0)} takes it)"
        )


class bar:  # noqa: N801 - used like a function, in a with statement
    """A bar on stderr, if that is a terminal and the user did not hide it."""

    def __init__(self, is_wanted: bool, unit: str = " components") -> None:
        self._bar: Any = None
        self._unit = unit
        self._is_wanted = is_wanted and sys.stderr.isatty()

    def __enter__(self) -> Any:
        """The function that shows progress, or False."""
        return self._show if self._is_wanted else False

    def _show(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = tqdm(total=total, unit=self._unit, leave=False, file=sys.stderr)
        if self._bar.total != total or done < self._bar.n:
            self._bar.reset(total)  # the next of several passes
        self._bar.update(done - self._bar.n)

    def __exit__(self, *_: object) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


def show(found: dict[int, Skeleton], report: Any, every: bool) -> None:
    """Print a table of the skeletons, the longest first."""
    if not found:
        return
    lengths = {label: one.cable_length() for label, one in found.items()}
    order = sorted(found, key=lambda label: (-lengths[label], label))
    print_rows(
        ("label", "voxels", "vertices", "cable length", "ends", "branches", "seconds"),
        len(order),
        every,
        lambda place: (
            str(order[place]),
            f"{report.voxels[order[place]]:,}",
            f"{len(found[order[place]].vertices):,}",
            f"{lengths[order[place]]:,.1f}",
            f"{len(found[order[place]].terminals()):,}",
            f"{len(found[order[place]].branches()):,}",
            f"{report.seconds[order[place]]:.2f}",
        ),
    )


def print_rows(names: Sequence[str], count: int, every: bool, row: Callable[[int], Sequence[str]]) -> None:
    """Print a table; on a terminal its first rows alone, unless all are wanted."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=box.SIMPLE)
    for name in names:
        shown.add_column(name, justify="right", no_wrap=True)
    rows = count if every or not sys.stdout.isatty() else min(count, _ROWS)
    for place in range(rows):
        shown.add_row(*row(place))
    Console(highlight=False).print(shown)
    if rows < count:
        click.echo(f"... and {count - rows:,} more: --all shows them")


def write(found: dict[int, Skeleton], target: Path | None, precomputed: Path | None) -> None:
    """Write skeletons in the form that the command names."""
    assert target is not None
    from .. import skeletons as tracing

    if precomputed is not None:
        tracing.write_folder(target, found.values())
        click.echo(f"-> {target}  for Neuroglancer")
    elif target.suffix.lower() == ".parquet":
        from ..skeletons.tables import edges_path

        tracing.to_parquet(found, target)
        click.echo(f"-> {target} and {edges_path(target)}")
    else:
        target.mkdir(parents=True, exist_ok=True)
        for label, one in found.items():
            one.save(target / f"{label}.swc")
        click.echo(f"-> {counted(len(found), 'file')} in {target}")
