"""The packages that are here, those that are missing, and those that do not go together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion

from resnet_edge.diagnosis.sources import MachineSources
from resnet_edge.ondevice.runtimes.kinds import RUNTIME_KINDS, RuntimeKind
from resnet_edge.ondevice.versions import release


@dataclass(frozen=True)
class Need:
    """A package, its purpose, and the command that installs it."""

    package: str
    use: str
    required: bool = True
    install: str = ""
    """The command, where it is not ``pip install PACKAGE``."""


_OWN = (
    Need("numpy", "arrays between all layers"),
    Need("pillow", "decodes and resizes pictures"),
    Need("imagehash", "knows copies of a picture by their look"),
    Need("tensorflow", "trains, and makes SavedModel and TFLite"),
    Need("keras", "the model itself"),
    Need("ai-edge-litert", "runs .tflite files (LiteRT)"),
    Need("litert-quantizer", "makes float16 and int8 .tflite files"),
    Need("onnx", "the ONNX format"),
    Need("tf2onnx", "makes .onnx files"),
    Need("onnxruntime", "runs and quantizes .onnx files"),
    Need("h5py", "weight files"),
    Need("flatbuffers", "metadata in .tflite files"),
    Need("scipy", "needed by litert-quantizer"),
    Need("matplotlib", "plots of the report"),
    Need("jinja2", "the report's page"),
    Need("packaging", "compares versions"),
    Need("typer", "the command line"),
    Need("rich", "tables and progress bars"),
    Need("segno", "a page's address for a phone's camera (browser)"),
    Need("trustme", "a certificate for that page (browser --lan)"),
)
"""The packages that resnet-edge itself needs."""

_PICTURES = (Need("pillow-heif", "reads HEIC, which iPhones make", required=False),)

_BROWSERS = (
    Need(
        "resnet-edge-browser",
        "what runs files in browsers; a checkout has it by `make web`",
        required=False,
        install="pip install 'resnet-edge[browser]'",
    ),
)

_BACKENDS = (
    Need("jax", "the reference on another Keras backend (KERAS_BACKEND=jax)", required=False),
    Need("torch", "the reference on another Keras backend (KERAS_BACKEND=torch)", required=False),
)


def _runtime_needs() -> Iterator[Need]:
    """Yield the runtimes that resnet-edge can do without."""
    own = {need.package for need in _OWN}
    for kind in RUNTIME_KINDS:
        if kind.package not in own:
            install = _own_environment(kind) if kind.numpy_below is not None else ""
            yield Need(kind.package, kind.use, False, install)


def _own_environment(kind: RuntimeKind) -> str:
    """Return the commands that install a runtime which does not take the NumPy of today."""
    newest, folder = kind.wheels.newest, f".{kind.format.value}"
    version = "3" if newest is None else f"{newest[0]}.{newest[1]}"
    return (
        f"python{version} -m venv {folder} && {folder}/bin/pip install {kind.requirements} pillow"
    )


NEEDS = (*_OWN, *_runtime_needs(), *_BROWSERS, *_PICTURES, *_BACKENDS)
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


def find_packages(sources: MachineSources) -> tuple[Package, ...]:
    """Look up every package that resnet-edge can use, in the order of ``NEEDS``."""
    return tuple(_find_package(need, sources) for need in NEEDS)


def _find_package(need: Need, sources: MachineSources) -> Package:
    variants = {kind.package: kind.variants for kind in RUNTIME_KINDS}
    for name in (need.package, *variants.get(need.package, ())):
        if (found := sources.version(name)) is not None:
            return Package(name, found, need.use, need.required, "")
    install = need.install or f"pip install {need.package}"
    return Package(need.package, None, need.use, need.required, install)


def package_problems(packages: tuple[Package, ...], sources: MachineSources) -> Iterator[str]:
    """Yield a sentence for each missing package and each conflict, with the advice."""
    for package in packages:
        if package.version is None and package.required:
            yield f"{package.name} is missing ({package.use}); run `{package.install}`"
    for kind in RUNTIME_KINDS:
        yield from _conflicts(kind, packages, sources)
    names = ("resnet-edge", *(p.name for p in packages if p.version is not None))
    for name in names:
        for requirement in sources.requirements(name):
            yield from _unmet(name, requirement, sources)


def _conflicts(
    kind: RuntimeKind, packages: tuple[Package, ...], sources: MachineSources
) -> Iterator[str]:
    """Yield the conflicts of a runtime that needs an older NumPy."""
    numpy, version = sources.version("numpy"), sources.version(kind.package)
    if kind.numpy_below is None or version is None:
        return
    newest = kind.wheels.newest
    python = "" if newest is None else f"Python {newest[0]}.{newest[1]} and "
    own = f"give it an environment of its own, with {python}numpy below {kind.numpy_below}"
    if numpy is not None and release(numpy) >= (kind.numpy_below,):
        yield f"{kind.package} {version} crashes with numpy {numpy}; {own}"
    if any(p.name.startswith("tensorflow") and p.version for p in packages):
        yield f"{kind.package} {version} breaks where TensorFlow is imported first; {own}"


def _unmet(name: str, text: str, sources: MachineSources) -> Iterator[str]:
    """Yield a sentence if another package has not the version that ``name`` requires.

    Requirements under a condition (an extra, another system) are left to pip, and so are packages
    that are not installed: they are named elsewhere.
    """
    try:
        wanted = Requirement(text)
        version = sources.version(wanted.name)
        if wanted.marker is not None or version is None:
            return
        fits = wanted.specifier.contains(version, prereleases=True)
    except (InvalidRequirement, InvalidVersion):  # not written by pip's rules: nothing is known
        return
    if not fits:
        install = f"pip install '{wanted.name}{wanted.specifier}'"
        yield f"{name} needs {wanted.name} {wanted.specifier}, here is {version}; run `{install}`"
