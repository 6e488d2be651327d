"""Sealed originals: bit-exact, every change detected, nothing readable in the file, and a full disk leaks no face."""

from __future__ import annotations

import json
import resource
import signal
import struct
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError, FrameError, SealError
from mfm_edge.factors import Factors, KeyDerivation
from mfm_edge.guard import cover_face, cover_frame
from mfm_edge.pipeline import Monitor, anonymize_video, restore_video
from mfm_edge.record import MAX_FACES, RecordHeader, RecordReader
from mfm_edge.seal import SealedFrame, SealReader, SealWriter
from mfm_edge.seal.layout import chunk_nonce, file_cipher
from mfm_edge.types import Face, FaceRecord, Protected, Treatment
from mfm_edge.video import FileSink, open_source

KEY = bytes(range(32))
HEADER = RecordHeader(salt=b"8 bytes!", key_derivation=KeyDerivation(), model_id="m", width=160, height=120)
FACTORS = Factors("secret", smiling=True)
MARGIN = struct.calcsize(">BI16s")


def noise(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (120, 160, 3), dtype=np.uint8)


def protect(frame: NDArray[np.uint8]) -> Protected:
    """One surrogate (inverted in its own crop) and one face that is covered."""
    out = frame.copy()
    out[30:90, 20:80] = 255 - out[30:90, 20:80]
    surrogate = FaceRecord(matrix=[[2, 0, -40], [0, 2, -60]], box=[20, 30, 80, 90], score=0.9)
    small = Face(box=[110, 40, 120, 52], landmarks=[[112, 44], [118, 44], [115, 47], [113, 50], [117, 50]], score=0.9)
    cover_face(out, small)
    covered = FaceRecord(matrix=[[10, 0, 0], [0, 10, 0]], box=small.box, score=0.9, treatment=Treatment.COVERED)
    return Protected(out, (surrogate, covered))


def seal(path: Path, frames: list[NDArray[np.uint8]], header: RecordHeader = HEADER, **options: Any) -> Path:
    with SealWriter(path, KEY, header, **options) as writer:
        for index, frame in enumerate(frames):
            writer.write(frame, protect(frame), time=index / 25)
    return path


def opened(path: Path, key: bytes = KEY) -> list[SealedFrame]:
    with SealReader(path, key) as reader:
        return list(reader)


def chunks(path: Path) -> tuple[bytes, list[bytes]]:
    content = path.read_bytes()
    position = content.index(b"\n") + 1
    head, found = content[:position], []
    while position < len(content):
        length = MARGIN + struct.unpack_from(">BI", content, position)[1]
        found.append(content[position : position + length])
        position += length
    return head, found


def test_restoring_is_bit_exact_for_surrogates_and_covered_faces(tmp_path: Path) -> None:
    frames = [noise(seed) for seed in range(3)]
    for index, (frame, sealed) in enumerate(zip(frames, opened(seal(tmp_path / "s", frames)), strict=True)):
        protected = protect(frame).frame
        assert (sealed.index, sealed.time) == (index, index / 25)
        np.testing.assert_array_equal(sealed.restore(protected), frame)
        # Whatever the codec did to the faces is replaced; what it did elsewhere stays.
        decoded = cv2.GaussianBlur(protected, (5, 5), 2)
        back = sealed.restore(decoded)
        np.testing.assert_array_equal(back[30:90, 20:80], frame[30:90, 20:80])
        np.testing.assert_array_equal(back[100:], decoded[100:])
        assert sum(region.pixels.size for region in sealed.regions) < frame.size / 2


def test_any_pixel_that_protection_changed_is_sealed(tmp_path: Path) -> None:
    """Even where no record tells: what must come back is what was changed, whoever changed it."""
    frame = noise(0)
    out = frame.copy()
    out[5, 7] ^= 1
    out[110, 155, 2] ^= 1
    with SealWriter(tmp_path / "s", KEY, HEADER) as writer:
        writer.write(frame, Protected(out, ()))
        writer.write(frame, Protected(frame.copy(), ()))
    first, second = opened(tmp_path / "s")
    np.testing.assert_array_equal(first.restore(out), frame)
    assert second.regions == () and second.time is None


def test_frame_covered_by_an_incident_is_sealed_whole(tmp_path: Path) -> None:
    frame = noise(1)
    with SealWriter(tmp_path / "s", KEY, HEADER) as writer:
        writer.write(frame, Protected(cover_frame(frame), (), incidents=1))
    (sealed,) = opened(tmp_path / "s")
    np.testing.assert_array_equal(sealed.restore(np.zeros_like(frame)), frame)


