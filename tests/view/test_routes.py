"""What the server answers: info, chunks, lists, meshes and skeletons; tokens, errors and busy times."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from view_cases import Client, blocks, enclosed, mesh_of, status
from zarr.storage import MemoryStore

import crackle_zarr as cz
from crackle_zarr.skeletons import Skeleton
from crackle_zarr.synthetic import neurons

pytest.importorskip("neuroglancer", reason="the viewer needs neuroglancer")

SIZE = {"voxel_size": [40.0, 8.0, 8.0], "voxel_unit": "nanometer"}


@pytest.fixture(scope="module")
def seg() -> np.ndarray:
    return blocks()


@pytest.fixture(scope="module")
def viewer(seg) -> Iterator[cz.Viewer]:
    """A viewer of the blocks, with voxels of 8 x 8 x 40 nm."""
    array = cz.create_array(MemoryStore(), data=seg, chunks=(16, 32, 64), attributes=SIZE)
    with cz.view(array) as viewer:
        yield viewer


@pytest.fixture(scope="module")
def client(viewer) -> Client:
    return Client(viewer)


def test_info(client) -> None:
    """The info has the size, voxel size, type and levels of the array."""
    info = client.json("/volume/info")
    assert info["@type"] == "neuroglancer_multiscale_volume"
    assert (info["type"], info["data_type"], info["num_channels"]) == ("segmentation", "uint32", 1)
    first = info["scales"][0]
    assert (first["size"], first["resolution"], first["voxel_offset"]) == (
        [130, 70, 40],
        [8, 8, 40],
        [0, 0, 0],
    )
    assert [scale["size"] for scale in info["scales"]] == [[130, 70, 40], [65, 35, 40]]
    assert [scale["resolution"] for scale in info["scales"]] == [[8, 8, 40], [16, 16, 40]]
    assert {scale["encoding"] for scale in info["scales"]} == {"raw"}


def test_chunks_equal_the_voxels(seg, client) -> None:
    """The chunks of every level have the voxels of the level."""
    info = client.json("/volume/info")
    expected = np.asfortranarray(seg.T)
    assert np.array_equal(client.level(info, 0), expected)
    pooled = cz.decompress(cz.mode_pooling(cz.compress(expected), (2, 2, 1)))
    assert np.array_equal(client.level(info, 1), pooled)


def test_compression_is_only_for_those_that_ask(client) -> None:
    """A browser gets gzip, and a program that does not ask for it gets bytes as they are."""
    path = client.base + "/volume/0/0-64_0-64_0-40"
    for headers, encoding in (({}, None), ({"Accept-Encoding": "gzip"}, "gzip")):
        with urllib.request.urlopen(urllib.request.Request(path, headers=headers)) as answer:
            assert answer.headers.get("Content-Encoding") == encoding
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
    plain, compressed = (
        client.get("/volume/0/0-64_0-64_0-40"),
        client.get("/volume/0/0-64_0-64_0-40", **{"Accept-Encoding": "gzip"}),
    )
    assert plain == compressed


@pytest.mark.parametrize(
    "path",
    [
        "/volume/9/0-64_0-64_0-40",
        "/volume/0/0-64_0-64_0-41",
        "/volume/0/1-65_0-64_0-40",
        "/volume/0/192-256_0-64_0-40",
        "/volume/0/64-0_0-64_0-40",
        "/zarr/.zattrs",
        "/mesh/8",
        "/mesh/99999999999999999999",
        "/skeletons/8",
    ],
)
def test_absent(client, path) -> None:
    """What does not exist is not found."""
    assert client.status(path) == (404, "Not found")


def test_the_token_is_needed(viewer, client) -> None:
    """Requests with another token get neither data nor the page."""
    token = viewer.url.rstrip("/").rpartition("/")[2]
    assert len(token) == 40
    for url in (client.base + "/volume/info", viewer.url):
        assert status(url)[0] == 200
        assert status(url.replace(token, token[::-1]))[0] == 404
    assert viewer.url.startswith("http://127.0.0.1:")


def test_the_page_cannot_have_credentials(viewer) -> None:
    """The server gives nobody the credentials of the machine."""
    url = viewer.url.replace("/v/", "/credentials/").rstrip("/")
    assert status(url, b'{"key": "google"}')[0] == 403


def test_the_list_of_labels_is_complete(client) -> None:
    """All labels but 0 are listed."""
    properties = client.json("/properties/info")
    assert properties == {
        "@type": "neuroglancer_segment_properties",
        "inline": {"ids": ["7", "9", "11"], "properties": []},
    }


def test_meshes_lie_in_their_boxes(client) -> None:
    """A mesh has the place, the size and the volume of its label, in nanometres, and turns outwards."""
    assert client.json("/mesh/info") == {"@type": "neuroglancer_legacy_mesh"}
    assert client.json("/mesh/7:0") == {"fragments": ["7"]}
    for label, low, high in ((7, (20, 10, 5), (60, 30, 15)), (9, (70, 40, 20), (120, 60, 30))):
        vertices, triangles = mesh_of(client.get(f"/mesh/{label}"))
        size = np.array([8, 8, 40])
        # Neuroglancer's generator cuts corners, by half a voxel at most.
        assert np.abs(vertices.min(axis=0) / size - low).max() <= 0.51
        assert np.abs(vertices.max(axis=0) / size - high).max() <= 0.51
        expected = np.prod((np.array(high) - low) * size)
        assert enclosed(vertices, triangles) == pytest.approx(expected, rel=0.1)


def test_skeletons(client) -> None:
    """The skeleton of a bar runs along its middle, in nanometres, with the radius as its attribute."""
    info = client.json("/skeletons/info")
    assert info["vertex_attributes"] == [{"id": "radius", "data_type": "float32", "num_components": 1}]
    one = Skeleton.from_precomputed(client.get("/skeletons/7"), 7, info["vertex_attributes"])
    low, high = np.array([20, 10, 5]) * [8, 8, 40], np.array([60, 30, 15]) * [8, 8, 40]
    assert ((one.vertices > low) & (one.vertices < high)).all()
    middle = (low + high) / 2
    nearest = np.linalg.norm(one.vertices - middle, axis=1).min()
    assert nearest < 100
    assert 60 <= one.radius.max() <= 100  # half of 20 voxels of 8 nm
    assert len(one.edges) == len(one.vertices) - 1


def test_signed_labels_keep_their_names() -> None:
    """Negative labels appear as unsigned integers of the same bits, under their own names."""
    labels = np.zeros((4, 20, 20), np.int32)
    labels[:, 5:10, 5:10], labels[:, 12:18, 12:18] = -5, 3
    with cz.view(cz.create_array(MemoryStore(), data=labels)) as viewer:
        client = Client(viewer)
        inline = client.json("/properties/info")["inline"]
        assert inline["ids"] == ["3", str(2**32 - 5)]
        assert inline["properties"] == [{"id": "label", "type": "label", "values": ["", "-5"]}]
        vertices, _ = mesh_of(client.get(f"/mesh/{2**32 - 5}"))
        assert vertices[:, :2].min() >= 4.5
        assert vertices[:, :2].max() <= 10.5
        assert client.status("/mesh/5")[0] == 404


def test_further_axes_are_ome_zarr() -> None:
    """A volume with times is served as OME-Zarr, without meshes."""
    labels = np.random.default_rng(1).integers(0, 9, (3, 5, 70, 90), dtype=np.int16)
    array = cz.create_array(
        MemoryStore(),
        data=labels,
        dimension_names=("t", "z", "y", "x"),
        attributes={"voxel_size": [1, 4, 2, 2]},
    )
    with cz.view(array) as viewer:
        client = Client(viewer)
        assert client.status("/volume/info")[0] == client.status("/mesh/info")[0] == 404
        store = {".zgroup": client.get("/zarr/.zgroup"), ".zattrs": client.get("/zarr/.zattrs")}
        store["0/.zarray"] = client.get("/zarr/0/.zarray")
        for t in range(3):
            for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
                store[f"0/{t}/0/{y}/{x}"] = client.get(f"/zarr/0/{t}/0/{y}/{x}")
        assert client.status("/zarr/0/3/0/0/0")[0] == client.status("/zarr/0/0/0/2/0")[0] == 404
        source = viewer.state.layers["labels"].layer.source
        assert [one.url.partition("://")[0] for one in source] == ["zarr", "precomputed"]
    buffers = {key: cz._base.zarr_facts.buffer_of(value) for key, value in store.items()}
    group = zarr.open_group(MemoryStore(buffers), mode="r")
    assert np.array_equal(group["0"][...], labels.view(np.uint16))
    multiscales = group.attrs["multiscales"][0]
    assert [axis["name"] for axis in multiscales["axes"]] == ["t", "z", "y", "x"]
    steps = multiscales["datasets"][0]["coordinateTransformations"]
    assert [step[step["type"]] for step in steps] == [[1, 4, 2, 2], [0, 2, 1, 1]]


def test_meshes_are_bounded_and_slices_go_on(viewer, client, monkeypatch) -> None:
    """Two meshes work at once; further ones are told to come back; voxels are served in the meantime."""
    layer = viewer.server.layer("labels")
    go_on, begun = threading.Event(), threading.Semaphore(0)

    def slow(shown: int) -> bytes:
        begun.release()
        assert go_on.wait(120)
        return b"mesh"

    monkeypatch.setattr(layer, "mesh", slow)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(client.status, f"/mesh/{label}") for label in (7, 9)]
        for _ in waiting:
            assert begun.acquire(timeout=120)
        assert client.status("/mesh/11") == (503, "Busy, ask again")
        assert client.status("/volume/0/0-64_0-64_0-40")[0] == 200
        assert client.status("/mesh/info")[0] == 200
        go_on.set()
        assert [one.result(120)[0] for one in waiting] == [200, 200]
    assert viewer.server.meshes.peak == 2
    assert client.status("/mesh/11")[0] == 200


def test_failures_are_told(tmp_path, seg, capfd) -> None:
    """A damaged chunk is a line on stderr, the status of the request, and a message in the page."""
    array = cz.create_array(tmp_path / "seg.zarr", data=seg, chunks=(16, 32, 64))
    chunk = tmp_path / "seg.zarr" / "c" / "0" / "0" / "0"
    data = bytearray(chunk.read_bytes())
    data[-3] ^= 255
    chunk.write_bytes(data)
    with cz.view(array, meshes=False, skeletons=False) as viewer:
        client = Client(viewer)
        code, reason = client.status("/volume/0/0-64_0-64_0-40")
        assert code == 500
        assert reason.startswith("FormatError: ")
        assert client.status("/volume/0/0-64_0-64_0-40") == (code, reason)
        assert client.status("/volume/0/64-128_0-64_0-40")[0] == 200
        shown = viewer.neuroglancer.config_state.state.status_messages["crackle-zarr"]
        assert shown == reason
    assert capfd.readouterr().err == f"crackle-zarr: {reason}\n"


@pytest.mark.parametrize("origin", [None, [4.0, 2.0, 1.0]])
@pytest.mark.parametrize("kind", ["dict", "precomputed", "ply"])
def test_meshes_of_others(tmp_path, seg, kind, origin) -> None:
    """Meshes of folders and dicts lie where those of the page do; labels without one get one."""
    pytest.importorskip("zmesh")
    pytest.importorskip("trimesh")
    attributes = {"voxel_size": [0.04, 0.008, 0.008], "voxel_unit": "micrometer"}
    if origin is not None:
        attributes["voxel_origin"] = origin
    array = cz.create_array(MemoryStore(), data=seg, attributes=attributes)
    given = cz.mesh(array, [7]) if kind == "dict" else tmp_path / "meshes"
    if kind != "dict":
        cz.mesh(array, [7], given, format=kind)
    with cz.view(array, meshes=given) as viewer:
        ours = Client(viewer)
        data = ours.get("/mesh/7")
        others = ours.get("/mesh/9")
    with cz.view(array) as viewer:
        made = Client(viewer)
        expected, _ = mesh_of(made.get("/mesh/7"))
        assert others == made.get("/mesh/9")
    vertices, triangles = mesh_of(data)
    assert len(triangles) == len(cz.mesh(array, [7])[7].faces)
    assert np.allclose(vertices.min(axis=0), expected.min(axis=0), atol=0.01)
    assert np.allclose(vertices.max(axis=0), expected.max(axis=0), atol=0.01)


def test_meshes_of_a_folder(tmp_path, seg) -> None:
    """A folder of Neuroglancer's format is served as it is, beside skeletons; others are refused."""
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "info").write_text('{"@type": "neuroglancer_multilod_draco"}')
    made = Skeleton(np.zeros((2, 3)), [[0, 1]], radii=[1, 2], segid=7)
    cz.skeletons.write_folder(tmp_path / "skeletons", [made])
    with cz.view(seg, meshes=tmp_path / "meshes", skeletons=tmp_path / "skeletons") as viewer:
        found = []
        for source in viewer.state.layers["labels"].layer.source[-2:]:
            with urllib.request.urlopen(source.url.removeprefix("precomputed://") + "info") as answer:
                found.append(json.load(answer)["@type"])
        assert found == ["neuroglancer_multilod_draco", "neuroglancer_skeletons"]
    with pytest.raises(ValueError, match="meshes are a folder of 'crackle-zarr mesh', or one in"):
        cz.view(seg, meshes=tmp_path)
    with pytest.raises(FileNotFoundError):
        cz.view(seg, meshes=tmp_path / "missing")


