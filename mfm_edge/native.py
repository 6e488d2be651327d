"""The one place that knows whether the C++ extension was built."""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import Any

__all__ = ["CUSTOM_OPS_LIBRARY", "MISSING_NOTICE", "NATIVE", "NativeMissingWarning"]

MISSING_NOTICE = (
    "mfm_edge runs without its native extension (it was not built): numpy does the same work, more slowly. "
    "To build it, install a C++17 compiler and reinstall mfm-edge."
)


class NativeMissingWarning(UserWarning):
    """Shown once a process when the extension is missing."""


def _load() -> ModuleType | Any | None:
    try:
        from mfm_edge import _native
    except ModuleNotFoundError as error:
        if error.name != "mfm_edge._native":
            raise
        warnings.warn(MISSING_NOTICE, NativeMissingWarning, stacklevel=2)
        return None
    except ImportError as error:
        # Built, but for another interpreter or against libraries that are not here: still no reason to stop.
        if isinstance(error, ModuleNotFoundError) or "_native" not in str(error):
            raise
        warnings.warn(f"{MISSING_NOTICE} ({error})", NativeMissingWarning, stacklevel=2)
        return None
    return _native


NATIVE: ModuleType | Any | None = _load()
"""The extension module, or None. Loaded once, on the first import of this module."""

CUSTOM_OPS_LIBRARY: str | None = None if NATIVE is None else NATIVE.__file__
"""The extension's file, or None. SessionOptions.register_custom_ops_library of onnxruntime takes it: the node
mfm.RepeatAdd of `python -m export.fuse` then calls the kernel of mfm_edge.latent instead of being taken apart."""