def test_more_faces_than_a_reader_takes_are_sealed_as_one_region(tmp_path: Path) -> None:
    frame = noise(3)
    (face, _) = protect(frame).faces
    for count, regions in ((MAX_FACES, MAX_FACES), (MAX_FACES + 1, 1)):
        tiny = FaceRecord(matrix=[[64, 0, -64 * 90], [0, 64, -64 * 90]], box=[90, 90, 92, 92], score=0.9)
        with SealWriter(tmp_path / "s", KEY, HEADER) as writer:
            writer.write(frame, Protected(protect(frame).frame, (face, *[tiny] * (count - 1))))
        (sealed,) = opened(tmp_path / "s")
        assert len(sealed.regions) == regions + (count == MAX_FACES)  # and one for the covered face, which none names
        np.testing.assert_array_equal(sealed.restore(protect(frame).frame), frame)


def test_lossy_by_choice_is_smaller_and_close(tmp_path: Path) -> None:
    frame = cv2.GaussianBlur(noise(2), (9, 9), 4)
    exact, lossy = seal(tmp_path / "a", [frame]), seal(tmp_path / "b", [frame], quality=90)
    assert lossy.stat().st_size < exact.stat().st_size / 2
    error = np.abs(opened(lossy)[0].restore(protect(frame).frame).astype(int) - frame)
    assert 0 < error.mean() < 2


def test_file_holds_no_picture_and_no_key(tmp_path: Path) -> None:
    frame = np.full((120, 160, 3), 77, np.uint8)
    content = seal(tmp_path / "s", [frame]).read_bytes()
    for readable in (b"PNG", b"JFIF", b"IHDR", frame[40, :20].tobytes(), KEY, KEY.hex().encode()):
        assert readable not in content
    assert seal(tmp_path / "t", [frame]).read_bytes() != content  # another nonce: the same picture is not recognised


def test_wrong_factors_are_told(tmp_path: Path) -> None:
    path = seal(tmp_path / "s", [noise(0)])
    with pytest.raises(SealError, match="factors differ"):
        SealReader(path, KEY[::-1])


@pytest.mark.parametrize("where", ["line", "check", "kind", "length", "content", "tag", "end"])
def test_tampering(tmp_path: Path, where: str) -> None:
    path = seal(tmp_path / "s", [noise(0), noise(1)])
    head, (check, first, *rest) = chunks(path)
    edit = {
        "line": (0, head.index(b'"width":160') + 9),
        "check": (len(head), MARGIN + 3),
        "kind": (len(head) + len(check), 0),
        "length": (len(head) + len(check), 1),
        "content": (len(head) + len(check), 500),
        "tag": (len(head) + len(check), len(first) - 1),
        "end": (len(head) + len(check) + len(first) + len(rest[0]), 0),
    }[where]
    content = bytearray(path.read_bytes())
    content[sum(edit)] ^= 1
    path.write_bytes(content)
    with pytest.raises(SealError):
        opened(path)


def test_every_single_byte_matters(tmp_path: Path) -> None:
    frame = np.zeros((120, 160, 3), np.uint8)
    with SealWriter(tmp_path / "s", KEY, HEADER) as writer:
        writer.write(frame, Protected(frame, ()))
    content = (tmp_path / "s").read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 0x10
        (tmp_path / "t").write_bytes(changed)
        with pytest.raises(SealError):
            opened(tmp_path / "t")


@pytest.mark.parametrize("cut", [1, 20, 36, 37, 38, 300])
def test_truncation_gives_what_came_before_and_says_so(tmp_path: Path, cut: int) -> None:
    path = seal(tmp_path / "s", [noise(0), noise(1)])
    path.write_bytes(path.read_bytes()[:-cut])
    frames = []
    with SealReader(path, KEY) as reader, pytest.raises(SealError, match="is cut off after"):
        for frame in reader:
            frames.append(frame)
    assert reader.truncated and len(frames) == (2 if cut <= 37 else 1)


