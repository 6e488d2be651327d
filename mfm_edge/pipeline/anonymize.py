"""Source -> protected video, sidecar, seal."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mfm_edge.factors import Factors
from mfm_edge.fingerprint import fingerprint
from mfm_edge.pipeline.matching import places
from mfm_edge.pipeline.run import Monitor, Steps, Summary, check_size, count_faces, open_output, run
from mfm_edge.record import FrameRecord, RecordHeader, RecordWriter
from mfm_edge.runtime import Found, MfmRuntime
from mfm_edge.seal import SealWriter
from mfm_edge.selection import Selection
from mfm_edge.types import Protected
from mfm_edge.video import Source, VideoFrame

if TYPE_CHECKING:
    from mfm_edge.register import Register

__all__ = ["anonymize_video"]


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
    check_size(source)
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
        sink = open_output(opened, source, output, crf, audio, header.to_text())
        record = None if sidecar is None else opened.enter_context(RecordWriter(sidecar, header))
        sealer = None if seal is None else SealWriter(seal, stream.sealing_key, header, quality=seal_quality)
        if sealer is not None:
            opened.enter_context(sealer)
        if register is not None:
            register.add(header, factors, source=source.name, output=output)

        def find(frame: VideoFrame) -> Found:
            return stream.find(frame.image)

        def protect(frame: VideoFrame, found: Found) -> Protected:
            return stream.protect(found)

        def keep(frame: VideoFrame, protected: Protected) -> NDArray[np.uint8]:
            count_faces(summary, protected.faces)
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
                        fingerprint=fingerprint(protected.frame, without=places(protected.faces, header)),
                    )
                )
            if sealer is not None:
                sealer.write(frame.image, protected, time=frame.time)
            return protected.frame

        monitor = monitor or Monitor()
        monitor.opened(stream)
        steps = Steps(find=find, change=protect, finish=keep)
        run(source, steps, summary, sink, monitor, workers=runtime.workers)
    return summary
