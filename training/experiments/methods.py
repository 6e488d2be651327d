"""Table 2 of the paper: how real and how changed the pictures of each method look, and whom recognisers still find."""

from __future__ import annotations

import numpy as np

from mfm_edge.detect import YuNetDetector
from training.baselines import black_box, blur, k_same, pixelation
from training.experiments.made import Made
from training.experiments.quality import PERCEPTUAL_FACES
from training.experiments.subject import Crops
from training.metrics.detection import found_faces
from training.metrics.frechet import frechet_distance
from training.metrics.mobilenet import MobileNetFeatures
from training.metrics.perceptual import StLpips
from training.metrics.recovery import ssim
from training.package_weights import MissingPackage
from training.report import Goal, Section, Table

__all__ = ["methods"]

K = 10
WRONG_KIND = "w: random password"


def methods(made: Made, others: Crops) -> Section:
    """others: (M, 128, 128, 3) uint8 RGB, real faces of people that are not in `made`: what real looks like."""
    section = Section("Table 2: methods compared")
    rows = {
        "real images": made["x"],
        "pixelation, 8x8": pixelation(made["x"]),
        "Gaussian blur, 8 px": blur(made["x"]),
        "black box": black_box(made["x"]),
        "mfm_edge: anonymised": made["y"],
        "mfm_edge: restored": made["r"],
        "mfm_edge: wrong password": made[WRONG_KIND],
    }
    if len(made) >= K:
        rows[f"k-Same, eigenfaces, k = {K}"] = k_same(made["x"], K)
    columns = {"SSIM": {name: float(ssim(made["x"], crops).mean()) for name, crops in rows.items()}}
    try:
        metric, some = StLpips(), slice(0, PERCEPTUAL_FACES)
        columns["ST-LPIPS"] = {n: float(metric.distance(made["x"][some], c[some]).mean()) for n, c in rows.items()}
        distances = _frechet(rows, others)
        columns["FD-MobileNetV2"] = distances
        section.goals += _realism(distances)
    except MissingPackage as error:
        section.notes.append(f"Part of the table was not measured: {error}.")
    detector = YuNetDetector()
    columns["one face found"] = {
        name: float(np.mean([len(faces) == 1 for faces in found_faces(detector, crops)]))
        for name, crops in rows.items()
    }
    for judge in made.judges:
        known = made.vectors(judge, "x")
        columns[f"not matched, {judge.name}"] = {
            name: 1 - float(judge.same(known, judge.embed(crops)).mean()) for name, crops in rows.items()
        }
    cells = [[name, *(column[name] for column in columns.values())] for name in rows]
    section.tables.append(Table(f"{len(made)} faces", ("method", *columns), cells))
    section.notes.append(
        "SSIM and ST-LPIPS are against the original, the Frechet distance against "
        f"{len(others)} real faces of other people, the same for every row; on these few pictures it has a large "
        "floor, which is the row of real images. It is no FID, nor is ST-LPIPS LPIPS: the paper's do not compare. "
        "Baselines act on the same window of the crop as the network. Recognisers compare with the unchanged original; "
        "an attacker who pixelates or blurs the known faces, too, finds more."
    )
    return section


def _frechet(rows: dict[str, Crops], others: Crops) -> dict[str, float]:
    network = MobileNetFeatures()
    real = network.embed(others)
    return {name: frechet_distance(network.embed(crops), real) for name, crops in rows.items()}


def _realism(distances: dict[str, float]) -> list[Goal]:
    floor, y, w = (distances[k] for k in ("real images", "mfm_edge: anonymised", "mfm_edge: wrong password"))
    return [
        Goal("FD-MobileNetV2 of real faces against other real faces", floor, "the floor"),
        Goal("FD-MobileNetV2 of surrogates against real faces", y, "reported (the goal of 15 is FID's)"),
        Goal("FD-MobileNetV2 of wrong factors' faces over that of surrogates", w / y, "<= 1.2"),
    ]
