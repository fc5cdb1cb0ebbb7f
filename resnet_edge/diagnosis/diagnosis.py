"""``diagnose``: the equipment of this machine, its problems, and the advice for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.diagnosis.hardware import (
    explain_cpu,
    free_disk,
    usable_memory,
)
from resnet_edge.diagnosis.packages import Package, find_packages, package_problems
from resnet_edge.diagnosis.sources import MachineSources
from resnet_edge.ondevice.gpus import GpuReport, find_gpus
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.training.onednn import ONEDNN_VARIABLE

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
"""The range in ``pyproject.toml``: TensorFlow has wheels for it."""

ENOUGH_MEMORY_BYTES = 4_000_000_000
"""The most memory that training and export of the default take."""

ENOUGH_DISK_BYTES = 2_000_000_000
"""ResNet50's artifacts take 0.5 GB and its model 0.1 GB; a decoded picture 0.15 MB at 224 x 224."""


@dataclass(frozen=True)
class OneDnn:
    """The state of oneDNN in TensorFlow while resnet-edge trains."""

    on: bool
    reason: str


@dataclass(frozen=True)
class Diagnosis:
    """Everything that ``doctor`` shows; ``json_records.to_json`` makes JSON of it."""

    system: str
    python: str
    processor: str
    cpu_features: tuple[str, ...]
    cpu_meaning: tuple[str, ...]
    """The consequences of the features for the artifacts, one sentence each."""
    cores: int
    """The cores that this process may use."""
    memory_bytes: int | None
    """The machine's, or less where a container is held to less; None where unknown."""
    folder: Path
    disk_free_bytes: int | None
    """None where unknown."""
    gpu: GpuReport
    onednn: OneDnn
    packages: tuple[Package, ...]
    problems: tuple[str, ...]
    """Problems, each with advice; empty on a machine that can do everything."""


def diagnose(folder: Path = Path(), sources: MachineSources | None = None) -> Diagnosis:
    """Take the inventory of this machine. Never raises: what cannot be found out is unknown.

    Args:
        folder: The folder for results; it need not exist yet.
        sources: Files, commands and versions to ask; None takes this machine's.

    Returns:
        The machine, its packages, and the problems.
    """
    sources = sources or MachineSources()
    machine = describe_machine({}, sources.cpuinfo)
    packages = find_packages(sources)
    gpu = find_gpus(sources.run, sources.tegra_release)
    memory_bytes = usable_memory(sources)
    free_bytes = free_disk(folder)
    return Diagnosis(
        system=machine.system,
        python=machine.python,
        processor=machine.processor,
        cpu_features=machine.cpu_features,
        cpu_meaning=explain_cpu(frozenset(machine.cpu_features), sources.architecture),
        cores=machine.cores,
        memory_bytes=memory_bytes,
        folder=folder.absolute(),
        disk_free_bytes=free_bytes,
        gpu=gpu,
        onednn=_onednn(sources),
        packages=packages,
        problems=(
            *_python_problems(sources.python),
            *package_problems(packages, sources),
            *_gpu_problems(gpu, sources),
            *_room_problems(memory_bytes, free_bytes, folder),
        ),
    )


def _onednn(sources: MachineSources) -> OneDnn:
    value = sources.environment.get(ONEDNN_VARIABLE)
    if value is None:
        return OneDnn(True, f"on in training: resnet-edge sets {ONEDNN_VARIABLE}=1")
    if value.lower() in ("1", "true"):
        return OneDnn(True, f"on: {ONEDNN_VARIABLE}={value} in this environment")
    return OneDnn(
        False,
        f"off: {ONEDNN_VARIABLE}={value} in this environment; training on a CPU can be three times "
        "slower; unset it",
    )


def _python_problems(python: tuple[int, int]) -> Iterator[str]:
    if not OLDEST_PYTHON <= python <= NEWEST_PYTHON:
        oldest, newest, own = (
            ".".join(map(str, v)) for v in (OLDEST_PYTHON, NEWEST_PYTHON, python)
        )
        yield f"Python {own}: expected {oldest} to {newest}; make the environment with one of these"


def _gpu_problems(gpu: GpuReport, sources: MachineSources) -> Iterator[str]:
    if gpu.broken:
        yield gpu.summary
    if gpu.gpus and sources.version("tensorflow") and not sources.version("nvidia-cudnn-cu12"):
        yield (
            "there is a GPU, but TensorFlow's CUDA libraries are not among the packages; unless "
            "CUDA is installed system-wide, training runs on the CPU; "
            "run `pip install 'resnet-edge[cuda]'`"
        )


def _room_problems(memory_bytes: int | None, free_bytes: int | None, folder: Path) -> Iterator[str]:
    if memory_bytes is not None and memory_bytes < ENOUGH_MEMORY_BYTES:
        yield (
            f"{memory_bytes / 1e9:.1f} GB of memory; expected {ENOUGH_MEMORY_BYTES / 1e9:.0f} GB "
            "for training and export; use a smaller --image-size, or train elsewhere"
        )
    if free_bytes is not None and free_bytes < ENOUGH_DISK_BYTES:
        yield (
            f"{free_bytes / 1e9:.1f} GB free in {folder.absolute()}; expected "
            f"{ENOUGH_DISK_BYTES / 1e9:.0f} GB for a whole run; choose another folder with --out"
        )
