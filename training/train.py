"""python -m training.train --data FOLDER --run FOLDER [--minutes M]: phase 1, then phase 2, resumable at any moment."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from training.channel import quantise
from training.config import PAPER_WEIGHTS, Config, Weights
from training.data import FaceSet, load_faces, models_of, to_tensor
from training.keys import random_keys
from training.networks import Modifier
from training.phase1 import Phase1
from training.phase2 import Trainer
from training.processes import Processes
from training.recogniser import Recogniser
from training.state import unpack

__all__ = ["main", "save_atomically"]


def save_atomically(value: object, path: Path) -> None:
    """A killed process leaves the old file or the new one, never half of one."""
    partial = path.with_suffix(path.suffix + ".partial")
    torch.save(value, partial)
    os.replace(partial, path)


def run_phase1(faces: FaceSet, recogniser: Recogniser, run: Path, config: Config) -> Phase1:
    """Load phase 1 from the run's folder, or do it, or what of it is missing there."""
    path = run / "phase1.pt"
    if path.exists():
        found = Phase1.load(torch.load(path, weights_only=True))
        phase1 = found.complete(faces, config)
        if phase1 is found:
            return phase1
    else:
        phase1 = Phase1.train(faces, recogniser, config)
    save_atomically(phase1.state(), path)
    return phase1


@torch.no_grad()
def sample_picture(network: Modifier, faces: FaceSet, path: Path) -> None:
    """A sheet for the eye: original, two surrogates, restored, restored with a wrong key; uint8 in between."""
    device = next(network.parameters()).device
    x, landmarks = to_tensor(faces.crops).to(device), torch.from_numpy(faces.landmarks).to(device)
    rng = np.random.default_rng(7)
    right, wrong = (random_keys(len(x), rng).to(device) for _ in range(2))
    y = quantise(network(x, landmarks, *right.inputs()))
    rows = [
        x,
        y,
        network(x, landmarks, *wrong.inputs()),
        network(y, landmarks, *right.inverse().inputs()),
        network(y, landmarks, *wrong.inverse().inputs()),
    ]
    sheet = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
    pixels = ((sheet + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


def run_phase2(trainer: Trainer, validation: FaceSet, run: Path, deadline: float) -> None:
    """Steps until the deadline; a checkpoint every few minutes and at the end, also on Ctrl-C or SIGTERM. Of several
    processes the first one's clock counts, and it alone writes."""
    config, processes, checkpoint = trainer.config, trainer.processes, run / "checkpoint.pt"
    if checkpoint.exists():
        trainer.load_state(torch.load(checkpoint, weights_only=False, map_location="cpu"))
    trainer.begin_together()
    log_file = run / "log.jsonl" if processes.first else Path(os.devnull)
    saved = time.monotonic()
    length = processes.agree(deadline - saved)
    try:
        with contextlib.suppress(KeyboardInterrupt), log_file.open("a", buffering=1) as log:
            while True:
                started = time.monotonic()
                left = processes.agree(0.0 if processes.interrupted else deadline - started)
                if left <= 0:
                    break
                trainer.set_rates(min(1.0, left / length / config.cool_down))
                values = trainer.step()
                if not processes.first:
                    continue
                if trainer.steps % 10 == 0:
                    row = {"step": trainer.steps, "seconds": round(time.monotonic() - started, 3)}
                    log.write(json.dumps(row | {k: round(v, 4) for k, v in values.items()}) + "\n")
                if trainer.steps % config.sample_every == 0:
                    sample_picture(trainer.average, validation, run / f"sample-{trainer.steps:06d}.png")
                if time.monotonic() - saved > 60 * config.checkpoint_minutes:
                    save_atomically(trainer.state(), checkpoint)
                    saved = time.monotonic()
    finally:
        if processes.first:
            save_atomically(trainer.state(), checkpoint)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train-*.parquet and val-*.parquet")
    parser.add_argument(
        "--models", type=Path, default=None, help="folder of the recognisers (default: ../models beside data)"
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of this run: made, or resumed")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after this long (default 60)")
    parser.add_argument("--limit", type=int, default=None, help="use only the first N training faces")
    parser.add_argument(
        "--paper-weights", action="store_true", help="the paper's loss weights instead of the project's"
    )
    parser.add_argument("--bf16", action="store_true", help="convolutions in bfloat16, on processors with units for it")
    parser.add_argument(
        "--start", type=Path, default=None, help="begin a new run from this packed state, e.g. training/state/mfm.pt"
    )
    args = parser.parse_args(argv)
    deadline = time.monotonic() + 60 * args.minutes
    config = Config(weights=PAPER_WEIGHTS if args.paper_weights else Weights(), bfloat16=args.bf16)
    processes = Processes.join()
    for number in (signal.SIGINT, signal.SIGTERM):  # a background shell starts children with SIGINT ignored
        signal.signal(number, processes.interrupt)
    args.run.mkdir(parents=True, exist_ok=True)
    if processes.first:
        (args.run / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=1) + "\n")
    torch.manual_seed(config.seed)
    faces = load_faces(args.data, "train", limit=args.limit).with_exact_landmarks()
    validation = load_faces(args.data, "val", limit=600).take(slice(0, None, 50)).with_exact_landmarks()
    recogniser = Recogniser(args.models or models_of(args.data), torch.bfloat16 if args.bf16 else torch.float32)
    networks = None
    if args.start is not None and not (args.run / "checkpoint.pt").exists():
        networks, packed = unpack(args.start)
        if processes.first:
            save_atomically(packed, args.run / "phase1.pt")
    if not processes.first:
        processes.wait()  # for the first one, which does phase 1, on the processor
    phase1 = run_phase1(faces, recogniser, args.run, config)
    if processes.first:
        processes.wait()
    trainer = Trainer(faces, phase1, recogniser, config, processes)
    if networks is not None:
        trainer.start_from(networks)
    run_phase2(trainer, validation, args.run, deadline)
    processes.leave()


if __name__ == "__main__":
    main()
