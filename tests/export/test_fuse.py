"""export.fuse: one file, the same faces."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra: export")

from export import backends  # noqa: E402
from export.fuse import DOMAIN, fuse, main  # noqa: E402
from export.verify import FACTORS, demo_crops, verify  # noqa: E402
from mfm_edge.engine.folder import SHIPPED_MODEL, Model, read_model  # noqa: E402
from mfm_edge.factors import derive_secret  # noqa: E402
from mfm_edge.latent import repeat_add  # noqa: E402
from mfm_edge.style import expand  # noqa: E402


def test_one_graph_gives_the_faces_of_the_three():
    key = expand(derive_secret(FACTORS[0]), FACTORS[0].attribute_vector())
    chosen = [backends.onnx_runtime(SHIPPED_MODEL), backends.one_graph(SHIPPED_MODEL)]
    checks = verify(chosen, demo_crops(3), [key])
    assert [check for check in checks if not check.passed] == []
    compared = {check.what for check in checks if check.backend == chosen[1].name}
    assert {"anonymise, levels", "restore, levels"} <= compared


def test_the_file_brings_repeat_add_along_and_says_where_it_comes_from(tmp_path):
    main(["--out", str(tmp_path / "mfm.onnx")])
    model = onnx.load(tmp_path / "mfm.onnx")
    assert [(f.domain, f.name) for f in model.functions] == [(DOMAIN, "RepeatAdd")]
    assert sum(node.op_type == "RepeatAdd" for node in model.graph.node) == 2
    origin = {item.key: item.value for item in model.metadata_props}
    assert origin["model_id"] == read_model().model_id and origin["part"] == "all"
    assert all(value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.input)


def test_repeat_add_is_what_the_sdk_computes():
    fused = fuse(read_model())
    shapes = {"content": ["n", 5, 32, 32], "style": ["n", 1024], "out": ["n", 5, 32, 32]}
    content, style, out = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items()
    )
    node = onnx.helper.make_node("RepeatAdd", ["content", "style"], ["out"], domain=DOMAIN)
    graph = onnx.helper.make_graph([node], "alone", [content, style], [out])
    alone = onnx.helper.make_model(
        graph, functions=fused.functions, opset_imports=fused.opset_import, ir_version=fused.ir_version
    )
    rng = np.random.default_rng(0)
    given = {
        "content": rng.normal(size=(3, 5, 32, 32)).astype(np.float32),
        "style": rng.normal(size=(3, 1024)).astype(np.float32),
    }
    session = onnxruntime.InferenceSession(alone.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, given)[0], repeat_add(**given))


def test_parts_that_do_not_fit_are_refused():
    parts = read_model().parts
    with pytest.raises(ValueError, match="does not fit"):
        fuse(Model(parts | {"decoder": parts["style_encoder"]}, "0" * 16))
