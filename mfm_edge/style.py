"""From a derived secret to what the network needs: rotation, shuffle, and signatures of the 1024-value style code.

The style code is a 32x32 plane in the geometry of the crop. Inside the face it carries a picture: the part of the
face's coarse luminance that makes the person (the style encoder draws it). Outside the face it carries the signature:
whether the face is an original or a surrogate, attributes asked for and key bits. The key turns the face's own
coordinates in a whitened eigenface space, lights it differently, and shuffles principal components of the detail that
the network did not expect, so the right key undoes it exactly and any other key gives another plausible face.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfm_edge.factors import expand_key
from mfm_edge.types import CROP_SIZE, WINDOW

__all__ = [
    "BANDS",
    "BLOCK",
    "CELLS_AN_ATTRIBUTE",
    "COORDINATES",
    "DETAILS",
    "DIRECTION_CELLS",
    "IDENTITY",
    "KEY_BIT",
    "LIGHTS",
    "NEIGHBOURS",
    "PLANE",
    "STYLE_SIZE",
    "SURROUNDINGS",
    "FaceKeys",
    "StyleKey",
    "expand",
    "face_blocks",
    "face_mask",
    "original_signature",
    "shuffled",
    "signature",
    "signature_cells",
]

PLANE = 32
STYLE_SIZE = PLANE * PLANE
# Coordinates turn only among others of similar variance: noise of the codec in a weak one never blows up a strong one.
BANDS = (12, 20)
COORDINATES = sum(BANDS)
SURROUNDINGS = 32  # ways in which a key may imagine what surrounds a face otherwise than it is
LIGHTS = 8  # ways in which a key may light a face differently
BLOCK = 8  # px; coarse luminance is the means of such blocks of the window, detail is what varies within them
# Of the window: luminance of every pixel, and two of colour for every 4x4 px.
DETAILS = WINDOW[2] ** 2 * 9 // 8
NEIGHBOURS = 9  # components of detail that the key shuffles among each other
DIRECTION_CELLS = 8
CELLS_AN_ATTRIBUTE = 2
IDENTITY = 32  # key bits, the first in a signature, that say whose features are drawn
KEY_BIT = 0.5  # how loudly the style code tells one, with its sign

_SLOT_LABEL = b"mfm_edge face key/1 slot "

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, repr=False)
class StyleKey:
    """What a secret and the attributes mean to the network, for one direction.

    rotation: (COORDINATES, COORDINATES) float32, orthogonal, block diagonal by BANDS.
    person: (COORDINATES + SURROUNDINGS,) float32, +1 or -1: the person that the key asks for, the same in both
    directions: how it differs from what fits into the picture, and which other surroundings it is to fit into. All are
    equally unusual, and in no coordinate more than in others: single ones far out make no face.
    light: (LIGHTS,) float32, +1 or -1: how the key lights the face differently, back again in the other direction.
    order: (DETAILS,) int64: where each component of unexpected detail comes from, a permutation within every
    NEIGHBOURS of them; signs: (DETAILS,) float32, +1 or -1, by which they are multiplied then.
    mark: (DETAILS,) float32, +1 or -1, by which the key is known again; it says nothing about order and signs.
    signature_from, signature_to: (STYLE_SIZE,) float32, zero inside the face: of the face that comes in, and of the
    one that goes out.
    known: (1,) float32: 1 where a key that restores is known to be the right one, 0 where its mark alone has to tell.
    The repr shows nothing: all of it is as secret as the password.
    """

    rotation: FloatArray
    person: FloatArray
    light: FloatArray
    order: NDArray[np.int64]
    signs: FloatArray
    mark: FloatArray
    signature_from: FloatArray
    signature_to: FloatArray
    known: FloatArray = field(default_factory=lambda: np.zeros(1, np.float32))

    @property
    def anonymises(self) -> bool:
        """Whether it makes surrogates; else it restores them."""
        return bool(self.signature_to[signature_cells()[0]] > 0)

    def inverse(self) -> StyleKey:
        """The key of the opposite direction: restoring what this one anonymised, and the other way round."""
        back = np.empty_like(self.order)
        back[self.order] = np.arange(DETAILS)
        rotation = np.ascontiguousarray(self.rotation.T)
        signs = self.signs[back]
        signatures = self.signature_to, self.signature_from
        return StyleKey(rotation, self.person, -self.light, back, signs, self.mark, *signatures)

    def as_known(self) -> StyleKey:
        """The same key, known to be the right one: also where a surrogate's mark is too faint to tell."""
        return replace(self, known=np.ones(1, np.float32))


class FaceKeys:
    """The keys of a stream or picture, one a slot: faces in different slots become different people, and what is known
    of one slot's key tells nothing about another's. Each is made when it is asked for first.

    secret: 32 bytes from factors.derive_keys. attributes: (A,) float32 in {-1, 0, +1}.
    """

    def __init__(self, secret: bytes, attributes: FloatArray) -> None:
        self._secret, self.attributes = secret, attributes
        self._keys: dict[int, StyleKey] = {}

    def of(self, slot: int) -> StyleKey:
        """The key that anonymises in a slot, 0 to SLOTS - 1."""
        if slot not in self._keys:
            self._keys[slot] = expand(expand_key(self._secret, _SLOT_LABEL + b"%d" % slot), self.attributes)
        return self._keys[slot]


