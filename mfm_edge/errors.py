"""Errors of the SDK. Every message names the argument, what it got and what it takes."""

from __future__ import annotations

__all__ = [
    "ArgumentError",
    "FactorError",
    "FrameError",
    "MfmError",
    "ModelError",
    "RecordError",
    "RegisterError",
    "SealError",
    "SourceError",
]


class MfmError(Exception):
    """Base of every error that mfm_edge raises on purpose: catch this one to catch them all."""


class ArgumentError(MfmError, ValueError):
    """An argument has the wrong type, shape or range."""


class FrameError(ArgumentError):
    """A frame is not a (H, W, 3) uint8 BGR image of at least 64x64."""


class FactorError(ArgumentError):
    """A factor is missing, empty or unknown: the password, an attribute or its value."""


class ModelError(MfmError):
    """A model file is missing, corrupt, of another version, or its backend is not installed."""


class SourceError(MfmError):
    """A video source or sink cannot be opened, read or written."""


class RecordError(MfmError):
    """A sidecar is corrupt, of another version, or belongs to another model."""


class SealError(MfmError):
    """A file of sealed originals is changed, cut off, of another stream, or was sealed with other factors."""


class RegisterError(MfmError):
    """The register cannot be read or written, has no such stream, or was given another passphrase."""
