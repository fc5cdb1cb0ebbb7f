"""Records made by hand: neither a runtime nor a build is needed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.json_records import write_record
from resnet_edge.ondevice.measurements import (
    ArtifactBench,
    ArtifactParity,
    BenchResult,
    GateResult,
    Latency,
    Machine,
    ParityResult,
    Verdict,
)
from resnet_edge.ondevice.parity.answers import picture_order, record_answers
from resnet_edge.ondevice.parity.gates import Gates, judge_accuracy
from resnet_edge.ondevice.parity.judging import accuracy_gates, weigh

MACHINE = Machine(
    "desk", "Linux", "AMD EPYC", ("avx2",), 2, "3.11.2", {"LiteRT": "2.3", "onnxruntime": "1.2"}
)
NOT_ASKED = GateResult(Verdict.NOT_CHECKED, "not checked: no latency limit was given")


def parity_of(
    name: str,
    wrong: frozenset[int] = frozenset(),
    images: int = 400,
    sqnr_db: float = 30.0,
    sha256: str = "",
    pictures: str = "picture",
) -> ArtifactParity:
    """An artifact that has the pictures ``wrong`` wrong, where the reference has all right."""
    right = np.array([row not in wrong for row in range(images)], np.bool_)
    hashes = [f"{pictures} {row:05}" for row in range(images)]
    order = picture_order(hashes, ["cat"] * images)
    answers = record_answers(order, right, np.ones_like(right), right)
    precision = artifact_kind(name).precision
    return ArtifactParity(
        name=name,
        sha256=sha256 or f"{name} hash",
        runtime="LiteRT 2.3",
        images=images,
        top1=float(right.mean()),
        top5=1.0,
        agreement=float(right.mean()),
        max_abs_logit=0.0,
        mean_abs_logit=0.0,
        logit_range=20.0,
        cosine=1.0,
        sqnr_db=sqnr_db,
        kl=0.0,
        classes=(),
        confusion=(),
        changed=(),
        collapse=None,
        gate=judge_accuracy(precision, weigh(answers, images, 0.0, 20.0, None), Gates()),
        answers=answers,
    )


def answers_of(*artifacts: ArtifactParity, **changes: object) -> ParityResult:
    images = artifacts[0].images
    gates = accuracy_gates(Gates())
    result = ParityResult("ab" * 32, "cd" * 32, images, ("cat", "dog"), 1.0, 1.0, artifacts, gates)
    return replace(result, **changes)


def latency_of(
    p50_ms: float, threads: int = 1, runtime: str = "LiteRT", memory: int = 10**8, load: float = 0.1
) -> Latency:
    """64 samples in which the middle halves lie within a percent of the median."""
    samples = tuple(p50_ms * (1 + 0.01 * math.sin(step)) / 1e3 for step in range(64))
    return Latency(runtime, threads, samples, p50_ms / 500, load, memory, 5)


def bench_of(name: str, *latencies: Latency, sha256: str = "", size: int = 1000) -> ArtifactBench:
    return ArtifactBench(name, sha256 or f"{name} hash", size, latencies, NOT_ASKED)


def latencies_of(*artifacts: ArtifactBench, machine: Machine = MACHINE) -> BenchResult:
    return BenchResult(machine, artifacts, None)


def write_build(out: Path, **records: object) -> Path:
    """Records by the names of their files, with ``_`` for ``-``."""
    for name, record in records.items():
        write_record(out / "results" / f"{name.replace('_', '-')}.json", record)
    return out


@pytest.fixture(name="parity_of", scope="session")
def _parity_of() -> Callable[..., ArtifactParity]:
    return parity_of


@pytest.fixture(name="answers_of", scope="session")
def _answers_of() -> Callable[..., ParityResult]:
    return answers_of


@pytest.fixture(name="latency_of", scope="session")
def _latency_of() -> Callable[..., Latency]:
    return latency_of


@pytest.fixture(name="bench_of", scope="session")
def _bench_of() -> Callable[..., ArtifactBench]:
    return bench_of


@pytest.fixture(name="latencies_of", scope="session")
def _latencies_of() -> Callable[..., BenchResult]:
    return latencies_of


@pytest.fixture(name="write_build", scope="session")
def _write_build() -> Callable[..., Path]:
    return write_build


@pytest.fixture(scope="session")
def machine() -> Machine:
    return MACHINE
