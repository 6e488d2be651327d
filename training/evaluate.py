"""python -m training.evaluate: the table of what the model shows, on people the training never saw.

Works on an exported model through the engine that ships, on uint8 crops. Recognisers that training used are marked;
only the others count.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfm_edge.detect import YuNetDetector
from mfm_edge.engine.onnx import CARD, SHIPPED_MODEL, OnnxEngine
from mfm_edge.factors import Factors, derive_secret
from mfm_edge.runtime import MfmRuntime
from mfm_edge.style import StyleKey, expand
from training.data import FaceSet, load_faces
from training.metrics.channels import blurred, h264, jpeg, rescaled
from training.metrics.detection import found_faces, landmark_shift
from training.metrics.judges import JUDGES, Judge
from training.metrics.recovery import face_psnr, psnr, ssim

__all__ = ["Goal", "evaluate", "main", "make_faces", "to_text"]

Crops = NDArray[np.uint8]
README_BEGIN = "<!-- model card: begin (generated from mfm_edge/models/mfm/card.json) -->"
README_END = "<!-- model card: end -->"

RIGHT = [Factors(f"correct horse {i}", smiling=True) for i in range(4)]
"""The factors used in turn; a handful is enough, since every secret is as good as random."""
WRONG = {
    "random password": [Factors(f"another {i}", smiling=True) for i in range(4)],
    "one character off": [Factors(f"correct hors3 {i}", smiling=True) for i in range(4)],
    "one attribute off": [Factors(f"correct horse {i}", smiling=True, big_nose=False) for i in range(4)],
}


class Goal:
    """One row: what, the measured value, and the goal of the quality table as text."""

    def __init__(self, what: str, value: float, goal: str, *, counts: bool = True) -> None:
        self.what, self.value, self.goal, self.counts = what, value, goal, counts

    def to_mapping(self) -> dict[str, Any]:
        return {"what": self.what, "value": round(float(self.value), 4), "goal": self.goal, "counts": self.counts}


def _key(factors: Factors) -> StyleKey:
    return expand(derive_secret(factors), factors.attribute_vector())


def _modify(engine: OnnxEngine, crops: Crops, keys: list[StyleKey]) -> Crops:
    """RGB crops, key i % len(keys) for crop i."""
    out = np.empty_like(crops)
    for k, key in enumerate(keys):
        for start in range(k, len(crops), len(keys) * 16):
            index = np.arange(start, len(crops), len(keys))[:16]
            out[index] = engine.modify(crops[index][..., ::-1], key)[..., ::-1]
    return out


def make_faces(engine: OnnxEngine, x: Crops) -> dict[str, Crops]:
    """Original, anonymised (two sets of factors), restored, restored from JPEG q75, restored with each kind of wrong
    factors; uint8 RGB."""
    right = [_key(f) for f in RIGHT]
    y = _modify(engine, x, right)
    other = [_key(f) for f in WRONG["random password"]]
    faces = {"x": x, "y": y, "y2": _modify(engine, x, other), "r": _modify(engine, y, [k.inverse() for k in right])}
    faces["r: JPEG"] = _modify(engine, jpeg(faces["y"], 75), [k.inverse() for k in right])
    for name, factors in WRONG.items():
        faces[f"w: {name}"] = _modify(engine, y, [_key(f).inverse() for f in factors])
    return faces


def evaluate(
    engine: OnnxEngine, faces: FaceSet, models: Path, *, judges: tuple[str, ...] = tuple(JUDGES)
) -> list[Goal]:
    """Measure everything that needs nothing but crops, recognisers and the detector."""
    made = make_faces(engine, faces.crops)
    worn = (blurred(made["y"]), jpeg(made["y"], 50), rescaled(made["y"], 64))
    rows: list[Goal] = []
    for name in judges:
        judge = Judge(name, models)
        vectors = {kind: judge.embed(crops) for kind, crops in made.items()}
        counts = not judge.used_in_training
        matched = {kind: float(judge.same(vectors["x"], v).mean()) for kind, v in vectors.items()}
        rows.append(Goal(f"de-identified, {name}", 1 - matched["y"], ">= 0.999 (first model 0.95)", counts=counts))
        still = min(1 - float(judge.same(vectors["x"], judge.embed(y)).mean()) for y in worn)
        rows.append(
            Goal(f"de-identified after blur, JPEG q50 or 64 px, the least, {name}", still, ">= 0.99", counts=counts)
        )
        rows.append(Goal(f"re-identified from JPEG q75, {name}", matched["r: JPEG"], ">= 0.98", counts=counts))
        rows.append(Goal(f"re-identified, {name}", matched["r"], ">= 0.995 (first model 0.95)", counts=counts))
        for kind in WRONG:
            rows.append(Goal(f"matched with wrong factors ({kind}), {name}", matched[f"w: {kind}"],
                             "<= 0.001 (first model 0.02)", counts=counts))  # fmt: skip
        same = float(judge.same(vectors["y"], vectors["y2"]).mean())
        rows.append(Goal(f"two passwords, one person, {name}", same, "<= 0.01", counts=counts))
    rows.append(
        Goal("restored PSNR, dB (median)", float(np.median(psnr(made["x"], made["r"]))), ">= 35 (first model 28)")
    )
    rows.append(
        Goal(
            "restored PSNR inside the face, dB (median)", float(np.median(face_psnr(made["x"], made["r"]))), "reported"
        )
    )
    rows.append(
        Goal("restored PSNR from JPEG q75, dB (median)", float(np.median(psnr(made["x"], made["r: JPEG"]))), ">= 28")
    )
    rows.append(Goal("restored SSIM (mean)", float(ssim(made["x"], made["r"]).mean()), ">= 0.97"))
    rows.append(Goal("anonymised SSIM (mean)", float(ssim(made["x"], made["y"]).mean()), "reported"))
    detector = YuNetDetector()
    places = {kind: found_faces(detector, made[kind]) for kind in ("x", "y", "w: random password")}
    base = [i for i, place in enumerate(places["x"]) if place is not None]
    for kind, title in (("y", "anonymised"), ("w: random password", "wrong factors")):
        found = float(np.mean([places[kind][i] is not None for i in base]))
        rows.append(Goal(f"detector finds the {title} face", found, ">= 0.999 (first model 0.99)"))
    shift = landmark_shift(places["x"], places["y"])
    rows.append(Goal("landmark shift / inter-ocular distance (median)", float(np.median(shift)), "<= 0.03"))
    return rows


def evaluate_frames(
    runtime: MfmRuntime, faces: FaceSet, models: Path, *, scale: int = 2, crf: int | None = None
) -> list[Goal]:
    """The same through the public API: each face in a frame of `scale` times the crop's size, detected, aligned,
    pasted, uint8, with `crf` also through an H.264 file, and restored with the records."""
    size = 128 * scale
    frames = [cv2.resize(c[..., ::-1], (size, size), interpolation=cv2.INTER_CUBIC) for c in faces.crops]
    protected = [runtime.anonymize(frame, RIGHT[0]) for frame in frames]
    sent = [done.frame for done in protected]
    if crf is not None:
        sent = h264(sent, crf)
    made: dict[str, list[Crops]] = {"x": [], "y": [], "r": [], "w": []}
    for frame, done, y in zip(frames, protected, sent, strict=True):
        if done.faces:
            restored = runtime.restore(y, RIGHT[0], faces=done.faces)
            wrong = runtime.restore(y, WRONG["random password"][0], faces=done.faces)
            for kind, picture in (("x", frame), ("y", y), ("r", restored.frame), ("w", wrong.frame)):
                made[kind].append(cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA)[..., ::-1])
    stacked = {kind: np.stack(crops) for kind, crops in made.items()}
    where = f"in a {size} px frame" if crf is None else f"in a {size} px H.264 video (crf {crf})"
    rows = [Goal(f"faces found {where}", len(made["x"]) / len(frames), ">= 0.99")]
    for name, spec in JUDGES.items():
        if spec.used_in_training:
            continue
        judge = Judge(name, models)
        vectors = {kind: judge.embed(crops) for kind, crops in stacked.items()}
        for kind, title in (("y", "de-identified"), ("r", "re-identified"), ("w", "matched with wrong factors")):
            share = float(judge.same(vectors["x"], vectors[kind]).mean())
            rows.append(Goal(f"{title} {where}, {name}", 1 - share if kind == "y" else share, "reported"))
    rows.append(
        Goal(f"restored PSNR {where}, dB (median)", float(np.median(psnr(stacked["x"], stacked["r"]))), ">= 28")
    )
    inside = float(np.median(face_psnr(stacked["x"], stacked["r"])))
    rows.append(Goal(f"restored PSNR inside the face {where}, dB (median)", inside, "reported"))
    return rows


def to_text(rows: list[Goal]) -> str:
    """The table as plain text."""
    width = max(len(row.what) for row in rows)
    lines = [f"{'what':{width}}  {'value':>8}  goal"]
    lines += [
        f"{row.what:{width}}  {row.value:8.3f}  {row.goal}{'' if row.counts else '  (does not count)'}" for row in rows
    ]
    return "\n".join(lines)


def publish(rows: list[Goal], card: Path, readme: Path, *, faces: int) -> None:
    """Write the measured table into the model's card and between the README's markers, so that both are generated."""
    content = json.loads(card.read_text())
    content["measured"] = {"faces": faces, "data": "CelebA, official validation identities, never trained on"}
    content["measured"]["rows"] = [row.to_mapping() for row in rows]
    card.write_text(json.dumps(content, indent=1) + "\n")
    lines = [
        f"The shipped network (step counter {content['steps']}; history in `training/README.md`), on {faces}",
        "faces of people it never saw, after quantisation to uint8. SFace and MobileFaceNet took no part in training.",
        "",
        "| measured | value | goal |",
        "|---|---|---|",
        *(f"| {row.what} | {row.value:.3f} | {row.goal} |" for row in rows if row.counts),
        "",
        "Written by `python -m training.evaluate --publish`.",
    ]
    before, rest = readme.read_text().split(README_BEGIN)
    _, after = rest.split(README_END)
    readme.write_text(before + README_BEGIN + "\n" + "\n".join(lines) + "\n" + README_END + after)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/celeba"), help="folder with val-*.parquet")
    parser.add_argument(
        "--models", type=Path, default=None, help="folder of the recognisers (default: ../../models of data)"
    )
    parser.add_argument("--model", type=Path, default=SHIPPED_MODEL, help="folder of the exported network")
    parser.add_argument(
        "--faces", type=int, default=300, help="how many faces, spread over the identities (default 300)"
    )
    parser.add_argument(
        "--frames", type=int, default=60, help="how many of them also through the public API (default 60)"
    )
    parser.add_argument("--json", type=Path, default=None, help="also write the table here")
    parser.add_argument("--publish", action="store_true", help="also write it into the model's card and the README")
    args = parser.parse_args(argv)
    models = args.models or args.data.resolve().parent.parent / "models"
    everyone = load_faces(args.data, "val")
    index = np.linspace(0, len(everyone) - 1, args.faces).astype(np.intp)
    faces = everyone.take(index)
    engine = OnnxEngine(args.model, trust_unknown_model=True)
    rows = evaluate(engine, faces, models)
    if args.frames:
        runtime = MfmRuntime(model=args.model, trust_unknown_model=True)
        some = faces.take(slice(0, None, -(-len(faces) // args.frames)))
        rows += evaluate_frames(runtime, some, models) + evaluate_frames(runtime, some, models, crf=23)
    print(to_text(rows))
    if args.json:
        report = {"model_id": engine.model_id, "faces": len(faces), "rows": [row.to_mapping() for row in rows]}
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    if args.publish:
        publish(rows, args.model / CARD, Path(__file__).parents[1] / "README.md", faces=len(faces))


if __name__ == "__main__":
    main()
