"""mfm-edge doctor: what is really used on this machine, what is missing, and how to get it."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal

from mfm_edge.cli.options import add_common

if TYPE_CHECKING:
    from mfm_edge.cli.report import Report

__all__ = ["add_parser", "run"]

State = Literal["ok", "missing", "broken"]
"""missing: works without it. broken: nothing works until it is mended."""
Finding = tuple[str, State, str]

_GPU_PROVIDERS = {"CUDAExecutionProvider", "TensorrtExecutionProvider", "ROCMExecutionProvider"}


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's sub-parsers."""
    parser = commands.add_parser(
        "doctor",
        help="what is really used on this machine, what is missing, how to get it",
        description="Try every part once. Exit code 1 when one that is needed does not work.",
        allow_abbrev=False,
    )
    add_common(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, report: Report) -> int:
    """Runs the command and gives its exit code."""
    broken = False
    for check in (_versions, _native, _network, _detector, _critic, _openvino, _gpu, _video, _window, _extras):
        for part, state, text in _guarded(check):
            broken |= state == "broken"
            report.event("check", {"part": part, "state": state, "text": text})
            report.line(f"{state:8} {part:18} {text}")
    return 1 if broken else 0


def _guarded(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as error:  # a diagnosis goes on whatever is wrong
        yield check.__name__.strip("_"), "broken", f"{type(error).__name__}: {' '.join(str(error).split())}"


def _versions() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield "mfm_edge", "ok", f"{version('mfm-edge')} on Python {platform.python_version()}, {cores} cores"


def _native() -> Iterator[Finding]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mfm_edge.native import MISSING_NOTICE, NATIVE
    yield "native kernels", ("missing" if NATIVE is None else "ok"), MISSING_NOTICE if NATIVE is None else "loaded"


def _network() -> Iterator[Finding]:
    import numpy as np
    import onnxruntime

    from mfm_edge.engine.choose import open_engine
    from mfm_edge.factors import ATTRIBUTES
    from mfm_edge.style import expand
    from mfm_edge.types import CROP_SIZE

    engine = open_engine()
    crop = np.full((1, CROP_SIZE, CROP_SIZE, 3), 127, np.uint8)
    engine.modify(crop, [expand(bytes(32), np.zeros(len(ATTRIBUTES), np.float32))])
    yield "network", "ok", f"model {engine.model_id}, really runs on {engine.provider}"
    available = ", ".join(onnxruntime.get_available_providers())
    yield "ONNX Runtime", "ok", f"{onnxruntime.__version__}, offers {available}"


def _detector() -> Iterator[Finding]:
    from mfm_edge.demo.__main__ import CLIP
    from mfm_edge.detect import YuNetDetector
    from mfm_edge.video import open_source

    with open_source(CLIP) as source:
        faces = YuNetDetector().detect(next(iter(source)).image)
    state: State = "ok" if faces else "broken"
    yield "detector", state, f"YuNet on CPUExecutionProvider, finds {len(faces)} face in the demo clip's first frame"


def _critic() -> Iterator[Finding]:
    import numpy as np

    from mfm_edge.critic import Critic

    looks = Critic().look(np.stack([np.full((128, 128, 3), level, np.uint8) for level in (0, 255)]))
    tells_apart = all(np.isfinite(seen).all() and np.ptp(seen, 0).max() > 0 for seen in looks)
    state: State = "ok" if tells_apart else "broken"
    yield "critic", state, "the network that chooses among surrogates, on CPUExecutionProvider"


def _openvino() -> Iterator[Finding]:
    found = _version("openvino")
    if found is None:
        yield "OpenVINO", "missing", "faster on some CPUs that compute bf16: pip install 'mfm-edge[openvino]'"
        return
    import openvino

    devices = ", ".join(openvino.Core().available_devices)
    yield "OpenVINO", "ok", f"{found}, offers {devices}: used with --execution-provider OpenVINO"


def _gpu() -> Iterator[Finding]:
    import onnxruntime

    offered = _GPU_PROVIDERS & set(onnxruntime.get_available_providers())
    if offered:
        yield "GPU", "ok", f"{', '.join(sorted(offered))}: used with --execution-provider"
    elif shutil.which("nvidia-smi"):
        yield "GPU", "missing", "an NVIDIA driver is here, ONNX Runtime cannot use it: pip install onnxruntime-gpu"
    else:
        yield "GPU", "missing", "no NVIDIA driver found; the CPU does all the work"


def _video() -> Iterator[Finding]:
    import av

    encoder = "libx264" in av.codecs_available
    text = "H.264 by libx264" if encoder else "no libx264, writes mp4v instead: pip install --upgrade av"
    yield "PyAV", ("ok" if encoder else "missing"), f"{av.__version__}, {text}"


def _window() -> Iterator[Finding]:
    try:
        import tkinter
    except ImportError:
        yield "window", "missing", "for --preview: this Python has no tkinter (Debian: apt-get install python3-tk)"
        return
    try:
        tkinter.Tk().destroy()
    except tkinter.TclError as error:
        yield "window", "missing", f"no display for --preview ({error}); --serve shows the stream in a browser"
        return
    yield "window", "ok", "for --preview"


def _extras() -> Iterator[Finding]:
    for package, extra, use in (
        ("pyvirtualcam", "virtualcam", "for --virtual-camera"),
        ("insightface", "insightface", "for its detectors"),
    ):
        found = _version(package)
        text = f"{use}: pip install 'mfm-edge[{extra}]'" if found is None else f"{found}, {use}"
        yield package, ("missing" if found is None else "ok"), text


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
