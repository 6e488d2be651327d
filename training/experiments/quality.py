"""The quality table: who is recognised, and how close restored faces come."""

from __future__ import annotations

import numpy as np

from mfm_edge.detect import YuNetDetector
from training.experiments.made import WRONG, Made
from training.metrics.detection import found_faces, landmark_shift, nearest
from training.metrics.mesh import mesh_of, mesh_shift, mesh_turn
from training.metrics.perceptual import StLpips
from training.metrics.pose import pose_change
from training.metrics.recovery import background_psnr, face_psnr, psnr, ssim
from training.package_weights import MissingPackage
from training.report import Goal, Section

__all__ = ["quality"]

MESH = "MediaPipe (used in training)"
PERCEPTUAL_FACES = 100  # ST-LPIPS takes longer than all recognisers together


def quality(made: Made) -> Section:
    section = Section("Quality")
    section.goals += _recognised(made) + _recovered(made) + _placed(made)
    try:
        section.goals += _perceived(made)
    except MissingPackage as error:
        section.notes.append(f"ST-LPIPS was not measured: {error}.")
    return section


def _recognised(made: Made) -> list[Goal]:
    rows: list[Goal] = []
    for judge in made.judges:
        name, counts = judge.name, not judge.used_in_training

        def matched(kind: str, to: str = "x", judge=judge) -> float:
            return float(made.matched(judge, to, kind).mean())

        rows.append(Goal(f"de-identified, {name}", 1 - matched("y"), ">= 0.999 (first model 0.95)", counts=counts))
        still = min(1 - matched(kind) for kind in ("y: blur", "y: JPEG", "y: 64 px"))
        rows.append(
            Goal(f"de-identified after blur, JPEG q50 or 64 px, the least, {name}", still, ">= 0.99", counts=counts)
        )
        rows.append(Goal(f"re-identified from JPEG q75, {name}", matched("r: JPEG"), ">= 0.98", counts=counts))
        rows.append(Goal(f"re-identified, {name}", matched("r"), ">= 0.995 (first model 0.95)", counts=counts))
        for kind in WRONG:
            rows.append(Goal(f"matched with wrong factors ({kind}), {name}", matched(f"w: {kind}"),
                             "<= 0.001 (first model 0.02)", counts=counts))  # fmt: skip
        rows.append(Goal(f"two passwords, one person, {name}", matched("y2", to="y"), "<= 0.01", counts=counts))
    return rows


def _recovered(made: Made) -> list[Goal]:
    x, y, r = made["x"], made["y"], made["r"]

    def median(values) -> float:
        return float(np.median(values))

    return [
        Goal("restored PSNR, dB (median)", median(psnr(x, r)), ">= 35 (first model 28)"),
        Goal("restored PSNR inside the face, dB (median)", median(face_psnr(x, r)), "reported"),
        Goal("restored PSNR from JPEG q75, dB (median)", median(psnr(x, made["r: JPEG"])), ">= 28"),
        Goal("restored SSIM (mean)", float(ssim(x, r).mean()), ">= 0.97"),
        Goal("anonymised SSIM (mean)", float(ssim(x, y).mean()), "reported"),
        Goal("background PSNR of the surrogate, outside the face, dB (median)", median(background_psnr(x, y)), ">= 35"),
    ]


def _placed(made: Made) -> list[Goal]:
    detector = YuNetDetector()
    faces = {kind: found_faces(detector, made[kind]) for kind in ("x", "y", "r", "w: random password")}
    one = {kind: np.array([len(of_crop) == 1 for of_crop in found]) for kind, found in faces.items()}
    rows = []
    for kind, title in (("y", "anonymised"), ("w: random password", "wrong factors")):
        # Of the crops that show one face to begin with: a few have somebody in the background.
        found = float(one[kind][one["x"]].mean()) if one["x"].any() else float("nan")
        rows.append(Goal(f"detector finds exactly one face, {title}", found, ">= 0.999 (first model 0.99)"))
    places = {kind: nearest(found) for kind, found in faces.items()}
    shift = landmark_shift(places["x"], places["y"])
    rows.append(Goal("landmark shift / inter-ocular distance (median)", float(np.median(shift)), "<= 0.03"))
    for kind, title, goal in (("y", "surrogate", "<= 3"), ("r", "restored", "reported (what landmarks' noise makes)")):
        turned = float(np.median(pose_change(places["x"], places[kind])))
        rows.append(Goal(f"pose change from five landmarks, {title}, degrees (median)", turned, goal))
    before, after = mesh_of(made["x"]), mesh_of(made["y"])
    for what, measured in (
        ("spots of a mesh moved / inter-ocular distance", mesh_shift(before, after)),
        ("pose change of a mesh, degrees", mesh_turn(before, after)),
    ):
        rows.append(Goal(f"{what} (median), {MESH}", float(np.median(measured)), "reported", counts=False))
    return rows


def _perceived(made: Made) -> list[Goal]:
    metric, some = StLpips(), slice(0, PERCEPTUAL_FACES)
    titles = {"r": ("restored", "<= 0.03"), "y": ("anonymised", "reported")}
    return [
        Goal(f"{title} ST-LPIPS (mean)", float(metric.distance(made["x"][some], made[kind][some]).mean()), goal)
        for kind, (title, goal) in titles.items()
    ]
