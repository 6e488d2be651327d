"""A page in the browser that shows the protected stream, its frame rate and incidents, and may change the attributes.

Only frames given to `show` are ever sent. Viewers have threads of their own, which encode the newest frame when they
are ready for one: a slow viewer costs the stream nothing.
"""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Condition, Lock, Thread
from urllib.parse import parse_qs, urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError, MfmError, SourceError

__all__ = ["LiveView", "parse_address"]

_PAGE = Path(__file__).with_suffix(".html")
_MAX_VIEWERS = 16
_VIEWER_SECONDS = 10.0
"""A viewer that takes nothing for so long is let go."""
_MAX_BODY = 4096
_COOKIE = "mfm_view"
_LOCAL = ("localhost", "127.0.0.1", "::1")


def parse_address(text: str) -> tuple[str, int]:
    """[HOST:]PORT as (host, port); the host is 127.0.0.1 unless given, [::1]:8080 an IPv6 one. Raises ArgumentError."""
    host, colon, port = text.rpartition(":")
    if not (port.isdecimal() and int(port) < 1 << 16) or (colon and not host):
        raise ArgumentError(f"serve: got {text!r:.60}, takes [HOST:]PORT such as 8080 or 0.0.0.0:8080")
    return host.strip("[]") or "127.0.0.1", int(port)


