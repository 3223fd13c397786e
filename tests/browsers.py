"""A real browser for tests and pictures: Debian's chromium and chromium-driver, through selenium."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

# WebGL without a graphics card, and no requests to anywhere but the viewer.
_FLAGS = (
    "--headless=new --no-sandbox --use-angle=swiftshader --enable-unsafe-swiftshader --ignore-gpu-blocklist "
    "--disable-background-networking --disable-component-update --disable-sync --hide-scrollbars "
    "--disable-dev-shm-usage --force-device-scale-factor=1"
)
# How long to wait for what a busy machine may take its time for.
PATIENCE = 120


def missing() -> str | None:
    """What there is not, as a reason to skip; None: all is there."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed"
    for names in (("chromium", "chromium-browser", "google-chrome"), ("chromedriver",)):
        if not any(map(shutil.which, names)):
            return f"there is no {names[0]}: apt-get install chromium chromium-driver"
    return None


@contextmanager
def browser(width: int = 1000, height: int = 800) -> Iterator[Any]:
    """A driver of a browser without a window on the screen."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    names = ("chromium", "chromium-browser", "google-chrome")
    options.binary_location = next(path for path in map(shutil.which, names) if path)
    for flag in (*_FLAGS.split(), f"--window-size={width},{height}"):
        options.add_argument(flag)
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


def wait(condition: Callable[[], Any], what: str) -> Any:
    """Wait until a condition is true, and return it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"in {PATIENCE} s there was no sign of {what}")


def wait_until_drawn(driver: Any) -> None:
    """Wait until the page has drawn all: twice, because a new state takes a moment to arrive."""
    for _ in range(2):
        wait(lambda: driver.execute_script("return !!window.viewer && viewer.isReady()"), "a drawn page")
        time.sleep(0.3)


def screenshot(driver: Any) -> np.ndarray:
    """The pixels of the page: (row, column, red green blue)."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB"))


def panel(driver: Any) -> tuple[float, float, float, float]:
    """The first panel of slices or meshes: left, top, width and height in pixels."""
    script = """
        const box = document.querySelector(".neuroglancer-rendered-data-panel").getBoundingClientRect();
        return [box.left, box.top, box.width, box.height];
    """
    left, top, width, height = driver.execute_script(script)
    return left, top, width, height
