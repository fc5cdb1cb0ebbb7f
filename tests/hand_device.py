"""A browser's result made by hand, and the build that it is of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from resnet_edge.layout import Layout
from resnet_edge.ondevice.command.device_result import DeviceResult
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.sidecar import load_artifacts
from resnet_edge.ondevice.measurements import (
    ArtifactBench,
    ArtifactParity,
    BenchResult,
    Browser,
    BrowserRun,
    GateResult,
    Latency,
    Machine,
    ParityResult,
    Unmeasured,
    Verdict,
)
from resnet_edge.ondevice.reference_file import Reference, ReferenceInfo, write_reference

HASHES = tuple(f"{place:064x}" for place in range(4))
SIZES = {"fp32": 94_000_000, "fp16": 47_000_000, "int8": 24_000_000}
NAMES = ("fp32.tflite", "fp16.tflite", "int8.tflite", "fp32.onnx", "int8.onnx")


@dataclass(frozen=True)
class HandRun:
    """An artifact in a runtime: its verdict, and a time for each number of threads."""

    name: str
    runtime: str
    times_ms: tuple[tuple[int, float], ...]
    verdict: Verdict = Verdict.PASS
    threads_asked: int = 1
    """The most; the runtime had as many as there are times for."""
    accelerated: bool | None = None
    not_timed: str = ""


RUNS = (
    HandRun("fp32.tflite", "LiteRT.js wasm", ((4, 12.0), (1, 24.0)), threads_asked=8),
    HandRun("fp32.tflite", "LiteRT.js WebGPU", ((1, 6.0),), accelerated=False),
    HandRun("fp16.tflite", "LiteRT.js wasm", ((4, 60.0), (1, 108.0)), threads_asked=8),
    HandRun("int8.tflite", "LiteRT.js wasm", ((4, 5.0), (1, 10.0)), threads_asked=8),
    HandRun("fp32.onnx", "ORT Web wasm", ((8, 15.0), (1, 30.0)), threads_asked=8),
    HandRun("fp32.onnx", "ORT Web WebGPU", (), accelerated=True, not_timed="the page was hidden"),
    HandRun("int8.onnx", "ORT Web wasm", ((8, 7.0),), Verdict.FAIL, threads_asked=8),
)
"""Of a phone that claims 8 cores, 4 of which LiteRT.js gets."""

FAILED = (Unmeasured("int8.tflite", "load: Shape mismatch", "LiteRT.js WebGPU"),)
LEFT_OUT = (Unmeasured("int8.onnx", "no WebGPU kernel", "ORT Web WebGPU"),)


def hand_device(
    layout: Layout,
    parity: Callable[..., ArtifactParity],
    latency: Callable[..., Latency],
    runs: Sequence[HandRun] = RUNS,
) -> DeviceResult:
    """The result of a browser, with the reference that it was compared with.

    Args:
        layout: A build with the artifacts of the runs; its reference is written here.
        parity: The fixture ``hand_parity``.
        latency: The fixture ``hand_latency``.
        runs: What was measured.
    """
    _write_reference(layout)
    hashes = {a.name: a.sidecar.sha256 for a in load_artifacts(layout.artifacts)}
    parities: dict[str, list[ArtifactParity]] = {}
    latencies: dict[str, list[Latency]] = {}
    for run in runs:
        found = parity(run.name, run.verdict, sha256=hashes[run.name])
        parities.setdefault(run.name, []).append(replace(found, runtime=f"{run.runtime} 2.5.3"))
        own = latencies.setdefault(run.name, [])
        own += [latency(ms, threads, run.runtime) for threads, ms in run.times_ms]
    nothing_asked = GateResult(Verdict.NOT_CHECKED, "not checked: no latency limit was given")
    benches = tuple(
        ArtifactBench(name, hashes[name], SIZES[name.split(".")[0]], tuple(own), nothing_asked)
        for name, own in latencies.items()
    )
    first = tuple(own[0] for own in parities.values())
    others = tuple(each for own in parities.values() for each in own[1:])
    phone = Machine("phone", "Chrome 140, Android", "arm", (), 8, "", {"LiteRT.js wasm": "2.5.3"})
    return DeviceResult(
        bundle_sha256="ef" * 32,
        pictures=HASHES,
        parity=ParityResult(
            *("ab" * 32, hash_path(layout.reference), len(HASHES), ("cat", "dog"), 0.9, 1.0, first),
            elsewhere=others,
        ),
        bench=BenchResult(phone, benches, 0.05),
        left_out=LEFT_OUT,
        failed=FAILED,
        emulated=False,
        browser=Browser(
            *("Chrome", "140", "Android", "Mozilla/5.0", True, True, True, "arm", 5e-6),
            tuple(hand_run(run) for run in runs),
        ),
    )


def hand_run(run: HandRun) -> BrowserRun:
    threads = max((threads for threads, _ in run.times_ms), default=1)
    return BrowserRun(
        *(run.name, run.runtime, run.threads_asked, threads, "hand", run.accelerated, ()),
        *(52_000_000, False, run.not_timed),
    )


def _write_reference(layout: Layout) -> None:
    count = len(HASHES)
    info = ReferenceInfo(
        *("ab" * 32, "CPU", "hand", "float32", "none", ("cat", "dog")),
        tuple(f"{place}.png" for place in range(count)),
        HASHES,
        Latency("hand", 1, (0.05,), 1.0, 1.0, 1, 0),
        {},
    )
    answers, classes = np.full((count, 2), 0.5, np.float32), np.zeros(count, np.int64)
    write_reference(layout.reference, Reference(info, answers, np.zeros((count, 2)), classes))
