"""export.to_onnx: the files compute what the network does, for any number of faces, and export.verify says so of them
and not of changed ones. In one file, because exporting takes a minute."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra: export")
torch = pytest.importorskip("torch", reason="needs the extra: export")

from onnx import numpy_helper  # noqa: E402

from export import backends  # noqa: E402
from export.parts import example_inputs, split  # noqa: E402
from export.to_onnx import OPSET, TOLERANCE, export, load_run  # noqa: E402
from export.verify import FACTORS, demo_crops, main, verify  # noqa: E402
from mfm_edge.engine.folder import CARD, PARTS  # noqa: E402
from mfm_edge.engine.onnx import OnnxEngine  # noqa: E402
from training.data import FaceSet  # noqa: E402
from training.fit_style_space import fit_style_space  # noqa: E402
from training.networks import Modifier  # noqa: E402
from training.style_space import StyleSpace  # noqa: E402

STEPS = 7


@dataclass(frozen=True, slots=True)
class Exported:
    """run: the folder that training writes; network: what is in it; model: the folder that was exported."""

    run: Path
    network: Modifier
    model: Path
    differences: dict[str, float]


def random_space() -> StyleSpace:
    """Fitted on random pictures, few of them: only the shapes matter here."""
    rng = np.random.default_rng(0)
    crops = [cv2.resize(c, (128, 128), interpolation=cv2.INTER_CUBIC) for c in rng.normal(128, 60, (80, 16, 16, 3))]
    return fit_style_space(
        FaceSet(
            crops=np.stack(crops).clip(0, 255).astype(np.uint8),
            identities=np.arange(80, dtype=np.int64),
            attributes=rng.random((80, 17)) < 0.5,
            landmarks=rng.normal(64, 10, (80, 5, 2)).astype(np.float32),
        )
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Exported:
    """A training run that learned nothing."""
    run, model = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    space = random_space()
    network = Modifier(space)
    with torch.no_grad():  # what starts as zero would hide mistakes
        for head in (network.decoder.refine[-1], network.decoder.finish.light[-1], network.decoder.finish.colour):
            head.weight.normal_(0, 0.05)
    torch.save(space.tensors(), run / "phase1.pt")
    torch.save({"average": network.state_dict(), "steps": STEPS}, run / "checkpoint.pt")
    found = load_run(run)
    return Exported(run, found.network, model, export(found, model))


@pytest.mark.parametrize("part", PARTS)
def test_one_file_serves_every_batch(exported, part):
    session = onnxruntime.InferenceSession(exported.model / f"{part}.onnx", providers=["CPUExecutionProvider"])
    for batch in (1, 2, 5):
        inputs = example_inputs(part, batch, seed=batch)
        with torch.no_grad():
            expected = split(exported.network)[part](*inputs.values())
        found = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        for one, other in zip(found, expected if isinstance(expected, tuple) else (expected,), strict=True):
            assert one.shape == tuple(other.shape) and one.shape[0] == batch
            assert other.std() > 0.01
            np.testing.assert_allclose(one, other.numpy(), atol=TOLERANCE * other.abs().max(), rtol=0)


def test_the_folder_loads_and_its_card_says_how_exact_it_is(exported):
    card = json.loads((exported.model / CARD).read_text())
    assert card["steps"] == 7 and len(card["checkpoint_sha256"]) == 64
    assert set(card["torch_against_onnxruntime"]) == set(PARTS)
    assert all(0 < difference < TOLERANCE for difference in exported.differences.values())
    assert len(OnnxEngine(exported.model, trust_unknown_model=True).model_id) == 16


@pytest.mark.parametrize("part", PARTS)
def test_each_file_says_where_it_comes_from(exported, part):
    model = onnx.load(exported.model / f"{part}.onnx")
    assert {item.key: item.value for item in model.metadata_props} == {
        "part": part,
        "mfm_edge": version("mfm-edge"),
        "torch": torch.__version__,
        "opset": str(OPSET),
        "crop_size": "128",
        "steps": "7",
        "checkpoint_sha256": hashlib.sha256((exported.run / "checkpoint.pt").read_bytes()).hexdigest(),
    }
    assert model.opset_import[0].version == OPSET


def tampered(folder: Path, copy: Path, part: str, change) -> Path:
    """A copy in which the largest convolution of a part is changed, with a card that fits."""
    shutil.copytree(folder, copy)
    path = copy / f"{part}.onnx"
    model = onnx.load(path)
    weight = max((item for item in model.graph.initializer if len(item.dims) == 4), key=lambda item: np.prod(item.dims))
    values = numpy_helper.to_array(weight).copy()
    change(values)
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    path.write_bytes(model.SerializeToString())
    card = json.loads((copy / CARD).read_text())
    card["sha256"][part] = hashlib.sha256(path.read_bytes()).hexdigest()
    (copy / CARD).write_text(json.dumps(card))
    return copy


def test_the_export_equals_its_run_and_one_changed_weight_does_not(exported, tmp_path, keys):
    run, _ = backends.pytorch(exported.run)

    def differs(model: Path) -> set[str]:
        checks = verify([run, backends.onnx_runtime(model)], demo_crops(2), keys)
        return {check.what for check in checks if not check.passed}

    assert not differs(exported.model) - {"there and back, dB"}  # it has learned nothing

    def change(values: np.ndarray) -> None:
        values.flat[0] += 0.5

    copy = tampered(exported.model, tmp_path / "one", "content_encoder", change)
    assert "content_encoder, share" in differs(copy)


def test_the_command_fails_closed_on_a_changed_model(exported, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(backends, "onnx_reference", backends.onnx_runtime)  # it takes seconds a face
    monkeypatch.setattr("export.verify.FACTORS", FACTORS[:1])

    def change(values: np.ndarray) -> None:
        values.flat[0] = np.nan

    copy = tampered(exported.model, tmp_path / "nan", "decoder", change)
    result = tmp_path / "result.json"
    assert main(["--model", str(copy), "--run", str(exported.run), "--json", str(result)]) == 1
    assert "FAILED" in capsys.readouterr().out
    written = json.loads(result.read_text())
    assert written["passed"] is False and written["compared_with"] == "torch"
    assert {"f32", "bf16", "f16", "int8", "int8-symmetric"} == set(written["tolerances"]) and "onnxruntime" in written[
        "versions"
    ]
    decoder = [check for check in written["checks"] if check["what"] == "decoder, share"]
    assert decoder and not any(check["passed"] for check in decoder)


def test_what_cannot_be_checked_is_one_line(exported, tmp_path, capsys):
    for arguments, message in (
        (["--model", str(tmp_path / "nowhere")], "model: cannot read"),
        (["--data", str(tmp_path)], "no val-*.parquet"),
        (["--run", str(tmp_path)], "--run: cannot load"),
        (["--run", str(exported.run)], "after 7 steps, takes the one of the model"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
