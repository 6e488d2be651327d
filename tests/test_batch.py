"""Many videos as one job: what is finished, what is given up; and on a real Ray cluster that loses a worker."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from mfm_edge import batch
from mfm_edge.batch import MOST_TRIES, Result, Settings, Task, Worker, plan, run_batch
from mfm_edge.cli.main import main
from mfm_edge.cli.password import PASSWORD_VARIABLE
from mfm_edge.errors import ArgumentError
from mfm_edge.factors import Factors
from mfm_edge.record import RecordReader, sidecar_of
from mfm_edge.seal import seal_of
from mfm_edge.video import open_source

FACTORS = Factors("correct horse")


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, fake_runtime: Any) -> Worker:
    monkeypatch.setattr(batch, "MfmRuntime", lambda **_options: fake_runtime)
    return Worker(FACTORS, Settings(seal=True))


def work(worker: Worker, task: Task) -> Result:
    return Result(**worker({"source": task.source, "output": str(task.output)}))


def count(path: Path) -> int:
    with open_source(path) as source:
        return len(list(source))


def test_plan_keeps_the_folders_structure(tmp_path: Path) -> None:
    for name in ("a/one.mp4", "a/deep/one.MKV", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    tasks = plan([str(tmp_path / "a"), "https://bucket/two.mov?signature=x/y", "three.avi"], Path("out"))
    assert [str(task.output) for task in tasks] == [
        "out/deep/one_anonymized.MKV",
        "out/one_anonymized.mp4",
        "out/two_anonymized.mov",
        "out/three_anonymized.mp4",
    ]
    assert tasks[2].source == "https://bucket/two.mov?signature=x/y"
    with pytest.raises(ArgumentError, match="would both become out/one_anonymized.mp4"):
        plan([str(tmp_path / "a"), "one.mp4"], Path("out"))
    inside = tmp_path / "a" / "deep"  # the job's own output is no input
    assert [task.output.name for task in plan([str(tmp_path / "a")], inside)] == ["one_anonymized.mp4"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArgumentError, match="found no video"):
        plan([str(tmp_path / "empty")], Path("out"))


def test_only_a_complete_video_bears_its_name(make_video: Callable[..., Path], tmp_path: Path, worker: Worker) -> None:
    task = Task(str(make_video(count=5, audio=True)), tmp_path / "out" / "v.mp4")
    task.output.parent.mkdir()
    seen: list[set[str]] = []
    worker._runtime.after_frame = lambda _number: seen.append({path.name for path in task.output.parent.iterdir()})
    result = work(worker, task)
    assert (result.error, result.frames, result.faces) == (None, 5, 5)
    assert all("v.mp4" not in names and ".unfinished-v.mp4" in names for names in seen) and len(seen) == 5
    assert {path.name for path in task.output.parent.iterdir()} == {"v.mp4", "v.mp4.mfm.jsonl", "v.mp4.mfm.seal"}
    assert task.finished and count(task.output) == 5 and seal_of(task.output).stat().st_size > 100
    with RecordReader(sidecar_of(task.output)) as records:
        assert len(list(records)) == 5


def test_failures_are_results(make_video: Callable[..., Path], tmp_path: Path, worker: Worker) -> None:
    missing = Task(str(tmp_path / "absent.mp4"), tmp_path / "x.mp4")
    assert "absent.mp4: no such file" in str(work(worker, missing).error)
    broken = Task(str(make_video(count=5)), tmp_path / "y.mp4")
    worker._runtime.after_frame = lambda number: 1 / 0
    assert work(worker, broken).error == "ZeroDivisionError: division by zero"
    assert not missing.finished and not broken.finished


def test_a_file_that_kills_its_worker_is_given_up(
    make_video: Callable[..., Path], tmp_path: Path, worker: Worker
) -> None:
    task = Task(str(make_video(count=5)), tmp_path / "v.mp4")

    def die(_number: int) -> None:
        raise KeyboardInterrupt  # nothing in the worker catches it, as nothing catches a kill

    worker._runtime.after_frame = die
    for _ in range(MOST_TRIES):
        with pytest.raises(KeyboardInterrupt):
            work(worker, task)
    assert "ended its worker 3 times, given up" in str(work(worker, task).error)


def test_command(
    make_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worker: Worker, capsys: Any
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "correct horse")
    asked: list[list[str]] = []

    def here(tasks: list[Task], factors: Factors, settings: Settings, **_options: Any) -> Any:
        asked.append([Path(task.source).name for task in tasks])
        assert factors == FACTORS and settings.crf == 20
        for task in tasks:
            task.output.parent.mkdir(exist_ok=True)
            yield work(worker, task)

    monkeypatch.setattr(batch, "run_batch", here)
    listing = tmp_path / "list.txt"
    listing.write_text(f"{make_video('a.mp4', count=2)}\n\n{make_video('b.mp4', count=3)}\n{tmp_path / 'c.mp4'}\n")
    command = ["batch", "--listing", str(listing), "-o", str(tmp_path / "out"), "--crf", "20", "--json"]
    assert main(command) == 3
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["done", "done", "error"]
    assert main(command) == 3  # finished ones are passed over, the failed one is tried again
    assert asked == [["a.mp4", "b.mp4", "c.mp4"], ["c.mp4"]]
    make_video("c.mp4", count=1)
    assert main(command) == 0 and main(command) == 0
    capsys.readouterr()
    assert main(["register", "list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["batch", "--listing", "absent", "-o", "x"]) == 2


def test_bad_numbers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [Task("a.mp4", Path("b.mp4"))]
    with pytest.raises(ArgumentError, match="workers: got 0"):
        list(run_batch(tasks, FACTORS, Settings(), workers=0))
    with pytest.raises(ArgumentError, match="threads: got 0"):
        list(run_batch(tasks, FACTORS, Settings(threads=0)))


def workers_with(path: Path) -> list[int]:
    """Ray's processes that have written to a file and have it open still."""
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cmdline").read_bytes().startswith(b"ray::") and path.stat().st_size > 0:
                found += [int(process.name) for fd in (process / "fd").iterdir() if fd.readlink() == path.resolve()]
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
@pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray")
def test_two_workers_of_which_one_is_killed(
    make_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is done by another one, everything else goes on, and nothing unfinished is left."""
    import ray

    monkeypatch.setenv("RAY_agent_register_timeout_ms", "120000")  # Ray's start takes long on a busy machine
    sources = [str(make_video(f"v{index}.mp4", count=120, size=(320, 240))) for index in range(5)]
    tasks = plan([*sources, str(tmp_path / "absent.mp4")], tmp_path / "out")
    ray.init(num_cpus=2, log_to_driver=False, configure_logging=False)
    killed: list[int] = []

    def kill() -> None:
        deadline = time.monotonic() + 100
        while not killed and time.monotonic() < deadline:
            writing = [pid for task in tasks for pid in workers_with(task.unfinished)]
            if writing:
                killed.append(writing[0])
                os.kill(writing[0], signal.SIGKILL)
            time.sleep(0.02)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        results = list(run_batch(tasks, FACTORS, Settings(threads=1), workers=2))
    finally:
        thread.join()
        ray.shutdown()
    by_name = {Path(result.source).name: result for result in results}
    assert len(by_name) == len(results) == 6
    assert "no such file" in str(by_name.pop("absent.mp4").error)
    assert all(result.error is None and result.frames == 120 for result in by_name.values())
    assert [count(task.output) for task in tasks if task.finished] == [120] * 5
    assert not [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".unfinished")]
    assert killed
