"""Answers compared with crackle-codec's own, and streams of each package read by the other."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from drop_in import OPERATORS, a_label, made, plain, same
from drop_in_peer import COMPARED, THEIR_LABELS, WRONG_OF_MODELS, WRONG_OF_PINS, rounded, some_places

import crackle_zarr as crackle


class TestCrackleCodec:
    """Answers of crackle-codec that are right: unsigned labels, format version 1, no renamed labels."""

    @pytest.mark.parametrize(
        ("options", "question"),
        [
            # Order 0 is crackle-codec's default; this package's is order 3.
            *(({"markov_model_order": 0}, question) for question in COMPARED),
            *(
                ({"markov_model_order": 3}, question)
                for question in COMPARED
                if question not in WRONG_OF_MODELS
            ),
            *(
                ({"allow_pins": 1, "markov_model_order": 0}, question)
                for question in COMPARED
                if question not in WRONG_OF_PINS
            ),
        ],
        ids=str,
    )
    @pytest.mark.filterwarnings(THEIR_LABELS)
    def test_answer(self, options: Any, question: str) -> None:
        """Every question has the same answer in both packages, for streams of either."""
        theirs = pytest.importorskip("crackle")
        for package in ("scipy", "pyarrow"):
            pytest.importorskip(package)
        ask = COMPARED[question]
        for name, maker in itertools.product(("balls", "cells and background"), (crackle, theirs)):
            # Even sides: the pooled blocks at odd sides are known to differ.
            volume = np.asfortranarray(made(name)[:18, :16])
            binary = maker.compress(volume, **options)
            got = plain(ask(crackle, binary, volume), crackle.decompress)
            expected = plain(ask(theirs, bytes(bytearray(binary)), volume), theirs.decompress)
            assert rounded(got) == rounded(expected), name

    @pytest.mark.parametrize("name", ["balls", "cells", "cells and background"])
    def test_point_cloud(self, name: str) -> None:
        """Our points are among crackle-codec's, which repeats some and adds inner voxels."""
        theirs = pytest.importorskip("crackle")
        binary = crackle.compress(made(name))
        got, expected = crackle.point_cloud(binary), theirs.point_cloud(binary)
        assert got.keys() == expected.keys()
        for label, points in got.items():
            assert points.dtype == expected[label].dtype
            assert set(map(tuple, points.tolist())) <= set(map(tuple, expected[label].tolist()))

    @pytest.mark.parametrize("name", ["balls", "cells", "cells and background", "rings"])
    def test_signed_distance(self, name: str) -> None:
        """Signs are equal, and distances outside of a label, too; inside, crackle-codec approximates."""
        theirs = pytest.importorskip("crackle")
        pytest.importorskip("scipy")
        pytest.importorskip("pykdtree", reason="crackle-codec needs it and does not ask for it")
        volume = made(name)
        binary, label, points = crackle.compress(volume), a_label(volume), some_places(volume)
        got = crackle.signed_distance_to_boundary(binary, label, points)
        expected = theirs.signed_distance_to_boundary(binary, label, points)
        assert np.array_equal(got < 0, expected < 0)
        np.testing.assert_allclose(got[got > 0], expected[got > 0], rtol=1e-5)

    @pytest.mark.parametrize(
        "question",
        [name for name, ask in COMPARED.items() if name not in ("components", "crack_codes", "decompress")],
    )
    @pytest.mark.filterwarnings(THEIR_LABELS)
    def test_streams_of_theirs_are_read(self, question: str) -> None:
        """This package reads the streams that crackle-codec's operations make."""
        theirs = pytest.importorskip("crackle")
        pytest.importorskip("scipy")
        pytest.importorskip("pyarrow")
        volume = np.asfortranarray(made("balls")[:18, :16])
        answer = COMPARED[question](theirs, theirs.compress(volume), volume)
        assert plain(answer, crackle.decompress) == plain(answer, theirs.decompress)

    @pytest.mark.parametrize(
        "question",
        ["remap", "mask", "renumber", "zstack", "zsplit", "recompress", "connected_components, 26"],
    )
    def test_streams_of_ours_are_read(self, question: str) -> None:
        """crackle-codec reads the streams that this package's operations make."""
        theirs = pytest.importorskip("crackle")
        volume = np.asfortranarray(made("balls")[:18, :16])
        answer = COMPARED[question](crackle, crackle.compress(volume), volume)
        assert plain(answer, theirs.decompress) == plain(answer, crackle.decompress)

    @pytest.mark.parametrize("name", ["add", "sub", "mul", "floordiv", "mod", "and_", "or_", "xor"])
    def test_operators(self, name: str) -> None:
        """Operators with numbers and volumes give crackle-codec's voxels."""
        theirs = pytest.importorskip("crackle")
        volume = np.asfortranarray(made("balls").astype(np.uint64) + np.uint64(40))
        operate = OPERATORS[name]
        for other in (3, volume[::-1] % 30 + 1):
            operands = (
                [other, other] if isinstance(other, int) else [m.compressa(other) for m in (crackle, theirs)]
            )
            got = operate(crackle.compressa(volume), operands[0])
            expected = operate(theirs.compressa(volume), operands[1])
            same(got.numpy(), expected.numpy())
