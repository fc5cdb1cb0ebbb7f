"""Which packages are here, which are missing, and which do not go together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from resnet_edge.diagnosis.sources import Sources


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
        install="python3.11 -m venv .tflite && "
        ".tflite/bin/pip install tflite-runtime 'numpy<2' pillow",
    ),
    Need("openvino", "runs .onnx files too, on x86 often faster", required=False),
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


def find_packages(sources: Sources) -> tuple[Package, ...]:
    """Look up every package that resnet-edge can use, in the order of ``NEEDS``."""
    return tuple(_find_package(need, sources) for need in NEEDS)


def _find_package(need: Need, sources: Sources) -> Package:
    for name in (need.package, *need.variants):
        if (found := sources.version(name)) is not None:
            return Package(name, found, need.use, need.required, "")
    install = need.install or f"pip install {need.package}"
    return Package(need.package, None, need.use, need.required, install)


def package_problems(packages: tuple[Package, ...], sources: Sources) -> Iterator[str]:
    """Say what is missing or does not go together, each with what to do."""
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

    Requirements under a condition (an extra, another system) are left to pip, and so are packages
    that are not installed: they are named elsewhere.
    """
    found = re.fullmatch(r"([\w.-]+)\s*(?:\[[^\]]*\])?\s*\(?([^;()]*)\)?\s*", requirement)
    if found is None or (version := sources.version(found[1])) is None:
        return
    if not all(_fits(version, clause.strip()) for clause in found[2].split(",") if clause.strip()):
        wanted = found[2].strip()
        install = f"pip install '{found[1]}{wanted}'"
        yield f"{name} needs {found[1]} {wanted}, here is {version}; run `{install}`"


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
