"""export.conditional: what nobody takes is not computed, and what somebody takes is computed as before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra: export")
torch = pytest.importorskip("torch", reason="needs the extra: export")

from torch import nn  # noqa: E402

from export.conditional import compute_always, leave_out  # noqa: E402
from export.to_onnx import write_graph  # noqa: E402


class Touched(nn.Module):
    """A picture, and what is drawn over it where a number is not above 0, told apart by both."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.touch = nn.Conv2d(3, 4, 3), nn.Sequential(nn.Conv2d(4, 5, 3), nn.SiLU(), nn.Flatten())

    def forward(self, x, number):
        plain, dry = self.trunk(x), number > 0
        touch = torch.where(dry, 0.0, number * self.touch(plain))
        return torch.cat([plain.flatten(1), touch], 1), torch.where(dry, 0.0, number)


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("graph") / "touched.onnx"
    inputs = {"x": torch.randn(2, 3, 8, 9), "number": torch.tensor([[1.0], [-1.0]])}
    module = Touched().eval()
    write_graph(module, inputs, ["y", "z"], path, {})
    return module, onnx.load(path)


def session(proto, options=None):
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def test_what_is_taken_by_somebody_is_as_before(graph):
    module, conditional = graph
    plain = compute_always(conditional)
    assert "If" in {node.op_type for node in conditional.graph.node}
    assert "If" not in {node.op_type for node in plain.graph.node}
    sessions = session(conditional), session(plain)
    for numbers in ([1], [-2], [1, 3], [-1, -2], [3, -1, 0], [0]):
        number = torch.tensor(numbers, dtype=torch.float32)[:, None]
        x = torch.randn(len(numbers), 3, 8, 9, generator=torch.Generator().manual_seed(len(numbers)))
        with torch.no_grad():
            expected = module(x, number)
        for one in sessions:
            found = one.run(None, {"x": x.numpy(), "number": number.numpy()})
            for a, b in zip(found, expected, strict=True):
                assert a.shape == b.shape
                np.testing.assert_allclose(a, b.numpy(), atol=1e-5)


@pytest.mark.parametrize(("numbers", "convolutions"), [([1, 2], 1), ([1, -2], 2), ([-1, -2], 2)])
def test_what_nobody_takes_is_not_computed(graph, tmp_path, numbers, convolutions):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "profile")
    one = session(graph[1], options)
    number = np.array(numbers, np.float32)[:, None]
    one.run(None, {"x": np.zeros((len(numbers), 3, 8, 9), np.float32), "number": number})
    assert Path(one.end_profiling()).read_text().count('"op_name" : "Conv"') == convolutions


def test_going_back_and_forth_changes_nothing(graph):
    proto = compute_always(graph[1])
    plain = proto.SerializeToString(deterministic=True)
    leave_out(proto)
    assert {node.op_type for node in proto.graph.node} == {node.op_type for node in graph[1].graph.node}
    assert compute_always(proto).SerializeToString(deterministic=True) == plain
