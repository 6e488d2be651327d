"""mfm_edge: reversible face anonymisation of camera video.

    from mfm_edge import Factors, MfmRuntime

    runtime = MfmRuntime()
    factors = Factors(password="correct horse", hair="blond", smiling=True)
    protected = runtime.anonymize(frame, factors)   # frame: (H, W, 3) uint8 BGR, as OpenCV gives it
    original = runtime.restore(protected.frame, factors, faces=protected.faces)

Names are imported on first use, so `import mfm_edge` alone loads neither numpy nor an inference runtime.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfm_edge.errors import (
        ArgumentError,
        FactorError,
        FrameError,
        MfmError,
        ModelError,
        RecordError,
        RegisterError,
        SealError,
        SourceError,
    )
    from mfm_edge.factors import Factors
    from mfm_edge.runtime import MfmRuntime
    from mfm_edge.types import AlignedFace, Face, FaceRecord, Protected, Restored, Treatment

# Started in a checkout, Python takes the sources there; the built extension lies with the installed package.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"

__all__ = [
    "AlignedFace",
    "ArgumentError",
    "Face",
    "FaceRecord",
    "FactorError",
    "Factors",
    "FrameError",
    "MfmError",
    "MfmRuntime",
    "ModelError",
    "Protected",
    "RecordError",
    "RegisterError",
    "Restored",
    "SealError",
    "SourceError",
    "Treatment",
    "__version__",
]

_HOMES = {
    "mfm_edge.errors": (
        "ArgumentError",
        "FactorError",
        "FrameError",
        "MfmError",
        "ModelError",
        "RecordError",
        "RegisterError",
        "SealError",
        "SourceError",
    ),
    "mfm_edge.factors": ("Factors",),
    "mfm_edge.runtime": ("MfmRuntime",),
    "mfm_edge.types": ("AlignedFace", "Face", "FaceRecord", "Protected", "Restored", "Treatment"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Imports a public name on first use and keeps it."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'mfm_edge' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
