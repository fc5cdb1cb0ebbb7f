"""The runtimes that can run exported files: one row each.

A new runtime is its own module with a subclass of ``Runtime``, and one row of ``RUNTIME_KINDS``.
No runtime is imported here.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from resnet_edge.ondevice.formats.kinds import Format


@dataclass(frozen=True)
class Platform:
    """The properties of a system that decide which wheels there are for it."""

    python: tuple[int, int]
    is_64_bit: bool
    """True if Python is a 64-bit program, which on a 64-bit kernel it need not be."""


def this_platform() -> Platform:
    """Return the platform that this process runs on."""
    return Platform(sys.version_info[:2], sys.maxsize > 1 << 32)


@dataclass(frozen=True)
class Wheels:
    """The platforms that a package has wheels for."""

    oldest: tuple[int, int] = (0, 0)
    """The first Python, as (major, minor)."""
    newest: tuple[int, int] | None = None
    """The last Python; None where there is none yet."""
    has_32_bit: bool = False
    """True if 32-bit systems have wheels too."""

    def fit(self, platform: Platform) -> bool:
        """Return True if the package has a wheel for ``platform``."""
        return (
            (platform.is_64_bit or self.has_32_bit)
            and self.oldest <= platform.python
            and (self.newest is None or platform.python <= self.newest)
        )


@dataclass(frozen=True)
class RuntimeKind:
    """A runtime, and its properties that are known without importing it."""

    name: str
    """The name in results."""
    format: Format
    """The format of the files that it runs."""
    module: str
    """The module that is imported; it is installed if the top-level one can be found."""
    package: str
    """The name for pip."""
    opener: str
    """``module:class`` of the ``Runtime`` that loads a file into it."""
    use: str = ""
    """Its purpose in a few words; empty if resnet-edge itself needs the package."""
    engine: str = ""
    """The engine that several rows share: only the first of them that is installed counts. Empty
    for an engine that no other row has."""
    variants: tuple[str, ...] = ()
    """Other distributions of the package."""
    wheels: Wheels = Wheels()
    first_release: tuple[int, ...] = ()
    """The first release of the package that has what is used; empty where all have."""
    on_request: bool = False
    """True if it counts only where it is asked for by name: it repeats what another row tells."""
    numpy_below: int | None = None
    """The major version of NumPy with which the package crashes at import; None if none does."""
    no_profiler: str = ""
    """The reason why times per operator are not known; empty if they are."""

    @property
    def requirements(self) -> str:
        """The package as arguments of ``pip install``."""
        if self.numpy_below is None:
            return self.package
        return f"{self.package} 'numpy<{self.numpy_below}'"


_TFLITE = "resnet_edge.ondevice.runtimes.tflite:TFLiteRuntime"
_TFLITE_ENGINE = "the TFLite interpreter"
COMPILED_MODEL = "LiteRT-CompiledModel"
_NO_TFLITE_PROFILER = (
    "the Python packages of TFLite's runtimes have no profiler, so only whole inferences are "
    "timed; Google's benchmark_model with --enable_op_profiling=true tells more"
)

RUNTIME_KINDS = (
    RuntimeKind(
        name="LiteRT",
        format=Format.TFLITE,
        module="ai_edge_litert.interpreter",
        package="ai-edge-litert",
        opener=_TFLITE,
        engine=_TFLITE_ENGINE,
        wheels=Wheels(oldest=(3, 9)),
        no_profiler=_NO_TFLITE_PROFILER,
    ),
    RuntimeKind(
        name="tflite-runtime",
        format=Format.TFLITE,
        module="tflite_runtime.interpreter",
        package="tflite-runtime",
        opener=_TFLITE,
        use="runs .tflite files on old boards; it takes an environment of its own, with Python "
        "3.11 at most and numpy below 2",
        engine=_TFLITE_ENGINE,
        wheels=Wheels(newest=(3, 11), has_32_bit=True),  # 2.14, the last release
        numpy_below=2,  # built against NumPy 1, although its metadata does not say so
        no_profiler=_NO_TFLITE_PROFILER,
    ),
    RuntimeKind(
        name="TensorFlow Lite",
        format=Format.TFLITE,
        module="tensorflow.lite.python.interpreter",
        package="tensorflow",
        opener=_TFLITE,
        engine=_TFLITE_ENGINE,
        variants=("tensorflow-cpu",),
        no_profiler=_NO_TFLITE_PROFILER,
    ),
    RuntimeKind(
        name=COMPILED_MODEL,
        format=Format.TFLITE,
        module="ai_edge_litert.compiled_model",
        package="ai-edge-litert",
        opener="resnet_edge.ondevice.runtimes.compiled_model:CompiledModelRuntime",
        wheels=Wheels(oldest=(3, 10)),
        first_release=(2, 2),  # before, it took neither options nor a number of threads
        on_request=True,  # the interpreter's answers in every bit, no faster
        no_profiler=_NO_TFLITE_PROFILER,
    ),
    RuntimeKind(
        name="onnxruntime",
        format=Format.ONNX,
        module="onnxruntime",
        package="onnxruntime",
        opener="resnet_edge.ondevice.runtimes.onnx:OnnxRuntime",
        variants=("onnxruntime-gpu",),
    ),
    RuntimeKind(
        name="OpenVINO",
        format=Format.ONNX,
        module="openvino",
        package="openvino",
        opener="resnet_edge.ondevice.runtimes.openvino:OpenVinoRuntime",
        use="runs .onnx files too, on x86 often faster",
        no_profiler="OpenVINO's profiler is not read here; profile in onnxruntime",
    ),
    RuntimeKind(
        name="TensorFlow",
        format=Format.SAVED_MODEL,
        module="tensorflow",
        package="tensorflow",
        opener="resnet_edge.ondevice.runtimes.saved_model:SavedModelRuntime",
        variants=("tensorflow-cpu",),
        no_profiler="TensorFlow's profiler writes traces for TensorBoard, which are not read here; "
        "profile fp32.onnx, the same network",
    ),
)
"""Every runtime; of one format the preferred one first."""


def runtimes_for(format_: Format) -> tuple[RuntimeKind, ...]:
    """Return the runtimes of a format, the preferred one first.

    Raises:
        LookupError: The table has none: the row of a new format is missing.
    """
    found = tuple(kind for kind in RUNTIME_KINDS if kind.format is format_)
    if not found:
        raise LookupError(f"{format_}: no runtime in RUNTIME_KINDS; add a row")
    return found


REQUESTABLE = tuple(kind.name for kind in RUNTIME_KINDS if kind.on_request)
"""The runtimes that count only where they are asked for."""


def cannot_profile(format_: Format) -> str | None:
    """Return the reason why times per operator of a format are not known; None if they are."""
    kinds = runtimes_for(format_)
    return None if any(not kind.no_profiler for kind in kinds) else kinds[0].no_profiler


def profiling_runtime(format_: Format) -> RuntimeKind | None:
    """Return the first runtime of a format that times its operators; None without any."""
    return next((kind for kind in runtimes_for(format_) if not kind.no_profiler), None)
