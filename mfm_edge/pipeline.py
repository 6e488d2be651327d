"""A whole video through the runtime: source -> anonymise or restore -> file, sidecar, window."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError, RecordError, SealError
from mfm_edge.factors import DEFAULT_KEY_DERIVATION, IMAGE_SALT, Factors
from mfm_edge.fingerprint import fingerprint, looks_like
from mfm_edge.record import FrameRecord, RecordHeader, RecordReader, RecordWriter
from mfm_edge.runtime import MfmRuntime, MfmStream
from mfm_edge.seal import SealedFrame, SealReader, SealWriter, face_region
from mfm_edge.selection import Selection
from mfm_edge.types import MIN_FRAME_SIDE, FaceRecord, Treatment
from mfm_edge.video import Sink, Source, VideoFrame, open_sink
from mfm_edge.video.threads import WriteBehind, read_ahead

if TYPE_CHECKING:
    from mfm_edge.register import Register

__all__ = ["Monitor", "Summary", "Viewer", "anonymize_video", "restore_video"]

_SAME_TIME = 0.003
"""s by which the time in a file may differ from that in its sidecar: Matroska counts in milliseconds."""


@dataclass(slots=True, kw_only=True)
class Summary:
    """What was done.

    faces: faces in all frames together; covered: those pixelated instead of replaced; incidents: see Protected.
    visible: faces that a selection left as they are. detected_again: restored frames without a record of their own.
    seconds: wall clock from the first frame to the closed file. notices: what could not be done as asked. stopped:
    whether the user ended it.
    """

    frames: int = 0
    faces: int = 0
    covered: int = 0
    incidents: int = 0
    visible: int = 0
    detected_again: int = 0
    seconds: float = 0.0
    notices: tuple[str, ...] = ()
    stopped: bool = False

    @property
    def frames_per_second(self) -> float:
        return self.frames / self.seconds if self.seconds > 0 else 0.0


class Viewer(Protocol):
    """Shows frames while they are made: a window, a virtual camera, a page in the browser."""

    def show(self, image: NDArray[np.uint8]) -> bool:
        """Takes a (H, W, 3) uint8 BGR frame as it leaves, which nobody changes afterwards. False ends the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """What is told while a video is processed, and asked whether to stop. Called after every frame.

    progress: gets the counts so far. opened: gets the stream before the first frame, only while anonymising.
    """

    progress: Callable[[Summary], object] = lambda summary: None
    stop: Callable[[], bool] = lambda: False
    viewers: Sequence[Viewer] = ()
    opened: Callable[[MfmStream], object] = lambda stream: None


def anonymize_video(
    runtime: MfmRuntime,
    source: Source,
    factors: Factors,
    *,
    output: Path | None,
    sidecar: Path | None,
    crf: int = 18,
    seal: Path | None = None,
    seal_quality: int | None = None,
    register: Register | None = None,
    audio: bool = True,
    selection: Selection | None = None,
    monitor: Monitor | None = None,
) -> Summary:
    """Anonymises a source to its end into `output` and writes `sidecar`; None leaves either out.

    output: see open_sink. audio: whether the source's sound is copied. selection: whom to anonymise, everybody if None.

    seal: also keeps the originals there, encrypted; seal_quality: see SealWriter. register: remembers the stream.
    A random salt is drawn and kept in the sidecar and in the video's own comment tag. Raises SourceError when the
    source breaks and RecordError, SealError, RegisterError or SourceError when a file cannot be written; what was
    written before is complete.
    """
    _check_size(source)
    summary = Summary()
    with ExitStack() as opened:
        stream = opened.enter_context(runtime.open_stream(factors, selection=selection))
        width, height = source.size
        header = RecordHeader(
            salt=stream.salt,
            key_derivation=stream.key_derivation,
            model_id=runtime.model_id,
            width=width,
            height=height,
            frame_rate=source.frame_rate,
        )
        # The video first: when its name is refused, no sidecar is left lying about.
        sink = _open_sink(opened, source, output, crf, audio, header.to_text())
        record = None if sidecar is None else opened.enter_context(RecordWriter(sidecar, header))
        sealer = None if seal is None else SealWriter(seal, stream.sealing_key, header, quality=seal_quality)
        if sealer is not None:
            opened.enter_context(sealer)
        if register is not None:
            register.add(header, factors, source=source.name, output=output)

        def convert(frame: VideoFrame) -> NDArray[np.uint8]:
            protected = stream.anonymize(frame.image)
            _count(summary, protected.faces)
            summary.incidents += protected.incidents
            summary.visible += protected.visible
            if record is not None:  # before the picture: whatever is in the video can be restored
                record.write(
                    FrameRecord(
                        index=summary.frames,
                        time=frame.time,
                        faces=protected.faces,
                        incidents=protected.incidents,
                        # Without the faces: nothing in a sidecar depends on the factors.
                        fingerprint=fingerprint(protected.frame, without=_places(protected.faces, header)),
                    )
                )
            if sealer is not None:
                sealer.write(frame.image, protected, time=frame.time)
            return protected.frame

        monitor = monitor or Monitor()
        monitor.opened(stream)
        _run(source, convert, summary, sink, monitor)
    return summary


