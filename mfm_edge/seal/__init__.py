"""Sealed originals: the pixels that protection changed, encrypted beside the video, so that restoring is bit-exact.

A file is one line of JSON (public: format, version, a random nonce, the stream's record header) and then chunks, each a
kind, a length, a GCM tag of these two, and AES-256-GCM over the content. The key is the stream's sealing key expanded
with the file's nonce. The chunk's number and kind are its GCM nonce, the hash of the first line is authenticated with
every chunk: a chunk that was changed, moved, repeated, left out or taken from another file does not open, and a file
without its last chunk was cut off. A length has a tag of its own, so that a changed one is not taken for a cut. The
first chunk is empty and tells wrong factors from the rest. Here alone is a guess confirmed.

Every region also holds a fingerprint of what protection showed there, so that originals are not put into a frame of
another time. Version 1, which is still read, had no fingerprints and no tags of kind and length.
"""

from __future__ import annotations

from mfm_edge.seal.frame import SealedFrame, SealedRegion
from mfm_edge.seal.layout import FORMAT, MAX_CHUNK_BYTES, MAX_LINE_BYTES, VERSION, seal_of
from mfm_edge.seal.reader import SealReader
from mfm_edge.seal.regions import face_region
from mfm_edge.seal.writer import SealWriter

__all__ = ["FORMAT", "MAX_CHUNK_BYTES", "MAX_LINE_BYTES", "VERSION", "SealReader", "SealWriter", "SealedFrame",
           "SealedRegion", "face_region", "seal_of"]  # fmt: skip
