"""How does the time per voxel grow with the density of boundaries? From one label to pure noise."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from _common import describe_run, load, parser, save, show
from _peers import OURS, measured, three, times
from _volumes import SMALL, boundary_density, corner, with_density

# Fractions of neighbours within slices that differ: evenly spaced logarithms, and closer together around one
# half, where the crack format changes.
DENSITIES = [0, *np.geomspace(0.001, 0.256, 9), 0.35, 0.45, 0.55, 0.7, 0.85, 1]
DIRECTIONS = {"encode_s": "Encoding", "decode_s": "Decoding"}


def require_matplotlib() -> None:
    try:
        importlib.import_module("matplotlib")
    except ImportError:
        raise SystemExit('--plot needs matplotlib: pip install "crackle_zarr[bench]"') from None


def measure(volume: np.ndarray, repeats: int) -> dict[str, Any]:
    figures = measured(three(volume), volume, repeats)
    return {"density": boundary_density(volume), "voxels": volume.size} | figures


def nanoseconds(point: dict[str, Any], direction: str, name: str) -> float:
    return point[direction][name] / point["voxels"] * 1e9


def show_direction(points: list[dict[str, Any]], given: dict[str, Any], direction: str) -> None:
    names = given["bytes"]
    peers = [name for name in names if name != OURS]
    rows = [
        [
            f"{100 * point['density']:.2f} %" + (" (the volume)" if point is given else ""),
            *(f"{nanoseconds(point, direction, name):.2f}" for name in names),
            *(times(point[direction], OURS, peer) for peer in peers),
        ]
        for point in (*points, given)
    ]
    columns = ["boundaries", *names, *(f"x {peer}" for peer in peers)]
    show(f"{DIRECTIONS[direction]}, ns per voxel", columns, rows)


def draw(points: list[dict[str, Any]], given: dict[str, Any], path: Path) -> None:
    """Two panels of curves: the time per voxel over the density, to encode and to decode."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(11, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    densities = [100 * point["density"] for point in points]
    for panel, (direction, title) in zip(panels, DIRECTIONS.items(), strict=True):
        for name, marker in zip(given["bytes"], "osD", strict=False):
            curve = [nanoseconds(point, direction, name) for point in points]
            (line,) = panel.plot(densities, curve, marker=marker, markersize=4, label=name)
            position = (100 * given["density"], nanoseconds(given, direction, name))
            panel.plot(*position, "*", color=line.get_color(), markersize=14, markeredgecolor="black")
        panel.axvline(50, color="grey", linestyle=":", linewidth=1, label="permissible format from here on")
        panel.plot(
            [], [], "*", color="white", markersize=12, markeredgecolor="black", label="the volume given"
        )
        panel.set_title(title)
        panel.set_xscale("symlog", linthresh=0.1, linscale=0.3)
        panel.set_yscale("log")
        panel.set_xlim(-0.01, 130)
        panel.set_xticks([0, 0.1, 1, 10, 50, 100])
        panel.set_xlabel("boundaries, % of neighbours in a slice that differ")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("ns per voxel, one thread")
    panels[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--plot", type=Path, metavar="FILE", help="draw the curves to this PNG or SVG file")
    arguments = command.parse_args()
    if arguments.plot:
        require_matplotlib()
    volume = corner(load(arguments), SMALL)
    given = measure(volume, arguments.repeats)
    points = [measure(with_density(volume.shape, density), arguments.repeats) for density in DENSITIES]
    print(describe_run(volume, arguments.repeats))
    for direction in DIRECTIONS:
        show_direction(points, given, direction)
    save(arguments.json, {"shape": volume.shape, "series": points, "volume": given})
    if arguments.plot:
        draw(points, given, arguments.plot)


if __name__ == "__main__":
    main()
