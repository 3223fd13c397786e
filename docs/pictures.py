"""Draws the pictures of skeletons.md and view.md: ``python docs/pictures.py``.

Needs matplotlib; for view.md also neuroglancer, selenium, and Debian's chromium and chromium-driver.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot as plt

import crackle_zarr
from crackle_zarr.synthetic import neurons

matplotlib.use("Agg")
IMAGES = Path(__file__).resolve().parent / "images"
SIZE = (1, 1, 1)


def largest() -> np.ndarray:
    """The label with the longest skeleton of a synthetic volume, alone."""
    seg = np.ascontiguousarray(neurons((96, 220, 220), seed=4).T)
    skeletons = crackle_zarr.skeletonize(seg, {"scale": 1.5, "const": 10}, progress=False)
    label = max(skeletons, key=lambda one: skeletons[one].cable_length())
    return seg == label


def show(
    axes: plt.Axes, mask: np.ndarray, parts: list[tuple[crackle_zarr.Skeleton, str]], title: str
) -> None:
    """A projection of a label along z, and skeletons over it."""
    axes.imshow(mask.any(axis=2).T, cmap="Greys", vmin=0, vmax=4, origin="lower", interpolation="nearest")
    for skeleton, colour in parts:
        for edge in skeleton.vertices[skeleton.edges][:, :, :2]:
            axes.plot(edge[:, 0], edge[:, 1], color=colour, linewidth=1.4, solid_capstyle="round")
        ends = skeleton.vertices[skeleton.terminals()]
        axes.plot(ends[:, 0], ends[:, 1], "o", color=colour, markersize=3)
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])


def draw_viewer() -> None:
    """The page of the viewer, in a real browser."""
    sys.path.insert(0, str(IMAGES.parents[1] / "tests"))
    import browsers
    from PIL import Image

    seg = neurons((96, 220, 220), seed=4)
    counts = crackle_zarr.voxel_counts(crackle_zarr.compress(np.ascontiguousarray(seg.T)))
    labels = sorted(counts, key=lambda one: -counts[one])[:12]
    with (
        crackle_zarr.view(seg, label=labels[2], segments=labels[3:6], voxel_size=(16, 16, 40)) as viewer,
        browsers.browser(1100, 780) as driver,
    ):
        with viewer.txn() as state:
            state.layers["labels"].not_selected_alpha = 0.25
            state.layers["labels"].ignore_null_visible_set = False
            state.projection_orientation = [0.35, -0.2, 0.1, 0.9]
            state.show_slices = False
            state.projection_scale = 450
            state.cross_section_scale = 0.6
        driver.get(viewer.url)
        browsers.wait_until_drawn(driver)
        Image.fromarray(browsers.screenshot(driver)).quantize(128).save(IMAGES / "view.png", optimize=True)


def main() -> None:
    """Draw all pictures."""
    draw_viewer()
    mask = largest()
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.9), layout="constrained")
    for one, const in zip(axes, (2, 10, 40), strict=True):
        skeleton = crackle_zarr.skeletonize(
            mask, {"scale": 1.5, "const": const}, fix_borders=False, progress=False
        )[1]
        show(one, mask, [(skeleton, "tab:red")], f"const = {const}: {len(skeleton.terminals())} ends")
    figure.savefig(IMAGES / "skeleton-const.png", dpi=90)

    middle = mask.shape[0] // 2
    left = crackle_zarr.skeletonize(mask[: middle + 1], {"const": 40}, progress=False)[1]
    right = crackle_zarr.skeletonize(np.ascontiguousarray(mask[middle:]), {"const": 40}, progress=False)[1]
    right.vertices[:, 0] += middle
    figure, axes = plt.subplots(1, 1, figsize=(4.2, 4.2), layout="constrained")
    show(axes, mask, [(left, "tab:blue"), (right, "tab:orange")], "two volumes that share a plane of voxels")
    axes.axvline(middle, color="grey", linestyle=":", linewidth=1)
    figure.savefig(IMAGES / "skeleton-borders.png", dpi=90)


if __name__ == "__main__":
    main()
