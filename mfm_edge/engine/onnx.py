"""The network in ONNX Runtime: three graphs, with the repeat-and-add kernel between them."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import ModelError
from mfm_edge.latent import repeat_add
from mfm_edge.style import StyleKey

__all__ = ["CARD", "CARD_FORMAT", "PARTS", "SHIPPED_MODEL", "OnnxEngine"]

SHIPPED_MODEL = Path(__file__).parent.parent / "models" / "mfm"
PARTS = ("content_encoder", "style_encoder", "decoder")
CARD = "card.json"
CARD_FORMAT = 4
MAX_CARD_BYTES = 1 << 20
"""Longest card that is read."""


class OnnxEngine:
    """Loads a model folder: the three parts as .onnx and card.json with their sha256.

    folder: where the model lies; the shipped one when None. providers: ONNX Runtime's names in order of preference;
    CPU when None. A provider that was asked for but is not used is reported as a warning.
    threads: of ONNX Runtime within one graph; its own choice when None.

    Raises ModelError when a file is missing, is not what the card says, or a provider is unknown.
    """

    def __init__(
        self, folder: Path | None = None, *, providers: Sequence[str] | None = None, threads: int | None = None
    ) -> None:
        import onnxruntime

        folder = SHIPPED_MODEL if folder is None else Path(folder)
        card = _read_card(folder)
        wanted = ["CPUExecutionProvider"] if providers is None else list(providers)
        available = onnxruntime.get_available_providers()
        unknown = [name for name in wanted if name not in available]
        if unknown:
            raise ModelError(f"providers: got {', '.join(unknown)}, takes any of {', '.join(available)}")
        options = onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Spinning between the operators of a graph is what makes two threads faster than one; going on with it after
        # the graph would take the cores from the decoder and the encoder of a video.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self._sessions: dict[str, Any] = {}
        for part in PARTS:
            content = _read_checked(folder / f"{part}.onnx", card["sha256"][part])
            self._sessions[part] = onnxruntime.InferenceSession(content, options, providers=wanted)
        self.provider: str = self._sessions["decoder"].get_providers()[0]
        if self.provider != wanted[0]:
            warnings.warn(f"providers: asked for {wanted[0]}, running on {self.provider}", RuntimeWarning, stacklevel=2)
        joined = "".join(card["sha256"][part] for part in PARTS)
        self.model_id: str = hashlib.sha256(joined.encode()).hexdigest()[:16]

    def modify(self, crops: NDArray[np.uint8], key: StyleKey) -> NDArray[np.uint8]:
        """(N, 128, 128, 3) uint8 BGR -> the same shape; see Engine."""
        n = len(crops)
        x = np.ascontiguousarray(crops[..., ::-1].transpose(0, 3, 1, 2), np.float32)
        x *= 1 / 127.5
        x -= 1
        # The key is the same for all faces of a frame: broadcast views, copied once by the runtime.
        rotation, order, signs, signature_from, signature_to = (
            np.broadcast_to(part, (n, *part.shape))
            for part in (key.rotation, key.order, key.signs, key.signature_from, key.signature_to)
        )
        style_from, style_to = self._run(
            "style_encoder", crop=x, rotation=rotation, signature_from=signature_from, signature_to=signature_to
        )
        (latent_from,) = self._run("content_encoder", crop=x)
        latent_to = repeat_add(latent_from, style_to)
        repeat_add(latent_from, style_from, out=latent_from)
        (y,) = self._run("decoder", latent_from=latent_from, latent_to=latent_to, order=order, signs=signs, crop=x)
        y += 1
        y *= 127.5
        np.rint(y, out=y)
        return np.ascontiguousarray(y.astype(np.uint8).transpose(0, 2, 3, 1)[..., ::-1])

    def _run(self, part: str, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        ready = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        outputs: list[NDArray[np.float32]] = self._sessions[part].run(None, ready)
        return outputs


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    takes = f"a folder with {CARD} and {', '.join(f'{part}.onnx' for part in PARTS)}"
    try:
        with path.open("rb") as file:
            card = json.loads(file.read(MAX_CARD_BYTES))
    except OSError as error:
        raise ModelError(f"model: cannot read {path} ({error.strerror}), takes {takes}") from None
    except (ValueError, RecursionError):
        raise ModelError(f"model: {path} is not JSON, takes {takes}") from None
    version = card.get("format") if isinstance(card, dict) else None
    if version != CARD_FORMAT:
        raise ModelError(f"model: {path} has format {version!r}, takes {CARD_FORMAT}")
    hashes = card.get("sha256")
    if not isinstance(hashes, dict) or not all(isinstance(hashes.get(part), str) for part in PARTS):
        raise ModelError(f"model: {path} names no sha256 of {', '.join(PARTS)}")
    return card


def _read_checked(path: Path, expected: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"model: cannot read {path} ({error.strerror})") from None
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ModelError(
            f"model: {path} has sha256 {found}, its card says {expected}: the file is corrupt or another one"
        )
    return content