def test_skeletons_of_a_folder(tmp_path, seg) -> None:
    """Skeletons of Neuroglancer's format are served as they are, with ranges of bytes."""
    made = Skeleton(np.zeros((2, 3)), [[0, 1]], radii=[1, 2], segid=7)
    cz.skeletons.write_folder(tmp_path / "skeletons", [made])
    with cz.view(seg, skeletons=tmp_path / "skeletons") as viewer:
        urls = [one.url for one in viewer.state.layers["labels"].layer.source]
        url = urls[-1].removeprefix("precomputed://")
        with urllib.request.urlopen(url + "info") as answer:
            assert json.load(answer)["@type"] == "neuroglancer_skeletons"
        request = urllib.request.Request(url + "7", headers={"Range": "bytes=0-3"})
        with urllib.request.urlopen(request) as answer:
            assert (answer.status, answer.read()) == (206, (2).to_bytes(4, "little"))
        for path in ("8", "../secret", "%2e%2e/secret"):
            (tmp_path / "secret").write_text("secret")
            assert status(url + path)[0] in (403, 404)


@pytest.mark.parametrize("kind", ["dict", "parquet", "swc"])
def test_skeletons_of_others(tmp_path, seg, kind) -> None:
    """Skeletons of tables, SWC files and dicts are in the unit of the voxel size."""
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    array = cz.create_array(
        MemoryStore(), data=seg, attributes={"voxel_size": [0.04, 0.01, 0.01], "voxel_unit": "micrometer"}
    )
    made = Skeleton([[0, 0, 0], [1, 2, 3]], [[0, 1]], radii=[1, 2], segid=7, space="physical")
    places = {"dict": {7: made}, "parquet": tmp_path / "all.parquet", "swc": tmp_path}
    if kind == "parquet":
        cz.skeletons.to_parquet([made], places[kind])
    elif kind == "swc":
        made.save(tmp_path / "7.swc")
    with cz.view(array, skeletons=places[kind]) as viewer:
        client = Client(viewer)
        one = Skeleton.from_precomputed(
            client.get("/skeletons/7"), 7, client.json("/skeletons/info")["vertex_attributes"]
        )
        assert client.status("/skeletons/9")[0] == 404
    assert sorted(one.vertices.tolist()) == [[5, 5, 20], [1005, 2005, 3020]]
    assert sorted(one.radius.tolist()) == [1000, 2000]


