"""Video in and out: files, network streams and cameras as sources; files with audio and a window as sinks."""

from mfm_edge.video.preview import Preview
from mfm_edge.video.sinks import FileSink
from mfm_edge.video.sources import FileSource, Source, VideoFrame, open_source

__all__ = ["FileSink", "FileSource", "Preview", "Source", "VideoFrame", "open_source"]
