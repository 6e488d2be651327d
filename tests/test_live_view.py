"""The live view by an HTTP client, and in a browser where there is one."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfm_edge import live_view
from mfm_edge.errors import ArgumentError, FactorError, SourceError
from mfm_edge.live_view import LiveView, parse_address

FRAME = np.full((120, 160, 3), (30, 200, 60), np.uint8)


@pytest.fixture
def view() -> Iterator[LiveView]:
    opened = LiveView("127.0.0.1", 0, attributes={"hair": None, "smiling": True})
    yield opened
    opened.close()


def ask(
    view: LiveView, path: str, *, method: str = "GET", body: object = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", view.port, timeout=10)
    content = None if body is None else json.dumps(body)
    connection.request(method, path, content, {"Content-Type": "application/json", **(headers or {})})
    answer = connection.getresponse()
    result = answer.status, answer.read(), answer.headers
    connection.close()
    return result


def first_picture(view: LiveView) -> np.ndarray:
    connection = http.client.HTTPConnection("127.0.0.1", view.port, timeout=10)
    connection.request("GET", "/stream.mjpg")
    answer = connection.getresponse()
    assert answer.readline() == b"--frame\r\n"
    length = 0
    while (line := answer.readline().strip()) != b"":
        if line.lower().startswith(b"content-length"):
            length = int(line.split(b":")[1])
    picture = cv2.imdecode(np.frombuffer(answer.read(length), np.uint8), cv2.IMREAD_COLOR)
    connection.close()
    return np.asarray(picture)


def test_page_picture_and_numbers(view: LiveView) -> None:
    for _ in range(5):
        assert view.show(FRAME)
    view.count(5, 7, 1)
    code, page, headers = ask(view, "/")
    assert code == 200 and b"stream.mjpg" in page and "default-src 'none'" in headers["Content-Security-Policy"]
    assert np.abs(first_picture(view).astype(int) - FRAME).max() < 4
    status = json.loads(ask(view, "/status.json")[1])
    assert (status["frames"], status["faces"], status["incidents"]) == (5, 7, 1)
    assert status["frames_per_second"] > 0 and status["attributes"] == {"hair": None, "smiling": True}
    assert ask(view, "/other")[0] == 404


def test_viewer_that_comes_long_before_the_first_frame(view: LiveView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_view, "_VIEWER_SECONDS", 0.05)
    starting = threading.Timer(0.4, view.show, [FRAME])
    starting.start()
    assert np.abs(first_picture(view).astype(int) - FRAME).max() < 4
    starting.join()


HOSTS = {
    "localhost": 200,
    "localhost:8080": 200,
    "127.0.0.1": 200,
    "127.0.0.9:80": 200,
    "[::1]:8080": 200,
    "evil.example": 403,
    "evil.example:8080": 403,
    "localhost.evil.example": 403,
    "127.0.0.1.evil.example": 403,
    "evil.example#localhost": 403,
    "evil.example?@localhost": 403,
    "0.0.0.0": 403,
    "": 403,
}


@pytest.mark.parametrize("host", HOSTS)
def test_only_this_machines_names_are_answered(view: LiveView, host: str) -> None:
    """A name of somebody else's may be pointed at this machine; its page must see and change nothing."""
    changed: list[Mapping[str, object]] = []
    view.accept_changes(changed.append)
    view.show(FRAME)
    for path in ("/", "/status.json"):
        assert ask(view, path, headers={"Host": host})[0] == HOSTS[host]
    if HOSTS[host] == 403:  # the other answer is a picture without end
        assert ask(view, "/stream.mjpg", headers={"Host": host})[0] == 403
    assert ask(view, "/factors", method="POST", body={"hair": "black"}, headers={"Host": host})[0] == HOSTS[host]
    assert len(changed) == (HOSTS[host] == 200)


def test_a_request_without_a_host_is_refused(view: LiveView) -> None:
    with socket.create_connection(("127.0.0.1", view.port)) as connection:
        connection.sendall(b"GET /status.json HTTP/1.0\r\n\r\n")
        assert b" 403 " in connection.recv(100)