def face_mask(size: int) -> FloatArray:
    """(size, size) float32 in 0..1: 1 over eyes, nose, mouth and cheeks of an aligned crop, 0 over the rest."""
    step = CROP_SIZE / size
    axis = (np.arange(size) + 0.5) * step / CROP_SIZE
    x, y = axis[None, :], axis[:, None]
    distance = ((x - 0.5) / 0.285) ** 2 + ((y - 0.63) / 0.345) ** 2
    return np.exp(-(distance**2)).astype(np.float32)


@lru_cache(maxsize=1)
def face_blocks() -> FloatArray:
    """(12, 12) float32 in 0..1, read-only: how far each block of the window belongs to the face; 0 outside it."""
    top, left, side = WINDOW
    mask = face_mask(CROP_SIZE)[top : top + side, left : left + side]
    blocks = mask.reshape(side // BLOCK, BLOCK, side // BLOCK, BLOCK).mean((1, 3))
    blocks = np.where(blocks < 0.2, 0, blocks).astype(np.float32)
    blocks.setflags(write=False)
    return blocks


@lru_cache(maxsize=1)
def signature_cells() -> NDArray[np.intp]:
    """Indices, read-only, into the style code of what lies outside the face: direction, attributes, then key bits."""
    cell = CROP_SIZE // PLANE
    top, left, side = (value // cell for value in WINDOW)
    face = np.zeros((PLANE, PLANE), bool)
    face[top : top + side, left : left + side] = np.kron(face_blocks() > 0, np.ones((BLOCK // cell,) * 2, bool))
    cells = np.flatnonzero(~face)
    cells.setflags(write=False)
    return cells


def signature(bits: NDArray[np.bool_], attributes: FloatArray) -> FloatArray:
    """Lay attributes and key bits of a surrogate out as a style code.

    bits: (..., at least STYLE_SIZE) bool; attributes: (..., A) float32 in {-1, 0, +1}.
    Returns (..., STYLE_SIZE) float32.
    """
    cells = signature_cells()
    lead = bits.shape[:-1]
    code = np.zeros((*lead, STYLE_SIZE), np.float32)
    wide = np.repeat(attributes, CELLS_AN_ATTRIBUTE, axis=-1)
    start = DIRECTION_CELLS + wide.shape[-1]
    code[..., cells[:DIRECTION_CELLS]] = 1.0
    code[..., cells[DIRECTION_CELLS:start]] = wide
    code[..., cells[start:]] = np.where(bits[..., : len(cells) - start], KEY_BIT, -KEY_BIT)
    return code


def original_signature() -> FloatArray:
    """(STYLE_SIZE,) float32: the signature of every original, which has neither key nor attributes."""
    code = np.zeros(STYLE_SIZE, np.float32)
    code[signature_cells()[:DIRECTION_CELLS]] = -1.0
    return code


def expand(secret: bytes, attributes: FloatArray) -> StyleKey:
    """Expand a derived secret (SHAKE-256) into the key that anonymises.

    secret: at least 16 bytes from factors.derive_secret. attributes: (A,) float32 in {-1, 0, +1}.
    """
    code, turns, asked = STYLE_SIZE // 8, 16 * COORDINATES**2, (COORDINATES + SURROUNDINGS) // 8
    sizes = [code, turns, asked, 4 * DETAILS, DETAILS // 8, DETAILS // 8, LIGHTS // 8]
    stream = np.frombuffer(hashlib.shake_256(b"mfm-edge style 7" + secret).digest(sum(sizes)), np.uint8)
    bits, turn, person, draws, flips, marks, lights = np.split(stream, np.cumsum(sizes)[:-1])
    normal = _normal(turn).reshape(COORDINATES, COORDINATES)
    rotation = np.zeros((COORDINATES, COORDINATES), np.float32)
    start = 0
    for size in BANDS:
        band = slice(start, start + size)
        q, r = np.linalg.qr(normal[band, band])
        rotation[band, band] = q * np.sign(np.diag(r))  # sign fixed: uniform over the orthogonal group
        start += size
    order = shuffled(draws.view("<u4").reshape(-1, NEIGHBOURS))
    asked_for, light, signs, mark = (
        np.where(np.unpackbits(part) > 0, np.float32(1), np.float32(-1)) for part in (person, lights, flips, marks)
    )
    marked = signature(np.unpackbits(bits).astype(bool), attributes)
    return StyleKey(rotation, asked_for, light, order, signs, mark, original_signature(), marked)


def _normal(stream: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Standard normal numbers, one from 16 bytes: Box-Muller on 53-bit uniforms, the same on every machine."""
    uniform = ((stream.view("<u8") >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
    first, second = uniform.reshape(2, -1)
    return np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * second)


def shuffled(draws: NDArray[Any]) -> NDArray[np.int64]:
    """Random numbers (..., DETAILS / NEIGHBOURS, NEIGHBOURS) -> a permutation within every row, (..., DETAILS)."""
    starts = np.arange(0, DETAILS, NEIGHBOURS)[:, None]
    order = np.argsort(draws, axis=-1, kind="stable") + starts
    return order.reshape(*draws.shape[:-2], DETAILS).astype(np.int64)