class LiveView:
    """Serves the page from a thread until `close`. A viewer in the sense of mfm_edge.pipeline.

    host, port: port 0 takes a free one. attributes: those of the stream's factors, shown on the page. token: what
    viewers have to bring where the host is not a loopback address; drawn at random if None. On loopback none is needed,
    but only requests that name it as their host are answered.

    The password is neither shown nor taken: this is plain HTTP. Raises SourceError when the address cannot be used.
    """

    def __init__(
        self, host: str, port: int, *, attributes: Mapping[str, object], token: str | None = None, quality: int = 80
    ) -> None:
        self.attributes = dict(attributes)
        self.quality = quality
        self.changed = Condition()
        self.viewers = 0
        self.closed = False
        self._local = _is_loopback(host)
        self._token = None if self._local else (token or secrets.token_urlsafe(16))
        self._newest: tuple[int, NDArray[np.uint8]] | None = None
        self._jpeg: tuple[int, bytes] = (-1, b"")
        self._encoding = Lock()
        self._changing = Lock()
        self._times: deque[float] = deque(maxlen=60)
        self._counts = {"frames": 0, "faces": 0, "incidents": 0}
        self._change: Callable[[Mapping[str, object]], object] | None = None
        view = self

        class Handler(_Handler):
            live_view = view

        try:
            self._server = _Server6((host, port), Handler) if ":" in host else _Server((host, port), Handler)
        except OSError as error:
            raise SourceError(f"serve: {host}:{port} cannot be used ({error.strerror}), takes a free port") from None
        shown = f"[{host}]" if ":" in host else host
        self.port: int = self._server.server_address[1]
        self.url = f"http://{shown}:{self.port}/" + ("" if self._token is None else f"?token={self._token}")
        Thread(target=self._server.serve_forever, name="live view", daemon=True).start()

    def show(self, image: NDArray[np.uint8]) -> bool:
        """Takes a protected (H, W, 3) uint8 BGR frame, which nobody changes afterwards; always True."""
        with self.changed:
            number = 0 if self._newest is None else self._newest[0] + 1
            self._newest = (number, image)
            self._times.append(time.monotonic())
            self.changed.notify_all()
        return True

    def count(self, frames: int, faces: int, incidents: int) -> None:
        """Takes what the page shows as numbers."""
        self._counts = {"frames": frames, "faces": faces, "incidents": incidents}

    def accept_changes(self, change: Callable[[Mapping[str, object]], object]) -> None:
        """From now on the page may change the attributes; `change` gets all of them and raises MfmError to refuse."""
        self._change = change

    def close(self) -> None:
        """Stops serving."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def status(self) -> dict[str, object]:
        """What the page shows beside the picture. frames_per_second is over the last 60 frames at most."""
        times = list(self._times)
        late = not times or time.monotonic() - times[-1] > 5
        rate = 0.0 if late or len(times) < 2 else (len(times) - 1) / max(times[-1] - times[0], 1e-6)
        return {
            **self._counts,
            "frames_per_second": round(rate, 1),
            "attributes": self.attributes,
            "changeable": self._change is not None,
        }

    def next_jpeg(self, after: int) -> tuple[int, bytes] | None:
        """The newest frame as JPEG and its number, once it is another than number `after`; None after `close`."""
        with self.changed:
            self.changed.wait_for(lambda: self.closed or self._newest is not None)  # a camera may take long to start
            self.changed.wait_for(
                lambda: self.closed or (self._newest is not None and self._newest[0] != after), timeout=_VIEWER_SECONDS
            )
            newest = self._newest
        if self.closed or newest is None:
            return None
        with self._encoding:  # once for all viewers
            if self._jpeg[0] != newest[0]:
                jpeg = cv2.imencode(".jpg", newest[1], [cv2.IMWRITE_JPEG_QUALITY, self.quality])[1]
                self._jpeg = (newest[0], jpeg.tobytes())
            return self._jpeg

    def change(self, wanted: Mapping[str, object]) -> str | None:
        """Changes attributes; what is wrong as a text, or None."""
        if self._change is None:
            return "this stream is recorded: a file has one key, so its factors stay"
        if not wanted or not set(wanted) <= set(self.attributes):
            return f"takes some of {', '.join(self.attributes)}"
        with self._changing:
            attributes = {**self.attributes, **wanted}
            try:
                self._change(attributes)
            except MfmError as error:
                return str(error)
            self.attributes = attributes
        return None

    def allows(self, host: str, offered: str | None) -> bool:
        """Whether a request that names this host and brings this token may see anything."""
        if self._token is None:
            # A page of somebody else's may point its own name here: only loopback names are answered.
            return (urlsplit(f"//{host}").hostname or "") in _LOCAL or _is_loopback(
                urlsplit(f"//{host}").hostname or ""
            )
        return offered is not None and secrets.compare_digest(offered.encode(), self._token.encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Viewers that go away are no news."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    live_view: LiveView
    timeout = _VIEWER_SECONDS
    server_version, sys_version = "mfm_edge", ""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        asked = parse_qs(address.query).get("token", [None])[0]
        if not self.live_view.allows(self.headers.get("Host", ""), asked or self._cookie()):
            self._send(403, "text/plain", b"takes the token that was shown when the stream was started\n")
        elif address.path == "/" and asked is not None:
            # Into a cookie and out of the address bar, from where it would spread.
            self.send_response(303)
            self.send_header("Location", "/")
            self.send_header("Set-Cookie", f"{_COOKIE}={asked}; HttpOnly; SameSite=Strict; Path=/")
            self._end(0)
        elif address.path == "/":
            self._send(200, "text/html; charset=utf-8", _PAGE.read_bytes())
        elif address.path == "/status.json":
            self._send(200, "application/json", json.dumps(self.live_view.status()).encode())
        elif address.path == "/stream.mjpg":
            self._stream()
        else:
            self._send(404, "text/plain", b"takes /, /status.json or /stream.mjpg\n")

    def do_POST(self) -> None:
        view = self.live_view
        host = self.headers.get("Host", "")
        if not view.allows(host, self._cookie()) or self.headers.get("Origin") not in (None, f"http://{host}"):
            self._send(403, "text/plain", b"not from this page\n")
            return
        # A foreign form cannot send this content type without asking first.
        length = self.headers.get("Content-Length", "")
        json_sent = self.headers.get("Content-Type", "").partition(";")[0] == "application/json"
        if self.path != "/factors" or not json_sent or not length.isdecimal() or int(length) > _MAX_BODY:
            self._send(400, "text/plain", b"takes a small JSON object at /factors\n")
            return
        try:
            wanted = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            wanted = None
        wrong = view.change(wanted) if isinstance(wanted, dict) else "takes a JSON object"
        if wrong is None:
            self._send(200, "application/json", json.dumps(view.status()).encode())
        else:
            self._send(409, "application/json", json.dumps({"error": wrong}).encode())

    def _stream(self) -> None:
        view = self.live_view
        with view.changed:
            full = view.viewers >= _MAX_VIEWERS
            view.viewers += not full
        if full:
            self._send(503, "text/plain", b"too many viewers\n")
            return
        try:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self._end(None)
            self.wfile.write(b"--frame\r\n")
            number = -1
            while (found := view.next_jpeg(number)) is not None:
                if found[0] == number:
                    continue  # nothing new for a while: keep waiting
                number, jpeg = found
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                # The next boundary goes with this frame: browsers show a frame when they see the end of it.
                self.wfile.write(head.encode() + jpeg + b"\r\n--frame\r\n")
        finally:
            with view.changed:
                view.viewers -= 1

    def _cookie(self) -> str | None:
        for part in self.headers.get("Cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == _COOKIE:
                return value
        return None

    def _send(self, code: int, kind: str, content: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self._end(len(content))
        self.wfile.write(content)

    def _end(self, length: int | None) -> None:
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header(
            "Content-Security-Policy",
            "default-src 'none'; img-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; "
            "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
        )
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Silent: the address of a request may hold the token."""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
