"""python -m training.state --run RUN: the small file that lets anybody go on from the shipped model.

The run's averaged network, discriminators and phase 1 in half precision, without the optimisers' moments, which come
back within a few steps. `python -m training.train --start FILE` begins a new run from it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from training.networks import Modifier
from training.style_space import StyleSpace

__all__ = ["STATE", "averaged", "load_modifier", "main", "pack", "unpack"]

STATE = Path(__file__).parent / "state" / "mfm.pt"
MAX_BYTES = 15_000_000


def pack(run: Path, path: Path) -> int:
    """Write the state of a run to path; returns its size in bytes. Raises ValueError when it is over MAX_BYTES."""
    checkpoint = torch.load(run / "checkpoint.pt", weights_only=False, map_location="cpu")
    phase1 = torch.load(run / "phase1.pt", weights_only=True)
    state = {
        "steps": checkpoint["steps"],
        "modifier": _halve(checkpoint["average"]),
        "discriminators": _halve(checkpoint["discriminators"]),
        # The space exactly: restoring rests on its parts being inverse. Whoever needs the classifier trains it anew.
        "phase1": {
            name: _halve(value) if isinstance(value, dict) else value
            for name, value in phase1.items()
            if name != "classifier"
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    size = partial.stat().st_size
    if size > MAX_BYTES:
        partial.unlink()
        raise ValueError(f"state: {size} bytes, at most {MAX_BYTES}")
    partial.replace(path)
    return size


def unpack(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The networks by name with the step count, and phase 1; everything in single precision."""
    state = torch.load(path, weights_only=True)
    phase1 = state.pop("phase1")
    phase1 = {name: _widen(value) if isinstance(value, dict) else value for name, value in phase1.items()}
    networks = {name: value if name == "steps" else _widen(value) for name, value in state.items()}
    return networks, phase1


def load_modifier(path: Path) -> Modifier:
    """The averaged network of a run (folder) or of a packed state (file), in evaluation mode."""
    if path.is_dir():
        return averaged(path, torch.load(path / "checkpoint.pt", weights_only=False, map_location="cpu"))
    networks, phase1 = unpack(path)
    return _modifier(phase1, networks["modifier"])


def averaged(run: Path, checkpoint: dict[str, Any]) -> Modifier:
    """The averaged network of a run's checkpoint, in evaluation mode."""
    return _modifier(torch.load(run / "phase1.pt", weights_only=True), checkpoint["average"])


def _modifier(phase1: dict[str, Any], weights: dict[str, torch.Tensor]) -> Modifier:
    network = Modifier(StyleSpace.load(phase1))
    network.load_state_dict(weights)
    return network.eval()


def _halve(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}


def _widen(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.state", description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder of a training run")
    parser.add_argument("--out", type=Path, default=STATE, help="file to write (default: the one that is shipped)")
    args = parser.parse_args(argv)
    print(f"{args.out}: {pack(args.run, args.out) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
