"""export.fold_yunet: block-quantised weights become the same fp32 weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra: export")

from export.fold_yunet import fold, main  # noqa: E402
from mfm_edge.detect.yunet import SHIPPED_YUNET  # noqa: E402

SOURCE = Path(__file__).parents[3] / "shared" / "models" / "det_yunet_2023mar_int8bq.onnx"


def quantised_model() -> onnx.ModelProto:
    """One 1x1 convolution with weights in blocks of two input channels, and a bias in one block."""
    rng = np.random.default_rng(0)
    constants = {
        "w_q": rng.integers(-128, 128, (4, 3), np.int8),
        "w_s": rng.uniform(0.01, 0.1, (4, 2)).astype(np.float32),
        "w_z": rng.integers(-5, 5, (4, 2), np.int8),
        "w_shape": np.array([4, 3, 1, 1], np.int64),
        "cells": np.array([1, -1, 4], np.int64),
        "b": rng.normal(size=4).astype(np.float32),
    }
    helper = onnx.helper
    nodes = [
        helper.make_node("DequantizeLinear", ["w_q", "w_s", "w_z"], ["w_d"], axis=1, block_size=2),
        helper.make_node("Reshape", ["w_d", "w_shape"], ["w"]),
        helper.make_node("Conv", ["input", "w", "b"], ["map"]),
        helper.make_node("Transpose", ["map"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["last", "cells"], ["cls_8"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("cls_8", onnx.TensorProto.FLOAT, [1, 64, 4])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_every_block_gets_its_own_scale_and_zero_point() -> None:
    model = quantised_model()
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    expected = np.empty((4, 3), np.float32)
    for row in range(4):
        for column in range(3):
            quantised = float(constants["w_q"][row, column]) - float(constants["w_z"][row, column // 2])
            expected[row, column] = quantised * constants["w_s"][row, column // 2]
    folded = fold(model)
    assert [node.op_type for node in folded.graph.node] == ["Conv", "Transpose", "Reshape"]
    weights = {item.name: onnx.numpy_helper.to_array(item) for item in folded.graph.initializer}
    assert set(weights) == {"w", "b", "cells"}
    np.testing.assert_allclose(weights["w"][..., 0, 0], expected, rtol=1e-6)


def test_the_shipped_file_comes_from_the_source(tmp_path: Path) -> None:
    if not SOURCE.exists():
        pytest.skip("needs ../shared/models")
    main(["--source", str(SOURCE), "--out", str(tmp_path / "yunet.onnx")])
    folded, shipped = (onnx.load(path) for path in (tmp_path / "yunet.onnx", SHIPPED_YUNET))
    assert folded.graph == shipped.graph


def test_another_source_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(b"other")
    with pytest.raises(SystemExit) as stopped:
        main(["--source", str(path)])
    assert stopped.value.code == 2
    assert "--source: got sha256" in capsys.readouterr().err
