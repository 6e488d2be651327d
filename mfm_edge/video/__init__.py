"""Video in and out: files, pictures, streams and cameras as sources; files with audio, pictures, a window as sinks."""

from mfm_edge.video.preview import Preview
from mfm_edge.video.sinks import FileSink, Sink, open_sink
from mfm_edge.video.sources import FileSource, Source, VideoFrame, open_source

__all__ = ["FileSink", "FileSource", "Preview", "Sink", "Source", "VideoFrame", "open_sink", "open_source"]