def restore_video(
    runtime: MfmRuntime,
    source: Source,
    factors: Factors,
    *,
    output: Path | None,
    sidecar: Path | None,
    crf: int = 18,
    seal: Path | None = None,
    register: Register | None = None,
    audio: bool = True,
    monitor: Monitor | None = None,
) -> Summary:
    """Restores an anonymised source to its end into `output`, with the source's sound if `audio`.

    sidecar: gives the salt and where each face is. Without one (None) the salt comes from the seal, the video's own
    comment tag or the register, or is the one of single pictures, and faces are detected again, less exactly; a frame
    that has no record is treated so too, and counted.
    seal: the sealed originals, put back as they are; a frame that has none there, or does not look as it did when it
    was sealed, is restored by the network.
    Raises RecordError for a sidecar that is broken or of another model, SealError for a seal that is changed, of
    another stream or sealed with other factors, and as anonymize_video.
    """
    _check_size(source)
    summary = Summary()
    with ExitStack() as opened:
        reader = None
        if sidecar is not None:
            reader = opened.enter_context(RecordReader(sidecar, model_id=runtime.model_id))
            header: RecordHeader | None = reader.header
        elif seal is not None:
            header = SealReader.read_header(seal)
        else:
            header = _header_in(source, runtime)
            if header is None and register is not None:
                header = register.header_of(source.name, model_id=runtime.model_id)
        salt = IMAGE_SALT if header is None else header.salt
        key_derivation = DEFAULT_KEY_DERIVATION if header is None else header.key_derivation
        stream = opened.enter_context(runtime.open_stream(factors, salt=salt, key_derivation=key_derivation))
        if reader is not None and not _fits(reader.header, source):
            summary.notices += ("the video is not as its sidecar describes it (scaled, cut or live): "
                                "faces are detected again, less exactly",)  # fmt: skip
            reader = None
        matcher = None if reader is None else _Matcher(reader)
        sealed = None
        if seal is not None:
            sealed = _SealedFrames(opened.enter_context(_open_seal(seal, stream, source, runtime)))

        moved = misplaced = 0

        def convert(frame: VideoFrame) -> NDArray[np.uint8]:
            nonlocal moved, misplaced
            record = None if matcher is None else matcher.at(frame.time)
            original = None if sealed is None else sealed.at(frame.time)
            following = None if sealed is None else sealed.following
            if record is not None and reader is not None and not _shows(record, frame, reader.header):
                record = None
                moved += 1
            if original is not None and not original.belongs_to(frame.image, following):
                record = original = None
                misplaced += 1
            if original is not None:
                summary.faces += len(original.regions)
                return original.restore(frame.image)
            faces = None if record is None else record.faces
            summary.detected_again += faces is None
            restored = stream.restore(frame.image, faces)
            _count(summary, restored.faces)
            return restored.frame

        sink = _open_sink(opened, source, output, crf, audio, None)
        _run(source, convert, summary, sink, monitor or Monitor())
        if reader is not None and reader.truncated:
            summary.notices += ("the sidecar's last line was cut off: that frame's faces were detected again",)
        if moved:
            summary.notices += (f"{moved} frames are not as the sidecar describes them (cut or edited): "
                                "their faces were detected again, less exactly",)  # fmt: skip
        if misplaced:
            summary.notices += (f"{misplaced} frames are not as they were sealed (cut, edited or coded too coarsely): "
                                "the network restored them",)  # fmt: skip
        if sealed is not None and sealed.version == 1:
            summary.notices += ("the seal is of version 1: whether its originals belong to these frames is not known",)
        if sealed is not None and sealed.truncated:
            summary.notices += ("the seal is cut off: the network restored the frames that are missing there",)
    return summary


_Timed = TypeVar("_Timed", bound=FrameRecord | SealedFrame)


class _Matcher(Generic[_Timed]):
    """Finds each frame's record by its time, counted from the first frame: frames may be missing on either side.

    Where the video's first frames are missing it finds wrong ones: what it finds has to be compared with the frame.
    """

    def __init__(self, records: Iterator[_Timed]) -> None:
        self._records = records
        self._next = next(records, None)
        self._first = None if self._next is None else self._next.time
        self._offset: float | None = None

    @property
    def following(self) -> _Timed | None:
        """The record after the one found last."""
        return self._next

    def at(self, seconds: float) -> _Timed | None:
        """The record of the frame shown at `seconds`, None where there is none."""
        if self._first is None:  # records without times: frames count
            found, self._next = self._next, next(self._records, None)
            return found
        if self._offset is None:
            self._offset = seconds - self._first
        wanted = seconds - self._offset
        while self._next is not None and (self._next.time is None or self._next.time < wanted - _SAME_TIME):
            self._next = next(self._records, None)
        if self._next is None or self._next.time is None or self._next.time > wanted + _SAME_TIME:
            return None
        found, self._next = self._next, next(self._records, None)
        return found


