"""A window that shows frames while they are processed."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.errors import SourceError
from mfm_edge.video.sources import resized

__all__ = ["Preview"]

_MAX_WIDTH = 1280


class Preview:
    """A window made with tkinter: OpenCV's own needs its build with a GUI, which does not install on servers.

    Raises SourceError when this Python has no tkinter or there is no display.
    """

    def __init__(self, title: str) -> None:
        try:
            import tkinter
        except ImportError:
            raise SourceError(
                "preview: this Python has no tkinter, install it (Debian: apt-get install python3-tk) or leave it out"
            ) from None
        try:
            self._root: Any = tkinter.Tk()
        except tkinter.TclError as error:
            raise SourceError(f"preview: no window can be opened ({error})") from None
        self._make_picture = tkinter.PhotoImage
        self._gone = tkinter.TclError
        self._root.title(title)
        self._label: Any = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        self._open = True
        self._root.protocol("WM_DELETE_WINDOW", self._stop)
        for key in ("q", "<Escape>"):
            self._root.bind(key, lambda _event: self._stop())

    def show(self, image: NDArray[np.uint8]) -> bool:
        """Shows a (H, W, 3) uint8 BGR frame. False once the user closed the window or pressed q or Escape."""
        if not self._open:
            return False
        height, width = image.shape[:2]
        if width > _MAX_WIDTH:
            image = resized(image, (_MAX_WIDTH, round(height * _MAX_WIDTH / width)))
        encoded = cv2.imencode(".ppm", image)[1].tobytes()
        try:
            picture = self._make_picture(data=encoded, format="PPM", master=self._root)
            self._label.configure(image=picture)
            self._label.image = picture  # tkinter keeps no reference of its own
            self._root.update()
        except self._gone:
            self._open = False
        return self._open

    def close(self) -> None:
        """Closes the window."""
        self._stop()
        try:
            self._root.destroy()
        except self._gone:
            return

    def _stop(self) -> None:
        self._open = False
