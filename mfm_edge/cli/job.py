"""One input from its source to its output: what anonymize, restore and stream have in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mfm_edge.cli.options import FACTOR_NAMES
from mfm_edge.cli.password import read_password
from mfm_edge.cli.paths import check_paths
from mfm_edge.cli.report import Report
from mfm_edge.cli.stopping import Stop
from mfm_edge.detect import YuNetDetector
from mfm_edge.errors import ArgumentError, RegisterError, SourceError
from mfm_edge.factors import Factors
from mfm_edge.pipeline import Monitor, Summary, Viewer, anonymize_video, restore_video
from mfm_edge.register import Register
from mfm_edge.register.commands import open_vault
from mfm_edge.runtime import MfmRuntime, MfmStream
from mfm_edge.seal import seal_of
from mfm_edge.selection import EverySelection, LargestFace, Region, Selection
from mfm_edge.video import Preview, Source, open_source
from mfm_edge.video.raw import RawSource

__all__ = ["Job", "open_register", "run_job"]


@dataclass(slots=True)
class Job:
    """The parts that several inputs share: made once, at the first input that can be opened."""

    options: argparse.Namespace
    report: Report
    stop: Stop
    restore: bool = False
    _factors: Factors | None = None
    _detector: YuNetDetector | None = None
    _runtimes: dict[bool, MfmRuntime] = field(default_factory=dict)

    @property
    def factors(self) -> Factors:
        if self._factors is None:
            password = read_password(self.options, twice=not self.restore)
            named = {name: getattr(self.options, name) for name in FACTOR_NAMES}
            self._factors = Factors.from_mapping({"password": password, **named})
        return self._factors

    @property
    def detector(self) -> YuNetDetector:
        if self._detector is None:
            options = self.options
            longer = 640 if options.scale is None else max(options.scale)
            self._detector = YuNetDetector(score=options.thresh, max_side=longer, threads=options.threads)
        return self._detector

    def runtime(self, *, in_order: bool) -> MfmRuntime:
        """in_order: for frames that have to be worked on one after the other."""
        if in_order not in self._runtimes:
            options = self.options
            self._runtimes[in_order] = MfmRuntime(
                detector=self.detector,
                providers=None if options.execution_provider is None else [options.execution_provider],
                threads=options.threads,
                precision=options.precision,
                workers=1 if in_order else None,
            )
        return self._runtimes[in_order]


def run_job(
    job: Job,
    where: str,
    output: Path | None,
    sidecar: Path | None,
    *,
    factors: Factors | None = None,
    open_viewers: Callable[[ExitStack, Source], tuple[Viewer, ...]] = lambda opened, source: (),
    opened_stream: Callable[[MfmStream, Factors], object] = lambda stream, factors: None,
    tell: Callable[[Summary], object] = lambda summary: None,
) -> int:
    """Processes one input and reports it. Gives the exit code; raises MfmError when it failed.

    factors: others than those of the options. open_viewers: makes further viewers, closed by the stack it gets.
    opened_stream, tell: get the stream before, and the counts after every frame.
    """
    options, report, stop = job.options, job.report, job.stop
    seal = _seal(job, where, output)
    written = (("output", output),) if job.restore else (("output", output), ("sidecar", sidecar), ("seal", seal))
    check_paths(where, written, overwrite=options.overwrite)
    with ExitStack() as opened:
        source = opened.enter_context(_open(options, where))
        factors = job.factors if factors is None else factors
        register = open_register(job)
        runtime = job.runtime(in_order=source.live)
        selection = None if job.restore else _selection(job, source)
        viewers: list[Viewer] = []
        if options.preview:
            window = Preview(f"mfm_edge: {source.name}")
            opened.callback(window.close)
            viewers.append(window)
        viewers += open_viewers(opened, source)
        if selection is not None:
            report.warning("whoever is not chosen stays visible in every frame")
        if job.restore and sidecar is None:
            report.warning(f"{source.name} has no sidecar: faces are detected again, restored less exactly")
        report.event(
            "start",
            {
                "input": source.name,
                "output": output,
                "sidecar": sidecar,
                "size": source.size,
                "frame_rate": source.frame_rate,
                "frames": source.frame_count,
                "model": runtime.model_id,
                "provider": runtime.provider,
            },
        )
        stop.source = source
        opened.callback(setattr, stop, "source", None)
        progress = opened.enter_context(report.progress(source))
        monitor = Monitor(
            progress=lambda summary: (progress(summary), tell(summary)),
            stop=lambda: stop.signal is not None,
            viewers=tuple(viewers),
            opened=lambda stream: opened_stream(stream, factors),
        )
        shared: dict[str, Any] = {
            "output": output,
            "sidecar": sidecar,
            "crf": options.crf,
            "audio": options.keep_audio,
            "seal": seal,
            "register": register,
            "monitor": monitor,
        }
        try:
            if job.restore:
                summary = restore_video(runtime, source, factors, **shared)
            else:
                quality = options.seal_quality
                summary = anonymize_video(runtime, source, factors, **shared, selection=selection, seal_quality=quality)
        except SourceError as error:
            kept = f"; {output} keeps what came before" if output is not None and output.is_file() else ""
            raise SourceError(f"{error}{kept}") from None
    _report(job, source, summary, output, sidecar, seal)
    return stop.exit_code(source)


def _seal(job: Job, where: str, output: Path | None) -> Path | None:
    if not job.options.seal:
        if job.restore and seal_of(Path(where)).is_file():
            job.report.notice(f"{seal_of(Path(where))} holds the originals, --seal puts them back exactly")
        return None
    video = Path(where) if job.restore else output
    if video is None:
        raise ArgumentError("--seal: there is no video to seal beside, takes -o")
    return seal_of(video)


def open_register(job: Job) -> Register | None:
    """The register that remembers a job's streams, None where it shall or can not."""
    keep = None if job.restore else job.options.keep_factors
    if not job.options.register:
        if keep is not None:
            raise ArgumentError("--keep-factors: got --no-register beside it, takes the register")
        return None
    register = Register(vault=None if keep is None else open_vault(keep, new=True))
    if not job.restore:
        try:
            register.check()
        except RegisterError as error:
            if keep is not None:
                raise
            job.report.notice(f"{error}: this stream is not remembered")
            return None
    return register


