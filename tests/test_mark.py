"""The mark of a key is seen in a surrogate's pixels, and in nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfm_edge.engine.folder import CARD, MARK, SHIPPED_MODEL, read_mark
from mfm_edge.errors import ModelError
from mfm_edge.factors import Factors
from mfm_edge.mark import CELLS, MarkReader, luminance
from mfm_edge.style import FaceKeys

KEYS = FaceKeys(bytes(range(32)), Factors("p").attribute_vector())


def changed(**parts: Any) -> bytes:
    """The shipped file with other parts."""
    with np.load(io.BytesIO(read_mark())) as file:
        content = {name: file[name] for name in file.files} | parts
    out = io.BytesIO()
    np.savez(out, **{name: part for name, part in content.items() if part is not None})
    return out.getvalue()


@pytest.fixture(scope="module")
def reader() -> MarkReader:
    return MarkReader(read_mark())


def test_evidence_counts_standard_deviations_of_chance(reader: MarkReader) -> None:
    rng = np.random.default_rng(0)
    cells = rng.normal(0, 0.2, (200, CELLS, CELLS)).astype(np.float32)
    seen = reader.evidence(cells, reader.signs([KEYS.of(slot) for slot in range(16)]))
    assert seen.shape == (200, 16)
    assert 0.9 < seen.std() < 1.1 and abs(seen.mean()) < 0.05


def test_a_key_s_picture_is_what_bears_its_mark_most(reader: MarkReader) -> None:
    signs = reader.signs([KEYS.of(slot) for slot in range(16)])
    pictures = reader.pictures(signs)
    np.testing.assert_allclose(np.linalg.norm(pictures, axis=(1, 2)), 1, atol=1e-5)
    seen = reader.evidence(0.01 * pictures, signs)  # so faint that nothing is beyond the limits
    own = np.diagonal(seen)
    assert own.min() > 10 and np.abs(seen - np.diag(own)).max() < 5
    assert (reader.evidence(-0.01 * pictures, signs).diagonal() < -10).all()


def test_nothing_is_seen_where_nothing_is(reader: MarkReader) -> None:
    with np.errstate(all="raise"):
        seen = reader.evidence(np.zeros((2, CELLS, CELLS), np.float32), reader.signs([KEYS.of(0)]))
    np.testing.assert_array_equal(seen, 0)


def test_luminance_is_on_the_network_s_curve() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)
    curve = luminance(grey)[0]
    assert (np.diff(curve) > 0).all()
    np.testing.assert_allclose(curve, -curve[::-1], atol=1e-6)
    assert curve[255] == pytest.approx(1, abs=1e-6)
    red, green = luminance(np.array([[[0, 0, 255], [0, 255, 0]]], np.uint8))[0]
    assert red == pytest.approx(0.299 - 0.701, abs=1e-5) and green == pytest.approx(0.587 - 0.413, abs=1e-5)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        changed(limits=None),
        changed(more=np.zeros(3)),
        changed(wavelet=np.zeros((3, 48))),
        changed(axes=np.zeros((2, 3))),
        changed(places=np.array([], np.int32)),
        changed(places=np.full(1161, CELLS**2)),
        changed(first=np.zeros(2)),
        changed(places=np.array([{}] * 1161, object)),
    ],
)
def test_another_file_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"mark\.npz is not what"):
        MarkReader(content)


def test_the_file_is_checked_against_its_card_and_the_card_against_the_shipped_one(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(SHIPPED_MODEL, folder)
    assert read_mark(folder, known_only=True) == read_mark()
    other = changed(first=np.array(0, np.int32))
    (folder / MARK).write_bytes(other)
    with pytest.raises(ModelError, match=r"mark\.npz has sha256"):
        read_mark(folder)
    card = json.loads((folder / CARD).read_text())
    card["sha256"][MARK] = hashlib.sha256(other).hexdigest()
    (folder / CARD).write_text(json.dumps(card))
    with pytest.raises(ModelError, match="trust_unknown_model"):
        read_mark(folder, known_only=True)
    assert read_mark(folder) == other
    del card["sha256"][MARK]
    (folder / CARD).write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"names no sha256 of mark\.npz"):
        read_mark(folder)
