"""``view``: opens Neuroglancer on labels, and returns an object to steer the page with."""

from __future__ import annotations

import math
import os
import webbrowser
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .._base.integers import integer
from ..errors import MissingLabelError
from ..stored.engine import Progress
from . import meshes as mesh_files
from . import skeletons as skeleton_files
from .cache import TileCache
from .layers import LabelLayer, Layer
from .objects import point_in, shown_label
from .sources import Axes, open_image, open_labels
from .volume import Volume

if TYPE_CHECKING:
    from .page import Place
    from .server import Server

# Arrays of other codecs are decoded for a list of their labels: up to this many voxels.
_MOST_LISTED = 2**29
# The voxels of the mask in which the middle of a label is looked for.
_MOST_MIDDLE = 2**18

DEFAULT_CACHE = 2**27


def view(
    source: Any,
    *,
    image: Any = None,
    label: int | None = None,
    segments: Iterable[int] = (),
    meshes: bool | str | os.PathLike[str] | Mapping[int, Any] = True,
    skeletons: bool | str | os.PathLike[str] | Mapping[int, Any] = True,
    voxel_size: Sequence[float] | None = None,
    npy_axes: Axes = "xyz",
    storage_options: dict[str, Any] | None = None,
    cache: int = DEFAULT_CACHE,
    bind: str = "127.0.0.1",
    port: int = 0,
    browser: bool = False,
    progress: Progress = False,
) -> Viewer:
    """Show labels in Neuroglancer, served from this process until the viewer is closed.

    Slices are read and decoded as the page asks for them. The list of labels comes from label tables; the
    mesh and the skeleton of a label are made when it is selected.

    Args:
        source: a Zarr array or a group of OME-Zarr, by path, URL or object; a view of
            :func:`~crackle_zarr.lazy_remap`; a file: ``.ckl``, ``.npy``, NRRD, NIfTI, TIFF, HDF5
            (``vol.h5:/labels``); a stream or :class:`~crackle_zarr.CrackleArray`; or an array of NumPy, whose
            last axis is x in C order, and whose first axis is x in Fortran order. Volumes of files, streams
            and NumPy are stored as Crackle in memory first.
        image: an image to show behind the labels, of the same kinds. None: the image that an OME-Zarr label
            image names, if there is one; False: none.
        label: a label to select, and to centre.
        segments: further labels to select.
        meshes: True makes those of selected labels; or a folder that :func:`~crackle_zarr.mesh` wrote, or the
            dict that it returns, in the unit of the voxel size, where labels without a mesh get one; or a
            folder or URL in Neuroglancer's format. False: none.
        skeletons: True traces those of selected labels; or a folder or URL in Neuroglancer's format, a
            Parquet file, a folder of SWC files, or the dict that ``skeletonize`` returns, in the unit of the
            voxel size. False: none.
        voxel_size: along x, y and z, in nanometres; None: what the metadata say, or 1.
        npy_axes: the axes of a ``.npy`` file.
        storage_options: for the store of a URL.
        cache: the most bytes of decoded voxels to keep.
        bind: the address to listen on. Others than 127.0.0.1 let other machines in, which then need the token
            in the URL.
        port: 0 takes a free one.
        browser: open the page in the browser.
        progress: for the conversion of a file: True shows a bar on stderr.

    Returns:
        A :class:`Viewer`, which has the URL of the page.

    Raises:
        ImportError: the package neuroglancer is not installed.
        FileNotFoundError: there is no such file.
        TypeError: the voxels are not integers or bool.
        ValueError: the source holds no volume, or an argument is outside its range.
        MissingLabelError: the array does not have ``label``.
        OSError: the address or the port cannot be had.

    Arrays with more than three axes that are longer than 1 are shown without meshes and skeletons. Signed
    labels appear as the unsigned integers of the same bits; the list of labels has their names.
    """
    _require()
    size = _checked_size(voxel_size)
    if integer("cache", cache) < 0:
        raise ValueError(f"cache is a number of bytes, not {cache}")
    tiles = TileCache(cache)
    opened = open_labels(source, storage_options=storage_options, npy_axes=npy_axes, progress=progress)
    volume = Volume(opened, tiles, is_labels=True, voxel_size=size)
    found = _skeletons(skeletons, volume)
    surfaces = _meshes(meshes, volume)
    shown = LabelLayer(
        volume,
        has_meshes=callable(surfaces) or surfaces is True,
        mesh_of=surfaces if callable(surfaces) else None,
        skeleton_of=found if callable(found) or found is True else False,
    )
    places = {
        kind: one for kind, one in (("meshes", surfaces), ("skeletons", found)) if isinstance(one, Path | str)
    }
    layers: dict[str, Layer] = {}
    behind = opened.image if image is None else image
    if behind is not None and behind is not False:
        shown_image = _image(behind, volume, tiles, storage_options, npy_axes)
        layers["image"] = Layer(shown_image, _shift(shown_image, volume))
    layers["labels"] = shown
    selected = [shown_label(volume, integer("a segment", one)) for one in segments]
    place = None
    if label is not None:
        place = _middle(shown, integer("label", label))
        selected.insert(0, shown_label(volume, label))
    viewer = Viewer(layers, places, bind, port)
    viewer._show(selected, place, _is_listed(shown))
    if browser:
        webbrowser.open(viewer.url)
    return viewer


