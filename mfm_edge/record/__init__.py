"""The sidecar of a protected video: what restoring needs beside the factors, as JSON Lines.

The first line is the header, every further line one frame, written and flushed before the frame itself is encoded, so
that a killed process loses at most the line at hand. Nothing in it is secret: no password, no attribute, and no picture
but, of faces that the frame's edge cuts, what of their surrogates lies beyond it.
"""

from __future__ import annotations

from mfm_edge.record.frame import MAX_FACES, FrameRecord
from mfm_edge.record.header import FORMAT, MAX_LINE_BYTES, VERSION, RecordHeader
from mfm_edge.record.reader import RecordReader
from mfm_edge.record.writer import RecordWriter, sidecar_of

__all__ = ["FORMAT", "MAX_FACES", "MAX_LINE_BYTES", "VERSION", "FrameRecord", "RecordHeader", "RecordReader",
           "RecordWriter", "sidecar_of"]  # fmt: skip
