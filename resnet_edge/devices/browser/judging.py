"""A page's raw answers and samples, judged by the code that judges every other device."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from resnet_edge.devices.browser.messages import Facts, Row
from resnet_edge.devices.browser.plan import Job, Plan
from resnet_edge.errors import RemoteError
from resnet_edge.ondevice.command.device_result import DeviceResult
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.latency.bench import judged_bench
from resnet_edge.ondevice.measurements import (
    UNNAMED,
    ArtifactBench,
    ArtifactParity,
    BenchResult,
    Browser,
    BrowserRun,
    Latency,
    Machine,
    Provider,
    Unmeasured,
)
from resnet_edge.ondevice.parity.compare import compare_artifact
from resnet_edge.ondevice.parity.evaluation import parity_result
from resnet_edge.ondevice.parity.gates import not_checked

HIDDEN = "the page was hidden while it measured, which slows it down; keep it in front"


@dataclass(frozen=True)
class Judged:
    """A row, and what is made of it."""

    job: Job
    row: Row
    parity: ArtifactParity | None
    """None where the row has no answers."""
    latency: Latency | None
    not_timed: str
    """The reason why there is no latency that counts; empty if there is one."""


def judge_row(plan: Plan, facts: Facts, job: Job, row: Row, expects_answers: bool) -> Judged:
    """Judge what the page measured in one job.

    Args:
        plan: The artifacts, and the reference's answers.
        facts: The browser's.
        job: What was asked for.
        row: What came back.
        expects_answers: True if this job had to answer the pictures.

    Raises:
        RemoteError: Answers are missing, or are of another number or type.
    """
    parity = None
    if expects_answers:
        probabilities = _probabilities(plan, job, row)
        artifact = plan.artifact(job.artifact)
        parity = compare_artifact(
            artifact_kind(artifact.name),
            artifact.sidecar.sha256,
            f"{job.backend.title} {row.runtime_version}",
            plan.evaluation,
            probabilities,
            plan.gates,
        )
    not_timed = _not_timed(facts, job, row)
    return Judged(job, row, parity, None if not_timed else _latency(job, row), not_timed)


def _probabilities(plan: Plan, job: Job, row: Row) -> npt.NDArray[np.floating]:
    if row.answers is None:
        raise RemoteError(f"{job.id}: no answers; expected those to {len(plan.pixels)} pictures")
    answers = row.answers.array()
    expected = (len(plan.pixels), len(plan.reference.info.labels))
    if answers.shape != expected:
        raise RemoteError(f"{job.id}: answers of shape {answers.shape}; expected {expected}")
    wanted = plan.artifact(job.artifact).sidecar.output_dtype
    if row.answers.dtype != wanted:
        raise RemoteError(f"{job.id}: answers of type {row.answers.dtype}; expected {wanted}")
    scaling = plan.scalings.get(job.artifact)
    return answers.astype(np.float32) if scaling is None else scaling.probabilities(answers)


def _not_timed(facts: Facts, job: Job, row: Row) -> str:
    if row.latency_note:
        return row.latency_note
    if row.hidden:
        return HIDDEN
    return job.backend.not_timed(facts)


def _latency(job: Job, row: Row) -> Latency:
    return Latency(
        runtime=job.backend.title,
        threads=row.threads,
        samples_s=row.samples_s,
        first_s=row.first_s,
        load_s=row.load_s,
        peak_memory_bytes=row.wasm_memory_bytes or 0,
        warmup=row.warmup,
        settled=row.settled,
        provider=Provider(job.backend.part, row.provider, _left(row)),
        queries_per_sample=row.queries_per_sample,
    )


def _left(row: Row) -> tuple[str, ...] | None:
    """Return the operators that ran elsewhere; a browser's runtimes name none of them."""
    if row.fully_accelerated is None:
        return None
    return () if row.fully_accelerated else (UNNAMED,)


def device_result(
    plan: Plan,
    facts: Facts,
    name: str | None,
    judged: Sequence[Judged],
    failed: Sequence[tuple[Job, str]],
    left_out: Sequence[Unmeasured],
) -> DeviceResult:
    """Return the record of a browser, as every other device writes it.

    Args:
        plan: What was to be measured.
        facts: The browser's.
        name: The device's name; None makes one of what the browser tells.
        judged: What was measured, in the order of the jobs.
        failed: Jobs that ended without answers, with the reasons.
        left_out: What the browser cannot do.
    """
    first, elsewhere = _parities(plan, judged)
    refused, fewer_threads = _failures(judged, failed)
    return DeviceResult(
        bundle_sha256=plan.id,
        pictures=plan.reference.info.hashes,
        parity=parity_result(
            plan.evaluation,
            plan.model_sha256,
            plan.reference_sha256,
            plan.gates,
            first,
            elsewhere,
        ),
        bench=BenchResult(
            _machine(facts, name, judged),
            tuple(_bench(plan, each, judged) for each in first),
            plan.reference.info.latency.p50_s,
        ),
        left_out=(*left_out, *fewer_threads),
        failed=refused,
        emulated=False,
        browser=_browser(facts, judged),
    )


