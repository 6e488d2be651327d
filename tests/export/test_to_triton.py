"""export.to_triton: the ensemble, played step by step, gives the SDK's faces. No Triton server ran here."""

from __future__ import annotations

import re

import numpy as np
import onnxruntime
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra: export")

from export.to_triton import ENSEMBLE, configurations, main, to_text  # noqa: E402
from mfm_edge.engine import GPU_BATCH  # noqa: E402
from mfm_edge.engine.fused import RunWhole  # noqa: E402
from mfm_edge.engine.onnx import OnnxEngine  # noqa: E402
from mfm_edge.engine.steps import run_parts  # noqa: E402
from mfm_edge.style import expand  # noqa: E402


def test_the_ensemble_gives_the_faces_of_the_sdk(tmp_path):
    main(["--out", str(tmp_path)])
    graphs = {path.parts[-3]: onnx.load(path) for path in tmp_path.glob("*/1/model.onnx")}
    sessions = {
        name: onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        for name, proto in graphs.items()
    }
    ensemble = configurations(graphs)[ENSEMBLE]

    def play(inputs):
        assert inputs.keys() == {tensor["name"] for tensor in ensemble["input"]}
        tensors = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        for step in ensemble["ensemble_scheduling"]["step"]:
            given = {name: tensors[source] for name, source in step["input_map"].items()}
            results = sessions[step["model_name"]].run(list(step["output_map"]), given)
            tensors |= dict(zip(step["output_map"].values(), results, strict=True))
        return {tensor["name"]: tensors[tensor["name"]] for tensor in ensemble["output"]}

    crops = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)
    key = expand(b"k" * 32, np.zeros(17, np.float32))
    found, right = run_parts(RunWhole(play), crops, [key] * 2), OnnxEngine().modify(crops, [key] * 2)
    assert np.abs(found.faces.astype(int) - right.faces).max() <= 1
    np.testing.assert_allclose(found.evidence, right.evidence, atol=1e-4)


def test_the_repository_is_laid_out_as_triton_wants_it(tmp_path):
    main(["--out", str(tmp_path)])
    names = {"content_encoder", "style_encoder", "decoder", "repeat_add", ENSEMBLE}
    assert {path.name for path in tmp_path.iterdir()} == names
    for name in names:
        text = (tmp_path / name / "config.pbtxt").read_text()
        assert text.startswith(f'name: "{name}"\n') and f"max_batch_size: {GPU_BATCH}\n" in text
        assert text.count("{") == text.count("}")
        assert (tmp_path / name / "1" / "model.onnx").exists() == (name != ENSEMBLE)
        assert (tmp_path / name / "1").is_dir()
    text = (tmp_path / ENSEMBLE / "config.pbtxt").read_text()
    assert set(re.findall(r'model_name: "(\w+)"', text)) == names - {ENSEMBLE}
    assert 'input_map { key: "style" value: "style_from" }' in text


def test_text_format():
    message = {"name": "a", "data_type": "TYPE_FP32", "dims": [3, 4], "input": [{"name": "x"}], "dynamic_batching": {}}
    expected = 'name: "a"\ndata_type: TYPE_FP32\ndims: [3, 4]\ninput {\n  name: "x"\n}\ndynamic_batching {\n}\n'
    assert to_text(message) == expected