class Viewer:
    """A page of Neuroglancer that this process serves.

    In a notebook it shows the page. As a context manager it closes the server at the end.

    Attributes:
        url: the address of the page; it has a token that keeps others out.
    """

    def __init__(
        self, layers: Mapping[str, Layer], places: Mapping[str, Path | str], bind: str, port: int
    ) -> None:
        """Start the server; :func:`view` calls this.

        Args:
            layers: what to show, the lowest first; the labels are called "labels".
            places: folders or URLs with "meshes" and "skeletons".
            bind: the address to listen on.
            port: 0 takes a free one.
        """
        from neuroglancer.viewer_base import ViewerBase

        from .server import Server

        self._layers = dict(layers)
        # Pages may not ask for the credentials that this machine has for Google's services and others.
        self._neuroglancer: Any = ViewerBase(allow_credentials=False)
        token: str = self._neuroglancer.token
        self.server: Server = Server(bind, port, token, self._tell)
        self.server.neuroglancer.viewers[token] = self._neuroglancer
        for name, layer in self._layers.items():
            self.server.add(name, layer)
        self._places = {
            kind: self.server.add_folder(f"labels/{kind}", os.fspath(one)) if isinstance(one, Path) else one
            for kind, one in places.items()
        }
        self.url: str = f"{self.server.origin}/v/{token}/"
        self._is_closed = False

    def _show(self, selected: list[int], place: Place | None, is_listed: bool) -> None:
        from . import page

        self.state = page.state(self.server, self._layers, self._places, selected, place, is_listed)

    @property
    def state(self) -> Any:
        """The state of the page, a ``neuroglancer.ViewerState``; assign to it, or see :meth:`txn`."""
        return self._neuroglancer.state

    @state.setter
    def state(self, state: Any) -> None:
        self._neuroglancer.set_state(state)

    def txn(self) -> AbstractContextManager[Any]:
        """Edit the state: ``with viewer.txn() as state: state.layers["labels"].segments = [42]``.

        The page changes when the block ends, and ``state`` has what the user did in the page.
        """
        transaction: AbstractContextManager[Any] = self._neuroglancer.txn()
        return transaction

    @property
    def neuroglancer(self) -> Any:
        """The ``neuroglancer.viewer_base.ViewerBase``, which can do more: key bindings, screenshots."""
        return self._neuroglancer

    def close(self) -> None:
        """Stop the server: the page can no longer ask for anything. A second call does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self.server.close()

    def __enter__(self) -> Self:
        """The viewer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        """The address, or that it is closed."""
        return f"<Viewer {'closed' if self._is_closed else self.url}>"

    def _repr_html_(self) -> str:
        """The page in a frame, and a link to it."""
        if self._is_closed:
            return "<p>The viewer is closed.</p>"
        return (
            f'<iframe src="{self.url}" width="100%" height="600" style="border: 0"></iframe>'
            f'<p><a href="{self.url}" target="_blank">Open in a window</a></p>'
        )

    def _tell(self, text: str) -> None:
        """Show a line in the page."""

        def show(config: Any) -> None:
            config.status_messages["crackle-zarr"] = text

        self._neuroglancer.config_state.retry_txn(show)


