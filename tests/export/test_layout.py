"""export.layout: other operators, the same numbers, and ONNX Runtime does what they are there for."""

from __future__ import annotations

import platform
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra: export")
torch = pytest.importorskip("torch", reason="needs the extra: export")

from torch import nn  # noqa: E402

from export import to_onnx  # noqa: E402
from export.to_onnx import write_graph  # noqa: E402


class Chain(nn.Module):
    """Two residual convolutions on a part of the input, and a pixel shuffle of what they give."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x):
        x = x[:, :, 1:]
        x = x + self.first(x)
        return self.shuffle(x + self.second(x))


def exported(module: nn.Module, x, path: Path):
    write_graph(module.eval(), {"x": x}, ["y"], path, {})
    return onnx.load(path)


@pytest.mark.parametrize(("channels", "height", "width"), [(4, 2, 1), (8, 5, 3), (32, 25, 24)])
def test_it_computes_the_same_for_every_batch(tmp_path, monkeypatch, channels, height, width):
    torch.manual_seed(channels)
    module = Chain(channels)
    x = torch.randn(2, channels, height, width)
    ours = exported(module, x, tmp_path / "ours.onnx")
    monkeypatch.setattr(to_onnx, "lay_out", lambda proto: None)
    plain = exported(module, x, tmp_path / "plain.onnx")
    assert "DepthToSpace" in {node.op_type for node in plain.graph.node}
    assert "DepthToSpace" not in {node.op_type for node in ours.graph.node}
    sessions = [
        onnxruntime.InferenceSession(tmp_path / name, providers=["CPUExecutionProvider"])
        for name in ("ours.onnx", "plain.onnx")
    ]
    for batch in (1, 3):
        x = np.random.default_rng(batch).normal(size=(batch, channels, height, width)).astype(np.float32)
        found, expected = (session.run(None, {"x": x})[0] for session in sessions)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="ONNX Runtime convolves in blocks of channels on x86-64")
def test_residuals_are_added_by_the_convolutions(tmp_path):
    exported(Chain(32), torch.randn(2, 32, 9, 8), tmp_path / "chain.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(tmp_path / "chain.onnx", options, providers=["CPUExecutionProvider"])
    operators = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert operators["Conv"] == 2 and operators["Add"] == 0
    assert operators["ReorderInput"] == operators["ReorderOutput"] == 1