def _open(options: argparse.Namespace, where: str) -> Source:
    if where != "-":
        return open_source(where, reconnect=options.reconnect, rate=options.rate)
    if options.size is None:
        raise ArgumentError("source -: raw frames do not tell their size, takes --size WxH")
    return RawSource(sys.stdin.fileno(), size=options.size, rate=25.0 if options.rate is None else options.rate)


def _selection(job: Job, source: Source) -> Selection | None:
    options = job.options
    chosen: list[Selection] = []
    if options.only_largest:
        chosen.append(LargestFace())
    if options.region is not None:
        numbers = options.region.split(",")
        if len(numbers) != 4 or not all(number.strip().isdecimal() for number in numbers):
            raise ArgumentError(f"region: got {options.region!r:.60}, takes x,y,width,height in px")
        region = Region(*(int(number) for number in numbers))
        region.check(source.size)
        chosen.append(region)
    if options.keep_faces is not None:
        if options.recognizer is None:
            raise ArgumentError("keep faces: got no recogniser, takes --recognizer FILE, a face recogniser as ONNX")
        from mfm_edge.recognize import KnownPeople, OnnxRecognizer, embeddings_of_folder

        recognizer = OnnxRecognizer(options.recognizer, values=options.recognizer_values, threads=options.threads)
        known = embeddings_of_folder(options.keep_faces, recognizer, job.detector)
        chosen.append(KnownPeople(known, recognizer, threshold=options.keep_threshold))
    elif options.recognizer is not None:
        raise ArgumentError("recognizer: got one without --keep-faces DIR, takes both")
    if not chosen:
        return None
    return chosen[0] if len(chosen) == 1 else EverySelection(chosen)


def _report(
    job: Job, source: Source, summary: Summary, output: Path | None, sidecar: Path | None, seal: Path | None
) -> None:
    report = job.report
    for notice in summary.notices:
        report.notice(notice)
    for count, what in (
        (source.dropped, "frames dropped, the source was faster"),
        (source.corrupt, "corrupt packets left out"),
        (summary.incidents, "incidents: frames covered more than their faces needed"),
        (
            summary.covered,
            f"faces covered (too small or uncertain), which {'only the seal' if seal else 'no password'} restores",
        ),
        (summary.visible, "faces left visible, as chosen"),
        (summary.detected_again if job.restore and sidecar else 0, "frames without a record, faces detected again"),
    ):
        if count:
            report.notice(f"{count} {what}")
    done = "restored" if job.restore else "anonymised"
    rate = f"{summary.frames_per_second:.1f} frames/s"
    report.line(
        f"{done} {summary.frames} frames with {summary.faces} faces at {rate}" + (", stopped" * summary.stopped)
    )
    if output is not None:
        report.line(f"video    {output}")
    if sidecar is not None and not job.restore:
        report.line(f"sidecar  {sidecar}")
    if seal is not None and not job.restore:
        report.line(f"seal     {seal}")
    counts = asdict(summary)
    del counts["notices"]
    report.event("done", {"input": source.name, "output": output, **counts, "dropped": source.dropped})
