from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """tests/engine/stand_ins.py, with TensorRT for RTX replaced by its own, and CUDA by `stand_ins.cuda`."""
    spec = spec_from_file_location("engine_stand_ins", Path(__file__).with_name("stand_ins.py"))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    module.cuda = module.FakeCuda()
    bindings = ModuleType("cuda.bindings")
    bindings.runtime = module.cuda  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuda", ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", module.fake_tensorrt)
    return module
