"""Every artifact of a build in real browsers, beside the Python runtime on the same machine.

    python benchmarks/browsers.py --out build --browsers chromium,firefox,webkit

Needs a build, `make web`, and the browsers: Debian's chromium, firefox-esr, and the MiniBrowser of
WebKitGTK with xvfb. Agreement and SQNR compare the browser's answers with those of the Python
runtime to the same file. Before each measurement the page waits while the Python runtime is timed
with as many threads, so both meet the same machine. On the GPU fewer pictures are asked, because
without a graphics card the processor plays it; its times are left out then.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # for `browser_calls`
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before tests/resnet_edge

from browser_calls import (
    Call,
    KeptSession,
    agreement,
    calling,
    page_answers,
    python_answers,
    sqnr_db,
)
from browser_processes import KINDS, Kind, opened

from resnet_edge.devices.browser.judging import browser_name
from resnet_edge.devices.browser.messages import Facts, Started
from resnet_edge.devices.browser.plan import Job, Plan
from resnet_edge.devices.browser.session import Overview
from resnet_edge.ondevice.formats.names import parse_formats
from resnet_edge.ondevice.latency.measure import measure
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.runtimes.opening import open_runtime
from resnet_edge.options import BenchOptions, BundleOptions, Options

LIMIT_S = 3600.0
COLUMNS = (
    "artifact",
    "backend",
    "threads",
    "agreement",
    "SQNR dB",
    "p50 / p90 ms",
    "Python p50 ms",
    "wasm memory MB",
)


class OneSide(Plan):
    """The jobs on the processor only, or on the GPU only."""

    on_gpu = False

    def jobs(self, facts: Facts) -> tuple[Job, ...]:
        """Return what a browser can do on this side."""
        return tuple(job for job in super().jobs(facts) if job.backend.webgpu == self.on_gpu)


class GpuSide(OneSide):
    """The jobs on the GPU only."""

    on_gpu = True


class Alternating(KeptSession):
    """Lets a page wait before each job, while the Python runtime is timed."""

    side: type[OneSide] = OneSide

    def __init__(self, plan: Plan, *arguments: Any) -> None:  # noqa: ANN401 - as `Session`'s
        values = {each.name: getattr(plan, each.name) for each in dataclasses.fields(plan)}
        super().__init__(self.side(**values), *arguments)
        self.python_p50_s: dict[str, float] = {}

    def started(self, message: Started) -> Overview:
        """Time the Python runtime, then let the page go on."""
        job = next(job for job in self.plan.jobs(self.begun[-1].facts) if job.id == message.job)
        if not job.backend.not_timed(self.begun[-1].facts):
            runtime = open_runtime(self.plan.artifact(job.artifact), job.threads)
            query = runtime.prepare(self.plan.pixels[0])
            timing = measure(lambda _: query(), np.zeros(1), self.plan.spec)
            self.python_p50_s[job.id] = statistics.median(timing.samples_s)
        return super().started(message)


class AlternatingOnGpu(Alternating):
    """The same for the GPU."""

    side = GpuSide


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build"), help="a build")
    parser.add_argument("--browsers", default=",".join(KINDS), metavar=",".join(KINDS))
    parser.add_argument("--formats", help="default: all of the build")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--gpu-images", type=int, default=4, help="0 leaves the GPU out")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    asked = parser.parse_args()
    if unknown := set(asked.browsers.split(",")) - set(KINDS):
        parser.error(f"--browsers: got {', '.join(unknown)}; expected some of {', '.join(KINDS)}")
    with tempfile.TemporaryDirectory() as scratch:
        options = options_for(asked, Path(scratch))
        for name in asked.browsers.split(","):
            if missing := KINDS[name].missing():
                print(f"\n{missing}")
                continue
            run_browser(KINDS[name], options, asked.gpu_images)
    return 0


def options_for(asked: argparse.Namespace, scratch: Path) -> Options:
    """Options for the build, whose results stay as they are."""
    for path in asked.out.resolve().iterdir():
        if path.name != "results":
            (scratch / path.name).symlink_to(path)
    return Options(
        out=scratch,
        formats=parse_formats(asked.formats) if asked.formats else None,
        bundle=BundleOptions(images=asked.images),
        bench=BenchOptions(LatencySpec(asked.seconds, 16, 2.0), None),
    )


def run_browser(kind: Kind, options: Options, gpu_images: int) -> None:
    """Print a browser's table."""
    call = run(kind, options, Alternating)
    facts = call.session.begun[0].facts
    gpu = f", GPU {facts.gpu.words}" if facts.gpu else ", no WebGPU"
    print(
        f"\n{' '.join(browser_name(facts))}: clock steps of {facts.clock_step_s * 1e6:.3g} µs, "
        f"{facts.cores} cores claimed{gpu}\n"
    )
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    print_rows(call)
    if facts.webgpu and gpu_images:
        fewer = dataclasses.replace(options, bundle=BundleOptions(images=gpu_images))
        print_rows(run(kind, fewer, AlternatingOnGpu))
    for where, reason in reasons(call, facts):
        print(f"\nleft out: {where}: {reason}", end="")
    print(flush=True)


def run(kind: Kind, options: Options, session: type[Alternating]) -> Call:
    """One whole call."""
    with calling(options, session=session) as call, opened(kind, call.page):
        call.outcome(LIMIT_S)
    return call


def print_rows(call: Call) -> None:
    """Print each job of a call."""
    session = call.session
    assert isinstance(session, Alternating)
    for job in session.plan.jobs(session.begun[0].facts):
        print(f"| {' | '.join(cells(session, job))} |", flush=True)


def cells(session: Alternating, job: Job) -> list[str]:
    """A row of the table; the reason where there are no figures."""
    name, title = job.artifact, job.backend.title
    row = session.rows.get(job.id)
    if row is None:
        refused = session.refused.get(job.id, "nothing was sent")
        return [name, title, str(job.threads), f"**refused**: {refused[:160]}", *[""] * 4]
    same = noise = ""
    if row.answers is not None:
        answers, expected = page_answers(session.plan, row), python_answers(session.plan, name)
        same = f"{agreement(answers, expected):.2%} of {len(answers)}"
        decibels = sqnr_db(answers, expected)
        noise = f"{decibels:.1f}" if np.isfinite(decibels) else "identical"
    times, python = row.latency_note, ""
    if row.samples_s:
        p50, p90 = np.quantile(row.samples_s, [0.5, 0.9]) * 1e3
        times = f"{p50:.3g} / {p90:.3g}" if row.queries_per_sample == 1 else f"{p50:.3g} / –"
        python = f"{session.python_p50_s[job.id] * 1e3:.3g}"
    threads = str(row.threads) if row.threads == job.threads else f"{row.threads} of {job.threads}"
    ran = title
    if job.backend.webgpu and row.provider != "WebGPU":
        ran += f" (fell back to {row.provider})"
    elif job.backend.webgpu and row.fully_accelerated is False:
        ran += " (in part)"
    memory = f"{row.wasm_memory_bytes / 1e6:.0f}" if row.wasm_memory_bytes else "–"
    return [name, ran, threads, same, noise, times, python, memory]


def reasons(call: Call, facts: Facts) -> list[tuple[str, str]]:
    """Runtimes with the reasons for which they were left out, each once."""
    gone = call.session.plan.left_out(facts)
    return list(dict.fromkeys((each.runtime or each.name, each.reason) for each in gone))


if __name__ == "__main__":
    sys.exit(main())
