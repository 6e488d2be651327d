"""python -m training.ablation: what each loss buys.

    python -m training.ablation --data ../shared/data/celeba --minutes 20 --out runs/ablation

Trains from one packed state under a few changes of the weights, for equally long and with one seed, and lets the judges
look at what comes out.

Writes report.md and report.json after every variant. A variant that was finished under the same settings is not trained
again, so the command may be stopped and called again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from training.config import Config, Weights
from training.data import FaceSet, load_faces, models_of
from training.experiments.made import Made, make_faces
from training.experiments.quality import quality
from training.experiments.subject import split_unseen
from training.experiments.unexported import UnexportedEngine
from training.metrics.frechet import frechet_distance
from training.metrics.judges import unseen_judges
from training.metrics.mobilenet import MobileNetFeatures
from training.networks import Modifier
from training.package_weights import MissingPackage
from training.phase1 import Phase1
from training.phase2 import Trainer
from training.processes import Processes
from training.recogniser import Recogniser
from training.report import Section, Table, write_report
from training.state import STATE, unpack
from training.train import save_atomically

__all__ = ["VARIANTS", "main"]

_SHIPPED = Weights()
VARIANTS: dict[str, Weights | None] = {
    "start": None,  # what all begin with
    "shipped": _SHIPPED,
    "information-anonymised": replace(_SHIPPED, information_anonymised=2.0),
    "information-wrong": replace(_SHIPPED, information_wrong=2.0),
    "information-restored": replace(_SHIPPED, information_restored=0.02),  # a hundred nats and more
    "information-for-push": replace(_SHIPPED, information_anonymised=2.0, information_wrong=2.0, push=0.0),
    "no-push": replace(_SHIPPED, push=0.0),
    "no-push-features": replace(_SHIPPED, push_features=0.0),
    "no-feat-local": replace(_SHIPPED, feat_local=0.0),
    "no-unnatural": replace(_SHIPPED, unnatural=0.0),
    "no-gan": replace(_SHIPPED, gan=0.0),
    "no-pull": replace(_SHIPPED, pull=0.0),
    "no-unexpected": replace(_SHIPPED, unexpected=0.0),
}


def _train(trainer: Trainer, *, minutes: float | None, steps: int | None) -> None:
    """So many minutes or steps, with the cool-down of a run."""
    began, before, done = time.monotonic(), trainer.steps, 0.0
    while done < 1:
        trainer.set_rates(min(1.0, (1 - done) / trainer.config.cool_down))
        trainer.step()
        taken = trainer.steps - before
        done = taken / steps if minutes is None else (time.monotonic() - began) / (60 * minutes)


def _measure(network: Modifier, data: Path, models: Path, count: int) -> dict[str, float]:
    """Of `count` people that it never saw, by recognisers that never trained it."""
    faces, others = split_unseen(load_faces(data, "val"), count)
    made = Made(make_faces(UnexportedEngine(network.cpu()), faces), unseen_judges(models))
    found = {goal.what: float(goal.value) for goal in quality(made).goals}
    try:
        features = MobileNetFeatures()
        real = features.embed(others.crops)
        for kind, title in (("x", "real faces"), ("y", "surrogates"), ("w: random password", "wrong factors' faces")):
            found[f"FD-MobileNetV2 of {title}"] = frechet_distance(features.embed(made[kind]), real)
    except MissingPackage as error:
        print(f"realism is not measured: {error}", file=sys.stderr)
    return found


def _variant(name: str, args: argparse.Namespace, faces: FaceSet, recogniser: Recogniser) -> dict[str, Any]:
    """Steps that it trained for and what was measured; from its folder when that was found under the same settings."""
    folder, weights = args.out / name, VARIANTS[name]
    config = Config(weights=weights or _SHIPPED, **({"batch": args.batch} if args.batch else {}))
    settings = {
        "config": json.loads(json.dumps(asdict(config))), "start": str(args.start), "faces": args.faces,
        "minutes": args.minutes if weights else None, "steps": args.steps if weights else None, "limit": args.limit,
    }  # fmt: skip
    path = folder / "found.json"
    if path.exists() and (found := json.loads(path.read_text()))["settings"] == settings:
        return found
    folder.mkdir(parents=True, exist_ok=True)
    networks, phase1 = unpack(args.start)
    save_atomically(phase1, folder / "phase1.pt")
    torch.manual_seed(config.seed)
    trainer = Trainer(faces, Phase1.load(phase1).complete(faces, config), recogniser, config, Processes.join())
    trainer.start_from(networks)
    before = trainer.steps
    torch.manual_seed(config.seed)  # networks of bounds took numbers that the others did not
    if weights is not None:
        _train(trainer, minutes=args.minutes, steps=args.steps)
    save_atomically(trainer.state(), folder / "checkpoint.pt")
    measured = _measure(trainer.average, args.data, args.models, args.faces)
    found = {"settings": settings, "steps": trainer.steps - before, "measured": measured}
    path.write_text(json.dumps(found, indent=1) + "\n")
    return found


def _section(found: dict[str, dict[str, Any]]) -> Section:
    changes = []
    for name in found:
        weights, shipped = asdict(VARIANTS[name] or _SHIPPED), asdict(_SHIPPED)
        changed = ", ".join(f"{k} {shipped[k]:g} -> {v:g}" for k, v in weights.items() if v != shipped[k])
        changes.append([name, changed or "-", str(found[name]["steps"])])
    titles = list(dict.fromkeys(what for one in found.values() for what in one["measured"]))
    rows = [[what, *(one["measured"].get(what) for one in found.values())] for what in titles]
    return Section(
        "What each loss buys",
        tables=[
            Table("Variants", ("name", "weights", "steps"), changes),
            Table("Measured", ("measured", *found), rows),
        ],
        notes=[
            "All went on from one state, with one seed. What a network of that state has already learned with a loss "
            "does not go away at once when the loss is left out: short runs understate what it buys. One run each, so "
            "that differences as small as those of two seeds say nothing."
        ],
    )


def main(argv: list[str] | None = None) -> None:
    args = _arguments(argv)
    args.models = args.models or models_of(args.data)
    args.out.mkdir(parents=True, exist_ok=True)
    faces = load_faces(args.data, "train", limit=args.limit).with_exact_landmarks()
    recogniser = Recogniser(args.models)
    found: dict[str, dict[str, Any]] = {}
    for name in args.only:
        found[name] = _variant(name, args, faces, recogniser)
        about = {"start": args.start.name, "faces measured": args.faces, "minutes each": args.minutes or "-",
                 "steps each": args.steps or "-"}  # fmt: skip
        write_report(args.out, [_section(found)], about=about, title="Ablation")
        print(f"{name}: {found[name]['steps']} steps", file=sys.stderr)
    print(args.out / "report.md")


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.ablation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, default=Path("../shared/data/celeba"), help="folder with train- and val-*.parquet")
    add("--models", type=Path, help="folder of the recognisers (default: ../../models of data)")
    add("--start", type=Path, default=STATE, help="packed state that every variant begins with")
    add("--out", type=Path, default=Path("runs/ablation"), help="folder for the report and a folder a variant")
    add("--only", choices=VARIANTS, nargs="+", default=list(VARIANTS), help="some of the variants, in this order")
    add("--faces", type=int, default=200, help="how many are measured (default: %(default)s)")
    add("--limit", type=int, help="train on the first N faces only")
    add("--batch", type=int, help="faces a step (default: the config's)")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, help="that each variant trains for")
    length.add_argument("--steps", type=int, help="the same as a number of steps")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
