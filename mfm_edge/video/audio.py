"""Copies a recording's sound into another file, packet by packet, without decoding it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mfm_edge.errors import SourceError
from mfm_edge.video.sources import open_container

__all__ = ["AudioCopy"]


class AudioCopy:
    """The first audio stream of `source`, for an FFmpeg container that is open for writing and has no packet yet.

    Raises SourceError when there is no audio or the container cannot hold its codec.
    """

    def __init__(self, source: Path, container: Any) -> None:
        self._input = open_container(source)
        self._name = str(source)
        self._container = container
        if not self._input.streams.audio:
            self._input.close()
            raise SourceError(f"{source}: holds no audio stream")
        stream = self._input.streams.audio[0]
        codec = stream.codec_context.name
        known = container.supported_codecs
        if codec not in known and stream.codec_context.codec.canonical_name not in known:
            self._input.close()
            raise SourceError(f"{source}: its codec {codec} does not fit into {container.format.name} files")
        self._output = container.add_stream_from_template(stream)
        self._packets: Iterator[Any] = self._input.demux(stream)
        self._next: Any = None

    def copy(self, until: float | None) -> None:
        """Copies all packets up to a time in s, or all there are. Raises SourceError when the source breaks off."""
        while (packet := self._peek()) is not None:
            if until is not None and float(packet.dts * packet.time_base) > until:
                return
            self._next = None
            packet.stream = self._output
            self._container.mux(packet)

    def close(self) -> None:
        """Closes the source; the container stays open."""
        self._input.close()

    def _peek(self) -> Any:
        import av

        while self._next is None:
            try:
                packet = next(self._packets, None)
            except av.error.FFmpegError as error:
                raise SourceError(f"{self._name}: {error.strerror}") from None
            if packet is None:
                return None
            if packet.dts is not None:  # the demuxer's closing packet has none
                self._next = packet
        return self._next