@pytest.mark.parametrize("length", [0, 15, 1 << 20, (1 << 28) - 1, (1 << 32) - 1])
def test_a_changed_length_is_not_taken_for_a_cut(tmp_path: Path, length: int) -> None:
    path = seal(tmp_path / "s", [noise(0), noise(1)])
    head, (check, first, *_) = chunks(path)
    content = bytearray(path.read_bytes())
    for position in (len(head), len(head + check), len(head + check + first)):
        path.write_bytes(content[: position + 1] + struct.pack(">I", length) + content[position + 5 :])
        with pytest.raises(SealError, match="was changed"):
            opened(path)


def without_fingerprints(content: bytes) -> bytes:
    kept, position = [content[:10]], 10
    while position < len(content):
        start = position + 13 + content[position + 12]
        end = start + struct.unpack_from(">III", content, position)[2]
        kept += [content[position : position + 12], content[start:end]]
        position = end
    return b"".join(kept)


def first_version(path: Path, key: bytes = KEY) -> Path:
    """The same seal as version 1 wrote it: no tags of lengths, no fingerprints."""
    head, parts = chunks(path)
    contents = []
    cipher = file_cipher(key, bytes.fromhex(json.loads(head)["nonce"]))
    for number, part in enumerate(parts):
        contents.append((part[0], cipher.decrypt(chunk_nonce(number, part[0]), part[MARGIN:], sha256(head).digest())))
    head = head.replace(b'"version":2', b'"version":1', 1)
    path.write_bytes(head)
    contents = [(kind, without_fingerprints(content) if content else b"") for kind, content in contents]
    with path.open("ab") as file:
        for number, (kind, content) in enumerate(contents):
            sealed = cipher.encrypt(chunk_nonce(number, kind), content, sha256(head).digest())
            file.write(struct.pack(">BI", kind, len(sealed)) + sealed)
    return path


def test_files_of_version_1_are_read(tmp_path: Path) -> None:
    frames = [noise(0), noise(1)]
    path = first_version(seal(tmp_path / "s", frames))
    for frame, sealed in zip(frames, opened(path), strict=True):
        np.testing.assert_array_equal(sealed.restore(protect(frame).frame), frame)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(SealError, match="is cut off after 1 frames"):
        opened(path)
    path.write_bytes(seal(tmp_path / "t", frames).read_bytes().replace(b'"version":2', b'"version":1', 1))
    with pytest.raises(SealError, match="its start was changed"):  # no way back to what the older version let pass
        opened(path)


def test_left_out_frames_repeated_frames_and_reordering(tmp_path: Path) -> None:
    path = seal(tmp_path / "s", [noise(0), noise(1), noise(2)])
    head, (check, a, b, c, end) = chunks(path)
    for order in ([b, a, c, end], [a, a, b, c, end], [a, c, end], [b, c, end], [a, b, end], [end, a, b, c]):
        path.write_bytes(head + check + b"".join(order))
        with pytest.raises(SealError, match="changed, moved or comes from another file"):
            opened(path)
    path.write_bytes(head + b"".join([check, a, b, c, end, a]))
    with pytest.raises(SealError, match="behind its end"):
        opened(path)


def test_mixing_streams_even_under_one_key_and_salt(tmp_path: Path) -> None:
    mine, other = seal(tmp_path / "a", [noise(0)] * 2), seal(tmp_path / "b", [noise(1)] * 2)
    head, (check, a, *rest) = chunks(mine)
    other_head, (other_check, b, *_) = chunks(other)
    for content in ([head, check, b, *rest], [other_head, check, a, *rest], [head, other_check, b, *rest]):
        mine.write_bytes(b"".join(content))
        with pytest.raises(SealError):
            opened(mine)


