"""Sidecar: exact round trip, a killed writer's file, and every broken or hostile line refused by file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfm_edge.beyond import pack
from mfm_edge.errors import ArgumentError, RecordError
from mfm_edge.factors import KeyDerivation
from mfm_edge.record import MAX_FACES, MAX_LINE_BYTES, FrameRecord, RecordHeader, RecordReader, RecordWriter
from mfm_edge.types import FaceRecord, Treatment

HEADER = RecordHeader(
    salt=bytes(range(16)), key_derivation=KeyDerivation(), model_id="0123abcd", width=641, height=360, frame_rate=25.0
)


def face(**changes: Any) -> FaceRecord:
    options: dict[str, Any] = {
        "matrix": [[1 / 3, 0.1, -17.3], [-0.1, 1 / 3, 1e-3]],
        "box": [10, 20.25, 110, 140],
        "score": 0.9375,
        "track": 3,
        "slot": 3,
    }
    return FaceRecord(**(options | changes))


PLACES = [[49.71, 66.3], [78, 66.4], [63.3, 82.65], [51.9, 95.2], [75.7, 95.6]]


def write(path: Path, frames: list[FrameRecord]) -> Path:
    with RecordWriter(path, HEADER) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.fixture
def sidecar(tmp_path: Path) -> Path:
    covered = face(track=None, slot=None, treatment=Treatment.COVERED)
    return write(
        tmp_path / "a.jsonl",
        [
            FrameRecord(index=0, time=0.0, faces=(face(), covered)),
            FrameRecord(index=1, time=0.04, faces=(), incidents=2, fingerprint=bytes(range(64))),
            FrameRecord(index=2, faces=(face(landmarks=PLACES),)),
        ],
    )


def test_landmarks_come_back(sidecar: Path) -> None:
    with RecordReader(sidecar) as reader:
        first, _, last = list(reader)
    assert first.faces[0].landmarks is None
    np.testing.assert_allclose(last.faces[0].landmarks, PLACES, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("landmarks", [1.0] * 9),
        ("landmarks", [1.0] * 9 + [1e6]),
        ("landmarks", "here"),
        ("beyond", 5),
        ("beyond", ""),
        ("beyond", "not base64!"),
        ("beyond", "AAAA"),
        ("beyond", "A" * 50_000),
    ],
)
def test_a_face_out_of_reach_is_refused(sidecar: Path, name: str, value: Any) -> None:
    header, frame, *_ = sidecar.read_text().splitlines()
    content = json.loads(frame)
    content["faces"][0][name] = value
    sidecar.write_text(header + "\n" + json.dumps(content) + "\n")
    with RecordReader(sidecar) as reader, pytest.raises(RecordError, match=name):
        list(reader)


def test_what_lies_beyond_the_frame_comes_back_as_far_as_a_line_holds_it(tmp_path: Path) -> None:
    surrogate = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    packed = pack(surrogate, np.array([[1.0, 0, 200], [0, 1, 0]]), (64, 64))  # beyond it altogether
    assert packed is not None and len(packed) > 1000
    face = FaceRecord(np.eye(3)[:2], np.zeros(4), 0.9, beyond=packed)
    path, header = (
        tmp_path / "many.jsonl",
        RecordHeader(salt=b"s" * 16, key_derivation=KeyDerivation(), model_id="m", width=64, height=64),
    )
    with RecordWriter(path, header) as writer:
        writer.write(FrameRecord(index=0, faces=(face,)))
        writer.write(FrameRecord(index=1, faces=(face,) * MAX_FACES))
    with RecordReader(path) as reader:
        one, many = list(reader)
    assert one.faces[0].beyond == packed == many.faces[0].beyond
    kept = [found.beyond is not None for found in many.faces]
    assert 10 < sum(kept) < MAX_FACES and kept == sorted(kept, reverse=True)


def test_round_trip(sidecar: Path) -> None:
    with RecordReader(sidecar, model_id="0123abcd") as reader:
        frames = list(reader)
    assert reader.header == HEADER
    assert not reader.truncated
    assert [(frame.index, frame.time, len(frame.faces), frame.incidents) for frame in frames] == [
        (0, 0.0, 2, 0),
        (1, 0.04, 0, 2),
        (2, None, 1, 0),
    ]
    first, second = frames[0].faces
    np.testing.assert_array_equal(first.matrix, face().matrix)
    np.testing.assert_array_equal(first.box, face().box)
    assert (first.score, first.track, first.slot, first.treatment) == (0.9375, 3, 3, Treatment.SURROGATE)
    assert (second.track, second.slot, second.treatment) == (None, None, Treatment.COVERED)


def test_every_line_is_on_disk_before_the_next_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    writer = RecordWriter(path, HEADER)
    for index in range(3):
        writer.write(FrameRecord(index=index, faces=(face(),)))
        assert path.read_bytes().count(b"\n") == index + 2
    writer.close()
    writer.close()


@pytest.mark.parametrize("cut", [1, 2, 40, 100])
def test_line_cut_off_by_a_kill_loses_that_frame_only(sidecar: Path, cut: int) -> None:
    sidecar.write_bytes(sidecar.read_bytes()[:-cut])
    with RecordReader(sidecar) as reader:
        frames = list(reader)
    complete = cut == 1  # only the line end is gone, the line itself is whole
    assert (len(frames), reader.truncated) == ((3, False) if complete else (2, True))


def test_cut_in_the_middle_is_an_error(sidecar: Path) -> None:
    lines = sidecar.read_text().splitlines(keepends=True)
    sidecar.write_text(lines[0] + lines[1][:30] + "\n" + lines[2])
    with RecordReader(sidecar) as reader, pytest.raises(RecordError, match="line 2: got text that is not JSON"):
        list(reader)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "format: got something else"),
        ({"version": 6}, "version: got 6, takes 5"),
        ({"version": 4}, "version: got 4, takes 5; another version of this program wrote it"),
        ({"salt": "00"}, "salt: got 1 bytes"),
        ({"salt": 5}, "salt: got 5"),
        ({"salt": "zz"}, "salt: got 'zz'"),
        ({"key_derivation": None}, "key derivation: got"),
        ({"key_derivation": KeyDerivation().to_mapping() | {"memory_kib": 1 << 40}}, "memory_kib=1099511627776"),
        ({"model_id": ""}, "model_id: got ''"),
        ({"width": 0}, "width: got 0"),
        ({"height": True}, "height: got True"),
        ({"frame_rate": "25"}, "frame_rate: got '25'"),
        ({"password": "x"}, "header: got unknown 'password'"),
    ],
)
def test_bad_header(sidecar: Path, change: dict[str, Any], words: str) -> None:
    header, *rest = sidecar.read_text().splitlines()
    sidecar.write_text("\n".join([json.dumps(json.loads(header) | change), *rest]) + "\n")
    with pytest.raises(RecordError) as caught:
        RecordReader(sidecar)
    assert words in str(caught.value)
    assert f"{sidecar}, line 1: " in str(caught.value)


def good_face() -> dict[str, Any]:
    unknown = dict.fromkeys(("track", "slot", "landmarks", "beyond"))
    return {"matrix": [1, 0, 0, 0, 1, 0], "box": [0, 0, 1, 1], "score": 1, "treatment": "surrogate", **unknown}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"index": 7}, "index: got 7, takes 1"),
        ({"index": 0}, "index: got 0, takes 1"),
        ({"index": 1.0}, "index: got 1.0"),
        ({"time": "0"}, "time: got '0'"),
        ({"incidents": -1}, "incidents: got -1"),
        ({"faces": {}}, "faces: got dict"),
        ({"faces": [good_face()] * (MAX_FACES + 1)}, f"faces: got {MAX_FACES + 1} faces"),
        ({"faces": [1]}, "face: got int"),
        ({"fingerprint": "zz"}, "fingerprint: got 'zz'"),
        ({"fingerprint": ""}, "fingerprint: got ''"),
        ({"fingerprint": 5}, "fingerprint: got 5"),
        ({"fingerprint": "00" * 65}, "takes 1 to 64 bytes"),
        ({"faces": [good_face() | {"name": "x"}]}, "face: got unknown 'name'"),
        ({"faces": [good_face() | {"matrix": [0, 0, 0, 0, 0, 0]}]}, "cannot be inverted"),
        ({"faces": [good_face() | {"matrix": [1, 0, 0]}]}, "matrix: got [1, 0, 0], takes 6 numbers"),
        ({"faces": [good_face() | {"matrix": [1e300, 0, 0, 0, 1, 0]}]}, "matrix: got 1e+300"),
        ({"faces": [good_face() | {"box": [0, 0, 1, None]}]}, "box: got None"),
        ({"faces": [good_face() | {"score": 1.5}]}, "score: got 1.5"),
        ({"faces": [good_face() | {"track": "1"}]}, "track: got '1'"),
        ({"faces": [good_face() | {"slot": 16}]}, "slot: got 16, takes an integer from 0 to 15"),
        ({"faces": [good_face() | {"slot": -1}]}, "slot: got -1"),
        ({"faces": [good_face() | {"treatment": "none"}]}, "treatment: got 'none', takes 'surrogate' or 'covered'"),
        ({"faces": [good_face() | {"treatment": []}]}, "treatment: got []"),
    ],
)
def test_bad_frame(sidecar: Path, change: dict[str, Any], words: str) -> None:
    lines = sidecar.read_text().splitlines()
    lines[2] = json.dumps(json.loads(lines[2]) | change)
    sidecar.write_text("\n".join(lines) + "\n")
    with RecordReader(sidecar) as reader, pytest.raises(RecordError) as caught:
        list(reader)
    assert words in str(caught.value)
    assert f"{sidecar}, line 3: " in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"[" * 200_000, "not JSON"),
        (b" " * (MAX_LINE_BYTES + 1), f"more than {MAX_LINE_BYTES} bytes"),
        (b"\xff\xfe", "not JSON"),
        (b'{"index":0,"time":NaN,"faces":[],"incidents":0}', "got NaN, takes finite numbers"),
        (b"1" * 10_000, "not JSON"),
        (b"", "not JSON"),
    ],
)
def test_hostile_lines(sidecar: Path, line: bytes, words: str) -> None:
    lines = sidecar.read_bytes().splitlines()
    sidecar.write_bytes(b"\n".join([lines[0], line, *lines[1:]]) + b"\n")
    with RecordReader(sidecar) as reader, pytest.raises(RecordError) as caught:
        list(reader)
    assert words in str(caught.value) and "line 2: " in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"not a sidecar\n", b"[]\n", b"{}", bytes(range(256))])
def test_not_a_sidecar(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(RecordError, match="line 1: "):
        RecordReader(path)


def test_other_model(sidecar: Path) -> None:
    with pytest.raises(RecordError, match="protected by model 0123abcd, takes model ffff"):
        RecordReader(sidecar, model_id="ffff")


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be read"):
        RecordReader(tmp_path / "absent.jsonl")
    with pytest.raises(RecordError, match="cannot be read"):
        RecordReader(tmp_path)
    with pytest.raises(RecordError, match="cannot be written"):
        RecordWriter(tmp_path / "absent" / "a.jsonl", HEADER)


def test_writer_refuses_gaps_and_crowds(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "a.jsonl", HEADER) as writer:
        with pytest.raises(ArgumentError, match="got 1, takes 0"):
            writer.write(FrameRecord(index=1, faces=()))
        with pytest.raises(ArgumentError, match="at most 1024"):
            writer.write(FrameRecord(index=0, faces=(face(),) * (MAX_FACES + 1)))
        writer.write(FrameRecord(index=0, faces=(face(),) * MAX_FACES))
    with RecordReader(tmp_path / "a.jsonl") as reader:
        assert len(next(reader).faces) == MAX_FACES
