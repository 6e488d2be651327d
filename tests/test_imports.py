"""Who may import whom, and how much `import mfm_edge` costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mfm_edge

ROOT = Path(__file__).parents[1]


def imported(path: Path) -> set[str]:
    """Absolute names of all modules that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


def sources(package: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", sources("mfm_edge"))
def test_the_sdk_imports_no_torch_training_or_export(path: str) -> None:
    roots = {name.partition(".")[0] for name in imported(ROOT / path)}
    assert not roots & {"torch", "training", "export", "pyarrow", "onnx"}


@pytest.mark.parametrize("path", sources("training"))
def test_training_never_imports_export(path: str) -> None:
    assert "export" not in {name.partition(".")[0] for name in imported(ROOT / path)}


def run(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_every_public_name_loads_no_heavy_module() -> None:
    loaded = run(
        "import sys, mfm_edge\n"
        "for name in mfm_edge.__all__: getattr(mfm_edge, name)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    ).split()
    assert not set(loaded) & {"torch", "training", "export", "onnxruntime", "av", "insightface", "openvino", "onnx"}


def test_import_takes_less_than_half_a_second() -> None:
    script = "import time; start = time.perf_counter(); import mfm_edge; print(time.perf_counter() - start)"
    assert min(float(run(script)) for _ in range(3)) < 0.5


def test_unknown_names_say_which_ones_there_are() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Nothing'; it has .*MfmRuntime"):
        _ = mfm_edge.Nothing
    assert "Factors" in dir(mfm_edge)


def test_sources_in_a_checkout_find_the_installed_extension(tmp_path: Path) -> None:
    """In a clone `python -m mfm_edge.stream` takes the clone's sources; the extension is installed elsewhere."""
    for folder in ("checkout", "installed"):
        (tmp_path / folder / "mfm_edge").mkdir(parents=True)
        (tmp_path / folder / "mfm_edge" / "__init__.py").write_text((ROOT / "mfm_edge" / "__init__.py").read_text())
    (tmp_path / "installed" / "mfm_edge" / "_native.py").write_text("here = True\n")
    folders = [str(tmp_path / "checkout"), str(tmp_path / "installed")]
    path = f"import sys; sys.path[:0] = {folders!r}\n"
    script = path + "import mfm_edge, mfm_edge._native as n; print(mfm_edge.__file__, n.here)"
    # Without site-packages: an editable install of the package under test would answer the import itself.
    found = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, check=True).stdout
    assert found.strip() == f"{tmp_path / 'checkout' / 'mfm_edge' / '__init__.py'} True"