def test_an_image_lies_where_its_origin_says(seg) -> None:
    """An image has a layer of its own below the labels, moved by the difference of the origins."""
    labels = cz.create_array(MemoryStore(), data=seg, attributes={**SIZE, "voxel_origin": [20, 4, 4]})
    image = zarr.create_array(
        MemoryStore(),
        data=np.random.default_rng(0).integers(100, 200, (20, 35, 65)).astype(np.uint8),
        attributes={"voxel_size": [80, 16, 16], "voxel_unit": "nanometer", "voxel_origin": [200, 8, 8]},
    )
    with cz.view(labels, image=image) as viewer:
        client = Client(viewer, "image")
        info = client.json("/volume/info")
        assert (info["type"], info["scales"][0]["resolution"]) == ("image", [16, 16, 80])
        assert np.array_equal(client.level(info, 0), image[...].T)
        layers = viewer.state.layers
        assert [layer.name for layer in layers] == ["image", "labels"]
        matrix = layers["image"].layer.source[0].transform.matrix
        assert matrix[:, 3].tolist() == [0, 0, 2]  # 160 nm
        low, high = layers["image"].layer.shader_controls["normalized"].range
        assert 100 <= low < high < 200


def test_a_label_is_selected_and_centred(seg) -> None:
    """The page opens within the label."""
    with cz.view(seg, label=9, segments=[7], voxel_size=(8, 8, 40)) as viewer:
        state = viewer.state
        x, y, z = (int(one) for one in state.position)
        assert seg[z, y, x] == 9
        assert sorted(state.layers["labels"].segments) == [7, 9]
        assert state.dimensions.scales.tolist() == pytest.approx([8e-9, 8e-9, 40e-9])
    with pytest.raises(cz.MissingLabelError, match="8"):
        cz.view(seg, label=8)


