"""A surrogate's crop is found to a fraction of a pixel by who has the key, and not at all by who has not."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mfm_edge import Factors, MfmRuntime
from mfm_edge.align import after, extract, invert
from mfm_edge.demo.__main__ import CLIP
from mfm_edge.engine.folder import read_mark
from mfm_edge.mark import CELLS, MarkReader
from mfm_edge.realign import Realigner, products, spectra
from mfm_edge.style import FaceKeys, StyleKey
from mfm_edge.types import CROP_SIZE, SLOTS, FaceRecord
from mfm_edge.video import open_source

SALTS = (b"any eight bytes", b"a second salt", b"a third salt", b"a fourth salt")
Protected = tuple[NDArray[np.uint8], FaceRecord, Callable[[str], list[StyleKey]]]


@pytest.fixture(scope="module")
def realigner() -> Realigner:
    return Realigner(MarkReader(read_mark()))


@pytest.fixture(scope="module")
def surrogates() -> list[Protected]:
    """The same face under four salts: how near a single one is found hangs on what it happens to look like."""
    return [protect(salt) for salt in SALTS]


@pytest.fixture(scope="module")
def protected(surrogates: list[Protected]) -> Protected:
    return surrogates[0]


def protect(salt: bytes) -> Protected:
    """A frame as a JPEG leaves it, its one face, and the keys of a password."""
    app = MfmRuntime()
    with open_source(CLIP) as source, app.open_stream(Factors("right"), salt=salt) as stream:
        done = stream.anonymize(next(iter(source)).image)
    coded = cv2.imencode(".jpg", done.frame, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]

    def keys(password: str) -> list[StyleKey]:
        with app.open_stream(Factors(password), salt=salt) as opened:
            found: FaceKeys = opened._live_keys()
        return [found.of(slot) for slot in range(SLOTS)]

    (record,) = done.faces
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8), record, keys


def moved(matrix: NDArray[np.float64], x: float, y: float, scale: float, angle: float) -> NDArray[np.float64]:
    """Another matrix: x and y px elsewhere, turned by degrees around the middle of the crop."""
    turn = cv2.getRotationMatrix2D((64, 76), angle, scale) + np.array([[0, 0, x], [0, 0, y]])
    return after(turn, matrix)


def off(found: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Crop px, root mean square over the corners of a face."""
    corners = np.array([(30, 40), (97, 40), (30, 110), (97, 110)], np.float64)
    there = after(found, invert(right))
    return float(np.sqrt(((corners @ there[:, :2].T + there[:, 2] - corners) ** 2).sum(1).mean()))


@pytest.mark.parametrize(
    "move", [(0, 0, 1, 0), (3, -2.5, 1.06, 4), (-4, 1.4, 0.93, -5), (1.5, 4, 0.97, 6), (0.5, -3, 1.1, -2)]
)
def test_it_is_found_where_a_detector_was_off(
    surrogates: list[Protected], realigner: Realigner, move: tuple[float, ...]
) -> None:
    distances = []
    for frame, record, keys in surrogates:
        found = realigner.search(frame, moved(record.matrix, *move), keys("right"))
        assert found.key == record.slot
        distances.append(off(found.matrix, record.matrix))
    assert np.median(distances) < 0.35 and max(distances) < 0.6


@pytest.mark.parametrize("move", [(0.6, -0.5, 1, 0), (-0.4, 0.3, 1.008, 0.5), (0, 0, 0.99, -0.5)])
def test_it_is_followed_from_near_by(
    surrogates: list[Protected], realigner: Realigner, move: tuple[float, ...]
) -> None:
    distances = []
    for frame, record, keys in surrogates:
        found = realigner.follow(frame, moved(record.matrix, *move), keys("right")[record.slot])
        assert found.key == 0
        distances.append(off(found.matrix, record.matrix))
    assert np.median(distances) < 0.35 and max(distances) < 0.6


def test_what_is_too_far_away_is_not_followed(protected: Protected, realigner: Realigner) -> None:
    frame, record, keys = protected
    own = keys("right")[record.slot]
    lost = moved(record.matrix, 20, 0, 1, 0)
    found = realigner.follow(frame, lost, own)
    assert found.key is None
    np.testing.assert_array_equal(found.matrix, lost)


def test_who_has_not_the_key_finds_nothing_and_goes_on_where_he_was(protected: Protected, realigner: Realigner) -> None:
    frame, record, keys = protected
    wrong = keys("righd")
    for found in (realigner.search(frame, record.matrix, wrong), realigner.follow(frame, record.matrix, wrong[0])):
        assert found.key is None
        np.testing.assert_array_equal(found.matrix, record.matrix)


@pytest.mark.parametrize("frame", [np.zeros((90, 120, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)])
def test_nothing_is_found_in_plain_frames_and_over_the_edge(
    protected: Protected, realigner: Realigner, frame: NDArray[np.uint8]
) -> None:
    _, _, keys = protected
    for matrix in (np.array([[1.0, 0, 0], [0, 1, 0]]), np.array([[2.0, 0, 300], [0, 2, -200]])):
        assert realigner.search(frame, matrix, keys("right")).key is None


def test_products_are_those_of_every_window() -> None:
    rng = np.random.default_rng(1)
    means = rng.normal(size=(CROP_SIZE, CROP_SIZE)).astype(np.float32)
    pictures = rng.normal(size=(3, CELLS, CELLS)).astype(np.float32)
    found = products(means, spectra(pictures))
    assert found.shape == (3, 33, 33)
    for row, column in [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16), (7, 20), (31, 5)]:
        window = means[row : row + 2 * CELLS : 2, column : column + 2 * CELLS : 2]
        np.testing.assert_allclose(found[:, row, column], (pictures * window).sum((1, 2)), rtol=1e-3, atol=1e-2)


def test_a_found_crop_restores_as_the_recorded_one(surrogates: list[Protected]) -> None:
    with open_source(CLIP) as source:
        original = next(iter(source)).image
    app, ratios = MfmRuntime(), []
    for salt, (frame, record, _) in zip(SALTS, surrogates, strict=True):
        with app.open_stream(Factors("right"), salt=salt) as stream:
            found = stream.restore(frame)
            with_record = stream.restore(frame, [record])
        assert [face.slot for face in found.faces] == [record.slot]
        x, y, r, s = (extract(one, record.matrix)[40:110, 30:98].astype(float)
                      for one in (original, frame, with_record.frame, found.frame))  # fmt: skip
        assert np.abs(s - x).mean() < 0.4 * np.abs(y - x).mean()
        ratios.append(np.abs(s - x).mean() / np.abs(r - x).mean())
    assert np.median(ratios) < 2 and max(ratios) < 2.5