def _parities(
    plan: Plan, judged: Sequence[Judged]
) -> tuple[tuple[ArtifactParity, ...], tuple[ArtifactParity, ...]]:
    """Return every artifact in the first runtime that answered, and in the further ones."""
    first, elsewhere = [], []
    for artifact in plan.artifacts:
        own = [each.parity for each in judged if each.parity and each.parity.name == artifact.name]
        first += own[:1]
        elsewhere += own[1:]
    return tuple(first), tuple(elsewhere)


def _bench(plan: Plan, parity: ArtifactParity, judged: Sequence[Judged]) -> ArtifactBench:
    own = [each for each in judged if each.job.artifact == parity.name]
    latencies = _once(each.latency for each in own if each.latency is not None)
    # The artifact is judged in the runtime that its answers are judged in.
    ordered = sorted(latencies, key=lambda each: each.runtime != parity.runtime_name)
    p50_s = plan.reference.info.latency.p50_s
    bench = judged_bench(plan.artifact(parity.name), tuple(ordered), p50_s, plan.gates)
    if bench.in_runtime(parity.runtime_name):
        return bench
    reasons = dict.fromkeys(each.not_timed for each in own if each.not_timed)
    return replace(bench, gate=not_checked("; ".join(reasons)))


def _once(latencies: Iterable[Latency]) -> tuple[Latency, ...]:
    """Keep one latency for each runtime and number of threads.

    A runtime that was asked for more threads and has one in silence is measured twice.
    """
    by_threads = {(each.runtime, each.threads): each for each in latencies}
    return tuple(by_threads.values())


def _failures(
    judged: Sequence[Judged], failed: Sequence[tuple[Job, str]]
) -> tuple[tuple[Unmeasured, ...], tuple[Unmeasured, ...]]:
    """Return the runtimes that refused an artifact, and those that only did with more threads."""
    answered = {each.job.question for each in judged if each.parity is not None}
    refused: list[Unmeasured] = []
    fewer_threads: list[Unmeasured] = []
    for job, reason in failed:
        (fewer_threads if job.question in answered else refused).append(job.gone(reason))
    return tuple(refused), tuple(fewer_threads)


def _browser(facts: Facts, judged: Sequence[Judged]) -> Browser:
    name, version = browser_name(facts)
    return Browser(
        name=name,
        version=version,
        platform=platform_words(facts),
        user_agent=facts.user_agent,
        isolated=facts.isolated,
        shared_memory=facts.shared_memory,
        relaxed_simd=facts.relaxed_simd,
        gpu=facts.gpu.words if facts.gpu else "",
        clock_step_s=facts.clock_step_s,
        runs=tuple(_run(each) for each in judged),
    )


def _run(each: Judged) -> BrowserRun:
    row = each.row
    return BrowserRun(
        artifact=each.job.artifact,
        runtime=each.job.backend.title,
        threads_asked=each.job.threads,
        threads=row.threads,
        provider=row.provider,
        fully_accelerated=row.fully_accelerated,
        warnings=row.warnings,
        wasm_memory_bytes=row.wasm_memory_bytes,
        hidden=row.hidden,
        not_timed=each.not_timed,
    )


def _machine(facts: Facts, name: str | None, judged: Sequence[Judged]) -> Machine:
    browser, version = browser_name(facts)
    gpu = f"GPU {facts.gpu.words}" if facts.gpu else ""
    told = (facts.model, facts.architecture, gpu)
    return Machine(
        host=name or f"{browser} on {facts.model or platform_words(facts)}",
        system=f"{browser} {version}, {platform_words(facts)}",
        processor=", ".join(filter(None, told)),
        cpu_features=(),
        cores=facts.cores,
        python="",
        runtimes={each.job.backend.title: each.row.runtime_version for each in judged},
    )


_ENGINES = (
    # Chromium's children name Chrome too, and all but Firefox name Safari.
    ("Edge", r"Edg(?:A|iOS)?/([\d.]+)"),
    ("Samsung Internet", r"SamsungBrowser/([\d.]+)"),
    ("Opera", r"OPR/([\d.]+)"),
    ("Firefox", r"(?:Firefox|FxiOS)/([\d.]+)"),
    ("Chrome", r"(?:Headless)?(?:Chrome|CriOS|Chromium)/([\d.]+)"),
    # WebKit names Safari on Linux too, where there is none.
    ("Safari", r"(?:Mac|iP(?:hone|ad|od)).*Version/([\d.]+).*Safari/"),
    ("WebKit", r"AppleWebKit/([\d.]+)"),
)
"""Names and patterns of user agents, the most particular first."""


def browser_name(facts: Facts) -> tuple[str, str]:
    """Return a browser's name and version, by its user agent.

    Brands are made to be read by machines, but hold made-up names too, so they only tell Chromium
    from what is built on it.
    """
    brands = dict(facts.brands)
    for name, pattern in _ENGINES:
        if found := re.search(pattern, facts.user_agent):
            if name == "Chrome" and "Chromium" in brands and "Google Chrome" not in brands:
                name = "Chromium"
            return name, found[1]
    return "unknown browser", ""


def platform_words(facts: Facts) -> str:
    """Return the system in words, as far as the browser tells."""
    words = f"{facts.platform} {facts.platform_version}".strip()
    return words or "unknown system"
