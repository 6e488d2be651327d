"""python -m export.critic --state FILE: the critic of python -m training.critic -> its ONNX file and card."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from export.to_onnx import TERMS, TOLERANCE, relative_difference, write_graph
from mfm_edge.critic import SHIPPED_CRITIC, SIDE
from training.critic import CriticNetwork

__all__ = ["export", "main"]

OUTPUTS = ["embedding", "natural", "attributes"]


def export(network: CriticNetwork, path: Path) -> float:
    """Writes the file, and the card beside it. Returns the largest relative difference between torch and ONNX Runtime.

    Raises RuntimeError when it exceeds TOLERANCE, and leaves no card then.
    """
    network = network.eval()
    card = path.with_suffix(".json")
    card.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_graph(network, {"face": torch.zeros(2, 3, SIDE, SIDE)}, OUTPUTS, path, {"part": "critic"})
    difference = _difference(network, path)
    if difference > TOLERANCE:
        raise RuntimeError(f"torch and ONNX Runtime differ by {difference:.2g}, allowed {TOLERANCE}")
    content: dict[str, Any] = {
        "name": "critic",
        "task": "how alike two faces look, how natural a surrogate, and what attributes it has",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "input": f"(N, 3, {SIDE}, {SIDE}) float32 RGB in -1..1: the window of an aligned crop, smaller",
        "output": "embedding (N, 128), natural (N,) and attributes (N, 17), logits, float32",
        "made_by": "python -m training.critic, python -m export.critic",
        "teachers": "dlib's ResNet-29 (CC0), which training uses and no evaluation counts; ratings by eye "
        "(training/ratings.py); labels of CelebA's training identities",
        "terms": TERMS,
    }
    card.write_text(json.dumps(content, indent=1) + "\n")
    return difference


@torch.no_grad()
def _difference(network: CriticNetwork, path: Path) -> float:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pairs = zip(session.run(OUTPUTS, {"face": x.numpy()}), network(x), strict=True)
    return max(relative_difference(here.numpy(), there) for there, here in pairs)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m export.critic", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="file of python -m training.critic")
    parser.add_argument("--out", type=Path, default=SHIPPED_CRITIC, help="file to write (default: the shipped one)")
    args = parser.parse_args(argv)
    network = CriticNetwork()
    network.load_state_dict(torch.load(args.state, weights_only=True))
    print(f"torch and ONNX Runtime agree to {export(network, args.out):.2g}\n{args.out}")


if __name__ == "__main__":
    main()
