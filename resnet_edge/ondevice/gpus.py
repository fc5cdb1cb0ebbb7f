"""The NVIDIA GPUs of this machine, by ``nvidia-smi``; CUDA is not imported."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

COMMAND_LIMIT_S = 5.0
"""The time limit of ``nvidia-smi``: with a hung driver it never answers."""


TEGRA_RELEASE = Path("/etc/nv_tegra_release")

NVIDIA_SMI = (
    "nvidia-smi",
    "--query-gpu=name,memory.total,driver_version",
    "--format=csv,noheader",
)


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU, by ``nvidia-smi``."""

    name: str
    memory_bytes: int | None
    """None where it shares the processor's memory."""
    driver: str


@dataclass(frozen=True)
class GpuReport:
    """The GPUs found, and the sentence for people."""

    gpus: tuple[Gpu, ...]
    summary: str
    broken: bool = False
    """True if there seems to be a GPU whose driver does not work."""


def run_command(command: tuple[str, ...]) -> str:
    """Run a command and return its output.

    Raises:
        OSError: It is not there.
        subprocess.SubprocessError: It fails, or takes longer than ``COMMAND_LIMIT_S``.
    """
    return subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=True,
        timeout=COMMAND_LIMIT_S,
    ).stdout


def find_gpus(
    run: Callable[[tuple[str, ...]], str] = run_command, tegra_release: Path = TEGRA_RELEASE
) -> GpuReport:
    """Ask ``nvidia-smi``, then look for a Jetson, whose older releases have no ``nvidia-smi``.

    Args:
        run: Runs a command and returns its output, like ``run_command``.
        tegra_release: The file that a Jetson has.
    """
    try:
        lines = run(NVIDIA_SMI).strip().splitlines()
    except OSError:
        return _find_jetson(tegra_release)
    except subprocess.TimeoutExpired:
        summary = f"nvidia-smi gave no answer in {COMMAND_LIMIT_S:g} s; the driver may hang; reboot"
        return GpuReport((), summary, broken=True)
    except subprocess.SubprocessError as problem:
        said = str(getattr(problem, "stdout", None) or "").strip() or str(problem)
        summary = f"nvidia-smi fails: {said.splitlines()[0]}; reinstall or reload the NVIDIA driver"
        return GpuReport((), summary, broken=True)
    gpus = tuple(gpu for line in lines if (gpu := _parse_gpu(line)) is not None)
    if not gpus:
        return GpuReport((), "no GPU found (nvidia-smi lists none)")
    return GpuReport(gpus, "; ".join(_gpu_text(gpu) for gpu in gpus))


def _parse_gpu(line: str) -> Gpu | None:
    parts = [part.strip() for part in line.split(",")]
    if len(parts) < 3:
        return None
    size = re.fullmatch(r"(\d+) MiB", parts[-2])
    memory_bytes = int(size[1]) << 20 if size else None
    return Gpu(", ".join(parts[:-2]), memory_bytes, parts[-1])


def _gpu_text(gpu: Gpu) -> str:
    memory = "shared memory" if gpu.memory_bytes is None else f"{gpu.memory_bytes / 2**30:.0f} GiB"
    return f"{gpu.name}, {memory}, driver {gpu.driver}"


def _find_jetson(release: Path) -> GpuReport:
    try:
        first = release.read_text(encoding="utf-8", errors="replace").splitlines()[0]
    except (OSError, IndexError):
        return GpuReport((), "no GPU found")
    return GpuReport((), f"NVIDIA Jetson, its own GPU: {first.strip('# ').partition(', GCID')[0]}")
