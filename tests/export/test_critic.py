"""The critic's file computes what torch computed, and is known by its card."""

from __future__ import annotations

import copy
import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import onnx
import onnxruntime
import torch

from export import critic, small
from training.critic import CriticNetwork, going_on_from


@pytest.fixture(scope="module")
def network() -> CriticNetwork:
    torch.manual_seed(3)
    return CriticNetwork().eval()


def test_the_file_computes_the_same_for_any_number_of_faces(network: CriticNetwork, tmp_path: Path) -> None:
    path = tmp_path / "new" / "critic.onnx"
    critic.export(network, path)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["sha256"] == sha256(path.read_bytes()).hexdigest() and "non-commercial" in card["terms"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    same = critic.rounded(network)
    for count in (1, 5):
        x = torch.rand(count, 3, 64, 64) * 2 - 1
        with torch.no_grad():
            expected = same(x)
        assert [len(output) for output in expected] == [count] * 3
        found = session.run(["embedding", "natural", "attributes"], {"face": x.numpy()})
        for here, there in zip(found, expected, strict=True):
            np.testing.assert_allclose(here, there.numpy(), atol=1e-4)


def test_weights_take_half_the_space_and_nearly_nothing_changes(network: CriticNetwork, tmp_path: Path) -> None:
    network = copy.deepcopy(network)
    for module in network.modules():  # as if it had learned something
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2), module.running_mean.normal_(), module.bias.data.normal_()
    path = tmp_path / "critic.onnx"
    critic.export(network, path)
    weights = sum(parameter.numel() for parameter in network.parameters())
    assert path.stat().st_size < 2.05 * weights
    x = torch.rand(20, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before, after = network(x), critic.rounded(network)(x)
    for here, there in zip(before, after, strict=True):
        assert 0 < float((here - there).abs().max()) < 1e-3 * float(here.abs().max())
    goes_on = going_on_from(path).eval()
    with torch.no_grad():
        for here, there in zip(goes_on(x), after, strict=True):
            np.testing.assert_allclose(here.numpy(), there.numpy(), atol=1e-4 * float(there.abs().max()))


def test_what_float16_cannot_hold_stays_as_it_is(tmp_path: Path) -> None:
    module = torch.nn.Conv2d(3, 2, 4)
    module.bias.data[:] = torch.tensor([1e6, 0.1])
    module.weight.data.copy_(module.weight.data.half())
    assert small.export_small(module, 4, ["sum"], tmp_path / "sum.onnx", "sum", {"name": "", "task": ""}) < 1e-6
    kinds = {tuple(one.dims): one.data_type for one in onnx.load(tmp_path / "sum.onnx").graph.initializer}
    assert kinds[2, 3, 4, 4] == onnx.TensorProto.FLOAT16 and kinds[2,] == onnx.TensorProto.FLOAT


def test_a_file_that_computes_something_else_gets_no_card(
    network: CriticNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "critic.onnx"
    path.with_suffix(".json").write_text("{}")
    monkeypatch.setattr(small, "TOLERANCE", 0)
    with pytest.raises(RuntimeError, match="torch and ONNX Runtime differ by"):
        critic.export(network, path)
    assert not path.with_suffix(".json").exists()
