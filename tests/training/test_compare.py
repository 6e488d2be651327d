"""What tries are compared by tells a network from a worse one."""

from __future__ import annotations

import contextlib
from pathlib import Path

import cv2
import pytest

from training.compare import Comparison, main
from training.data import load_faces
from training.metrics.mobilenet import MobileNetFeatures
from training.package_weights import MissingPackage
from training.state import load_modifier

ROOT = Path(__file__).parents[2]
SHARED, STATE = ROOT.parent / "shared", ROOT / "training" / "state" / "mfm.pt"
pytestmark = pytest.mark.skipif(not (SHARED / "data" / "celeba").is_dir(), reason="needs ../shared/data/celeba")


def test_keys_that_ask_for_nobody_in_particular_look_natural_and_alike() -> None:
    faces = load_faces(SHARED / "data" / "celeba", "val", limit=12).with_exact_landmarks()
    comparison, network = Comparison(faces, SHARED / "models"), load_modifier(STATE)
    shipped = comparison.of(network)
    assert max(shipped.matched) <= 0.4 and shipped.restored > 40 and shipped.from_jpeg > 27
    assert 0.5 < shipped.asked < 1 and 0 < shipped.mesh < 0.13 and 1 < shipped.turn < 15
    person = network.style_encoder.person
    person.variety.zero_()
    person.surroundings.zero_()
    network.decoder.identity.modulate.weight.data.zero_()
    nobody = comparison.of(network)
    assert all(a > b + 0.05 for a, b in zip(nobody.alike, shipped.alike, strict=True))
    assert sum(nobody.two_passwords) > sum(shipped.two_passwords) and nobody.rating > shipped.rating
    with contextlib.suppress(MissingPackage):
        MobileNetFeatures()
        assert 0 < nobody.frechet < shipped.frechet


def test_a_line_and_a_sheet_for_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "some.pt"
    state.write_bytes(STATE.read_bytes())
    main(["--data", str(SHARED / "data" / "celeba"), "--faces", "12", str(state)])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{state}: rating ") and ", two_passwords 0." in line and ", turn " in line
    assert cv2.imread(str(tmp_path / "some-compared.png")).shape == (3 * 160, 12 * 160, 3)
