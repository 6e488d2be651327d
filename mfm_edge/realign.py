"""Where a surrogate's crop lay, to a fraction of a pixel, and under which key: found by the mark that a key leaves.

A detector finds a surrogate's landmarks 1 to 6 px from where the original had them, and what a key scrambles comes back
only within half a pixel. Who holds the key can look for its mark; nobody else learns anything here that the network
itself would not tell him.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.align import after, extract, invert
from mfm_edge.mark import CELLS, MarkReader, luminance
from mfm_edge.style import StyleKey
from mfm_edge.types import CROP_SIZE, WINDOW

__all__ = ["Placement", "Realigner", "products", "spectra"]

_SURE = 5.6
"""Standard deviations from which a mark is there. Of all places and slots that are looked at, chance reaches 4.9 in the
median of searches and 5.6 in one of 30; the mark 9.3 in the median, and 5.6 in 29 of 30 (60 faces in JPEG q75)."""

_SCALES = np.arange(-4, 6) * 0.03  # logarithms
_ANGLES = np.arange(-4, 5) * 0.035  # radians
_SHIFT = 4.0
"""Crop px, standard deviation of what a detector is off by: far ones need more evidence."""
_TURN = 0.12  # the same of scale and angle
_LIKELY, _BEST = 64, 12  # candidates that are looked at more closely

_TOP, _LEFT, _SIDE = WINDOW
_MIDDLE = np.array([_LEFT, _TOP]) + (_SIDE - 1) / 2
_ROOM = (CROP_SIZE - _SIDE) // 2  # px around the window in the view
_GRID = CROP_SIZE // 2  # cells a side of the view
_UNIT = np.array([1.0, 1.0, 0.018, 0.018])  # shift x, y, logarithm of scale, angle that move a window's rim by a pixel

Move = NDArray[np.float64]
"""(4,): shift x and y in crop px, logarithm of the scale and angle around the window's middle."""


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """matrix: (2, 3) float64, frame px -> crop px. key: its place among the keys that were looked for; None where no
    mark was found, and the matrix is the one that was given."""

    matrix: NDArray[np.float64]
    key: int | None


class Realigner:
    """Looks for the marks of keys around where a detector found a face.

    How long it takes depends neither on what it finds nor on the keys.
    """

    def __init__(self, reader: MarkReader) -> None:
        self._reader = reader

    def search(self, frame: NDArray[np.uint8], matrix: NDArray[np.float64], keys: Sequence[StyleKey]) -> Placement:
        """Within about 8 px, 15 % and 8 degrees, half a second of one core. frame: (H, W, 3) uint8 BGR. matrix: where
        the detector found the face."""
        view, signs = _View(frame, matrix), self._reader.signs(keys)
        likely = self._likely(view, signs)
        seen = self._reader.evidence(view.cells([move for move, _ in likely]), signs)
        order = np.argsort([-seen[i, key] for i, (_, key) in enumerate(likely)])
        best: list[tuple[float, Move, int]] = []
        for index in order[:_BEST]:
            move, key = likely[index]
            own = signs[key : key + 1]
            for step in (1.0, 0.5):
                near = move + step * _UNIT * _NEIGHBOURS
                move = near[int(self._reader.evidence(view.cells(near), own)[:, 0].argmax())]
            move, evidence = self._climb(view, move, own)
            best.append((evidence, move, key))
        evidence, move, key = max(best, key=lambda one: one[0])
        return _placed(matrix, move, evidence, key)

    def follow(self, frame: NDArray[np.uint8], matrix: NDArray[np.float64], key: StyleKey) -> Placement:
        """Within about a pixel of where it has to be, a hundredth of a second."""
        view = _View(frame, matrix)
        move, evidence = self._climb(view, np.zeros(4), self._reader.signs([key]))
        return _placed(matrix, move, evidence, 0)

    def _likely(self, view: _View, signs: NDArray[np.float32]) -> list[tuple[Move, int]]:
        """Moves and keys by the products of windows and marks: less certain than the evidence, and much faster."""
        marks = spectra(self._reader.pictures(signs))
        shifts = _ROOM - np.arange(2 * _ROOM + 1)
        far = -0.5 * ((shifts[:, None] / _SHIFT) ** 2 + (shifts[None] / _SHIFT) ** 2)
        found: list[tuple[float, Move, int]] = []
        for scale in _SCALES:
            for angle in _ANGLES:
                seen = products(view.turned(scale, angle), marks)
                likelihood = seen / max(float(seen.std()), 1e-12) + far - 0.5 * (scale**2 + angle**2) / _TURN**2
                for place in np.argpartition(likelihood, -_LIKELY, axis=None)[-_LIKELY:]:
                    key, row, column = np.unravel_index(place, likelihood.shape)
                    move = np.array([shifts[column], shifts[row], scale, angle])
                    found.append((float(likelihood[key, row, column]), move, int(key)))
        found.sort(key=lambda one: -one[0])
        return [(move, key) for _, move, key in found[:_LIKELY]]

    def _climb(self, view: _View, move: Move, signs: NDArray[np.float32]) -> tuple[Move, float]:
        """To the top of the evidence near by: along each direction that of a parabola through three points."""
        for step in (0.5, 0.35, 0.25):
            around = move + step * _UNIT * _ALONG
            seen = self._reader.evidence(view.cells(around), signs)[:, 0].astype(float)
            here, less, more = seen[0], seen[1::2], seen[2::2]
            bend = 2 * here - less - more
            top = np.where(bend > 1e-6, (more - less) / (2 * np.maximum(bend, 1e-6)), np.sign(more - less))
            move = move + step * _UNIT * np.clip(top, -1.5, 1.5)
        return move, float(self._reader.evidence(view.cells(move[None]), signs)[0, 0])


