"""Fingerprints on a real clip: a codec leaves them, another moment does not, what is left out has no part in them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from mfm_edge.demo.__main__ import CLIP
from mfm_edge.fingerprint import MAX_BYTES, fingerprint, looks_like
from mfm_edge.video import FileSink, open_source

FACE = slice(40, 300), slice(190, 450)
"""Where somebody moves in the clip."""


def images(path: Path, count: int) -> list[np.ndarray]:
    with open_source(path) as source:
        return [frame.image for frame in islice(source, count)]


@pytest.mark.parametrize("crf", [18, 23, 28])
def test_codec_or_another_moment(tmp_path: Path, crf: int) -> None:
    before = images(CLIP, 20)
    height, width = before[0].shape[:2]
    with FileSink(tmp_path / "coded.mp4", size=(width, height), crf=crf) as sink:
        for index, image in enumerate(before):
            sink.write(image, index / 25)
    after = images(tmp_path / "coded.mp4", 20)
    for part in (FACE, (slice(None), slice(None))):
        known = [fingerprint(image[part]) for image in before]
        assert all(looks_like(image[part], each) for image, each in zip(after, known, strict=True))
    known = [fingerprint(image[FACE]) for image in before]
    assert not any(looks_like(image[FACE], each) for image, each in zip(after[10:], known, strict=False))


def test_what_is_left_out_has_no_part_in_it() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    other = image.copy()
    other[20:60, 30:70] = 255 - other[20:60, 30:70] // 4
    place = (30, 20, 70, 60)
    assert fingerprint(image, without=[place]) == fingerprint(other, without=[place])
    assert not looks_like(other, fingerprint(image)) and looks_like(other, fingerprint(image, without=[place]),
                                                                    without=[place])  # fmt: skip


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (16, 9), (64, 64)])
def test_small_pictures(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 90, np.uint8)
    known = fingerprint(image)
    assert 1 <= len(known) <= MAX_BYTES and looks_like(image, known)
    assert not looks_like(image + 40, known) and not looks_like(image, known + b"0")
