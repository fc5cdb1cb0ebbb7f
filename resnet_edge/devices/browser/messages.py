"""What the page sends: records that are checked when they are read.

Everything that comes from a page may be wrong, or meant to harm: types and ranges are checked here
and nowhere else.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from resnet_edge.errors import RemoteError
from resnet_edge.ondevice.json_records import from_json
from resnet_edge.ondevice.reading import parse_json, refusing

T = TypeVar("T")

MAX_WORDS = 500
"""Characters of a text that are kept; user agents have under 300."""

MAX_CORES = 1024

DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "uint8": np.dtype("u1")}
"""The types of answers; numbers of several bytes are little-endian, as WebAssembly is."""


def _check_texts(record: object, *names: str) -> None:
    for name in names:
        text = getattr(record, name)
        if len(text) > MAX_WORDS:
            raise ValueError(f"{name} has {len(text)} characters; expected at most {MAX_WORDS}")


def _check_range(record: object, name: str, low: float, high: float) -> None:
    value = getattr(record, name)
    if not low <= value <= high:  # false for NaN
        raise ValueError(f"{name} is {value!r}; expected {low:g} to {high:g}")


@dataclass(frozen=True)
class Gpu:
    """WebGPU's adapter, as ``GPUAdapterInfo`` has it."""

    vendor: str
    architecture: str
    description: str
    fallback: bool
    """True if it says that it computes on the processor."""
    shader_f16: bool

    def __post_init__(self) -> None:
        _check_texts(self, "vendor", "architecture", "description")

    @property
    def software(self) -> bool:
        """True if the processor plays the GPU; SwiftShader does not always say so itself."""
        words = f"{self.vendor} {self.architecture} {self.description}".lower()
        return self.fallback or "swiftshader" in words or "llvmpipe" in words

    @property
    def words(self) -> str:
        """The adapter in words."""
        parts = dict.fromkeys((self.vendor, self.architecture, self.description))
        named = " ".join(part for part in parts if part) or "unnamed"
        return f"{named} (software)" if self.software else named


@dataclass(frozen=True)
class Facts:
    """What a browser tells of itself and of the machine."""

    user_agent: str
    brands: tuple[tuple[str, str], ...]
    """Names and major versions of ``navigator.userAgentData``; empty in Firefox and Safari."""
    platform: str
    platform_version: str
    architecture: str
    model: str
    mobile: bool
    cores: int
    """The number that it claims."""
    memory_gb: float | None
    isolated: bool
    secure: bool
    shared_memory: bool
    simd: bool
    relaxed_simd: bool
    jspi: bool
    webgpu: bool
    gpu: Gpu | None
    wake_lock: bool
    clock_step_s: float

    def __post_init__(self) -> None:
        _check_texts(self, "user_agent", "platform", "platform_version", "architecture", "model")
        _check_range(self, "cores", 1, MAX_CORES)
        _check_range(self, "clock_step_s", 0, 10)
        if len(self.brands) > 16:
            raise ValueError(f"{len(self.brands)} brands; expected at most 16")


@dataclass(frozen=True)
class RawAnswers:
    """The answers to all pictures, in the file's own type."""

    dtype: str
    count: int
    classes: int
    data: str
    """Base64 (RFC 4648) of ``count`` times ``classes`` numbers, C order."""

    def array(self) -> npt.NDArray[np.generic]:
        """Return the answers, ``(count, classes)`` of ``dtype``.

        Raises:
            RemoteError: These are not so many numbers of a known type.
        """
        if self.dtype not in DTYPES:
            raise RemoteError(
                f"answers of type {self.dtype!r}; expected one of {', '.join(DTYPES)}"
            )
        try:
            raw = base64.b64decode(self.data, validate=True)
        except ValueError as problem:  # binascii's, and that of other letters than ASCII's
            raise RemoteError(f"answers are no base64 ({problem})") from problem
        dtype = DTYPES[self.dtype]
        if min(self.count, self.classes) < 0 or (
            len(raw) != self.count * self.classes * dtype.itemsize
        ):
            raise RemoteError(
                f"{len(raw)} bytes of answers; expected {self.count} x {self.classes} of {dtype}"
            )
        answers: npt.NDArray[np.generic] = np.frombuffer(raw, dtype)
        return answers.reshape(self.count, self.classes)


@dataclass(frozen=True)
class Row:
    """One artifact in one runtime with one number of threads, as the page measured it."""

    page: str
    job: str
    runtime_version: str
    threads: int
    provider: str
    fully_accelerated: bool | None
    warnings: tuple[str, ...]
    answers: RawAnswers | None
    load_s: float
    first_s: float
    warmup: int
    settled: bool
    samples_s: tuple[float, ...]
    queries_per_sample: int
    clock_step_s: float
    seconds: float
    wasm_memory_bytes: int | None
    hidden: bool
    latency_note: str = ""
    """The reason why there are no samples; empty where there are some."""

    def __post_init__(self) -> None:
        _check_texts(self, "job", "runtime_version", "provider", "latency_note")
        _check_range(self, "threads", 1, MAX_CORES)
        _check_range(self, "queries_per_sample", 1, 1 << 16)
        _check_range(self, "warmup", 0, math.inf)
        for name in ("load_s", "first_s", "seconds", "clock_step_s"):
            _check_range(self, name, 0, 1e6)
        if not all(0 < sample < 1e6 for sample in self.samples_s):
            raise ValueError("a sample is not above 0; expected seconds")
        if bool(self.samples_s) == bool(self.latency_note):
            raise ValueError("expected either samples or the reason why there are none")


@dataclass(frozen=True)
class Look:
    """A page that asks what would be done."""

    facts: Facts


@dataclass(frozen=True)
class Begin:
    """A page that begins, or goes on."""

    page: str
    facts: Facts

    def __post_init__(self) -> None:
        _check_texts(self, "page")
        if not self.page:
            raise ValueError("page is empty; expected a random name")


@dataclass(frozen=True)
class Started:
    """A page that starts a job, or that is left while one runs."""

    page: str
    job: str | None


@dataclass(frozen=True)
class Alive:
    """A page that is still there."""

    page: str
    hidden: bool


@dataclass(frozen=True)
class Failed:
    """A job that ended without answers."""

    page: str
    job: str
    reason: str
    stage: str


@dataclass(frozen=True)
class GiveUp:
    """A person who pressed Stop."""

    page: str
    reason: str


@dataclass(frozen=True)
class SavedFailure:
    """A job that ended without answers, in a saved file."""

    job: str
    reason: str
    stage: str


@dataclass(frozen=True)
class SavedRows:
    """The file that the page saves: all that it measured, not yet judged."""

    facts: Facts
    rows: tuple[Row, ...]
    failed: tuple[SavedFailure, ...]
    plan: str
    """The plan that it was measured by, see ``Plan.id``."""
    schema: int = 1


def read_message(kind: type[T], body: bytes, where: str) -> T:
    """Read a message.

    Args:
        kind: The record.
        body: JSON.
        where: Named in errors.

    Raises:
        RemoteError: It is not that record.
    """
    with refusing(lambda reason: RemoteError(f"{where}: not JSON ({reason})")):
        data = parse_json(body)
    return from_json(kind, data, where, RemoteError)
