"""python -m training.phase3 --data ../shared/data/celeba --run RUN: the last touch learns what frames and codecs do.

After phase 2, and with all else held still: surrogates stay as they are to the bit, and so does everything that was
measured of them. Faces are seen at all sizes and in all lights, protected, coded and cut out again by the code that
ships (training/scenes.py): nothing has to be differentiable but the last touch.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mfm_edge.headroom import stretch
from training.bands import Bands
from training.channel import quantise
from training.config import Config
from training.data import FaceSet, load_faces, to_crops, to_tensor
from training.keys import random_attributes, random_keys
from training.networks import Modifier
from training.scenes import Scenes
from training.state import averaged
from training.style_space import window
from training.train import save_atomically

__all__ = ["Restored", "loss", "main", "restored", "run_phase3", "score", "touched"]

NOTHING = 1e-5  # mean square error, 0.4 levels of 255

Shown = tuple[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Restored:
    """N faces before their last touch. shown: what `Finish` is shown; base (N,3,96,96): the toned window
    without it; original: the crop (N,3,128,128)."""

    shown: Shown
    base: Tensor
    original: Tensor


class _Unfinished(nn.Module):
    """In the place of the last touch: remembers what it would have been shown, and touches nothing."""

    def __init__(self, bands: Bands) -> None:
        super().__init__()
        self.bands = bands
        self.seen: Shown | None = None

    def forward(self, *shown: Any) -> list[Tensor]:
        self.seen = shown
        return [torch.zeros_like(part) for part in self.bands.hidden(*shown[1])]


@contextmanager
def _without_touch(modifier: Modifier) -> Iterator[_Unfinished]:
    decoder = modifier.decoder
    finish, stand_in = decoder.finish, _Unfinished(decoder.bands)
    decoder.finish = stand_in  # type: ignore[assignment]
    try:
        yield stand_in
    finally:
        decoder.finish = finish


@torch.no_grad()
def restored(modifier: Modifier, faces: FaceSet, rng: np.random.Generator, config: Config, *, alone: bool) -> Restored:
    """A batch of the faces under random keys, through frames and codecs unless `alone`, and restored up to their last
    touch."""
    n = config.batch
    _, crops, places = faces.draw(n, rng)
    scenes = None if alone else Scenes.of(crops, rng)
    x = to_tensor(crops if scenes is None else scenes.crops())
    landmarks = torch.from_numpy(places + rng.normal(0, config.landmark_noise, places.shape).astype(np.float32))
    keys = random_keys(n, rng, attributes=random_attributes(n, faces.attributes, rng))
    back = keys.inverse()
    with _without_touch(modifier) as touch:
        y = quantise(modifier(x, landmarks, *keys.inputs()))
        if scenes is not None:
            y = to_tensor(scenes.sent(to_crops(y), rng))
        y = stretch(y, modifier.bend)
        styles = modifier.style_encoder(y, landmarks, *back.style_inputs())
        known = torch.ones(n, 1)  # as a stream knows its key, also where a face is too small to tell
        change = modifier.change(y, landmarks, styles, back.scramble(), known)
    assert touch.seen is not None
    return Restored(touch.seen, modifier.decoder.bands.toned(window(y)) + change.window, x)


def touched(modifier: Modifier, shown: Restored) -> Tensor:
    """(N,3,96,96): the window as restored, with its last touch, not clamped."""
    bands = modifier.decoder.bands
    touch = modifier.decoder.finish(*shown.shown)
    return bands.untoned(shown.base + bands.to_window(*bands.show(touch)))


def score(modifier: Modifier, shown: Restored) -> Tensor:
    """(N,): PSNR of the window, dB."""
    error = (touched(modifier, shown).clamp(-1, 1) - window(shown.original)).square().mean((1, 2, 3))
    return -10 * torch.log10((error + NOTHING) / 4)


def loss(modifier: Modifier, shown: Restored) -> Tensor:
    """The logarithm of the mean square error: a face that comes from a clean crop is a hundredth as far off as one from
    a small frame, and has to become no worse."""
    error = (touched(modifier, shown) - window(shown.original)).square().mean((1, 2, 3))
    return (error + NOTHING).log().mean()


def run_phase3(
    modifier: Modifier, faces: FaceSet, validation: FaceSet, config: Config, minutes: float
) -> Iterator[str]:
    """Teach the modifier's last touch, in place; now and then a line that says how well it does on other people.

    What is restored takes longer to make than to learn from, so each batch is looked at several times.
    """
    rng = np.random.default_rng(config.seed)
    held_out = [restored(modifier, validation, rng, config, alone=i % 4 == 0) for i in range(16)]
    finish = modifier.decoder.finish
    modifier.requires_grad_(False)
    finish.requires_grad_(True)
    average = AveragedModel(finish, multi_avg_fn=get_ema_multi_avg_fn(config.phase3_ema))
    optimiser = torch.optim.AdamW(finish.parameters(), config.phase3_learning_rate, betas=(0.9, 0.99))
    shelf: deque[Restored] = deque(maxlen=config.phase3_shelf)
    started, said = time.monotonic(), -math.inf
    while (share := (time.monotonic() - started) / (60 * minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = config.phase3_learning_rate * min(1.0, (1 - share) / config.cool_down)
        shelf.append(restored(modifier, faces, rng, config, alone=rng.random() < config.phase3_alone))
        for _ in range(config.phase3_looks):
            value = loss(modifier, shelf[rng.integers(len(shelf))])
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            nn.utils.clip_grad_norm_(finish.parameters(), 1.0)
            optimiser.step()
            average.update_parameters(finish)
        if time.monotonic() - said > 60:
            said = time.monotonic()
            yield f"{(said - started) / 60:.0f} min: {_report(modifier, held_out)}"
    finish.load_state_dict(average.module.state_dict())
    yield f"average: {_report(modifier, held_out)}"


@torch.no_grad()
def _report(modifier: Modifier, held_out: list[Restored]) -> str:
    scores = [score(modifier, batch).mean().item() for batch in held_out]
    alone = np.arange(len(scores)) % 4 == 0
    return f"{np.mean(np.array(scores)[alone]):.2f} dB alone, {np.mean(np.array(scores)[~alone]):.2f} dB from frames"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.phase3", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train-*.parquet and val-*.parquet")
    parser.add_argument("--run", type=Path, required=True, help="folder of a run: its network gets the last touch")
    parser.add_argument("--minutes", type=float, default=30.0, help="stop after this long (default 30)")
    parser.add_argument("--limit", type=int, default=None, help="use only the first N training faces")
    args = parser.parse_args(argv)
    checkpoint = torch.load(args.run / "checkpoint.pt", weights_only=False, map_location="cpu")
    modifier = averaged(args.run, checkpoint).to(memory_format=torch.channels_last)
    faces = load_faces(args.data, "train", limit=args.limit).with_exact_landmarks()
    validation = load_faces(args.data, "val", limit=600).with_exact_landmarks()
    for line in run_phase3(modifier, faces, validation, Config(), args.minutes):
        print(line, flush=True)
    for network in ("average", "modifier"):
        checkpoint[network] |= {f"decoder.finish.{name}": w for name, w in modifier.decoder.finish.state_dict().items()}
    save_atomically(checkpoint, args.run / "checkpoint.pt")


if __name__ == "__main__":
    main()
