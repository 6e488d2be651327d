"""Opens small ONNX files: detectors, and recognisers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from mfm_edge.errors import ArgumentError, ModelError

__all__ = ["check_threshold", "open_session", "open_shipped"]


def open_shipped(path: Path, *, threads: int | None) -> Any:
    """A session of a file that ships with the SDK, checked against the sha256 in the card beside it.

    Raises ModelError when the file or its card is missing, or the file is not the one the card describes.
    """
    card_path = path.with_suffix(".json")
    try:
        content, card = path.read_bytes(), json.loads(card_path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"model: cannot read {error.filename} ({error.strerror}); reinstall mfm-edge") from None
    except ValueError:
        raise ModelError(f"model: {card_path} is not JSON; reinstall mfm-edge") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.get("sha256"):
        raise ModelError(f"model: {path} has sha256 {digest}, its card says {card.get('sha256')}; reinstall mfm-edge")
    return open_session(content, threads=threads)


def open_session(content: bytes, *, threads: int | None) -> Any:
    """An ONNX Runtime session on the CPU: what is opened here is small, and a GPU pays only for the network behind it.

    threads: within one graph, ONNX Runtime's own choice when None. Raises ModelError for content that is not a model.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if threads is not None:
        if not isinstance(threads, int) or threads < 1:
            raise ArgumentError(f"threads: got {threads!r}, takes a whole number from 1, or None")
        options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Camera frames come with pauses between them: spinning threads would burn a core while they wait.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class of their own
        raise ModelError(f"model: ONNX Runtime cannot load it: {error}") from None


def check_threshold(name: str, value: float) -> float:
    """`value` as a float in 0..1, or ArgumentError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ArgumentError(f"{name}: got {value!r}, takes a number from 0 to 1")
    return float(value)
