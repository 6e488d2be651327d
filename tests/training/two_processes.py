"""Started by torch.distributed.run: a few steps of training on each process, which then writes down what it has."""

import sys
import time
from pathlib import Path

import torch

from training.config import Config, Weights
from training.data import load_faces
from training.phase1 import Phase1
from training.phase2 import Trainer
from training.processes import Processes
from training.recogniser import Recogniser
from training.train import run_phase2

CONFIG = Config(
    batch=4, phase1_steps=2, sample_every=1,
    weights=Weights(information_anonymised=1, information_wrong=1, information_restored=0.02),
)  # fmt: skip


class ThreeSteps(Trainer):
    def step(self) -> dict[str, float]:
        values = super().step()
        self.processes.interrupted = self.processes.first and self.steps == 3
        return values


def main(shared: Path, folder: Path) -> None:
    processes = Processes.join()
    faces = load_faces(shared / "data" / "celeba", "train", limit=240)
    torch.manual_seed(0)
    recogniser = Recogniser(shared / "models")
    phase1 = Phase1.train(faces, recogniser, CONFIG)
    torch.manual_seed(processes.rank)  # networks begin differently, and must not stay so
    trainer = ThreeSteps(faces, phase1, recogniser, CONFIG, processes)
    begun = {name: value.clone() for name, value in trainer.modifier.state_dict().items()}
    run_phase2(trainer, faces.take(slice(0, 2)), folder, deadline=time.monotonic() + 600)
    drawn, *_ = faces.draw(CONFIG.batch, trainer.rng)
    torch.save(trainer.state() | {"begun": begun, "faces": drawn}, folder / f"rank{processes.rank}.pt")
    processes.leave()


main(*map(Path, sys.argv[1:]))
