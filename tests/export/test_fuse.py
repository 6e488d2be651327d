"""export.fuse: one file, the same faces."""

from __future__ import annotations

from pathlib import Path

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
from mfm_edge.native import CUSTOM_OPS_LIBRARY  # noqa: E402
from mfm_edge.style import expand  # noqa: E402


@pytest.mark.parametrize("kernel", [False, True])
def test_one_graph_gives_the_faces_of_the_three(kernel):
    if kernel and CUSTOM_OPS_LIBRARY is None:
        pytest.skip("the native extension was not built")
    key = expand(derive_secret(FACTORS[0]), FACTORS[0].attribute_vector())
    chosen = [backends.onnx_runtime(SHIPPED_MODEL), backends.one_graph(SHIPPED_MODEL, kernel=kernel)]
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


def alone() -> bytes:
    """One node of RepeatAdd, for latents of any size."""
    fused = fuse(read_model())
    shapes = {"content": ["n", "c", "h", "w"], "style": ["n", "p"], "out": ["n", "c", "h", "w"]}
    content, style, out = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items()
    )
    node = onnx.helper.make_node("RepeatAdd", ["content", "style"], ["out"], domain=DOMAIN)
    graph = onnx.helper.make_graph([node], "alone", [content, style], [out])
    model = onnx.helper.make_model(
        graph, functions=fused.functions, opset_imports=fused.opset_import, ir_version=fused.ir_version
    )
    return model.SerializeToString()


def latents(*shape: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "content": rng.normal(size=shape).astype(np.float32),
        "style": rng.normal(size=(shape[0], shape[2] * shape[3])).astype(np.float32),
    }


def test_repeat_add_is_what_the_sdk_computes():
    given = latents(3, 5, 32, 32)
    session = onnxruntime.InferenceSession(alone(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, given)[0], repeat_add(**given))


def with_kernel(content: bytes, optimised: Path) -> onnxruntime.InferenceSession:
    """optimised: where ONNX Runtime writes the graph that it really runs."""
    if CUSTOM_OPS_LIBRARY is None:
        pytest.skip("the native extension was not built")
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(CUSTOM_OPS_LIBRARY)
    options.optimized_model_filepath = str(optimised)
    options.log_severity_level = 4  # what is refused below is logged as an error
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("shape", [(3, 5, 32, 32), (1, 1, 1, 1), (2, 7, 5, 3), (0, 4, 8, 8)])
def test_a_registered_kernel_takes_the_place_of_the_function(tmp_path, shape):
    session = with_kernel(alone(), tmp_path / "run.onnx")
    assert operators(tmp_path / "run.onnx") == ["RepeatAdd"]
    given = latents(*shape)
    np.testing.assert_array_equal(session.run(None, given)[0], repeat_add(**given))


def test_the_kernel_refuses_shapes_that_do_not_fit(tmp_path):
    session = with_kernel(alone(), tmp_path / "run.onnx")
    given = latents(2, 3, 8, 8)
    for wrong in ({"style": given["style"][:, :63]}, {"style": given["style"][:1]}, {"content": given["content"][:1]}):
        with pytest.raises(Exception, match=r"mfm.RepeatAdd: style takes the shape"):
            session.run(None, given | wrong)
    with pytest.raises(Exception, match="Invalid rank"):
        session.run(None, given | {"content": given["content"][0]})


def test_the_one_file_calls_a_registered_kernel(tmp_path):
    content = fuse(read_model()).SerializeToString()
    assert onnx.load_from_string(content).functions  # what others run instead
    with_kernel(content, tmp_path / "run.onnx")
    assert operators(tmp_path / "run.onnx").count("RepeatAdd") == 2


def test_parts_that_do_not_fit_are_refused():
    parts = read_model().parts
    with pytest.raises(ValueError, match="does not fit"):
        fuse(Model(parts | {"decoder": parts["style_encoder"]}, "0" * 16))
