"""Protected video, sidecar, seal -> restored video."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import RecordError, SealError
from mfm_edge.factors import DEFAULT_KEY_DERIVATION, IMAGE_SALT, Factors
from mfm_edge.pipeline.matching import Matcher, SealedFrames, fits, shows
from mfm_edge.pipeline.run import Monitor, Steps, Summary, check_size, count_faces, open_output, run
from mfm_edge.record import RecordHeader, RecordReader
from mfm_edge.runtime import MfmRuntime, MfmStream
from mfm_edge.seal import SealedFrame, SealReader
from mfm_edge.types import FaceRecord
from mfm_edge.video import Source, VideoFrame

if TYPE_CHECKING:
    from mfm_edge.register import Register

__all__ = ["restore_video"]


@dataclass(frozen=True, slots=True)
class _Matched:
    """What is known of a frame: its sealed original, or the records of its faces. detected_again: that these are none
    of the sidecar's. moved, misplaced: that it does not look like the record, or the original, of its time."""

    original: SealedFrame | None = None
    faces: tuple[FaceRecord, ...] = ()
    detected_again: bool = False
    moved: bool = False
    misplaced: bool = False


@dataclass(frozen=True, slots=True)
class _Restored:
    """A frame (H, W, 3) uint8 BGR as it leaves, and what was restored in it: regions of a seal, faces of records."""

    image: NDArray[np.uint8]
    matched: _Matched
    regions: int = 0
    faces: tuple[FaceRecord, ...] = ()


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
    check_size(source)
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
        if reader is not None and not fits(reader.header, source):
            summary.notices += ("the video is not as its sidecar describes it (scaled, cut or live): "
                                "faces are detected again, less exactly",)  # fmt: skip
            reader = None
        matcher = None if reader is None else Matcher(reader)
        sealed = None
        if seal is not None:
            sealed = SealedFrames(opened.enter_context(_open_seal(seal, stream, source, runtime)))

        moved = misplaced = 0

        def find(frame: VideoFrame) -> _Matched:
            record = None if matcher is None else matcher.at(frame.time)
            original = None if sealed is None else sealed.at(frame.time)
            following = None if sealed is None else sealed.following
            moved = record is not None and reader is not None and not shows(record, frame, reader.header)
            misplaced = original is not None and not original.belongs_to(frame.image, following)
            if original is not None and not misplaced:
                return _Matched(original, moved=moved)
            if record is not None and not moved and not misplaced:
                return _Matched(faces=record.faces)
            # Faces are tracked: frame after frame.
            faces = stream.find_again(frame.image)
            return _Matched(faces=faces, detected_again=True, moved=moved, misplaced=misplaced)

        def change(frame: VideoFrame, matched: _Matched) -> _Restored:
            if matched.original is not None:
                regions = len(matched.original.regions)
                return _Restored(matched.original.restore(frame.image), matched, regions=regions)
            restore = stream.restore_found_again if matched.detected_again else stream.restore
            restored = restore(frame.image, matched.faces)
            return _Restored(restored.frame, matched, faces=restored.faces)

        def count(frame: VideoFrame, restored: _Restored) -> NDArray[np.uint8]:
            nonlocal moved, misplaced
            moved += restored.matched.moved
            misplaced += restored.matched.misplaced
            summary.faces += restored.regions
            summary.detected_again += restored.matched.detected_again
            count_faces(summary, restored.faces)
            return restored.image

        sink = open_output(opened, source, output, crf, audio, None)
        steps = Steps(find=find, change=change, finish=count)
        run(source, steps, summary, sink, monitor or Monitor(), workers=runtime.workers)
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


def _open_seal(path: Path, stream: MfmStream, source: Source, runtime: MfmRuntime) -> SealReader:
    own = _header_in(source, runtime)  # the same factors may have sealed many streams: the video says which is its own
    salt = SealReader.read_header(path).salt
    if salt != stream.salt or (own is not None and salt != own.salt):
        raise SealError(f"seal {path}: belongs to another stream than {source.name} or its sidecar")
    reader = SealReader(path, stream.sealing_key)
    if not fits(reader.header, source):
        reader.close()
        raise SealError(f"seal {path}: {source.name} is not as sealed (scaled, cut or live), takes the video beside it")
    return reader


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
