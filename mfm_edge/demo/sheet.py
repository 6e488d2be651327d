"""What the demo made, side by side in one picture and in one number."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import SourceError
from mfm_edge.record import RecordReader
from mfm_edge.video import open_source

__all__ = ["contact_sheet", "face_psnr"]

_COLUMNS = 4
_WIDTH = 320  # px of a whole frame
_TITLE = 26  # px above a row


def contact_sheet(rows: Mapping[str, Path], output: Path, *, sidecar: Path | None = None) -> None:
    """Writes a PNG with one titled row a video, each with the same moments from left to right.

    With a sidecar each frame is followed by a close-up of its largest face, cut at the same place in every row.
    """
    boxes = {} if sidecar is None else _largest_faces(sidecar)
    lines: list[NDArray[np.uint8]] = []
    for title, video in rows.items():
        pictures = _moments(video, boxes)
        strip = np.full((_TITLE, sum(picture.shape[1] for picture in pictures), 3), 255, np.uint8)
        cv2.putText(strip, title, (6, _TITLE - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
        lines += [strip, np.hstack(pictures)]
    if not cv2.imwrite(str(output), np.vstack(lines)):
        raise SourceError(f"output {output}: cannot be written, takes a path ending in .png in a folder that exists")


def face_psnr(original: Path, other: Path, sidecar: Path) -> float:
    """Peak signal to noise ratio in dB over all pixels inside the faces' boxes of two videos of the same frames."""
    squared, count = 0.0, 0
    with open_source(original) as one, open_source(other) as two, RecordReader(sidecar) as records:
        for left, right, record in zip(one, two, records, strict=False):
            height, width = left.image.shape[:2]
            for face in record.faces:
                x0, y0, x1, y1 = np.clip(face.box, 0, [width, height, width, height]).astype(int)
                difference = left.image[y0:y1, x0:x1].astype(np.float64) - right.image[y0:y1, x0:x1]
                squared += float(np.square(difference).sum())
                count += difference.size
    return float(10 * np.log10(255**2 * count / squared)) if squared else float("inf")


def _largest_faces(sidecar: Path) -> dict[int, NDArray[np.float32]]:
    """The box of the largest face by frame index."""
    with RecordReader(sidecar) as records:
        return {
            record.index: max((face.box for face in record.faces), key=lambda box: float(box[2] - box[0]))
            for record in records
            if record.faces
        }


def _moments(video: Path, boxes: Mapping[int, NDArray[np.float32]]) -> list[NDArray[np.uint8]]:
    with open_source(video) as source:
        total = source.frame_count or 0
        wanted = set(np.linspace(total // 10, max(total - 1 - total // 10, 0), _COLUMNS).astype(int).tolist())
        height = round(source.size[1] * _WIDTH / source.size[0])
        pictures = []
        for index, frame in enumerate(source):
            if index in wanted:
                pictures.append(_scaled(frame.image, _WIDTH, height))
                if index in boxes:
                    pictures.append(_scaled(_close_up(frame.image, boxes[index]), height, height))
        return pictures


def _close_up(image: NDArray[np.uint8], box: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A square around a face, half as wide again as its box, moved into the picture where it would reach beyond."""
    height, width = image.shape[:2]
    side = int(min(max(box[2] - box[0], box[3] - box[1]) * 1.5, height, width))
    x = int(np.clip((box[0] + box[2] - side) / 2, 0, width - side))
    y = int(np.clip((box[1] + box[3] - side) / 2, 0, height - side))
    return image[y : y + side, x : x + side]


def _scaled(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
