"""export.convert_mtcnn: the graphs compute what the networks do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra: export")
torch = pytest.importorskip("torch", reason="needs the extra: export")

import onnxruntime  # noqa: E402
from torch.nn.functional import conv2d, linear, max_pool2d, prelu  # noqa: E402

from export.convert_mtcnn import SOURCES, convert  # noqa: E402
from mfm_edge.detect.mtcnn import SHIPPED_MTCNN  # noqa: E402


def rnet_weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"conv1": (28, 3, 3, 3), "conv2": (48, 28, 3, 3), "conv3": (64, 48, 2, 2)}
    shapes |= {"dense4": (128, 576), "dense5_1": (2, 128), "dense5_2": (4, 128)}
    weights = {f"{name}.weight": rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": rng.normal(0, 0.1, shape[0]) for name, shape in shapes.items()}
    weights |= {f"prelu{i}.weight": rng.uniform(0, 0.3, n) for i, n in enumerate((28, 48, 64, 128), start=1)}
    return {name: value.astype(np.float32) for name, value in weights.items()}


def test_the_second_network_equals_its_definition() -> None:
    weights = rnet_weights()
    w = {name: torch.from_numpy(value) for name, value in weights.items()}
    x = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    h = prelu(conv2d(x, w["conv1.weight"], w["conv1.bias"]), w["prelu1.weight"])
    h = max_pool2d(h, 3, 2, ceil_mode=True)
    h = prelu(conv2d(h, w["conv2.weight"], w["conv2.bias"]), w["prelu2.weight"])
    h = max_pool2d(h, 3, 2, ceil_mode=True)
    h = prelu(conv2d(h, w["conv3.weight"], w["conv3.bias"]), w["prelu3.weight"])
    h = linear(h.permute(0, 3, 2, 1).reshape(3, -1), w["dense4.weight"], w["dense4.bias"])
    h = prelu(h, w["prelu4.weight"])
    score = linear(h, w["dense5_1.weight"], w["dense5_1.bias"]).softmax(1)
    shift = linear(h, w["dense5_2.weight"], w["dense5_2.bias"])

    session = onnxruntime.InferenceSession(convert("rnet", weights).SerializeToString())
    found = session.run(["score", "shift"], {"input": x.numpy()})
    np.testing.assert_allclose(found[0], score.numpy(), atol=1e-5)
    np.testing.assert_allclose(found[1], shift.numpy(), atol=1e-5)


def test_other_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="extra"):
        convert("rnet", rnet_weights() | {"extra": np.zeros(1, np.float32)})


def test_all_three_networks_ship() -> None:
    for name in SOURCES:
        assert Path(SHIPPED_MTCNN / f"mtcnn_{name}.onnx").is_file()
