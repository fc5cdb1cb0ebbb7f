"""A browser that measured: what it is, and what each of its runs tells beside the latency."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BrowserRun:
    """One artifact in one runtime with one number of threads."""

    artifact: str
    runtime: str
    threads_asked: int
    threads: int
    """Threads that the runtime said it has, read back after loading."""
    provider: str
    """The part that computed, by the runtime's own words."""
    fully_accelerated: bool | None
    """True if every operator ran where it was asked to; None where the runtime does not tell."""
    warnings: tuple[str, ...]
    """Lines that the runtime wrote while it loaded."""
    wasm_memory_bytes: int | None
    """WebAssembly memory at the end; the memory of a GPU is not in it. None if not known."""
    hidden: bool
    """True if the page was hidden meanwhile: browsers slow such pages down."""
    not_timed: str
    """The reason why there is no latency; empty if there is one."""


@dataclass(frozen=True)
class Browser:
    """A browser by what it tells of itself."""

    name: str
    version: str
    platform: str
    user_agent: str
    isolated: bool
    """True if the page was cross-origin isolated; otherwise one thread and a coarse clock."""
    shared_memory: bool
    relaxed_simd: bool
    gpu: str
    """The adapter of WebGPU in words; empty where there is none."""
    clock_step_s: float
    runs: tuple[BrowserRun, ...]
