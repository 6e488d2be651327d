"""python -m export.critic --state FILE: the critic of python -m training.critic -> its ONNX file and card."""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from export.small import export_small
from export.to_onnx import TERMS
from mfm_edge.critic import SHIPPED_CRITIC, SIDE
from training.critic import CriticNetwork

__all__ = ["export", "main", "rounded"]

OUTPUTS = ["embedding", "natural", "attributes"]


def rounded(network: CriticNetwork) -> CriticNetwork:
    """A copy that computes nearly the same with weights that float16 holds: what it says is too coarse to need more.
    Batch normalisations of convolutions are in these."""
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if isinstance(module, nn.Sequential) and isinstance(module[0], nn.Conv2d):
            assert isinstance(module[1], nn.BatchNorm2d)
            module[0], module[1] = fuse_conv_bn_eval(module[0], module[1]), nn.Identity()
    for parameter in network.parameters():
        parameter.data.copy_(parameter.data.half())
    return network


def export(network: CriticNetwork, path: Path) -> float:
    """Its copy that is `rounded`; see export_small."""
    card = {
        "name": "critic",
        "task": "how alike two faces look, how natural a surrogate, and what attributes it has",
        "input": f"(N, 3, {SIDE}, {SIDE}) float32 RGB in -1..1: the window of an aligned crop, smaller",
        "output": "embedding (N, 128), natural (N,) and attributes (N, 17), logits, float32",
        "made_by": "python -m training.critic, python -m export.critic",
        "teachers": "dlib's ResNet-29 (CC0), which training uses and no evaluation counts; ratings by eye "
        "(training/ratings.py); labels of CelebA's training identities",
        "terms": TERMS,
    }
    return export_small(rounded(network), SIDE, OUTPUTS, path, "critic", card)


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
