from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_edge.diagnosis.hardware import explain_cpu, usable_memory
from resnet_edge.diagnosis.sources import MachineSources
from resnet_edge.ondevice.gpus import Gpu, find_gpus, run_command

Asked = tuple[Callable[[tuple[str, ...]], str], Path]


def answers(text: str) -> Asked:
    return (lambda command: text), Path("/nowhere")


def fails(problem: Exception, tegra_release: Path = Path("/nowhere")) -> Asked:
    def run(command: tuple[str, ...]) -> str:
        raise problem

    return run, tegra_release


@pytest.mark.parametrize(
    ("features", "architecture", "sentence"),
    [
        (
            {"avx", "avx2", "fma"},
            "x86_64",
            "AVX2 without VNNI: int8 is not faster than float32 in LiteRT here, only smaller; in "
            "onnxruntime it is, with weights that cannot saturate, as int8.onnx has them",
        ),
        (
            {"avx", "avx2", "avx512f", "avx512_vnni"},
            "AMD64",
            "VNNI (avx512_vnni): int8 dot products in hardware; int8 is faster than float32 in "
            "LiteRT and onnxruntime",
        ),
        (
            {"avx", "avx2", "avx_vnni", "amx_int8"},
            "x86_64",
            "VNNI (amx_int8, avx_vnni): int8 dot products in hardware; int8 is faster than float32 "
            "in LiteRT and onnxruntime",
        ),
        (
            {"avx"},
            "x86_64",
            "AVX without AVX2: all artifacts are slow; `resnet-edge bench` measures which least",
        ),
        (
            {"f16c"},
            "x86_64",
            "no AVX: TensorFlow's wheels do not start here; train and export on another machine",
        ),
        (
            {"asimd", "asimddp"},
            "aarch64",
            "int8 dot products in hardware: int8 is faster than float32",
        ),
        (
            {"asimd", "asimddp", "i8mm"},
            "aarch64",
            "int8 dot and matrix products (i8mm) in hardware: int8 is faster than float32",
        ),
        (
            {"asimd"},
            "aarch64",
            "no dot product (asimddp): int8 gains less than on newer cores; `resnet-edge bench` "
            "measures how much",
        ),
        ({"neon"}, "armv7l", "32-bit Arm: of the runtimes only tflite-runtime has wheels"),
        (
            set(),
            "x86_64",
            "features not known here; `resnet-edge bench` measures what is fastest",
        ),
    ],
)
def test_int8_in_words(features: set[str], architecture: str, sentence: str) -> None:
    assert explain_cpu(frozenset(features), architecture)[0] == sentence


@pytest.mark.parametrize(
    ("features", "architecture", "start"),
    [
        ({"avx2"}, "x86_64", "no float16 arithmetic: float16 files are half the size"),
        ({"asimd", "asimdhp"}, "aarch64", "float16 arithmetic in hardware (asimdhp)"),
        ({"asimd"}, "aarch64", "no float16 arithmetic"),
    ],
)
def test_float16_in_words(features: set[str], architecture: str, start: str) -> None:
    assert explain_cpu(frozenset(features), architecture)[1].startswith(start)


def test_several_gpus() -> None:
    found = find_gpus(*answers("NVIDIA A, 24576 MiB, 550.1\nNVIDIA B, [N/A], 550.1\n"))
    assert found.gpus == (
        Gpu("NVIDIA A", 24576 * 2**20, "550.1"),
        Gpu("NVIDIA B", None, "550.1"),
    )
    assert found.summary == "NVIDIA A, 24 GiB, driver 550.1; NVIDIA B, shared memory, driver 550.1"


@pytest.mark.parametrize("text", ["", "No devices were found\n"])
def test_nvidia_smi_without_a_gpu(text: str) -> None:
    found = find_gpus(*answers(text))
    assert (found.gpus, found.broken) == ((), False)
    assert found.summary == "no GPU found (nvidia-smi lists none)"


def test_no_gpu() -> None:
    found = find_gpus(*fails(FileNotFoundError("nvidia-smi")))
    assert (found.gpus, found.summary, found.broken) == ((), "no GPU found", False)


def test_a_jetson(tmp_path: Path) -> None:
    release = tmp_path / "nv_tegra_release"
    release.write_text("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref\n", "utf-8")
    found = find_gpus(*fails(FileNotFoundError("nvidia-smi"), release))
    assert found.summary == "NVIDIA Jetson, its own GPU: R35 (release), REVISION: 4.1"


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("NVIDIA-SMI has failed because it couldn't communicate\nmore\n", "NVIDIA-SMI has failed"),
        ("\n", "Command 'nvidia-smi' returned non-zero exit status 9."),
    ],
)
def test_nvidia_smi_that_fails(printed: str, words: str) -> None:
    found = find_gpus(*fails(subprocess.CalledProcessError(9, "nvidia-smi", printed)))
    assert found.broken
    assert found.summary.startswith(f"nvidia-smi fails: {words}")
    assert found.summary.endswith("; reinstall or reload the NVIDIA driver")


@pytest.mark.parametrize(("limit", "expected"), [("max\n", 2048), ("1000\n", 1000), ("9999", 2048)])
def test_memory_of_a_container(tmp_path: Path, limit: str, expected: int) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 2 kB\n", encoding="utf-8")
    (tmp_path / "limit").write_text(limit, encoding="utf-8")
    sources = MachineSources(meminfo=tmp_path / "meminfo", memory_limit=tmp_path / "limit")
    assert usable_memory(sources) == expected


def test_commands_are_run() -> None:
    assert run_command((sys.executable, "-c", "print('here')")).strip() == "here"
    with pytest.raises(subprocess.CalledProcessError):
        run_command((sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(FileNotFoundError):
        run_command(("there-is-no-such-command-here",))