def spectra(pictures: NDArray[np.float32]) -> NDArray[np.complex128]:
    """The marks (S, 48, 48) as `products` takes them."""
    return np.conj(np.fft.rfft2(pictures, s=(_GRID, _GRID)))


def products(means: NDArray[np.float32], marks: NDArray[np.complex128]) -> NDArray[np.float32]:
    """The products of marks with the windows at all whole pixels, by Fourier transform.

    means: (128, 128), of 2x2 px, at [r, c] those of rows r, r + 1 and columns c, c + 1. marks: `spectra` of S pictures.
    Returns (S, 33, 33): at [s, r, c] the sum of pictures[s, i, j] * means[r + 2 i, c + 2 j].
    """
    room = _ROOM + 1
    found = np.empty((len(marks), 2 * room, 2 * room), np.float32)
    for row in (0, 1):
        for column in (0, 1):
            quarter = np.fft.rfft2(means[row::2, column::2]) * marks
            found[:, row::2, column::2] = np.fft.irfft2(quarter, s=(_GRID, _GRID))[:, :room, :room]
    return found[:, :-1, :-1]


_NEIGHBOURS = np.stack(np.meshgrid(*[(-1, 0, 1)] * 4, indexing="ij"), -1).reshape(-1, 4)
_ALONG = np.concatenate([np.zeros((1, 4)), np.stack([-np.eye(4), np.eye(4)], 1).reshape(8, 4)])


class _View:
    """The means of all 2x2 px of luminance around a face's window, its middle in the middle."""

    def __init__(self, frame: NDArray[np.uint8], matrix: NDArray[np.float64]) -> None:
        middle = after(np.array([[1.0, 0, _ROOM - _LEFT], [0, 1.0, _ROOM - _TOP]]), matrix)
        light = luminance(extract(frame, middle))
        self._means = cv2.blur(light, (2, 2), anchor=(0, 0))  # [r, c]: of rows r, r + 1 and columns c, c + 1

    def turned(self, scale: float, angle: float) -> NDArray[np.float32]:
        """(128, 128): all of it, moved."""
        return self._sampled(np.array([0, 0, scale, angle]), 1, -_ROOM, CROP_SIZE)

    def cells(self, moves: Sequence[Move] | NDArray[np.float64]) -> NDArray[np.float32]:
        """(N, 48, 48): of the window after each move."""
        return np.stack([self._sampled(move, 2, 0, CELLS) for move in moves])

    def _sampled(self, move: Move, step: int, first: int, count: int) -> NDArray[np.float32]:
        """Means from a place on, px of the window, in steps of so many px, so many each way."""
        half = (_SIDE - 1) / 2  # around the window's middle, where means lie half a pixel before their places
        there = np.array([[step, 0, first + 0.5 - half], [0, step, first + 0.5 - half]])
        back = after(invert(_turn(move)), there)
        back[:, 2] += _ROOM + half - 0.5
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(self._means, back, (count, count), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, np.float32)


def _placed(matrix: NDArray[np.float64], move: Move, evidence: float, key: int) -> Placement:
    """Where a move leads, if there is a mark."""
    return Placement(after(_similarity(move), matrix), key) if evidence >= _SURE else Placement(matrix, None)


def _turn(move: Move) -> NDArray[np.float64]:
    """Around the origin."""
    cos, sin = np.exp(move[2]) * np.cos(move[3]), np.exp(move[2]) * np.sin(move[3])
    return np.array([[cos, -sin, move[0]], [sin, cos, move[1]]])


def _similarity(move: Move) -> NDArray[np.float64]:
    """Crop px before the move -> after it."""
    there = np.column_stack([np.eye(2), -_MIDDLE])
    moved = after(_turn(move), there)
    moved[:, 2] += _MIDDLE
    return moved
