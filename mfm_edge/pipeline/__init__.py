"""A whole video through the runtime: source -> anonymise or restore -> file, sidecar, window."""

from mfm_edge.pipeline.anonymize import anonymize_video
from mfm_edge.pipeline.restore import restore_video
from mfm_edge.pipeline.run import Monitor, Summary, Viewer

__all__ = ["Monitor", "Summary", "Viewer", "anonymize_video", "restore_video"]
