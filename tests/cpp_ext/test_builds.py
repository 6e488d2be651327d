"""The kernels in C++ alone: under sanitizers, on aarch64 in an emulator, and what nvcc makes of the CUDA source.

Slow: each compiles. On Debian: apt-get install g++-aarch64-linux-gnu qemu-user nvidia-cuda-toolkit.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

KERNELS = Path(__file__).parents[2] / "cpp_ext"
OPTIONS = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
OPTIONS += ["-I", str(KERNELS)]
SOURCES = [str(path) for path in sorted(KERNELS.glob("*.cpp")) if path.name != "bindings.cpp"]
SOURCES.append(str(Path(__file__).with_name("kernels.cpp")))


def tool(*names: str) -> str:
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"needs {' or '.join(names)}")
    return found


def succeed(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_sanitizer_complains(tmp_path: Path) -> None:
    compiler, program = tool("g++", "c++", "clang++"), str(tmp_path / "kernels")
    sanitizers = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    succeed(compiler, *OPTIONS, *sanitizers, *SOURCES, "-o", program)
    assert succeed(program) == "0 failures\n"


def test_the_sanitizers_see_memory_that_is_too_short(tmp_path: Path) -> None:
    """So that the test above means something."""
    compiler, program, source = tool("g++", "c++", "clang++"), str(tmp_path / "short"), tmp_path / "short.cpp"
    source.write_text(
        '#include "repeat_add.h"\n#include <vector>\n'
        "int main() {\n"
        "  std::vector<float> a(15), s(16), o(16);\n"
        "  mfm::repeat_add(a.data(), s.data(), o.data(), 1, 1, 16);\n"
        "}\n"
    )
    sanitizers = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    succeed(compiler, *OPTIONS, *sanitizers, str(KERNELS / "repeat_add.cpp"), str(source), "-o", program)
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode != 0 and "heap-buffer-overflow" in done.stderr


def test_aarch64_computes_the_same(tmp_path: Path) -> None:
    compiler, emulator = tool("aarch64-linux-gnu-g++"), tool("qemu-aarch64", "qemu-aarch64-static")
    program = str(tmp_path / "kernels")
    succeed(compiler, *OPTIONS, "-O3", "-static", *SOURCES, "-o", program)
    assert succeed(emulator, program) == "0 failures\n"


def test_the_part_of_onnx_runtime_is_its_own(tmp_path: Path) -> None:
    """Every field in onnxruntime_abi.h stands where ONNX Runtime's header has it."""
    folders = [Path(os.environ.get("ONNXRUNTIME_INCLUDE", "/usr/include/onnxruntime"))]
    folders.append(folders[0] / "core" / "session")
    found = next((folder for folder in folders if (folder / "onnxruntime_c_api.h").exists()), None)
    if found is None:
        pytest.skip("needs onnxruntime_c_api.h in $ONNXRUNTIME_INCLUDE or from libonnxruntime-dev")
    abi = (KERNELS / "onnxruntime_abi.h").read_text()
    lines = ['#include "onnxruntime_c_api.h"', '#include "onnxruntime_abi.h"', "namespace abi = mfm::onnxruntime;"]
    for table in ("OrtApi", "OrtApiBase", "OrtCustomOp"):
        body = abi.split(f"struct {table} {{")[1].split("};")[0]
        fields = [match[1] for match in re.finditer(r"\(\*(\w+)\)", body)]
        assert len(fields) >= 2
        lines += [
            f'static_assert(offsetof(abi::{table}, {field}) == offsetof(::{table}, {field}), "{table}::{field}");'
            for field in fields
        ]
    for name in re.findall(r"enum \w+ : int \{ (.*) \}", abi):
        lines += [f"static_assert(int(abi::{value}) == int(::{value}));" for value in re.findall(r"(\w+) = ", name)]
    source = tmp_path / "abi.cpp"
    source.write_text("\n".join(lines) + "\n")
    succeed(tool("g++", "c++", "clang++"), *OPTIONS, "-isystem", str(found), "-fsyntax-only", str(source))


@pytest.mark.parametrize("architecture", ["75", "80", "86", "89", "120"])
def test_the_cuda_source_compiles(tmp_path: Path, architecture: str) -> None:
    target = tmp_path / "kernel.ptx"
    succeed(tool("nvcc"), "-ptx", f"-arch=compute_{architecture}", str(KERNELS / "repeat_add.cu"), "-o", str(target))
    assert ".entry mfm_repeat_add" in target.read_text() and f".target sm_{architecture}" in target.read_text()
