"""The page in a real browser: labels in their places and colours, lists, clicks, meshes and messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import browsers
import numpy as np
import pytest
from view_cases import blocks
from zarr.storage import MemoryStore

import crackle_zarr as cz

pytest.importorskip("neuroglancer", reason="the viewer needs neuroglancer")
if browsers.missing():
    pytest.skip(browsers.missing() or "", allow_module_level=True)

COLORS = {7: (255, 0, 0), 9: (0, 255, 0), 11: (0, 0, 255)}
SIZE = (8.0, 8.0, 40.0)
# Pixels of a voxel.
ZOOM = 4


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with browsers.browser() as driver:
        yield driver


@pytest.fixture(scope="module")
def seg() -> np.ndarray:
    return blocks()


@pytest.fixture
def viewer(seg) -> Iterator[cz.Viewer]:
    array = cz.create_array(MemoryStore(), data=seg, chunks=(16, 32, 64))
    with cz.view(array, voxel_size=SIZE) as viewer:
        yield viewer


def paint(viewer: cz.Viewer, colors: dict[int, tuple[int, int, int]], **options: Any) -> None:
    """Give labels colours, hide nothing, and look at one slice without lines over it."""
    with viewer.txn() as state:
        layer = state.layers["labels"]
        layer.segment_colors = {
            label: "#{:02x}{:02x}{:02x}".format(*color) for label, color in colors.items()
        }
        layer.selected_alpha = layer.not_selected_alpha = 1
        layer.hover_highlight = False
        state.layout = "xy"
        state.show_axis_lines = state.show_scale_bar = state.show_default_annotations = False
        state.cross_section_scale = 1 / ZOOM
        for name, value in options.items():
            setattr(state, name, value)


def seen(driver: Any, centre: tuple[float, float], shape: tuple[int, int]) -> np.ndarray:
    """The colours at the middles of voxels (x, y) of the slice that the page shows; -1: outside the panel."""
    browsers.wait_until_drawn(driver)
    pixels = browsers.screenshot(driver)
    left, top, width, height = browsers.panel(driver)
    out = np.full((*shape, 3), -1)
    for x in range(shape[0]):
        for y in range(shape[1]):
            column = width / 2 + (x + 0.5 - centre[0]) * ZOOM
            row = height / 2 + (y + 0.5 - centre[1]) * ZOOM
            # The panel has buttons at its top.
            if 5 < column < width - 5 and 40 < row < height - 5:
                out[x, y] = pixels[int(top + row), int(left + column)]
    return out


def check(found: np.ndarray, plane: np.ndarray, colors: dict[int, tuple[int, int, int]]) -> None:
    """Every voxel of a plane (x, y) that the panel shows has the colour of its label."""
    for label, color in colors.items():
        there = found[(plane == label) & (found[..., 0] >= 0)]
        assert len(there) > 50
        assert np.abs(there - color).max() <= 2, f"label {label}"
    background = found[(plane == 0) & (found[..., 0] >= 0)]
    assert len(background) > 50
    for color in colors.values():
        assert (np.abs(background - color).max(axis=1) > 100).all()


@pytest.mark.parametrize("z", [10, 18, 25])
def test_slices(driver, viewer, seg, z) -> None:
    """Labels have their colours where the array has them."""
    present = {label: color for label, color in COLORS.items() if (seg[z] == label).any()}
    paint(viewer, COLORS, position=[65, 35, z + 0.5])
    driver.get(viewer.url)
    check(seen(driver, (65, 35), (130, 70)), seg[z].T, present)


def test_coarse_levels(driver, seg) -> None:
    """A page that shows much of a volume shows coarse levels in the right places."""
    large = np.kron(seg, np.ones((1, 8, 8), np.uint32))
    with cz.view(cz.create_array(MemoryStore(), data=large), voxel_size=(1, 1, 40)) as viewer:
        assert len(viewer.server.layer("labels").volume.levels) == 4
        paint(viewer, COLORS, position=[65 * 8, 35 * 8, 10.5], cross_section_scale=8 / ZOOM)
        driver.get(viewer.url)
        found = seen(driver, (65, 35), (130, 70))
        inner = np.zeros_like(found[..., 0], bool)
        inner[1:-1, 1:-1] = True  # at the edges, a pixel shows a neighbour's part, too
        check(found[inner].reshape(128, 68, 3), seg[10].T[1:-1, 1:-1], {7: COLORS[7]})


def test_the_list_of_labels(driver, viewer) -> None:
    """The list beside the slices has all labels."""
    driver.get(viewer.url)
    entries = 'document.querySelectorAll(".neuroglancer-segment-list-entry-id")'
    script = f"return [...{entries}].map(e => e.textContent)"
    browsers.wait(lambda: len(driver.execute_script(script)) >= 3, "three labels in the list")
    assert driver.execute_script(script)[-3:] == ["7", "9", "11"]


def test_a_click_selects(driver, viewer) -> None:
    """A double click on a label selects it, and Python sees it."""
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    paint(viewer, COLORS, position=[40, 20, 10.5])  # within label 7
    driver.get(viewer.url)
    browsers.wait_until_drawn(driver)
    element = driver.find_element(By.CSS_SELECTOR, ".neuroglancer-rendered-data-panel")
    ActionChains(driver).move_to_element_with_offset(element, 12, 10).pause(0.5).double_click().perform()
    browsers.wait(lambda: list(viewer.state.layers["labels"].segments) == [7], "the selected label")


def test_python_changes_the_page(driver, viewer, seg) -> None:
    """An edit of the state moves the page that is open."""
    paint(viewer, COLORS, position=[65, 35, 10.5])
    driver.get(viewer.url)
    browsers.wait_until_drawn(driver)
    with viewer.txn() as state:
        state.position = [65, 35, 25.5]
    browsers.wait(
        lambda: driver.execute_script("return viewer.position.value[2]") == 25.5, "the new position"
    )
    check(seen(driver, (65, 35), (130, 70)), seg[25].T, {9: COLORS[9]})


def test_meshes(driver, viewer) -> None:
    """The mesh of a selected label lies where the label is, seen along z."""
    with viewer.txn() as state:
        layer = state.layers["labels"]
        layer.segment_colors = {7: "#ff0000"}
        layer.segments = [7]
        layer.source = [one for one in layer.source if not one.url.endswith("/skeletons")]
        state.layout = {"type": "3d", "orthographicProjection": True}
        state.show_slices = state.show_axis_lines = state.show_default_annotations = False
        state.show_scale_bar = False
        state.position = [65, 35, 20]
        state.projection_scale = 200
    driver.get(viewer.url)
    browsers.wait_until_drawn(driver)
    left, top, width, height = (int(one) for one in browsers.panel(driver))
    pixels = browsers.screenshot(driver)[top : top + height, left : left + width].astype(int)
    pixels[:80, :40] = 0  # the names of the axes
    rows, columns = np.nonzero((pixels[..., 0] > 60) & (pixels[..., 1] < 40) & (pixels[..., 2] < 40))
    assert len(rows) > 500
    # Label 7 is x 20 to 60, y 10 to 30, and the centre of the panel is (65, 35).
    voxel = (columns.max() + 1 - columns.min()) / 40
    assert voxel == pytest.approx(height / 200, rel=0.1)
    assert (rows.max() + 1 - rows.min()) / 20 == pytest.approx(voxel, rel=0.1)
    assert (columns.min() - width / 2) / voxel == pytest.approx(20 - 65, abs=2)
    assert (rows.min() - height / 2) / voxel == pytest.approx(10 - 35, abs=2)


def test_times(driver, seg) -> None:
    """A volume of several times shows the labels of the time that is chosen."""
    volume = np.stack([np.zeros_like(seg), seg, np.zeros_like(seg)])
    array = cz.create_array(MemoryStore(), data=volume, dimension_names=("t", "z", "y", "x"))
    with cz.view(array, voxel_size=SIZE) as viewer:
        paint(viewer, COLORS)
        with viewer.txn() as state:
            state.position = [65, 35, 10.5, 1]
        driver.get(viewer.url)
        found = seen(driver, (65, 35), (130, 70))
        check(found, seg[10].T, {7: COLORS[7]})
        assert driver.execute_script("return viewer.coordinateSpace.value.names")[-1] == "t"
        driver.execute_script(
            "const p = viewer.position; p.value = Float32Array.from([65, 35, 10.5, 2]); p.changed.dispatch()"
        )
        browsers.wait(lambda: (seen(driver, (65, 35), (130, 70))[40, 20] != COLORS[7]).any(), "another time")


def test_errors_are_shown(driver, tmp_path, seg) -> None:
    """A damaged chunk is told in the page."""
    array = cz.create_array(tmp_path / "seg.zarr", data=seg, chunks=(16, 32, 64))
    for chunk in (tmp_path / "seg.zarr" / "c" / "0").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"damaged")
    with cz.view(array) as viewer:
        with viewer.txn() as state:
            state.layout = "xy"
            state.position = [65, 35, 10.5]
        driver.get(viewer.url)
        browsers.wait(
            lambda: "FormatError" in driver.execute_script("return document.body.innerText"), "the error"
        )
