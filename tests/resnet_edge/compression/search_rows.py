"""Rows of a search, made by hand."""

from __future__ import annotations

from resnet_edge.compression.trials import MODEL, Stage, Trial, TrialFile
from resnet_edge.ondevice.measurements import Latency


def latency(milliseconds: float, runtime: str = "LiteRT", threads: int = 1) -> Latency:
    """A hundred samples of the same length: enough for the bound of p90."""
    return Latency(runtime, threads, (milliseconds / 1e3,) * 100, 0.01, 0.01, 1, 1)


def measured_file(
    name: str = "int8.tflite",
    milliseconds: float = 10.0,
    size: int = 1_000_000,
    gained: int = 0,
    lost: int = 0,
    images: int = 1000,
    top1: float = 0.8,
    collapse: str | None = None,
    latencies: tuple[Latency, ...] | None = None,
) -> TrialFile:
    """A file that was compared on ``images`` pictures."""
    return TrialFile(
        name=name,
        sha256="f" * 64,
        bytes=size,
        latencies=(latency(milliseconds),) if latencies is None else latencies,
        top1=top1 + (gained - lost) / images,
        agreement=1 - (gained + lost) / images,
        images=images,
        gained=gained,
        lost=lost,
        collapse=collapse,
    )


def row(
    name: str = MODEL,
    stage: Stage = Stage.MEASURED,
    *files: TrialFile,
    share: float = 1.0,
    change: float | None = 0.0,
    sha256: str = "",
    work: tuple[float, ...] = (1e9, 0.0, 0.0, 0.0, 0.0, 0.0),
    key: str = "key",
) -> Trial:
    """A network of a search."""
    return Trial(
        key=key,
        name=name,
        stage=stage,
        size=(64, 64),
        multiply_adds=round(1e9 * share),
        parameters=round(1e6 * share),
        share=share,
        work=work,
        model_sha256=sha256 or name,
        seconds=1.0,
        change=change,
        agreement=1.0,
        files=files,
    )
