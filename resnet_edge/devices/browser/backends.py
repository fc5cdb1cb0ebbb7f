"""The ways in which a browser runs files: one row each, and what each needs of the browser."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_edge.devices.browser.messages import Facts
from resnet_edge.ondevice.formats.kinds import Format

NO_WEBGPU = "this browser gives the page no WebGPU"
SECURE = "open it as http://localhost, or as https with `resnet-edge browser --lan`"
NOT_SECURE = f"WebGPU is given to secure pages only; {SECURE}"
NO_SIMD = "this browser's WebAssembly has no SIMD"
NOT_ISOLATED = f"threads need a page that is cross-origin isolated; {SECURE}"
NO_SHARED_MEMORY = "threads need shared memory, which this browser does not give"
NO_RELAXED_SIMD = "LiteRT.js has threads with relaxed SIMD only, which this browser lacks"


@dataclass(frozen=True)
class Backend:
    """A runtime of a browser, on the processor or on the GPU."""

    name: str
    """The name that the page knows."""
    title: str
    """The name in results."""
    format: Format
    webgpu: bool
    threads_need_relaxed_simd: bool = False

    @property
    def part(self) -> str:
        """The part of the runtime that is asked to compute."""
        return "WebGPU" if self.webgpu else "wasm"

    def refusal(self, facts: Facts) -> str:
        """Return the reason why it cannot run in a browser; empty if it can."""
        if self.webgpu and not (facts.webgpu and facts.gpu is not None):
            return NO_WEBGPU if facts.secure else NOT_SECURE
        if not facts.simd:
            return NO_SIMD
        return ""

    def not_timed(self, facts: Facts) -> str:
        """Return the reason why its latency would say nothing; empty if it says something."""
        if self.webgpu and facts.gpu is not None and facts.gpu.software:
            return f"the processor plays the GPU ({facts.gpu.words})"
        return ""

    def threads_refusal(self, facts: Facts) -> str:
        """Return the reason why it has one thread only; empty if it can have more."""
        if not facts.isolated:
            return NOT_ISOLATED
        if not facts.shared_memory:
            return NO_SHARED_MEMORY
        if self.threads_need_relaxed_simd and not facts.relaxed_simd:
            return NO_RELAXED_SIMD
        return ""


BACKENDS = (
    Backend("litert-wasm", "LiteRT.js wasm", Format.TFLITE, False, threads_need_relaxed_simd=True),
    Backend("litert-webgpu", "LiteRT.js WebGPU", Format.TFLITE, True),
    Backend("ort-wasm", "ORT Web wasm", Format.ONNX, False),
    Backend("ort-webgpu", "ORT Web WebGPU", Format.ONNX, True),
)
"""Of one format, the first that answers is the one by which an artifact is judged."""


def backends_for(format_: Format) -> tuple[Backend, ...]:
    """Return the ways to run files of a format; none for a SavedModel."""
    return tuple(backend for backend in BACKENDS if backend.format is format_)