# ---------------------------------------------------------------------------------------
# Arguments


def _require() -> None:
    try:
        import neuroglancer  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "the viewer needs the package neuroglancer: pip install 'crackle-zarr[view]'"
        ) from error


def _checked_size(voxel_size: Sequence[float] | None) -> tuple[float, ...] | None:
    if voxel_size is None:
        return None
    size = tuple(map(float, voxel_size))
    if len(size) != 3 or not all(math.isfinite(edge) and edge > 0 for edge in size):
        raise ValueError(
            f"voxel_size is three positive numbers, of nanometres along x, y and z, not {voxel_size}"
        )
    return size


def _image(
    image: Any,
    labels: Volume,
    cache: TileCache,
    storage_options: dict[str, Any] | None,
    npy_axes: Axes,
) -> Volume:
    """The image; without a voxel size of its own, it covers the same space as the labels."""
    opened = open_image(image, storage_options=storage_options, npy_axes=npy_axes)
    found = Volume(opened, cache, is_labels=False)
    if found.space_known:
        return found
    x, y, z = (
        edge * ours / theirs
        for edge, ours, theirs in zip(labels.voxel_size, labels.shape, found.shape, strict=True)
    )
    return Volume(opened, cache, is_labels=False, voxel_size=(x, y, z))


def _shift(image: Volume, labels: Volume) -> tuple[float, ...]:
    """From the first voxel of the labels to that of the image in nanometres; 0 if either is unknown."""
    here, there = labels.first_voxel, image.first_voxel
    if here is None or there is None:
        return (0.0, 0.0, 0.0)
    # Rounded: places in the metadata are sums and products of other numbers.
    return tuple(round(a - b, 6) for a, b in zip(there, here, strict=True))


def _meshes(given: Any, volume: Volume) -> bool | Callable[[int], bytes | None] | Path | str:
    """Whether to make meshes, or where they are."""
    if isinstance(given, bool):
        return given
    if isinstance(given, Mapping):
        # They count from where the metadata say, or from the centre of the first voxel.
        corner = volume.first_voxel or [-edge / 2 for edge in volume.voxel_size]
        return mesh_files.of_meshes(given, [-place for place in corner], _nanometres(volume))
    return mesh_files.opened(given, volume.voxel_size)


def _nanometres(volume: Volume) -> float:
    """How many nanometres the unit of the voxel size has; 1 if it is unknown."""
    space = volume.source.spaces[0]
    in_unit, in_nanometres = space.voxel_size, space.size_in("nanometer")
    return in_nanometres[-1] / in_unit[-1] if in_unit and in_nanometres else 1.0


def _skeletons(given: Any, volume: Volume) -> bool | Callable[[int], bytes | None] | Path | str:
    """Whether to trace skeletons, or where they are."""
    if isinstance(given, bool):
        return given
    # Tables and dicts are in the unit of the voxel size, and count from the centre of the first voxel.
    scale = _nanometres(volume)
    shift = [edge / 2 for edge in volume.voxel_size]
    if isinstance(given, Mapping):
        return skeleton_files.of_skeletons(given, shift, scale)
    return skeleton_files.opened(given, shift, scale)


def _middle(layer: LabelLayer, label: int) -> Place:
    """A point of a label near its middle, and the edges of its bounding box.

    Raises:
        MissingLabelError: the array does not have it.
    """
    from .page import Place

    if layer.volume.others:
        return Place(tuple(n / 2 for n in layer.volume.shape), None)
    mask = layer.mask(label, _MOST_MIDDLE)
    if mask is None:
        raise MissingLabelError(f"there is no label {label}")
    extent = tuple(
        n * by * edge
        for n, by, edge in zip(mask.voxels.shape, mask.stride, layer.volume.voxel_size, strict=True)
    )
    return Place(point_in(mask), extent)


def _is_listed(layer: LabelLayer) -> bool:
    """Whether the page lists the labels: those of a large array of another codec would take too long."""
    return layer.layout.chain is not None or math.prod(layer.layout.shape) <= _MOST_LISTED