def test_a_frame_that_was_not_sealed_is_refused(tmp_path: Path) -> None:
    frame = noise(0)
    (sealed,) = opened(seal(tmp_path / "s", [frame]))
    with pytest.raises(FrameError, match="smaller than the one that was sealed"):
        sealed.restore(frame[:80, :80])
    with SealWriter(tmp_path / "t", KEY, HEADER) as writer, pytest.raises(FrameError, match="got 80x120 px"):
        writer.write(frame[:, :80], protect(frame))
    for quality in (0, 101, True):
        with pytest.raises(ArgumentError, match="quality: got"):
            SealWriter(tmp_path / "t", KEY, HEADER, quality=quality)


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b"[1]\n", b"[" * 70_000, bytes(range(256)), b'{"nonce":5}\n'])
def test_not_a_seal(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(SealError, match="is not a file of sealed originals"):
        SealReader(tmp_path / "s", KEY)
    with pytest.raises(SealError, match="cannot be read"):
        SealReader(tmp_path / "absent", KEY)


@pytest.fixture
def small_files() -> Any:
    """Files of this process end at 40 kB, like on a full disk."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_full_disk_keeps_what_was_written(tmp_path: Path, small_files: None) -> None:
    frames = [noise(seed) for seed in range(8)]
    with pytest.raises(SealError, match="cannot be written"):
        seal(tmp_path / "s", frames)
    with SealReader(tmp_path / "s", KEY) as reader, pytest.raises(SealError, match="cut off"):
        for frame, sealed in zip(frames, reader, strict=False):
            np.testing.assert_array_equal(sealed.restore(protect(frame).frame), frame)
    assert reader.truncated


def run(kind: Any, runtime: Any, path: Path, factors: Factors = FACTORS, **options: Any) -> Any:
    with open_source(path) as source:
        return kind(runtime, source, factors, **options)


@pytest.fixture
def sealed_video(make_video: Callable[..., Path], tmp_path: Path, fake_runtime: Any) -> Callable[..., tuple[Path, ...]]:
    def make(name: str = "out", crf: int = 40, **video: Any) -> tuple[Path, ...]:
        original = make_video(f"{name}_in.mp4", **video)
        places = [tmp_path / f"{name}{suffix}" for suffix in (".mp4", ".jsonl", ".seal")]
        run(anonymize_video, fake_runtime, original, output=places[0], sidecar=places[1], seal=places[2], crf=crf)
        return (original, *places)

    return make


def images(path: Path) -> list[NDArray[np.uint8]]:
    with open_source(path) as source:
        return [frame.image for frame in source]


class Taps:
    """Catches what a restored video is made of before a codec touches it."""

    def __init__(self) -> None:
        self.shown: list[NDArray[np.uint8]] = []

    def show(self, image: NDArray[np.uint8]) -> bool:
        self.shown.append(image)
        return True


@pytest.mark.parametrize("with_sidecar", [True, False])
def test_video_is_restored_bit_exact_from_a_harsh_codec(
    sealed_video: Any, fake_runtime: Any, with_sidecar: bool
) -> None:
    original, output, sidecar, sealed = sealed_video(count=6, size=(98, 66))
    taps = Taps()
    summary = run(restore_video, fake_runtime, output, output=None, sidecar=sidecar if with_sidecar else None,
                  seal=sealed, monitor=Monitor(viewers=[taps]))  # fmt: skip
    assert (summary.frames, summary.notices) == (6, ()) and fake_runtime.restored_from == []
    for before, after in zip(images(original), taps.shown, strict=True):
        np.testing.assert_array_equal(after[: before.shape[0], : before.shape[1]], before)


def test_seal_that_was_cut_off_leaves_the_rest_to_the_network(sealed_video: Any, fake_runtime: Any) -> None:
    _, output, sidecar, sealed = sealed_video(count=6)
    head, parts = chunks(sealed)
    sealed.write_bytes(head + b"".join(parts[:4]) + parts[4][:50])
    summary = run(restore_video, fake_runtime, output, output=None, sidecar=sidecar, seal=sealed)
    assert summary.frames == 6 and fake_runtime.restored_from == [4, 5, 6]
    assert "the seal is cut off" in summary.notices[0]


def test_seal_that_was_tampered_with_stops_restoring(sealed_video: Any, fake_runtime: Any) -> None:
    _, output, sidecar, sealed = sealed_video(count=6)
    content = bytearray(sealed.read_bytes())
    content[len(content) // 2] ^= 1
    sealed.write_bytes(content)
    with pytest.raises(SealError, match="changed, moved"):
        run(restore_video, fake_runtime, output, output=None, sidecar=sidecar, seal=sealed)


@pytest.mark.parametrize("lost", [1, 10])
@pytest.mark.parametrize("crf", [18, 23])
def test_originals_are_never_put_into_frames_of_another_time(
    sealed_video: Any, fake_runtime: Any, tmp_path: Path, crf: int, lost: int
) -> None:
    """The first frames are cut off and the times start at 0 again, as editors do."""
    original, output, sidecar, sealed = sealed_video(crf=18, count=20)
    cut = tmp_path / "cut.mp4"
    with open_source(output) as source, FileSink(cut, size=source.size, crf=crf) as sink:
        for index, frame in enumerate(source):
            if index >= lost:
                sink.write(frame.image, frame.time - lost / 25)
    for places, notices in ((sidecar, 2), (None, 1)):
        taps = Taps()
        monitor = Monitor(viewers=[taps])
        summary = run(restore_video, fake_runtime, cut, output=None, sidecar=places, seal=sealed, monitor=monitor)
        assert f"{20 - lost} frames are not as they were sealed" in summary.notices[-1]
        for shown, wrong in zip(taps.shown, images(original), strict=False):
            assert (shown != wrong).any()
        if lost == 10:
            assert summary.detected_again == 10 and len(summary.notices) == notices
            for shown, right in zip(taps.shown, images(original)[10:], strict=True):
                assert np.abs(shown.astype(int) - right).mean() < 10


@pytest.mark.parametrize("missing", [(5, 6, 12), (18, 19)])
def test_frames_that_lost_others_keep_their_originals(
    sealed_video: Any, fake_runtime: Any, tmp_path: Path, missing: tuple[int, ...]
) -> None:
    """Also after another codec."""
    original, output, sidecar, sealed = sealed_video(count=20)
    fewer, taps = tmp_path / "fewer.mp4", Taps()
    with open_source(output) as source, FileSink(fewer, size=source.size, crf=23) as sink:
        for index, frame in enumerate(source):
            if index not in missing:
                sink.write(frame.image, frame.time)
    monitor = Monitor(viewers=[taps])
    summary = run(restore_video, fake_runtime, fewer, output=None, sidecar=sidecar, seal=sealed, monitor=monitor)
    assert summary.notices == () and fake_runtime.restored_from == []
    kept = [image for index, image in enumerate(images(original)) if index not in missing]
    for shown, right in zip(taps.shown, kept, strict=True):
        np.testing.assert_array_equal(shown, right)


def test_seal_of_version_1_restores_and_says_what_it_cannot_tell(sealed_video: Any, fake_runtime: Any) -> None:
    original, output, sidecar, sealed = sealed_video(count=4)
    with RecordReader(sidecar) as reader:
        salt = reader.header.salt
    first_version(sealed, sha256(FACTORS.canonical() + salt).digest())  # as FakeStream makes its key
    taps = Taps()
    monitor = Monitor(viewers=[taps])
    summary = run(restore_video, fake_runtime, output, output=None, sidecar=sidecar, seal=sealed, monitor=monitor)
    assert len(summary.notices) == 1 and "the seal is of version 1" in summary.notices[0]
    for shown, right in zip(taps.shown, images(original), strict=True):
        np.testing.assert_array_equal(shown, right)


def test_another_streams_seal_is_refused_under_the_same_factors(sealed_video: Any, fake_runtime: Any) -> None:
    _, output, sidecar, sealed = sealed_video("a", count=3)
    _, other, other_sidecar, other_sealed = sealed_video("b", count=3)
    for places in ((output, sidecar, other_sealed), (output, None, other_sealed), (other, sidecar, sealed),
                   (output, other_sidecar, other_sealed)):  # fmt: skip
        with pytest.raises(SealError, match="belongs to another stream"):
            run(restore_video, fake_runtime, places[0], output=None, sidecar=places[1], seal=places[2])


def test_wrong_factors_write_nothing(sealed_video: Any, fake_runtime: Any, tmp_path: Path) -> None:
    _, output, sidecar, sealed = sealed_video(count=3)
    wrong = Factors("secret", smiling=False)
    with pytest.raises(SealError, match="factors differ"):
        run(restore_video, fake_runtime, output, wrong, output=tmp_path / "back.mp4", sidecar=sidecar, seal=sealed)
    assert not (tmp_path / "back.mp4").exists()


def test_failure_to_seal_leaks_no_face(
    make_video: Callable[..., Path], tmp_path: Path, fake_runtime: Any, small_files: None
) -> None:
    """The disk fills up under the seal: the video ends with protected frames, none of them raw."""
    original = make_video(count=12, size=(96, 64))
    before = images(original)
    with pytest.raises(SealError, match="cannot be written"):
        run(anonymize_video, fake_runtime, original, output=tmp_path / "out.mp4", sidecar=None, seal=tmp_path / "s")
    written = images(tmp_path / "out.mp4")
    assert 0 < len(written) < 12
    for raw, shown in zip(before, written, strict=False):
        assert np.abs(255 - raw.astype(int) - shown).mean() < 4 < np.abs(raw.astype(int) - shown).mean()
