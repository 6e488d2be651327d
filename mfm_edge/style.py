"""From a derived secret to what the network needs: the keyed rotation and the signature of the 1024-value style code.

The style code is a 32x32 plane in the geometry of the crop. Inside the face it carries a picture: the change of the
face's luminance thumbnail that the key asks for (the style encoder draws it). Outside the face it carries the
signature: direction, attributes asked for and key bits. The change is a rotation of the face's own coordinates in a
whitened eigenface space, so the right key turns it back exactly and any other key gives another plausible face.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mfm_edge.types import CROP_SIZE

__all__ = [
    "BANDS",
    "COORDINATES",
    "PLANE",
    "STYLE_SIZE",
    "StyleKey",
    "expand",
    "face_mask",
    "signature",
    "signature_cells",
]

PLANE = 32
STYLE_SIZE = PLANE * PLANE
# Coordinates turn only among others of similar variance: noise of the codec in a weak one never blows up a strong one.
BANDS = (24, 40)
COORDINATES = sum(BANDS)
DIRECTION_CELLS = 8
CELLS_AN_ATTRIBUTE = 2

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, repr=False)
class StyleKey:
    """What a secret and the attributes mean to the network, for one direction.

    rotation: (COORDINATES, COORDINATES) float32, orthogonal, block diagonal by BANDS.
    signature: (STYLE_SIZE,) float32, zero inside the face.
    The repr shows neither: both are as secret as the password.
    """

    rotation: FloatArray
    signature: FloatArray

    def inverse(self) -> StyleKey:
        """The key of the opposite direction: restoring what this one anonymised, and the other way round."""
        turned = self.signature.copy()
        turned[signature_cells()[:DIRECTION_CELLS]] *= -1
        return replace(self, rotation=np.ascontiguousarray(self.rotation.T), signature=turned)


def face_mask(size: int) -> FloatArray:
    """(size, size) float32 in 0..1: 1 over eyes, nose, mouth and cheeks of an aligned crop, 0 over the rest."""
    step = CROP_SIZE / size
    axis = (np.arange(size) + 0.5) * step / CROP_SIZE
    x, y = axis[None, :], axis[:, None]
    distance = ((x - 0.5) / 0.245) ** 2 + ((y - 0.645) / 0.30) ** 2
    return np.exp(-(distance**2)).astype(np.float32)


@lru_cache(maxsize=1)
def signature_cells() -> NDArray[np.intp]:
    """Indices into the style code that lie outside the face, row by row: direction, attributes, then key bits."""
    return np.flatnonzero(face_mask(PLANE).reshape(-1) < 0.02)


def signature(bits: NDArray[np.bool_], attributes: FloatArray, *, restore: bool = False) -> FloatArray:
    """Lay direction, attributes and key bits out as a style code.

    bits: (..., at least STYLE_SIZE) bool; attributes: (..., A) float32 in {-1, 0, +1}.
    Returns (..., STYLE_SIZE) float32.
    """
    cells = signature_cells()
    lead = bits.shape[:-1]
    code = np.zeros((*lead, STYLE_SIZE), np.float32)
    wide = np.repeat(attributes, CELLS_AN_ATTRIBUTE, axis=-1)
    start = DIRECTION_CELLS + wide.shape[-1]
    code[..., cells[:DIRECTION_CELLS]] = -1.0 if restore else 1.0
    code[..., cells[DIRECTION_CELLS:start]] = wide
    code[..., cells[start:]] = np.where(bits[..., : len(cells) - start], 0.5, -0.5)
    return code


def expand(secret: bytes, attributes: FloatArray) -> StyleKey:
    """Expand a derived secret (SHAKE-256) into the key that anonymises.

    secret: at least 16 bytes from factors.derive_secret. attributes: (A,) float32 in {-1, 0, +1}.
    """
    stream = hashlib.shake_256(b"mfm-edge style 1" + secret).digest(STYLE_SIZE // 8 + 16 * COORDINATES**2)
    bits = np.unpackbits(np.frombuffer(stream[: STYLE_SIZE // 8], np.uint8)).astype(bool)
    # Box-Muller on 53-bit uniforms: the same on every machine and numpy version.
    words = np.frombuffer(stream[STYLE_SIZE // 8 :], "<u8")
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
    first, second = uniform.reshape(2, -1)
    normal = (np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * second)).reshape(COORDINATES, COORDINATES)
    rotation = np.zeros((COORDINATES, COORDINATES), np.float32)
    start = 0
    for size in BANDS:
        band = slice(start, start + size)
        q, r = np.linalg.qr(normal[band, band])
        rotation[band, band] = q * np.sign(np.diag(r))  # sign fixed: uniform over the orthogonal group
        start += size
    return StyleKey(rotation=rotation, signature=signature(bits, attributes))
