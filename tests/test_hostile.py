"""Files from anyone: sidecar, seal, register, model, recogniser, settings, videos and pictures, broken in every way,
give one MfmError and nothing else.

`MFM_FUZZ_CASES=100000 pytest tests/test_hostile.py` runs so many cases of each kind instead of a few hundred.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfm_edge.cli.config import with_config
from mfm_edge.engine.folder import read_model
from mfm_edge.engine.onnx import CARD, SHIPPED_MODEL, OnnxEngine
from mfm_edge.errors import ArgumentError, MfmError, ModelError, RecordError, RegisterError, SealError, SourceError
from mfm_edge.factors import Factors, KeyDerivation
from mfm_edge.image import ENDINGS, coded_size
from mfm_edge.recognize import OnnxRecognizer
from mfm_edge.record import FrameRecord, RecordHeader, RecordReader, RecordWriter
from mfm_edge.register import PassphraseVault, Register
from mfm_edge.seal import SealReader, SealWriter
from mfm_edge.seal.layout import chunk_nonce
from mfm_edge.types import FaceRecord, Protected, Treatment
from mfm_edge.video import FileSink, open_source

CASES = int(os.environ.get("MFM_FUZZ_CASES", "200"))
KEY = bytes(32)
CHEAP = KeyDerivation(iterations=1, lanes=1, memory_kib=64)
HEADER = RecordHeader(salt=b"8 bytes!", key_derivation=CHEAP, model_id="m", width=96, height=64, frame_rate=25.0)
MAX_BYTES = 64 << 20
"""Most memory that reading a small hostile file may take."""

fuzz = settings(
    max_examples=CASES, deadline=5000, database=None, suppress_health_check=list(HealthCheck), derandomize=CASES < 1000
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@st.composite
def broken(draw: Callable[..., Any], whole: bytes) -> bytes:
    """A good file with bytes changed, cut out, repeated or put in; now and then something else entirely."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        end = min(len(content), at + draw(st.integers(0, 40)))
        kind = draw(st.sampled_from(("change", "cut", "repeat", "insert", "end")))
        if kind == "change":
            content[at:end] = draw(st.binary(min_size=end - at, max_size=end - at))
        elif kind == "cut":
            del content[at:end]
        elif kind == "repeat":
            content[at:at] = content[at:end]
        elif kind == "insert":
            content[at:at] = draw(st.binary(max_size=40))
        else:
            del content[at:]
    return bytes(content)


@st.composite
def misfit(draw: Callable[..., Any], good: Any) -> Any:
    """A good JSON value in which one part, somewhere, is any other value, is missing, or has an unknown neighbour."""
    value = json.loads(json.dumps(good))
    place: Any = value
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return draw(json_values)
        key = draw(st.sampled_from(keys))
        if isinstance(place[key], (dict, list)) and place[key] and draw(st.integers(0, 3)):
            place = place[key]
            continue
        kind = draw(st.integers(0, 4))
        if kind == 0:
            del place[key]
        elif kind == 1 and isinstance(place, dict):
            place[draw(st.text(max_size=10))] = draw(json_values)
        else:
            place[key] = draw(json_values | st.integers(-(2**70), 2**70) | st.floats())
        return value


def survives(allowed: type[MfmError], read: Callable[[], object]) -> None:
    """What is read is good, or refused by the one error that is meant for it; memory stays small either way."""
    tracemalloc.start()
    try:
        read()
    except allowed as error:
        assert len(str(error)) < 1500
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MAX_BYTES


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


# One good file of every kind, made once.


def make_sidecar(path: Path) -> bytes:
    faces = (
        FaceRecord(matrix=[[1, 0, -17.3], [0, 1, 1e-3]], box=[10, 20.25, 60, 50], score=0.9375, track=3),
        FaceRecord(matrix=[[2, 0, 0], [0, 2, 0]], box=[0, 0, 8, 8], score=0.5, treatment=Treatment.COVERED),
    )
    with RecordWriter(path, HEADER) as writer:
        for index in range(3):
            writer.write(FrameRecord(index=index, time=index / 25, faces=faces[:index]))
    return path.read_bytes()


def make_seal(path: Path) -> bytes:
    frame = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    changed = frame.copy()
    changed[10:30, 20:40] ^= 255
    with SealWriter(path, KEY, HEADER) as writer:
        for _ in range(2):
            writer.write(frame, Protected(changed, ()), time=0.0)
    return path.read_bytes()


