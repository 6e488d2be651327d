"""mfm_edge._native: fresh, picky about its arguments, and replaceable."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mfm_edge.native import MISSING_NOTICE, NATIVE

SOURCES = Path(__file__).parents[1] / "cpp_ext"
needs_native = pytest.mark.skipif(NATIVE is None, reason="the native extension was not built")


@needs_native
def test_the_binary_was_built_from_these_sources() -> None:
    names = [path.name for kind in ("*.cpp", "*.h") for path in sorted(SOURCES.glob(kind))]
    text = "".join(f"{name}:{hashlib.sha256((SOURCES / name).read_bytes()).hexdigest()}\n" for name in names)
    assert NATIVE is not None
    stale = "the extension is older than cpp_ext: run `pip install -e .` again"
    assert hashlib.sha256(text.encode()).hexdigest() == NATIVE.SOURCE_HASH, stale


@needs_native
def test_kernels_refuse_what_they_cannot_work_on() -> None:
    assert NATIVE is not None
    content, style = np.zeros((1, 2, 4, 4), np.float32), np.zeros((1, 16), np.float32)
    frame, layer, matrix = np.zeros((64, 64, 3), np.uint8), np.zeros((8, 8, 4), np.float32), np.eye(3)[:2]
    locked, locked_frame = content.copy(), frame.copy()
    locked.setflags(write=False)
    locked_frame.setflags(write=False)
    for kind, message, arguments in [
        (TypeError, "content: got dtype float64", (content.astype(np.float64), style, content)),
        (ValueError, "content: .*not C-contiguous", (content[:, :, ::2], style, content)),
        (ValueError, "style: takes", (content, style[:, :9].copy(), content)),
        (ValueError, "out: .*read-only", (content, style, locked)),
        (ValueError, "out: takes", (content, style, np.zeros((1, 2, 4, 5), np.float32))),
    ]:
        with pytest.raises(kind, match=message):
            NATIVE.repeat_add(*arguments)
    for kind, message, arguments in [
        (ValueError, "frame: .*read-only", (locked_frame, layer, matrix)),
        (ValueError, "frame: .*not C-contiguous", (frame[:, ::2], layer, matrix)),
        (TypeError, "frame: got dtype", (frame.astype(np.float32), layer, matrix)),
        (ValueError, "layer: takes", (frame, layer[:1].copy(), matrix)),
        (ValueError, "matrix: takes finite", (frame, layer, matrix * np.nan)),
        (ValueError, "matrix: takes the shape", (frame, layer, np.eye(3))),
    ]:
        with pytest.raises(kind, match=message):
            NATIVE.blend_layer(*arguments)
    pixels, planes = np.zeros((1, 5, 7, 3), np.uint8), np.zeros((1, 3, 5, 7), np.float32)
    locked_pixels, locked_planes = pixels.copy(), planes.copy()
    locked_pixels.setflags(write=False)
    locked_planes.setflags(write=False)
    within = planes.view(np.uint8).ravel()[: pixels.size].reshape(pixels.shape)
    for convert, kind, message, arguments in [
        (NATIVE.to_planes, TypeError, "pixels: got dtype", (planes, planes)),
        (NATIVE.to_planes, ValueError, "pixels: .*not C-contiguous", (pixels[..., ::-1], planes)),
        (NATIVE.to_planes, ValueError, "pixels: takes", (pixels[..., :2].copy(), planes)),
        (NATIVE.to_planes, ValueError, "out: .*read-only", (pixels, locked_planes)),
        (NATIVE.to_planes, ValueError, "out: takes as many", (pixels, planes[:, :, 1:].copy())),
        (NATIVE.to_pixels, TypeError, "planes: got dtype", (planes.astype(np.float64), pixels)),
        (NATIVE.to_pixels, ValueError, "planes: .*not C-contiguous", (planes[..., ::2], pixels)),
        (NATIVE.to_pixels, ValueError, "planes: takes", (planes[:, :1].copy(), pixels)),
        (NATIVE.to_pixels, ValueError, "out: .*read-only", (planes, locked_pixels)),
        (NATIVE.to_pixels, ValueError, "out: overlaps", (planes, within)),
    ]:
        with pytest.raises(kind, match=message):
            convert(*arguments)


@needs_native
@pytest.mark.parametrize("matrix", [np.zeros((2, 3)), np.full((2, 3), 1e300), np.array([[0.0, 0, 3], [0, 0, 3]])])
def test_degenerate_matrices_stay_inside_the_frame(matrix: np.ndarray) -> None:
    assert NATIVE is not None
    NATIVE.blend_layer(np.zeros((64, 64, 3), np.uint8), np.zeros((8, 8, 4), np.float32), matrix)


def test_one_notice_when_it_was_not_built() -> None:
    script = (
        "import sys; sys.modules['mfm_edge._native'] = None\n"
        "import warnings\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        "    import mfm_edge.paste, mfm_edge.latent, mfm_edge.native as native\n"
        "assert native.NATIVE is None\n"
        "print(len(seen), seen[0].message)\n"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert output.startswith(f"1 {MISSING_NOTICE}")