class _SealedFrames(_Matcher[SealedFrame]):
    """A seal's frames up to where it was cut off, by a killed process for one; any other fault is raised."""

    def __init__(self, reader: SealReader) -> None:
        self._reader = reader
        super().__init__(self._until_cut())

    @property
    def truncated(self) -> bool:
        return self._reader.truncated

    @property
    def version(self) -> int:
        return self._reader.version

    def _until_cut(self) -> Iterator[SealedFrame]:
        try:
            yield from self._reader
        except SealError:
            if not self._reader.truncated:
                raise


def _open_seal(path: Path, stream: MfmStream, source: Source, runtime: MfmRuntime) -> SealReader:
    own = _header_in(source, runtime)  # the same factors may have sealed many streams: the video says which is its own
    salt = SealReader.read_header(path).salt
    if salt != stream.salt or (own is not None and salt != own.salt):
        raise SealError(f"seal {path}: belongs to another stream than {source.name} or its sidecar")
    reader = SealReader(path, stream.sealing_key)
    if not _fits(reader.header, source):
        reader.close()
        raise SealError(f"seal {path}: {source.name} is not as sealed (scaled, cut or live), takes the video beside it")
    return reader


def _open_sink(
    opened: ExitStack, source: Source, output: Path | None, crf: int, audio: bool, comment: str | None
) -> Sink | None:
    if output is None:
        return None
    return opened.enter_context(
        open_sink(
            output,
            size=source.size,
            frame_rate=source.frame_rate,
            crf=crf,
            audio_from=source.audio if audio else None,
            pixel_aspect=source.pixel_aspect,
            comment=comment,
            names=source.names,
        )
    )


def _run(
    source: Source,
    convert: Callable[[VideoFrame], NDArray[np.uint8]],
    summary: Summary,
    sink: Sink | None,
    monitor: Monitor,
) -> None:
    started = time.perf_counter()
    with ExitStack() as opened:
        # A live source reads on its own thread already, and drops what is late; reading ahead would keep it.
        frames = source if source.live else opened.enter_context(closing(read_ahead(source)))
        behind = None if sink is None else opened.enter_context(WriteBehind(sink.write))
        for frame in frames:
            image = convert(frame)
            if behind is not None:
                behind.put(image, frame.time)
            summary.frames += 1
            monitor.progress(summary)
            shown = [viewer.show(image) for viewer in monitor.viewers]
            if not all(shown) or monitor.stop():
                summary.stopped = True
                break
    if sink is not None:
        if not summary.stopped:
            sink.finish_audio()
        sink.close()
        summary.notices += tuple(sink.notices)
    summary.seconds = time.perf_counter() - started


def _check_size(source: Source) -> None:
    if min(source.size) < MIN_FRAME_SIDE:
        width, height = source.size
        raise ArgumentError(
            f"source {source.name}: got frames of {width}x{height} px, takes both sides >= {MIN_FRAME_SIDE}"
        )


def _count(summary: Summary, faces: tuple[FaceRecord, ...]) -> None:
    summary.faces += len(faces)
    summary.covered += sum(face.treatment is Treatment.COVERED for face in faces)


def _header_in(source: Source, runtime: MfmRuntime) -> RecordHeader | None:
    """The header that anonymize_video left in the video's comment tag, if any."""
    try:
        header = RecordHeader.from_text(source.metadata.get("comment", ""))
    except RecordError:
        return None  # any other comment
    if header.model_id != runtime.model_id:
        raise RecordError(
            f"{source.name}: got a video protected by model {header.model_id}, takes model {runtime.model_id}, the one "
            "loaded; restore with the model that protected it"
        )
    return header


def _places(faces: Sequence[FaceRecord], header: RecordHeader) -> list[tuple[int, int, int, int]]:
    return [face_region(face, (header.height, header.width)) for face in faces]


def _shows(record: FrameRecord, frame: VideoFrame, header: RecordHeader) -> bool:
    """Whether a frame looks, around its faces, as the one that the record was written for."""
    if record.fingerprint is None:
        return True
    image = frame.image[: header.height, : header.width]
    return looks_like(image, record.fingerprint, without=_places(record.faces, header))


def _fits(header: RecordHeader, source: Source) -> bool:
    even = (header.width + header.width % 2, header.height + header.height % 2)
    return not source.live and source.size in (even, (header.width, header.height))
