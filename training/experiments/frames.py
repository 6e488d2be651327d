"""The same through the public API: each face in a frame, detected, aligned, pasted, and perhaps coded as a video."""

from __future__ import annotations

import cv2
import numpy as np

from mfm_edge.runtime import MfmRuntime
from training.experiments.made import RIGHT, WRONG, Made
from training.experiments.subject import Crops
from training.metrics.channels import h264
from training.metrics.judges import Judge
from training.metrics.recovery import face_psnr, psnr
from training.report import Goal, Section

__all__ = ["frames"]

CRF = 23
_TITLES = {
    "y": "de-identified",
    "r": "re-identified",
    "s": "re-identified without records",
    "w": "matched with wrong factors",
}


def frames(runtime: MfmRuntime, x: Crops, judges: list[Judge]) -> Section:
    """x: (N, 128, 128, 3) uint8 RGB."""
    goals = _in_frames(runtime, x, judges)
    for scale in (2, 1):  # faces of about 150 px, and of half as much
        goals += _in_frames(runtime, x, judges, scale=scale, crf=CRF)
    return Section("In frames", goals=goals)


def _in_frames(
    runtime: MfmRuntime, x: Crops, judges: list[Judge], *, scale: int = 2, crf: int | None = None
) -> list[Goal]:
    """In frames of `scale` times the crop's size, uint8, with `crf` also through an H.264 file, and restored with the
    records and without them."""
    size = 128 * scale
    pictures = [cv2.resize(c[..., ::-1], (size, size), interpolation=cv2.INTER_CUBIC) for c in x]
    protected = [runtime.anonymize(frame, RIGHT[0]) for frame in pictures]
    sent = [done.frame for done in protected]
    if crf is not None:
        sent = h264(sent, crf)
    crops: dict[str, list[Crops]] = {"x": [], "y": [], "r": [], "w": [], "s": []}
    for frame, done, y in zip(pictures, protected, sent, strict=True):
        if done.faces:
            restored = runtime.restore(y, RIGHT[0], faces=done.faces)
            wrong = runtime.restore(y, WRONG["random password"][0], faces=done.faces)
            found = runtime.restore(y, RIGHT[0])
            pictures_of = {"x": frame, "y": y, "r": restored.frame, "w": wrong.frame, "s": found.frame}
            for kind, picture in pictures_of.items():
                crops[kind].append(cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA)[..., ::-1])
    where = f"in a {size} px frame" if crf is None else f"in a {size} px H.264 video (crf {crf})"
    rows = [Goal(f"faces found {where}", len(crops["x"]) / len(pictures), ">= 0.99")]
    if not crops["x"]:
        return rows
    made = Made({kind: np.stack(of_kind) for kind, of_kind in crops.items()}, judges)
    for judge in judges:
        for kind, title in _TITLES.items():
            share = float(made.matched(judge, "x", kind).mean())
            rows.append(Goal(f"{title} {where}, {judge.name}", 1 - share if kind == "y" else share, "reported"))
    rows.append(Goal(f"restored PSNR {where}, dB (median)", float(np.median(psnr(made["x"], made["r"]))), ">= 28"))
    lost = float(np.median(psnr(made["x"], made["s"])))
    rows.append(Goal(f"restored PSNR without records {where}, dB (median)", lost, "reported"))
    inside = float(np.median(face_psnr(made["x"], made["r"])))
    rows.append(Goal(f"restored PSNR inside the face {where}, dB (median)", inside, "reported"))
    return rows