def make_register(path: Path) -> bytes:
    register = Register(path, vault=PassphraseVault("master", key_derivation=CHEAP))
    register.add(HEADER, Factors("x", hair="gray"), source="a.mp4", output="b.mp4")
    return path.read_bytes()


def make_card(path: Path) -> bytes:
    """Beside links to the shipped parts, so that a path that leaves the folder would be seen."""
    for part in SHIPPED_MODEL.glob("*.onnx"):
        (path.parent / part.name).symlink_to(part)
    card = json.loads((SHIPPED_MODEL / CARD).read_text())
    return json.dumps({name: card[name] for name in ("format", "sha256")}).encode()


def make_settings(_path: Path) -> bytes:
    return b'crf = 20\nseal = true\n[stream]\nhair = "gray"\n'


def make_picture(path: Path) -> bytes:
    picture = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    return cv2.imencode(path.suffix, picture)[1].tobytes()


def make_video(path: Path) -> bytes:
    frames = np.random.default_rng(0).integers(0, 256, (6, 8, 12, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    with FileSink(path, size=(96, 64), crf=30) as sink:
        for index, frame in enumerate(frames):
            sink.write(frame, index / 25)
    return path.read_bytes()


@pytest.fixture(scope="module")
def good(scratch: Path) -> dict[str, bytes]:
    return {
        "sidecar": make_sidecar(scratch / "good.jsonl"),
        "seal": make_seal(scratch / "good.seal"),
        "register": make_register(scratch / "good.sqlite3"),
    }


def read_sidecar(path: Path) -> None:
    with RecordReader(path) as reader:
        for frame in reader:
            assert all(np.isfinite(face.matrix).all() for face in frame.faces)


def read_seal(path: Path) -> None:
    with SealReader(path, KEY) as reader:
        for frame in reader:
            frame.restore(np.zeros((64, 96, 3), np.uint8))


def read_register(path: Path) -> None:
    register = Register(path, vault=PassphraseVault("master", key_derivation=CHEAP))
    for entry in register.entries():
        if entry.kept:
            register.factors(entry.id)
    register.header_of("b.mp4")


def read_settings(path: Path) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--crf", type=int)
    parser.add_argument("--hair")
    parser.add_argument("--seal", action="store_true")
    parser.add_argument("--config")
    with_config(["stream", "--config", str(path)], parser, {"stream": parser})


def read_source(path: Path) -> None:
    with open_source(path) as source:
        for frame, _ in zip(source, range(100), strict=False):
            assert frame.image.shape == (source.size[1], source.size[0], 3)


@dataclass(frozen=True)
class Reader:
    """Of files from anyone. file: a name. make: writes a good one's bytes. read: what it is, or `error` alone."""

    file: str
    make: Callable[[Path], bytes]
    error: type[MfmError]
    read: Callable[[Path], object]

    def survives(self, path: Path) -> None:
        survives(self.error, lambda: self.read(path))


READERS = {
    "sidecar": Reader("s.jsonl", make_sidecar, RecordError, read_sidecar),
    "seal": Reader("s.seal", make_seal, SealError, read_seal),
    "register": Reader("r.sqlite3", make_register, RegisterError, read_register),
    "card": Reader(CARD, make_card, ModelError, lambda path: read_model(path.parent)),
    "settings": Reader("s.toml", make_settings, ArgumentError, read_settings),
    "png": Reader("p.png", make_picture, SourceError, read_source),
    "jpeg": Reader("p.jpg", make_picture, SourceError, read_source),
    "bmp": Reader("p.bmp", make_picture, SourceError, read_source),
    "webp": Reader("p.webp", make_picture, SourceError, read_source),
    "video": Reader("v.mp4", make_video, SourceError, read_source),
    "size": Reader("s.png", make_picture, ArgumentError, lambda path: coded_size(path.read_bytes())),
}


@pytest.mark.parametrize("kind", READERS)
def test_good_files_are_read(tmp_path: Path, kind: str) -> None:
    reader = READERS[kind]
    path = tmp_path / reader.file
    path.write_bytes(reader.make(path))
    reader.read(path)


@fuzz
@given(data=st.data())
def test_broken_sidecar(scratch: Path, good: dict[str, bytes], data: st.DataObject) -> None:
    (scratch / "s.jsonl").write_bytes(data.draw(broken(good["sidecar"])))
    survives(RecordError, lambda: read_sidecar(scratch / "s.jsonl"))


@fuzz
@given(data=st.data())
def test_sidecar_of_other_values(scratch: Path, good: dict[str, bytes], data: st.DataObject) -> None:
    lines = good["sidecar"].splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    lines[number] = json.dumps(data.draw(misfit(json.loads(lines[number])))).encode()
    (scratch / "v.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    survives(RecordError, lambda: read_sidecar(scratch / "v.jsonl"))


@fuzz
@given(data=st.data())
def test_broken_seal(scratch: Path, good: dict[str, bytes], data: st.DataObject) -> None:
    content = data.draw(broken(good["seal"]))
    (scratch / "s.seal").write_bytes(content)
    if content == good["seal"]:
        read_seal(scratch / "s.seal")
        return
    with pytest.raises(SealError):  # unlike the others it is authenticated: nothing but the good file is read
        read_seal(scratch / "s.seal")


@fuzz
@given(content=st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: struct.pack(">dH", 0, 1) + tail)
       | st.tuples(st.integers(0, 99), st.integers(0, 99), st.binary(max_size=80)).map(
           lambda t: struct.pack(">dHIII", 0, 1, t[0], t[1], len(t[2])) + t[2]))  # fmt: skip
def test_seal_by_someone_who_has_the_factors(scratch: Path, content: bytes) -> None:
    """Authentic chunks of any content: the key holder is trusted with the pictures, not with the process."""
    path = scratch / "key.seal"
    with SealWriter(path, KEY, HEADER) as writer:
        writer._write_chunk(1, content)
    survives(SealError, lambda: read_seal(path))


@fuzz
@given(data=st.data())
def test_broken_register(scratch: Path, good: dict[str, bytes], data: st.DataObject) -> None:
    (scratch / "r.sqlite3").write_bytes(data.draw(broken(good["register"])))
    survives(RegisterError, lambda: read_register(scratch / "r.sqlite3"))


@fuzz
@given(data=st.data())
def test_register_of_other_values(scratch: Path, good: dict[str, bytes], data: st.DataObject) -> None:
    path = scratch / "v.sqlite3"
    path.write_bytes(good["register"])
    column = data.draw(st.sampled_from(("id", "created", "source", "output", "header", "kinds", "kept")))
    with sqlite3.connect(path) as database:
        ((before,),) = database.execute(f"SELECT {column} FROM streams").fetchall()
        anything = st.text(max_size=30) | st.binary(max_size=30) | st.integers(-(2**63), 2**63 - 1)
        parsed = json.loads(before) if column in ("header", "kinds", "kept") else None
        other = anything if parsed is None else anything | misfit(parsed).map(json.dumps)
        database.execute("PRAGMA synchronous = OFF")
        try:
            database.execute(f"UPDATE streams SET {column} = ?", (data.draw(other),))
        except (sqlite3.Error, UnicodeEncodeError):
            return
    survives(RegisterError, lambda: read_register(path))


@pytest.fixture(scope="module")
def model_folder(scratch: Path) -> tuple[Path, Any]:
    """A model whose card is fuzzed, and what a card needs."""
    folder = scratch / "model"
    folder.mkdir()
    return folder, json.loads(make_card(folder / CARD))


@fuzz
@given(data=st.data())
def test_model_card(model_folder: tuple[Path, Any], data: st.DataObject) -> None:
    folder, needed = model_folder
    value = data.draw(misfit(needed) | json_values)
    (folder / CARD).write_text(json.dumps(value))
    intact = isinstance(value, dict) and all(value.get(name) == needed[name] for name in needed)
    if intact or (
        isinstance(value, dict)
        and isinstance(value.get("sha256"), dict)
        and needed["sha256"].items() <= value["sha256"].items()
        and value.get("format") == needed["format"]
    ):
        return  # an unknown neighbour does no harm
    survives(ModelError, lambda: OnnxEngine(folder))


@pytest.fixture(scope="module")
def network_folder(scratch: Path) -> tuple[Path, bytes]:
    """The shipped model but for one part, which is written anew for each case."""
    folder = scratch / "network"
    folder.mkdir()
    for path in SHIPPED_MODEL.iterdir():
        if path.name != "content_encoder.onnx":
            (folder / path.name).symlink_to(path)
    return folder, (SHIPPED_MODEL / "content_encoder.onnx").read_bytes()


@fuzz
@given(data=st.data())
def test_broken_network(network_folder: tuple[Path, bytes], data: st.DataObject) -> None:
    """Its hash is wrong, so it is never given to ONNX Runtime, whoever vouches for the folder."""
    folder, whole = network_folder
    content = data.draw(broken(whole))
    if content == whole:
        return
    (folder / "content_encoder.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="has sha256"):
        OnnxEngine(folder, trust_unknown_model=data.draw(st.booleans()))


def write_recognizer(path: Path) -> bytes:
    """A file that OnnxRecognizer takes, with weights, shapes and attributes to break."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).normal(size=(8, 3, 16, 16)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], strides=[16, 16]),
        helper.make_node("Reshape", ["c", "shape"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "recognizer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 112, 112])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", None])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array([1, -1]), "shape")],
    )
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )
    return path.read_bytes()


EMBED_ALL = """
import resource, sys
from pathlib import Path
import numpy as np
from mfm_edge.align import TEMPLATE
from mfm_edge.errors import ModelError
from mfm_edge.recognize import OnnxRecognizer
from mfm_edge.types import Face
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
frame = np.full((128, 128, 3), 99, np.uint8)
face = Face(np.array([20, 20, 110, 110], np.float32), TEMPLATE.astype(np.float32), 0.9)
for path in sorted(Path(sys.argv[1]).iterdir()):
    print(path.name, flush=True)
    try:
        OnnxRecognizer(path, threads=1).embed(frame, face)
    except ModelError:
        pass
"""


def test_broken_recognizers_end_no_process(scratch: Path) -> None:
    """A user's recogniser has no hash: ONNX Runtime reads what comes. In a process of its own, which must not crash."""
    whole, folder = write_recognizer(scratch / "good.onnx"), scratch / "recognizers"
    folder.mkdir()
    rng = np.random.default_rng(None if CASES >= 1000 else 0)
    for index in range(CASES):
        content = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            places = len(content) if rng.random() < 0.2 else 300  # mostly not among the weights
            at = int(rng.integers(places)) - (0 if rng.random() < 0.5 else places)
            kind = rng.integers(3)
            if kind == 0:
                content[at] = int(rng.integers(256))
            elif kind == 1:
                del content[at : at + int(rng.integers(1, 9)) or None]
            else:
                content[at:at] = rng.bytes(int(rng.integers(1, 9)))
        (folder / f"{index:06}.onnx").write_bytes(content)
    (folder / "whole.onnx").write_bytes(whole)
    done = subprocess.run([sys.executable, "-I", "-c", EMBED_ALL, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stdout.splitlines()[-1:], done.stderr[-2000:])
    assert done.stdout.splitlines()[-1] == "whole.onnx"


def test_recognizer_of_names_that_are_no_text_is_refused(scratch: Path) -> None:
    path = scratch / "named.onnx"
    path.write_bytes(write_recognizer(path).replace(b"\x12\x01n", b"\x12\x01\x87"))
    with pytest.raises(ModelError, match="not UTF-8"):
        OnnxRecognizer(path, threads=1)


@fuzz
@given(content=st.binary(max_size=400))
def test_model_card_of_any_bytes(model_folder: tuple[Path, Any], content: bytes) -> None:
    (model_folder[0] / CARD).write_bytes(content)
    survives(ModelError, lambda: OnnxEngine(model_folder[0]))


@pytest.fixture(scope="module")
def pictures(scratch: Path) -> dict[str, bytes]:
    """A picture of each coding, and a video of each container, that is read."""
    coded = {f"p{ending}": make_picture(scratch / f"good{ending}") for ending in ENDINGS}
    return coded | {f"v{ending}": make_video(scratch / f"good{ending}") for ending in (".mp4", ".mkv")}


@fuzz
@given(data=st.data())
def test_broken_video_or_picture(scratch: Path, pictures: dict[str, bytes], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(pictures)))
    (scratch / name).write_bytes(data.draw(broken(pictures[name])))
    survives(SourceError, lambda: read_source(scratch / name))


def test_video_of_an_unknown_codec_is_refused(scratch: Path, pictures: dict[str, bytes]) -> None:
    (scratch / "unknown.mp4").write_bytes(pictures["v.mp4"].replace(b"avc1", b"????"))
    with pytest.raises(SourceError, match="is coded in an unknown way"):
        open_source(scratch / "unknown.mp4")


@fuzz
@given(content=st.text(max_size=200).map(str.encode) | st.binary(max_size=200)
       | st.dictionaries(st.sampled_from(("crf", "hair", "seal", "no", "password", "x y", "stream")), json_values,
                         max_size=4).map(lambda d: "\n".join(f"{k} = {json.dumps(v)}" for k, v in d.items()).encode()),
)  # fmt: skip
def test_settings_of_any_content(scratch: Path, content: bytes) -> None:
    path = scratch / "settings.toml"
    path.write_bytes(content)
    survives(ArgumentError, lambda: read_settings(path))


@pytest.mark.parametrize("ending", ENDINGS)
def test_picture_that_promises_gigabytes_is_not_decoded(scratch: Path, pictures: dict[str, bytes], ending: str) -> None:
    content, side = bytearray(pictures[f"p{ending}"]), 16_000
    if ending == ".png":
        content[16:24] = struct.pack(">II", side, side)
    elif ending in (".jpg", ".jpeg"):
        at = content.index(b"\xff\xc0")
        content[at + 5 : at + 9] = struct.pack(">HH", side, side)
    elif ending == ".bmp":
        content[18:26] = struct.pack("<ii", side, -side)
    else:
        content = bytearray(cv2.imencode(ending, np.zeros((64, 96, 3), np.uint8), [cv2.IMWRITE_WEBP_QUALITY, 50])[1])
        content[26:30] = struct.pack("<HH", side, side)
    path = scratch / f"bomb{ending}"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="got 16000x16000 px"):
        open_source(path)


def test_video_that_promises_gigabytes_is_not_decoded(scratch: Path, monkeypatch: pytest.MonkeyPatch,
                                                      pictures: dict[str, bytes]) -> None:  # fmt: skip
    monkeypatch.setattr("mfm_edge.video.sources.MAX_PIXELS", 96 * 64 - 1)
    with pytest.raises(SourceError, match="got frames of 96x64 px"):
        open_source(scratch / "good.mp4")


@fuzz
@given(content=st.binary(max_size=64) | st.tuples(
    st.sampled_from((b"\xff\xd8\xff", b"BM", b"\x89PNG\r\n\x1a\n", b"RIFF1234WEBPVP8 ", b"RIFF1234WEBPVP8L")),
    st.binary(max_size=40)).map(b"".join))  # fmt: skip
def test_sizes_of_any_bytes(content: bytes) -> None:
    survives(ArgumentError, lambda: coded_size(content))


def test_deep_and_long_json_is_refused(scratch: Path) -> None:
    for number, content in zip(count(), (b"[" * 60_000, b'{"a":' * 60_000, b'"' + b"x" * (2 << 20), b"1" * 60_000)):
        for suffix, read in ((".jsonl", read_sidecar), (".seal", read_seal)):
            path = scratch / f"deep{number}{suffix}"
            path.write_bytes(content)
            with pytest.raises(MfmError):
                read(path)
    folder = scratch / "deep"
    folder.mkdir()
    (folder / CARD).write_bytes(b"[" * 100_000)
    with pytest.raises(ModelError):
        OnnxEngine(folder)


def test_small_file_that_promises_a_huge_picture_is_not_decoded(scratch: Path) -> None:
    """A PNG of some hundred bytes can ask for gigabytes."""
    import zlib

    head = struct.pack(">II", 30_000, 30_000) + b"\x08\x02\x00\x00\x00"
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    bomb = b"\x89PNG\r\n\x1a\n" + chunk
    path = scratch / "bomb.seal"
    with SealWriter(path, KEY, HEADER) as writer:
        writer._write_chunk(1, struct.pack(">dHIII", 0, 1, 0, 0, len(bomb)) + bomb)
    with pytest.raises(SealError, match="holds no picture"):
        read_seal(path)
    assert chunk_nonce(1, 2) != chunk_nonce(2, 1)  # a chunk of one kind is none of another
