"""Small videos made on the spot, network streams on the loopback interface, and a runtime without a network."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from fractions import Fraction
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mfm_edge import runtime
from mfm_edge.demo.__main__ import CLIP
from mfm_edge.factors import DEFAULT_KEY_DERIVATION, Factors, KeyDerivation
from mfm_edge.slot_choice import SlotChoice
from mfm_edge.types import SLOTS, FaceRecord, Protected, Restored
from mfm_edge.video import FileSink, open_source


class FirstSlot(SlotChoice):
    """Stands in for the choice of slots: the first that nobody has, whatever the surrogate looks like."""

    def __init__(self, *_arguments: object, **_options: object) -> None:
        pass

    def choose(self, face: object, keys: object, first: int, taken: Collection[int]) -> int:
        return next((slot for slot in (*range(first, SLOTS), *range(first)) if slot not in taken), first)


@pytest.fixture
def first_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "SlotChoice", FirstSlot)


def picture(index: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A smooth colour gradient that moves with the index: easy on the codec, so that small losses show."""
    width, height = size
    x = np.linspace(0, 2 * np.pi, width)[None, :] + index * 0.1
    y = np.linspace(0, 2 * np.pi, height)[:, None]
    planes = [np.sin(x) + np.cos(y), np.cos(x + 1) + np.sin(y), np.sin(x + 2) - np.cos(y)]
    return np.stack([(plane * 50 + 128) for plane in planes], axis=-1).astype(np.uint8)


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    def make(
        name: str = "in.mp4",
        *,
        size: tuple[int, int] = (96, 64),
        count: int = 30,
        times: list[Fraction] | None = None,
        audio: bool = False,
        movflags: str = "",
        gop: int = 12,
    ) -> Path:
        path = tmp_path / name
        container = av.open(str(path), "w", options={"movflags": movflags} if movflags else {})
        stream = container.add_stream("libx264", rate=25, options={"crf": "12", "preset": "veryfast", "g": str(gop)})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90_000)
        sound = container.add_stream("aac", rate=16_000, layout="mono") if audio else None
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(picture(index, size), format="bgr24")
            frame.time_base = Fraction(1, 90_000)
            frame.pts = int((times[index] if times else Fraction(index, 25)) * 90_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            samples = np.sin(np.arange(16_000 * count // 25) * 0.2).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate = 16_000
            frame.pts = 0
            fifo = av.AudioFifo()
            fifo.write(frame)
            while (piece := fifo.read(1024, partial=True)) is not None:
                container.mux(sound.encode(piece))
            container.mux(sound.encode(None))
        container.close()
        return path

    return make


@pytest.fixture
def mjpeg_server() -> Iterator[Callable[..., str]]:
    """Starts servers of MJPEG over HTTP as network cameras are: `count` frames, then the connection ends or stalls."""
    servers: list[ThreadingHTTPServer] = []
    stop = threading.Event()

    def start(*, count: int = 25, rate: float = 50.0, stall: bool = False, size: tuple[int, int] = (96, 64)) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                for index in range(count):
                    jpeg = cv2.imencode(".jpg", picture(index, size))[1].tobytes()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
                    try:
                        self.wfile.write(head + jpeg + b"\r\n")
                    except OSError:
                        return
                    time.sleep(1 / rate)
                if stall:
                    stop.wait(30)

            def log_message(self, *_arguments: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/video.mjpg"

    yield start
    stop.set()
    for server in servers:
        server.shutdown()
        server.server_close()


class FakeStream:
    """Anonymising inverts the frame, restoring with the same factors and salt inverts it back; one face a frame."""

    def __init__(self, runtime: FakeRuntime, factors: Factors, salt: bytes, key_derivation: KeyDerivation) -> None:
        self.runtime, self.factors, self.salt, self.key_derivation = runtime, factors, salt, key_derivation
        self.sealing_key = sha256(factors.canonical() + salt).digest()

    def find(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return frame

    def protect(self, frame: NDArray[np.uint8]) -> Protected:
        self.runtime.count += 1
        self.runtime.locked[self.salt] = self.factors
        if self.runtime.after_frame is not None:
            self.runtime.after_frame(self.runtime.count)
        face = FaceRecord(matrix=[[16, 0, self.runtime.count], [0, 16, 0]], box=[0, 0, 9, 9], score=0.9, track=0)
        return Protected(255 - frame, (face,))

    def find_again(self, frame: NDArray[np.uint8]) -> tuple[FaceRecord, ...]:
        return ()

    def restore(self, frame: NDArray[np.uint8], faces: Sequence[FaceRecord] | None = None) -> Restored:
        self.runtime.restored_from.append(int(faces[0].matrix[0, 2]) if faces else None)
        right = self.runtime.locked.get(self.salt) == self.factors
        return Restored(255 - frame if right else frame, tuple(faces or ()))

    def restore_found_again(self, frame: NDArray[np.uint8], faces: Sequence[FaceRecord]) -> Restored:
        return self.restore(frame, faces)

    def __enter__(self) -> FakeStream:
        return self

    def __exit__(self, *_details: object) -> None:
        return


class FakeRuntime:
    """Stands in for MfmRuntime where the network does not matter. `after_frame` is called with the frame's number."""

    model_id = "fake-model"
    provider = "none"
    workers = 1

    def __init__(self, **_options: object) -> None:
        self.count = 0
        self.locked: dict[bytes, Factors] = {}
        self.restored_from: list[int | None] = []
        self.after_frame: Callable[[int], None] | None = None

    def open_stream(
        self,
        factors: Factors,
        *,
        salt: bytes | None = None,
        key_derivation: KeyDerivation = DEFAULT_KEY_DERIVATION,
        selection: object = None,
    ) -> FakeStream:
        return FakeStream(self, factors, os.urandom(16) if salt is None else salt, key_derivation)


@pytest.fixture
def fake_runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture(scope="session")
def short_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of the clip that comes with the project: a real face for the real network, quickly."""
    path = tmp_path_factory.mktemp("clip") / "short.mp4"
    with open_source(CLIP) as source, FileSink(path, size=source.size, frame_rate=source.frame_rate) as sink:
        for frame in islice(source, 6):
            sink.write(frame.image, frame.time)
    return path


@pytest.fixture(autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's data folder of its own for every test."""
    folder = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    return folder