def test_attributes_change_only_when_nothing_is_recorded(view: LiveView) -> None:
    code, body, _ = ask(view, "/factors", method="POST", body={"hair": "black"})
    assert code == 409 and b"recorded" in body
    seen: list[dict[str, object]] = []

    def change(attributes: Mapping[str, object]) -> None:
        if attributes["hair"] == "green":
            raise FactorError("hair: got 'green'")
        seen.append(dict(attributes))

    view.accept_changes(change)
    assert ask(view, "/factors", method="POST", body={"hair": "black"})[0] == 200
    assert seen == [{"hair": "black", "smiling": True}]
    assert ask(view, "/factors", method="POST", body={"hair": "green"})[0] == 409
    assert ask(view, "/factors", method="POST", body={"password": "x"})[0] == 409
    assert ask(view, "/factors", method="POST", body=[1])[0] == 409
    assert len(seen) == 1 and view.attributes["hair"] == "black"


def test_requests_from_other_pages_are_refused(view: LiveView) -> None:
    view.accept_changes(lambda attributes: None)
    assert ask(view, "/status.json", headers={"Host": "evil.example"})[0] == 403  # a name pointed at loopback
    origin = {"Origin": "http://evil.example"}
    assert ask(view, "/factors", method="POST", body={"hair": "black"}, headers=origin)[0] == 403
    form = {"Content-Type": "text/plain"}
    assert ask(view, "/factors", method="POST", body={"hair": "black"}, headers=form)[0] == 400


def test_other_machines_need_the_token() -> None:
    view = LiveView("0.0.0.0", 0, attributes={}, token="long-secret")
    try:
        view.show(FRAME)
        for path in ("/", "/status.json", "/stream.mjpg", "/?token=wrong"):
            assert ask(view, path)[0] == 403
        assert ask(view, "/factors", method="POST", body={})[0] == 403
        code, _, headers = ask(view, "/?token=long-secret")
        assert code == 303 and headers["Location"] == "/" and "HttpOnly" in headers["Set-Cookie"]
        cookie = {"Cookie": headers["Set-Cookie"].split(";")[0]}
        assert ask(view, "/status.json", headers=cookie)[0] == 200
    finally:
        view.close()
    random = LiveView("0.0.0.0", 0, attributes={})
    random.close()
    assert len(random.url.split("token=")[1]) >= 20


def test_viewer_that_reads_nothing_never_delays_the_stream(view: LiveView) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    view.show(noise)
    with socket.create_connection(("127.0.0.1", view.port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        slowest = 0.0
        for _ in range(100):
            started = time.perf_counter()
            view.show(noise)
            slowest = max(slowest, time.perf_counter() - started)
            time.sleep(0.005)
        assert slowest < 0.2
        assert ask(view, "/status.json")[0] == 200


def test_addresses() -> None:
    assert parse_address("8080") == ("127.0.0.1", 8080)
    assert parse_address("0.0.0.0:80") == ("0.0.0.0", 80)
    assert parse_address("[::1]:80") == ("::1", 80)
    for wrong in ("", "host", ":80", "1:99999"):
        with pytest.raises(ArgumentError, match="serve: got"):
            parse_address(wrong)


def test_port_in_use(view: LiveView) -> None:
    with pytest.raises(SourceError, match="cannot be used"):
        LiveView("127.0.0.1", view.port, attributes={})


def test_in_a_real_browser(view: LiveView, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs Chromium (Debian: apt-get install chromium)")
    view.show(FRAME)
    view.count(41, 42, 3)
    shot = tmp_path / "page.png"
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--window-size=400,400", f"--screenshot={shot}", "--timeout=4000", view.url]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while running.poll() is None:
            view.show(FRAME)
            time.sleep(0.1)
    page = cv2.imread(str(shot))
    near = np.abs(page.astype(int) - FRAME[0, 0]).max(axis=2) < 12
    assert near.sum() > 0.9 * 120 * 160  # the picture is really shown
