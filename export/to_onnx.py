"""python -m export.to_onnx --run RUN --out FOLDER: a training run's averaged network -> three ONNX files, mark.npz
and a card."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from export.conditional import leave_out
from export.layout import lay_out
from export.mark import export_mark
from export.parts import example_inputs, split
from mfm_edge.engine.folder import MARK
from mfm_edge.engine.onnx import CARD, CARD_FORMAT, PARTS, SHIPPED_MODEL
from mfm_edge.types import CROP_SIZE
from training.networks import Modifier
from training.state import averaged

__all__ = ["OPSET", "TERMS", "TOLERANCE", "Run", "export", "load_run", "main", "relative_difference", "write_graph"]

OPSET = 18
TOLERANCE = 2e-5
"""Of rounding in single precision, as a share of an output's largest number."""
OUTPUTS = {
    "content_encoder": ["latent"],
    "style_encoder": ["style_from", "style_to", "otherwise"],
    "decoder": ["face", "evidence"],
}
HISTORY = "training/README.md, History of the shipped network"
TERMS = (
    "Trained on CelebA: the weights may be used for non-commercial research and education only. "
    "The code around them is Apache-2.0."
)


@dataclass(frozen=True, slots=True)
class Run:
    """The averaged network of a training run, after how many steps, and the sha256 of the checkpoint it came from."""

    network: Modifier
    steps: int
    checkpoint_sha256: str


def load_run(run: Path) -> Run:
    """Read the folder that training writes."""
    content = (run / "checkpoint.pt").read_bytes()  # once: training may replace the file at any time
    checkpoint = torch.load(io.BytesIO(content), weights_only=False, map_location="cpu")
    return Run(averaged(run, checkpoint), int(checkpoint["steps"]), hashlib.sha256(content).hexdigest())


def export(run: Run, folder: Path) -> dict[str, float]:
    """Write the parts, mark.npz and the card. Returns the largest relative difference between torch and ONNX Runtime by
    part.

    Raises RuntimeError when one exceeds TOLERANCE; the folder then has no card, so no runtime loads it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).unlink(missing_ok=True)
    differences = {}
    for part, module in split(run.network).items():
        path = folder / f"{part}.onnx"
        write_graph(module, example_inputs(part, 2), OUTPUTS[part], path, _origin(run) | {"part": part})
        differences[part] = _difference(module, part, path)
        if differences[part] > TOLERANCE:
            raise RuntimeError(f"{part}: torch and ONNX Runtime differ by {differences[part]:.2g}, allowed {TOLERANCE}")
    export_mark(run.network, folder / MARK)
    files = {part: folder / f"{part}.onnx" for part in PARTS} | {MARK: folder / MARK}
    card: dict[str, Any] = {
        "format": CARD_FORMAT,
        "name": "mfm",
        "sha256": {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()},
        "opset": OPSET,
        "steps": run.steps,
        "checkpoint_sha256": run.checkpoint_sha256,
        "history": HISTORY,
        "versions": {"torch": torch.__version__, "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__},
        "torch_against_onnxruntime": {part: float(f"{value:.2g}") for part, value in differences.items()},
        "terms": TERMS,
    }
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n")
    return differences


def write_graph(
    module: torch.nn.Module,
    inputs: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    path: Path,
    properties: Mapping[str, str],
) -> None:
    """One ONNX file of a module in evaluation mode. inputs: examples of batch size 2, by name; the file takes any.
    properties: its metadata."""
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        module,
        tuple(inputs.values()),
        dynamo=True,
        opset_version=OPSET,
        input_names=list(inputs),
        output_names=list(outputs),
        dynamic_shapes=tuple({0: batch} for _ in inputs),
        verbose=False,
    )
    assert program is not None
    proto = program.model_proto
    for node in proto.graph.node:  # the exporter's stack traces name the machine it ran on
        del node.metadata_props[:]
        node.doc_string = ""
    lay_out(proto)
    leave_out(proto)
    onnx.helper.set_model_props(proto, dict(properties))
    onnx.checker.check_model(proto)
    path.write_bytes(proto.SerializeToString())


def _origin(run: Run) -> dict[str, str]:
    """What every file says about itself, in its metadata."""
    return {
        "mfm_edge": version("mfm-edge"),
        "torch": torch.__version__,
        "opset": str(OPSET),
        "crop_size": str(CROP_SIZE),
        "steps": str(run.steps),
        "checkpoint_sha256": run.checkpoint_sha256,
    }


def relative_difference(expected: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """The largest difference, as a share of the largest number: what rounds is as large as what is computed with."""
    return float(np.abs(expected - found).max() / (np.abs(expected).max() or 1))


@torch.no_grad()
def _difference(module: torch.nn.Module, part: str, path: Path) -> float:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst = 0.0
    for batch in (1, 3):
        inputs = example_inputs(part, batch, seed=batch)
        expected = module(*inputs.values())
        found = session.run(None, {name: np.ascontiguousarray(value.numpy()) for name, value in inputs.items()})
        for one, other in zip(expected if isinstance(expected, tuple) else (expected,), found, strict=True):
            worst = max(worst, relative_difference(one.numpy(), other))
    return worst


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m export.to_onnx", description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder of a training run")
    parser.add_argument("--out", type=Path, default=SHIPPED_MODEL, help="folder to write (default: the shipped model)")
    args = parser.parse_args(argv)
    for part, difference in export(load_run(args.run), args.out).items():
        print(f"{part}: torch and ONNX Runtime agree to {difference:.2g}")
    print(args.out)


if __name__ == "__main__":
    main()
