"""Many videos as one job on a Ray cluster: Ray schedules and retries, this says what one file is and when it is done.

A file is written under another name and gets its own only when it is complete, its sidecar first: what bears a
protected video's name is finished. A job that is started again passes over those, whatever ended it before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mfm_edge.detect import YuNetDetector
from mfm_edge.errors import ArgumentError, MfmError
from mfm_edge.factors import Factors
from mfm_edge.pipeline import anonymize_video
from mfm_edge.record import sidecar_of
from mfm_edge.runtime import MfmRuntime
from mfm_edge.seal import seal_of
from mfm_edge.video import open_source
from mfm_edge.video.sinks import SUFFIXES

__all__ = ["Result", "Settings", "Task", "Worker", "plan", "run_batch"]

MOST_TRIES = 3
"""A file that ended its worker so often is given up, so that it does not end the others' for ever."""


@dataclass(frozen=True, slots=True)
class Task:
    """source: a path or URL. output: the protected video; its sidecar and seal stand beside it."""

    source: str
    output: Path

    @property
    def finished(self) -> bool:
        return self.output.is_file()

    @property
    def unfinished(self) -> Path:
        """Where the video is written until it is complete."""
        return self.output.with_name(f".unfinished-{self.output.name}")

    @property
    def tries(self) -> Path:
        """Counts, one byte each, how often a worker began."""
        return self.output.with_name(f".tries-{self.output.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The same for all files of a job; see anonymize_video and YuNetDetector. threads: cores that each worker takes."""

    crf: int = 18
    audio: bool = True
    seal: bool = False
    seal_quality: int | None = None
    score: float = 0.6
    max_side: int = 640
    providers: tuple[str, ...] | None = None
    precision: str | None = None
    threads: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a file. error: why it failed, None when it did not; the numbers as in Summary."""

    source: str
    output: str
    error: str | None = None
    frames: int = 0
    faces: int = 0
    covered: int = 0
    incidents: int = 0
    notices: tuple[str, ...] = ()


def plan(inputs: Sequence[str], folder: Path) -> list[Task]:
    """A task for each video: inputs are files, URLs, and folders, which are searched through. Outputs go to `folder`
    in the folders' own structure. Raises ArgumentError when there is none, or two would become one file."""
    tasks: dict[Path, Task] = {}
    for text in inputs:
        top = Path(text)
        for source in _videos_in(top, folder) if top.is_dir() else [top]:
            below = source.relative_to(top).parent if top.is_dir() else Path()
            named = Path(text.partition("?")[0]) if "://" in text else source
            suffix = named.suffix if named.suffix.lower() in SUFFIXES else ".mp4"
            output = folder / below / f"{named.stem}_anonymized{suffix}"
            task = Task(str(source) if top.is_dir() else text, output)
            if output in tasks:
                raise ArgumentError(f"batch: {tasks[output].source} and {task.source} would both become {output}")
            tasks[output] = task
    if not tasks:
        raise ArgumentError(f"batch: found no video in {', '.join(inputs)}, takes {', '.join(SUFFIXES)}")
    return list(tasks.values())


class Worker:
    """Protects one file after the other; Ray keeps one in each of its processes."""

    def __init__(self, factors: Factors, settings: Settings) -> None:
        self._factors, self._settings = factors, settings
        detector = YuNetDetector(score=settings.score, max_side=settings.max_side, threads=settings.threads)
        self._runtime = MfmRuntime(
            detector=detector,
            providers=settings.providers,
            threads=settings.threads,
            precision=settings.precision,
            workers=None,
        )

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """row: a Task's source and output. Gives a Result as a dictionary, whatever happens to the file."""
        task = Task(row["source"], Path(row["output"]))
        try:
            return asdict(self._protect(task))
        except Exception as error:  # one file's trouble is not the others'
            text = str(error) if isinstance(error, MfmError) else f"{type(error).__name__}: {error}"
            return asdict(Result(source=task.source, output=str(task.output), error=" ".join(text.split())))

    def _protect(self, task: Task) -> Result:
        settings, part = self._settings, task.unfinished
        if _begun(task) > MOST_TRIES:
            raise MfmError(f"source {task.source}: ended its worker {MOST_TRIES} times, given up")
        with open_source(task.source) as source:
            if source.live:
                raise ArgumentError(f"source {task.source}: is live, takes a recording")
            summary = anonymize_video(
                self._runtime,
                source,
                self._factors,
                output=part,
                sidecar=sidecar_of(part),
                crf=settings.crf,
                audio=settings.audio,
                seal=seal_of(part) if settings.seal else None,
                seal_quality=settings.seal_quality,
            )
        for beside in (sidecar_of, seal_of) if settings.seal else (sidecar_of,):
            beside(part).replace(beside(task.output))
        part.replace(task.output)
        task.tries.unlink(missing_ok=True)
        counts = {name: getattr(summary, name) for name in ("frames", "faces", "covered", "incidents", "notices")}
        return Result(source=task.source, output=str(task.output), **counts)


def run_batch(
    tasks: Sequence[Task],
    factors: Factors,
    settings: Settings,
    *,
    workers: int | None = None,
    address: str | None = None,
) -> Iterator[Result]:
    """Protects all tasks on a Ray cluster and gives each result as it comes.

    workers: processes at most, as many as the cluster has room for if None. address: of a running cluster, which must
    see the same paths; None starts one on this machine. Ray carries the factors to the workers: use a cluster that you
    trust. Raises ArgumentError for bad numbers and without Ray (extra `ray`).
    """
    if workers is not None and workers < 1:
        raise ArgumentError(f"workers: got {workers}, takes a whole number from 1")
    if settings.threads < 1:
        raise ArgumentError(f"threads: got {settings.threads}, takes a whole number from 1")
    try:
        import ray
        import ray.data
    except ImportError:
        raise ArgumentError("batch: Ray is not installed, takes pip install 'mfm-edge[ray]'") from None
    for task in tasks:
        task.output.parent.mkdir(parents=True, exist_ok=True)
        task.tries.unlink(missing_ok=True)
    ours = not ray.is_initialized()
    if ours:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told what runs here
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    try:
        room = int(ray.cluster_resources().get("CPU", 0) // settings.threads)
        if room < 1:
            raise ArgumentError(f"threads: got {settings.threads}, takes at most the cores of the cluster's machines")
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows: list[dict[str, Any]] = [{"source": task.source, "output": str(task.output.resolve())} for task in tasks]
        results = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            Worker,
            fn_constructor_args=(factors, settings),
            concurrency=min(room, len(rows), workers or room),
            num_cpus=settings.threads,
        )  # Ray restarts such workers and retries their tasks without an end: MOST_TRIES bounds it, file by file
        for row in results.iter_rows():
            yield Result(**{**row, "notices": tuple(row["notices"])})
    finally:
        if ours:
            with suppress(Exception):
                ray.shutdown()


def _videos_in(top: Path, output: Path) -> list[Path]:
    """Without what the job itself writes, where the output is below the input."""
    found = (path for path in top.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return sorted(path for path in found if output.resolve() not in path.resolve().parents)


def _begun(task: Task) -> int:
    with task.tries.open("ab") as file:
        file.write(b".")
        return file.tell()
