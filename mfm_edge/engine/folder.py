"""A model folder: the three parts as .onnx, and card.json with their sha256."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from mfm_edge.errors import ModelError

__all__ = ["CARD", "CARD_FORMAT", "PARTS", "SHIPPED_MODEL", "Model", "read_model"]

SHIPPED_MODEL = Path(__file__).parent.parent / "models" / "mfm"
PARTS = ("content_encoder", "style_encoder", "decoder")
CARD = "card.json"
CARD_FORMAT = 5
MAX_CARD_BYTES = 1 << 20
"""Longest card that is read."""


@dataclass(frozen=True, slots=True)
class Model:
    """parts: each part's ONNX file by name. model_id: the first 16 hex digits of the sha256 over the parts' sha256."""

    parts: dict[str, bytes]
    model_id: str


def read_model(folder: Path | None = None, *, known_only: bool = False) -> Model:
    """Read a folder, the shipped model's when None, and check it against its card. Nothing is executed.

    known_only: take no other files than those that the package's own card names, because a card from somebody else
    vouches for nothing. Raises ModelError.
    """
    folder = SHIPPED_MODEL if folder is None else Path(folder)
    hashes = _read_hashes(folder)
    if known_only and hashes != _read_hashes(SHIPPED_MODEL):
        raise ModelError(
            f"model: {folder} holds another network than the one that comes with this version, takes that one, or "
            "trust_unknown_model=True from whoever trusts its maker: a network is a program that runs here"
        )
    parts = {part: _read_checked(folder / f"{part}.onnx", hashes[part]) for part in PARTS}
    joined = "".join(hashes[part] for part in PARTS)
    return Model(parts, hashlib.sha256(joined.encode()).hexdigest()[:16])


def _read_hashes(folder: Path) -> dict[str, str]:
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
    return {part: hashes[part] for part in PARTS}


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
