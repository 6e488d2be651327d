import json

import numpy as np

from mfm_edge.engine.onnx import OnnxEngine
from training.evaluate import README_BEGIN, README_END, WRONG, Goal, make_faces, publish, to_text
from training.metrics.detection import landmark_shift
from training.metrics.recovery import face_psnr, psnr, ssim


def test_psnr_and_ssim_know_the_same_picture_and_a_known_error():
    a = np.full((2, 128, 128, 3), 100, np.uint8)
    b = a.copy()
    b[1] += 10
    assert psnr(a, a)[0] > 70
    np.testing.assert_allclose(psnr(a, b)[1], 10 * np.log10(255**2 / 100))
    np.testing.assert_allclose(face_psnr(a, b)[1], psnr(a, b)[1])
    noise = np.random.default_rng(0).integers(0, 256, a.shape, np.uint8)
    assert ssim(noise, noise)[0] == 1 and ssim(noise, noise[::-1])[0] < 0.2


def test_face_psnr_sees_the_face_only():
    a = np.zeros((1, 128, 128, 3), np.uint8)
    background = a.copy()
    background[:, :20] = 200
    assert face_psnr(a, background)[0] > psnr(a, background)[0] + 20


def test_landmark_shift_is_relative_and_skips_the_unfound():
    a = np.zeros((5, 2), np.float32)
    shift = landmark_shift([a, a, None], [a + np.float32([2.83, 0]), None, a])
    assert len(shift) == 1 and abs(shift[0] - 0.1) < 1e-3


def test_every_kind_of_face_is_made_with_its_own_key():
    crops = np.random.default_rng(0).integers(0, 256, (9, 128, 128, 3), np.uint8)
    made = make_faces(OnnxEngine(), crops)
    assert set(made) == {"x", "y", "y2", "r", "r: JPEG", *(f"w: {kind}" for kind in WRONG)}
    assert all(m.shape == crops.shape and m.dtype == np.uint8 for m in made.values())
    kinds = list(made)
    for i, one in enumerate(kinds):
        for other in kinds[i + 1 :]:
            assert (made[one] != made[other]).any(), (one, other)


def test_publishing_replaces_the_table_and_nothing_else(tmp_path):
    card, readme = tmp_path / "card.json", tmp_path / "README.md"
    card.write_text('{"steps": 5, "sha256": {}}')
    readme.write_text(f"before\n{README_BEGIN}\nold\n{README_END}\nafter\n")
    rows = [Goal("what", 0.5, ">= 1"), Goal("trained on", 1.0, ">= 1", counts=False)]
    publish(rows, card, readme, faces=3)
    publish(rows, card, readme, faces=3)
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert text.count("| what | 0.500 | >= 1 |") == 1 and "trained on" not in text
    assert json.loads(card.read_text())["measured"]["rows"][1]["counts"] is False
    assert "does not count" in to_text(rows)
