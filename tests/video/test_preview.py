"""The preview window: on a display where there is one, refused in words where there is none."""

from __future__ import annotations

import os

import numpy as np
import pytest

from mfm_edge.errors import SourceError
from mfm_edge.video import Preview


def test_no_display_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(SourceError, match="preview: "):
        Preview("test")


@pytest.mark.skipif("DISPLAY" not in os.environ, reason="needs a display, for example: xvfb-run make test")
def test_shows_frames_until_the_window_is_closed() -> None:
    preview = Preview("test")
    image = np.zeros((90, 1600, 3), np.uint8)
    assert preview.show(image)
    preview._root.destroy()
    assert not preview.show(image)
    preview.close()
