"""Pictures as a video: a folder of them or a single one, in and out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType, TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import ArgumentError, SourceError
from mfm_edge.image import ENDINGS, decode
from mfm_edge.types import check_frame
from mfm_edge.video.sources import VideoFrame

__all__ = ["PictureSink", "PictureSource"]

_WRITTEN = (".png", ".jpg", ".jpeg")
_JPEG_QUALITY = 95


class PictureSource:
    """One picture, or the pictures of a folder as frames in the order of their names (2 before 10). See Source.

    rate: frames a second. All pictures must have the size of the first: another one, or one that cannot be read, raises
    SourceError after the pictures before it.
    """

    live = False
    dropped = corrupt = 0
    audio: Path | None = None
    pixel_aspect = Fraction(1)
    metadata: Mapping[str, str] = MappingProxyType({})

    def __init__(self, where: Path, *, rate: float = 25.0) -> None:
        self.name = str(where)
        if not rate > 0:
            raise ArgumentError(f"rate: got {rate!r}, takes frames a second above 0")
        self.frame_rate = float(rate)
        self._paths = sorted(_pictures_in(where), key=_natural) if where.is_dir() else [where]
        if not self._paths:
            raise SourceError(f"source {where}: it is a folder without pictures, takes {', '.join(ENDINGS)}")
        self.names: Sequence[str] = tuple(path.name for path in self._paths)
        self.frame_count = len(self._paths)
        height, width = self._read(self._paths[0]).shape[:2]
        self.size = (width, height)

    def __iter__(self) -> Iterator[VideoFrame]:
        for index, path in enumerate(self._paths):
            image = self._read(path)
            height, width = image.shape[:2]
            if (width, height) != self.size:
                raise SourceError(
                    f"source {self.name}: {path.name} has {width}x{height} px, takes pictures of {self.size[0]}x"
                    f"{self.size[1]} px like the first one; pass photographs of several sizes one by one"
                )
            yield VideoFrame(image, index / self.frame_rate)

    def close(self) -> None:
        """Nothing is open between two pictures."""

    def __enter__(self) -> PictureSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, path: Path) -> NDArray[np.uint8]:
        try:
            return decode(path.read_bytes())
        except (OSError, ArgumentError) as error:
            takes = ", ".join(ENDINGS)
            raise SourceError(f"source {path}: cannot be read as a picture ({error}), takes {takes}") from error


class PictureSink:
    """Writes frames into a folder, or a single one into a file ending in .png, .jpg or .jpeg. See Sink.

    names: the files' names in order, their endings replaced by .png; numbers where there are none. Restoring needs what
    PNG keeps and JPEG drops: `notices` says so. Raises ArgumentError for another ending, SourceError when the place
    cannot be written or a second frame would replace a single picture.
    """

    def __init__(self, path: Path, *, names: Sequence[str] = ()) -> None:
        self.path = path
        self.notices: list[str] = []
        self._names = tuple(names)
        self._count = 0
        self._single = path.suffix.lower() in ENDINGS and not path.is_dir()
        if self._single:
            if path.suffix.lower() not in _WRITTEN:
                raise ArgumentError(f"output: got {path.name!r}, takes a picture name ending in {', '.join(_WRITTEN)}")
            if path.suffix.lower() != ".png":
                self.notices.append(f"{path.name} is a JPEG, which drops detail that restoring needs; .png keeps it")
        else:
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise SourceError(f"output {path}: cannot be written ({error.strerror})") from None

    def write(self, image: NDArray[np.uint8], time: float) -> None:
        """Writes one (H, W, 3) uint8 BGR frame; its time is not kept."""
        check_frame(image, name="image")
        place = self.path if self._single else self.path / self._name()
        if self._single and self._count:
            raise SourceError(f"output {place}: got a second frame, takes a video or a folder for more than one")
        content = cv2.imencode(place.suffix, image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
        try:
            place.write_bytes(content.tobytes())
        except OSError as error:
            raise SourceError(f"output {place}: cannot be written ({error.strerror})") from None
        self._count += 1

    def finish_audio(self) -> None:
        """Pictures have no sound."""

    def close(self) -> None:
        """Every picture is complete already."""

    def __enter__(self) -> PictureSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _name(self) -> str:
        if self._count < len(self._names):
            stem = self._names[self._count]
            twins = [name for name in self._names if Path(name).stem == Path(stem).stem]
            return (stem if len(twins) > 1 else Path(stem).stem) + ".png"  # a.jpg and a.bmp must not meet in a.png
        return f"{self._count:06d}.png"


def _pictures_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and path.is_file()]


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", path.name)]
