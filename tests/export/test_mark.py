"""What finds the mark in pixels does what the network's own algebra does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from export.mark import FINE, export_mark
from mfm_edge.factors import Factors
from mfm_edge.mark import CELLS, MarkReader, luminance
from mfm_edge.style import FaceKeys
from training import style_space
from training.networks import Modifier
from training.phase1 import Phase1
from training.state import unpack
from training.tone import tone

STATE = Path(__file__).resolve().parents[2] / "training" / "state" / "mfm.pt"
KEYS = FaceKeys(bytes(range(32)), Factors("p").attribute_vector())


@pytest.fixture(scope="module")
def network() -> Modifier:
    return Modifier(Phase1.load(unpack(STATE)[1]).space).eval()


@pytest.fixture(scope="module")
def reader(network: Modifier, tmp_path_factory: pytest.TempPathFactory) -> MarkReader:
    path = tmp_path_factory.mktemp("mark") / "mark.npz"
    export_mark(network, path)
    return MarkReader(path.read_bytes())


def test_luminance_is_the_network_s() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    x = torch.from_numpy(crop[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    np.testing.assert_allclose(luminance(crop), style_space.luminance(tone(x))[0, 0].numpy(), atol=1e-5)


@torch.no_grad()
def test_evidence_is_the_weighted_sum_over_the_network_s_components(network: Modifier, reader: MarkReader) -> None:
    """By the definition, in double precision and one window after another."""
    bands, mark = network.decoder.bands, network.decoder.mark
    rng = np.random.default_rng(1)
    cells = rng.normal(0, [[[0.02]], [[0.1]], [[0.5]]], (3, CELLS, CELLS)).astype(np.float32)
    keys = [KEYS.of(slot) for slot in (0, 7)]
    found = reader.evidence(cells, reader.signs(keys))
    size, quiet = (mark.get_buffer(f"{name}{FINE}").double() for name in ("size", "quiet"))
    axes, damping = bands.axes(FINE).double(), bands.damping(FINE).double()
    usual = (axes.square() @ bands.spread(FINE).double().square()).sqrt()
    noise = axes.square().T @ (usual / damping).square() / size.square()
    for n, window in enumerate(torch.from_numpy(cells)):
        fine = bands.coefficients(window[None, None], torch.zeros(1, 2, 24, 24))[0].flatten()
        fine = fine[bands.get_buffer("fine_places")].double()
        fine = fine / (1 + (fine / (1.25 * usual)).square()).sqrt()
        components = (fine / damping) @ axes / size * quiet / (noise + 0.01)
        for k, key in enumerate(keys):
            signs = torch.from_numpy(key.mark)[bands.key_places(FINE)].double()
            expected = float((components * signs).sum() / components.norm())
            assert found[n, k] == pytest.approx(expected, abs=0.03)  # of float16


@torch.no_grad()
def test_the_mark_that_the_network_adds_is_found(network: Modifier, reader: MarkReader) -> None:
    bands = network.decoder.bands
    key = KEYS.of(3)
    added = network.decoder.mark.added(FINE, torch.from_numpy(key.mark)[None])
    fine = bands.unfold(FINE, added) * bands.damping(FINE)
    light, _ = bands.show([torch.zeros(1, bands.sizes[0]), fine, torch.zeros(1, bands.sizes[2])])
    cells, _ = bands.cells(light, torch.zeros(1, 2, 24, 24))
    seen = reader.evidence(cells[:, 0].numpy(), reader.signs([KEYS.of(slot) for slot in range(8)]))[0]
    assert seen.argmax() == 3 and seen[3] > 25 and np.abs(np.delete(seen, 3)).max() < 5
