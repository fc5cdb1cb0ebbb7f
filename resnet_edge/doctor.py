"""``diagnose``: what this machine has, what that means for speed, what is missing and how to get it.

Standard library only, and nothing heavy is imported: versions come from the installed packages'
metadata, so it also answers where an import would crash.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from resnet_edge.machine import CPUINFO, describe_machine
from resnet_edge.training.onednn import ONEDNN_VARIABLE

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
"""As in ``pyproject.toml``: TensorFlow has wheels for these."""

ENOUGH_MEMORY_BYTES = 4_000_000_000
"""What training and export of the default take at most."""

ENOUGH_DISK_BYTES = 2_000_000_000
"""What a whole run at 224 x 224 writes, with room for the files written beside their place."""

COMMAND_LIMIT_S = 5.0
"""How long ``nvidia-smi`` may take: with a hung driver it never answers."""

NVIDIA_SMI = (
    "nvidia-smi",
    "--query-gpu=name,memory.total,driver_version",
    "--format=csv,noheader",
)


@dataclass(frozen=True)
class Need:
    """A package, what it is for, and how to get it."""

    package: str
    use: str
    required: bool = True
    install: str = ""
    """The command, where it is not ``pip install PACKAGE``."""
    variants: tuple[str, ...] = ()
    """Other distributions of the same package."""


NEEDS = (
    Need("numpy", "arrays between all layers"),
    Need("pillow", "decodes and resizes pictures"),
    Need("tensorflow", "trains, and makes SavedModel and TFLite", variants=("tensorflow-cpu",)),
    Need("keras", "the model itself"),
    Need("ai-edge-litert", "runs .tflite files (LiteRT)"),
    Need("litert-quantizer", "makes float16 and int8 .tflite files"),
    Need("onnx", "the ONNX format"),
    Need("tf2onnx", "makes .onnx files"),
    Need("onnxruntime", "runs and quantizes .onnx files", variants=("onnxruntime-gpu",)),
    Need("h5py", "weight files"),
    Need("flatbuffers", "metadata in .tflite files"),
    Need("scipy", "needed by litert-quantizer"),
    Need("matplotlib", "plots of the report"),
    Need("jinja2", "the report's page"),
    Need("typer", "the command line"),
    Need("rich", "tables and progress bars"),
    Need(
        "tflite-runtime",
        "runs .tflite files on old boards; it takes an environment of its own, with Python 3.11 at "
        "most and numpy below 2",
        required=False,
        install="python3.11 -m venv .tflite && .tflite/bin/pip install tflite-runtime 'numpy<2' pillow",
    ),
    Need("jax", "the reference on another Keras backend (KERAS_BACKEND=jax)", required=False),
    Need("torch", "the reference on another Keras backend (KERAS_BACKEND=torch)", required=False),
)
"""Everything that resnet-edge can use, in the order of the table."""


@dataclass(frozen=True)
class Package:
    """A package as it is here."""

    name: str
    version: str | None
    """None where it is not installed."""
    use: str
    required: bool
    install: str
    """The command that gets it."""


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


@dataclass(frozen=True)
class OneDnn:
    """Whether TensorFlow computes with oneDNN while resnet-edge trains."""

    on: bool
    reason: str


@dataclass(frozen=True)
class Diagnosis:
    """Everything that ``doctor`` shows; ``records.to_json`` makes JSON of it."""

    system: str
    python: str
    processor: str
    cpu_features: tuple[str, ...]
    cpu_meaning: tuple[str, ...]
    """What the features mean for the artifacts, one sentence each."""
    cores: int
    """That this process may use."""
    memory_bytes: int | None
    """The machine's, or less where a container is held to less; None where unknown."""
    folder: Path
    disk_free_bytes: int
    gpu: GpuReport
    onednn: OneDnn
    packages: tuple[Package, ...]
    problems: tuple[str, ...]
    """What is wrong, each with what to do; empty on a machine that can do everything."""


