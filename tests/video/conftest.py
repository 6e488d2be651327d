"""Small videos made on the spot, and network streams on the loopback interface."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray


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