def test_the_state_can_be_edited(viewer) -> None:
    """Changes of the state are kept."""
    with viewer.txn() as state:
        state.layers["labels"].segments = [11]
        state.layout = "3d"
    assert list(viewer.state.layers["labels"].segments) == [11]
    assert viewer.state.to_json()["layout"] == "3d"
    assert viewer.url in viewer._repr_html_()


def test_close(seg) -> None:
    """A closed viewer answers no more; a second call does nothing."""
    viewer = cz.view(seg)
    url = viewer.url
    assert status(url)[0] == 200
    viewer.close()
    viewer.close()
    with pytest.raises(OSError, match=r"refused|reset|Connection"):
        urllib.request.urlopen(url, timeout=10)
    assert repr(viewer) == "<Viewer closed>"
    assert url not in viewer._repr_html_()


def test_two_viewers_at_once(seg) -> None:
    """Viewers do not share ports or tokens."""
    with cz.view(seg) as one, cz.view(seg + 1) as other:
        assert one.url != other.url
        assert Client(one).json("/properties/info")["inline"]["ids"] == ["7", "9", "11"]
        assert Client(other).json("/properties/info")["inline"]["ids"] == ["1", "8", "10", "12"]
        with pytest.raises(OSError, match="port 0 takes a free one"):
            cz.view(seg, port=one.server.port)


