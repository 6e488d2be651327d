"""A model folder: three parts as .onnx, perhaps in several precisions, mark.npz, and card.json with their sha256."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from mfm_edge.errors import ModelError

__all__ = [
    "CARD",
    "CARD_FORMAT",
    "MARK",
    "PARTS",
    "SHIPPED_MODEL",
    "Model",
    "Precision",
    "check_precision",
    "read_mark",
    "read_model",
]

Precision = Literal["f32", "f16", "int8", "int8-symmetric"]
"""Of the network's products; what runs around them is float32 in every variant."""

SHIPPED_MODEL = Path(__file__).parent.parent / "models" / "mfm"
PARTS = ("content_encoder", "style_encoder", "decoder")
MARK = "mark.npz"
CARD = "card.json"
CARD_FORMAT = 10
MAX_CARD_BYTES = 1 << 20
"""Longest card that is read."""


@dataclass(frozen=True, slots=True)
class Model:
    """parts: each part's ONNX file by name. model_id: the first 16 hex digits of the sha256 over the float32 parts'
    sha256, the same in every precision: each restores what the others protected."""

    parts: dict[str, bytes]
    model_id: str


def read_model(folder: Path | None = None, precision: Precision = "f32", *, known_only: bool = False) -> Model:
    """Read a folder, the shipped model's when None, and check it against its card. Nothing is executed.

    precision: other than "f32" takes the parts that `python -m export.quantise` wrote to a folder of that name, as far
    as the card names them. known_only: take no other files than those that the package's own card names, because a card
    from somebody else vouches for nothing. Raises ModelError.
    """
    check_precision(precision)
    folder = SHIPPED_MODEL if folder is None else Path(folder)
    card = _read_card(folder)
    variant = _variant(folder, card, precision)
    if known_only:
        known = _read_card(SHIPPED_MODEL)
        same = _hashes(card) == _hashes(known) and variant == _variant(SHIPPED_MODEL, known, precision)
        _check_known(folder, same=same)
    hashes = _hashes(card)
    model_id = hashlib.sha256("".join(hashes[part] for part in PARTS).encode()).hexdigest()[:16]
    files = {part: (folder / f"{part}.onnx", digest) for part, digest in hashes.items()}
    files |= {part: (folder / precision / f"{part}.onnx", digest) for part, digest in variant.items()}
    return Model({part: _read_checked(path, digest) for part, (path, digest) in files.items()}, model_id)


def read_mark(folder: Path | None = None, *, known_only: bool = False) -> bytes:
    """What mfm_edge.mark.MarkReader takes, from the same folder and checked in the same way. Raises ModelError."""
    folder = SHIPPED_MODEL if folder is None else Path(folder)
    digest = _read_card(folder)["sha256"].get(MARK)
    if not isinstance(digest, str):
        raise ModelError(f"model: {folder / CARD} names no sha256 of {MARK}, which python -m export.to_onnx writes")
    if known_only:
        _check_known(folder, same=digest == _read_card(SHIPPED_MODEL)["sha256"].get(MARK))
    return _read_checked(folder / MARK, digest)


def check_precision(precision: str) -> None:
    """Raises ModelError for a precision that no model folder has."""
    if precision not in get_args(Precision):
        raise ModelError(f"precision: got {precision!r}, takes {', '.join(get_args(Precision))}")


def _check_known(folder: Path, *, same: bool) -> None:
    if not same:
        raise ModelError(
            f"model: {folder} holds another network than the one that comes with this version, takes that one, or "
            "trust_unknown_model=True from whoever trusts its maker: a network is a program that runs here"
        )


def _hashes(card: dict[str, Any]) -> dict[str, str]:
    return {part: card["sha256"][part] for part in PARTS}


def _variant(folder: Path, card: dict[str, Any], precision: Precision) -> dict[str, str]:
    """sha256 of the parts that differ from the float32 ones."""
    if precision == "f32":
        return {}
    variants = card.get("variants")
    found = variants.get(precision) if isinstance(variants, dict) else None
    hashes = found.get("sha256") if isinstance(found, dict) else None
    if (
        not isinstance(hashes, dict)
        or not hashes
        or not all(part in PARTS and isinstance(digest, str) for part, digest in hashes.items())
    ):
        raise ModelError(
            f"precision: {folder / CARD} names no parts in {precision}, which `python -m export.quantise` makes"
        )
    return hashes


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
