"""The kernels in C++ alone: under sanitizers, on aarch64 in an emulator, and what nvcc makes of the CUDA source.

Slow: each compiles. On Debian: apt-get install g++-aarch64-linux-gnu qemu-user nvidia-cuda-toolkit.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

KERNELS = Path(__file__).parents[2] / "cpp_ext"
OPTIONS = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-fno-math-errno", "-I", str(KERNELS)]
SOURCES = [str(KERNELS / "repeat_add.cpp"), str(KERNELS / "paste.cpp"), str(Path(__file__).with_name("kernels.cpp"))]


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
    succeed(compiler, *OPTIONS, *sanitizers, SOURCES[0], str(source), "-o", program)
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode != 0 and "heap-buffer-overflow" in done.stderr


def test_aarch64_computes_the_same(tmp_path: Path) -> None:
    compiler, emulator = tool("aarch64-linux-gnu-g++"), tool("qemu-aarch64", "qemu-aarch64-static")
    program = str(tmp_path / "kernels")
    succeed(compiler, *OPTIONS, "-O3", "-static", *SOURCES, "-o", program)
    assert succeed(emulator, program) == "0 failures\n"


@pytest.mark.parametrize("architecture", ["75", "80", "86", "89", "120"])
def test_the_cuda_source_compiles(tmp_path: Path, architecture: str) -> None:
    target = tmp_path / "kernel.ptx"
    succeed(tool("nvcc"), "-ptx", f"-arch=compute_{architecture}", str(KERNELS / "repeat_add.cu"), "-o", str(target))
    assert ".entry mfm_repeat_add" in target.read_text() and f".target sm_{architecture}" in target.read_text()