def test_arrays_of_other_codecs(seg) -> None:
    """Arrays that are not stored with Crackle are shown, too."""
    array = zarr.create_array(MemoryStore(), data=seg, chunks=(16, 32, 64))
    with pytest.warns(cz.CrackleWarning, match="not stored with Crackle"):
        viewer = cz.view(array)
    with viewer:
        client = Client(viewer)
        assert np.array_equal(client.level(client.json("/volume/info"), 0), seg.T)
        assert client.json("/properties/info")["inline"]["ids"] == ["7", "9", "11"]
        assert len(client.get("/mesh/7")) > 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"voxel_size": (1, 2)}, "voxel_size is three positive numbers"),
        ({"voxel_size": (1, 2, 0)}, "voxel_size is three positive numbers"),
        ({"cache": -1}, "cache is a number of bytes"),
        ({"port": 70000}, "a port is 0 to 65535"),
        ({"skeletons": Path(__file__)}, "skeletons are a folder"),
    ],
)
def test_bad_arguments(seg, options, message) -> None:
    """Errors say what was given and what is expected."""
    with pytest.raises(ValueError, match=message):
        cz.view(seg, **options)


def test_a_crowd_of_small_objects(tmp_path) -> None:
    """Every label of a crowded volume has a mesh within its box."""
    seg = neurons((24, 60, 60), seed=2)
    array = cz.create_array(MemoryStore(), data=seg, chunks=(8, 20, 20))
    boxes = cz.bounding_boxes(array)
    with cz.view(array) as viewer:
        client = Client(viewer)
        ids = client.json("/properties/info")["inline"]["ids"]
        assert sorted(map(int, ids)) == sorted(label for label in boxes if label)
        for label in list(map(int, ids))[:10]:
            vertices, _ = mesh_of(client.get(f"/mesh/{label}"))
            low = np.array([one.start for one in boxes[label]][::-1]) - 0.01
            high = np.array([one.stop for one in boxes[label]][::-1]) + 0.01
            assert (vertices >= low).all()
            assert (vertices <= high).all()