def installed_version(package: str) -> str | None:
    """Return a package's version from its metadata, None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def installed_requirements(package: str) -> tuple[str, ...]:
    """Return what an installed package says it needs, for instance ``numpy>=1.26.0``."""
    try:
        return tuple(importlib.metadata.requires(package) or ())
    except importlib.metadata.PackageNotFoundError:
        return ()


def run_command(command: tuple[str, ...]) -> str:
    """Run a command and return what it prints.

    Raises:
        OSError: It is not there.
        subprocess.SubprocessError: It fails, or takes longer than ``COMMAND_LIMIT_S``.
    """
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=COMMAND_LIMIT_S
    ).stdout


@dataclass(frozen=True)
class Sources:
    """Where ``diagnose`` looks: files, commands and metadata of this machine."""

    cpuinfo: Path = CPUINFO
    meminfo: Path = Path("/proc/meminfo")
    memory_limit: Path = Path("/sys/fs/cgroup/memory.max")
    tegra_release: Path = Path("/etc/nv_tegra_release")
    architecture: str = field(default_factory=platform.machine)
    python: tuple[int, int] = sys.version_info[:2]
    version: Callable[[str], str | None] = installed_version
    requirements: Callable[[str], tuple[str, ...]] = installed_requirements
    run: Callable[[tuple[str, ...]], str] = run_command
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


def diagnose(folder: Path = Path(), sources: Sources | None = None) -> Diagnosis:
    """Find out what this machine has. Never raises: what cannot be found out is said to be unknown.

    Args:
        folder: Where results would be written; it need not exist yet.
        sources: Where to look; None looks at this machine.

    Returns:
        The machine, its packages, and what is wrong with them.
    """
    sources = sources or Sources()
    machine = describe_machine({}, sources.cpuinfo)
    packages = tuple(_find_package(need, sources.version) for need in NEEDS)
    gpu = _find_gpus(sources)
    memory_bytes = _memory(sources)
    free_bytes = _free_disk(folder)
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
            *_package_problems(packages, sources),
            *_gpu_problems(gpu, sources),
            *_room_problems(memory_bytes, free_bytes, folder),
        ),
    )


def explain_cpu(features: frozenset[str], architecture: str) -> tuple[str, ...]:
    """Say what a processor's features mean for the speed of the artifacts.

    Args:
        features: Names of ``resnet_edge.machine.CPU_FEATURES``.
        architecture: As ``platform.machine()`` gives it.
    """
    if not features:
        return ("features not known here; `resnet-edge bench` measures what is fastest",)
    if architecture.lower() in ("x86_64", "amd64", "i386", "i686"):
        return tuple(_explain_x86(features))
    return tuple(_explain_arm(features))


def _explain_x86(features: frozenset[str]) -> Iterator[str]:
    if vnni := sorted(features & {"avx_vnni", "avx512_vnni", "amx_int8"}):
        yield (
            f"VNNI ({', '.join(vnni)}): int8 dot products in hardware; "
            "int8 is faster than float32 in LiteRT and onnxruntime"
        )
    elif "avx2" in features:
        yield (
            "AVX2 without VNNI: int8 is not faster than float32 in LiteRT here, only smaller; in "
            "onnxruntime it is, with the 7-bit weights that int8.onnx has"
        )
    elif "avx" in features:
        yield "AVX without AVX2: slow for every artifact; `resnet-edge bench` measures what is fastest"
    else:
        yield "no AVX: TensorFlow's wheels do not start here; train and export on another machine"
    if "avx512_fp16" not in features:
        yield "no float16 arithmetic: float16 files are half the size of float32, and not faster"


def _explain_arm(features: frozenset[str]) -> Iterator[str]:
    if "asimddp" in features:
        products = "dot and matrix products (i8mm)" if "i8mm" in features else "dot products"
        yield f"int8 {products} in hardware: int8 is faster than float32"
    elif "asimd" in features:
        yield (
            "no dot product (asimddp): int8 gains less than on newer cores; "
            "`resnet-edge bench` measures how much"
        )
    else:
        yield "32-bit Arm: of the runtimes only tflite-runtime has wheels"
    if "asimdhp" in features:
        yield (
            "float16 arithmetic in hardware (asimdhp); LiteRT still computes fp16.tflite in float32 "
            "unless its XNNPACK delegate is told to force float16"
        )
    else:
        yield "no float16 arithmetic: float16 files are half the size of float32, and not faster"


def _find_package(need: Need, version: Callable[[str], str | None]) -> Package:
    for name in (need.package, *need.variants):
        if (found := version(name)) is not None:
            return Package(name, found, need.use, need.required, "")
    install = need.install or f"pip install {need.package}"
    return Package(need.package, None, need.use, need.required, install)


def _find_gpus(sources: Sources) -> GpuReport:
    try:
        lines = sources.run(NVIDIA_SMI).strip().splitlines()
    except OSError:
        return _find_jetson(sources.tegra_release)
    except subprocess.TimeoutExpired:
        return GpuReport(
            (), f"nvidia-smi gave no answer in {COMMAND_LIMIT_S:g} s; the driver may hang; reboot"
        )
    except subprocess.SubprocessError as problem:
        words = (getattr(problem, "stdout", None) or str(problem)).strip().splitlines()[0]
        return GpuReport((), f"nvidia-smi fails: {words}; reinstall or reload the NVIDIA driver")
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


def _onednn(sources: Sources) -> OneDnn:
    value = sources.environment.get(ONEDNN_VARIABLE)
    if value is None:
        return OneDnn(True, f"on in training: resnet-edge sets {ONEDNN_VARIABLE}=1")
    if value.lower() in ("1", "true"):
        return OneDnn(True, f"on: {ONEDNN_VARIABLE}={value} in this environment")
    return OneDnn(
        False,
        f"off: {ONEDNN_VARIABLE}={value} in this environment; training on a CPU can be three times "
        f"slower; unset it",
    )


def _memory(sources: Sources) -> int | None:
    text = _read(sources.meminfo)
    found = re.search(r"^MemTotal:\s*(\d+) kB", text, re.MULTILINE)
    sizes = [int(found[1]) * 1024] if found else []
    limit = _read(sources.memory_limit).strip()
    if limit.isdecimal():
        sizes.append(int(limit))
    return min(sizes, default=None)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _free_disk(folder: Path) -> int:
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def _python_problems(python: tuple[int, int]) -> Iterator[str]:
    if not OLDEST_PYTHON <= python <= NEWEST_PYTHON:
        oldest, newest, own = (
            ".".join(map(str, v)) for v in (OLDEST_PYTHON, NEWEST_PYTHON, python)
        )
        yield f"Python {own}: expected {oldest} to {newest}; make the environment with one of these"


def _package_problems(packages: tuple[Package, ...], sources: Sources) -> Iterator[str]:
    for package in packages:
        if package.version is None and package.required:
            yield f"{package.name} is missing ({package.use}); run `{package.install}`"
    numpy, old_runtime = sources.version("numpy"), sources.version("tflite-runtime")
    if old_runtime is not None:
        own = "give it an environment of its own, with Python 3.11 and numpy below 2"
        if numpy is not None and _release(numpy) >= (2,):
            yield f"tflite-runtime {old_runtime} crashes with numpy {numpy}; {own}"
        if any(p.name.startswith("tensorflow") and p.version for p in packages):
            yield f"tflite-runtime {old_runtime} breaks where TensorFlow is imported first; {own}"
    names = ("resnet-edge", *(p.name for p in packages if p.version is not None))
    for name in names:
        for requirement in sources.requirements(name):
            yield from _unmet(name, requirement, sources)


def _unmet(name: str, requirement: str, sources: Sources) -> Iterator[str]:
    """Say where another package has not the version that ``name`` asks for.

    Requirements under a condition (an extra, another system) are left to pip, and so are packages that
    are not installed: they are named elsewhere.
    """
    found = re.fullmatch(r"([\w.-]+)\s*(?:\[[^\]]*\])?\s*\(?([^;()]*)\)?\s*", requirement)
    if found is None or (version := sources.version(found[1])) is None:
        return
    if not all(_fits(version, clause.strip()) for clause in found[2].split(",") if clause.strip()):
        wanted = found[2].strip()
        yield f"{name} needs {found[1]} {wanted}, here is {version}; run `pip install '{found[1]}{wanted}'`"


def _fits(version: str, clause: str) -> bool:
    """Whether a version fulfils one clause of PEP 440, as far as release numbers go."""
    found = re.fullmatch(r"(==|!=|>=|<=|>|<)\s*([\d.]+?)(\.\*)?", clause)
    if found is None:
        return True  # ~=, === and pre-releases: not judged here
    own, wanted = _release(version), _release(found[2])
    length = len(wanted) if found[3] else max(len(own), len(wanted))
    own, wanted = _padded(own, length), _padded(wanted, length)
    match found[1]:
        case "==":
            return own == wanted
        case "!=":
            return own != wanted
        case ">=":
            return own >= wanted
        case "<=":
            return own <= wanted
        case ">":
            return own > wanted
        case _:
            return own < wanted


def _release(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _padded(release: tuple[int, ...], length: int) -> tuple[int, ...]:
    return (*release, *([0] * (length - len(release))))[:length]


def _gpu_problems(gpu: GpuReport, sources: Sources) -> Iterator[str]:
    if "nvidia-smi" in gpu.summary and "no GPU" not in gpu.summary:
        yield gpu.summary
    if gpu.gpus and sources.version("tensorflow") and not sources.version("nvidia-cudnn-cu12"):
        yield (
            "there is a GPU, but TensorFlow's CUDA libraries are not among the packages; unless CUDA "
            "is installed system-wide, training runs on the CPU; run `pip install 'resnet-edge[cuda]'`"
        )


def _room_problems(memory_bytes: int | None, free_bytes: int, folder: Path) -> Iterator[str]:
    if memory_bytes is not None and memory_bytes < ENOUGH_MEMORY_BYTES:
        yield (
            f"{memory_bytes / 1e9:.1f} GB of memory; expected {ENOUGH_MEMORY_BYTES / 1e9:.0f} GB for "
            "training and export; use a smaller --image-size, or train elsewhere"
        )
    if free_bytes < ENOUGH_DISK_BYTES:
        yield (
            f"{free_bytes / 1e9:.1f} GB free in {folder.absolute()}; expected "
            f"{ENOUGH_DISK_BYTES / 1e9:.0f} GB for a whole run; choose another folder with --out"
        )


def diagnosis_rows(diagnosis: Diagnosis) -> tuple[tuple[str, str], ...]:
    """Return a diagnosis as (label, text), in reading order, problems last."""
    memory = diagnosis.memory_bytes
    packages = ((package.name, _package_text(package)) for package in diagnosis.packages)
    problems = ((f"Problem {i}", text) for i, text in enumerate(diagnosis.problems, start=1))
    return (
        ("System", diagnosis.system),
        ("Python", diagnosis.python),
        ("Processor", diagnosis.processor),
        ("CPU features", ", ".join(diagnosis.cpu_features) or "not known here"),
        *(("Meaning", sentence) for sentence in diagnosis.cpu_meaning),
        ("Cores", str(diagnosis.cores)),
        ("Memory", "not known here" if memory is None else f"{memory / 1e9:.1f} GB"),
        ("Free disk", f"{diagnosis.disk_free_bytes / 1e9:.1f} GB in {diagnosis.folder}"),
        ("GPU", diagnosis.gpu.summary),
        ("oneDNN", diagnosis.onednn.reason),
        *packages,
        *(problems if diagnosis.problems else (("Problems", "none"),)),
    )


def _package_text(package: Package) -> str:
    if package.version is not None:
        return package.version
    state = "missing" if package.required else "not installed, optional"
    return f"{state}: {package.use}; run `{package.install}`"
