"""The files that were measured, those that no other beats, and the one to take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resnet_edge.compression.limits import Limits
from resnet_edge.compression.trials import MODEL, Stage, Trial, TrialFile
from resnet_edge.ondevice.formats.kinds import Precision
from resnet_edge.ondevice.measurements import (
    GateResult,
    Interval,
    Latency,
    Verdict,
    worst_verdict,
)
from resnet_edge.ondevice.parity.gates import Evidence, Gates, judge_accuracy, judge_latency

if TYPE_CHECKING:  # the models of latency need Keras
    from resnet_edge.compression.foretelling import Machine

HERE = "this machine"


@dataclass(frozen=True)
class Entry:
    """A file of a measured network, as it would be used."""

    network: str
    """The trial's name."""
    file: str
    size: tuple[int, int]
    share: float
    """Of the multiply-adds at this size, in (0, 1]."""
    share_of_model: float
    """Multiply-adds by those of the model."""
    runtime: str
    threads: int
    machine: str
    """Where the latency counts: the slowest machine."""
    is_foretold: bool
    """True if that machine did not measure this network."""
    p50_s: float | None
    """None where it is foretold."""
    p90_s: float
    bytes: int
    top1: float
    change: float
    """Top-1 minus the full-precision model's, on the test pictures."""
    interval: Interval | None
    answers: Verdict
    answers_reason: str
    latency: Verdict
    latency_reason: str
    excess: dict[str, float]
    """Limits that the file does not hold: by how much, as a part of the limit."""
    beaten_by: tuple[str, ...] = ()
    """Files that are better in one of latency, size and top-1, and worse in none."""

    @property
    def title(self) -> str:
        """Network and file, for instance ``64px-0.50/int8.onnx``."""
        return f"{self.network}/{self.file}"

    @property
    def holds(self) -> bool:
        """True if no limit is exceeded; what is not proven counts as held."""
        return not self.excess

    @property
    def verdict(self) -> Verdict:
        """The worse of the gates of the answers and of the latency."""
        asked = self.latency is not Verdict.NOT_CHECKED
        return worst_verdict((self.answers, self.latency)) if asked else self.answers


@dataclass(frozen=True)
class Rules:
    """What files are judged by."""

    limits: Limits
    gates: Gates
    reference_hits: int
    """Test pictures that the full-precision model has right."""
    images: int

    @property
    def reference_top1(self) -> float:
        """Accuracy of the full-precision model, in [0, 1]."""
        return self.reference_hits / self.images

    def judge_answers(self, file: TrialFile) -> GateResult:
        """Judge the loss, by the rule of quantized files also in float."""
        gates, loss = self.gates, self.limits.loss
        if loss is not None:
            least = max(0.0, 1 - loss / max(self.reference_top1, loss))
            gates = replace(gates, int8_accuracy=least)
        evidence = Evidence(
            images=file.images,
            agreeing=round((file.agreement or 0) * file.images),
            reference_hits=self.reference_hits,
            gained=file.gained,
            lost=file.lost,
            max_abs_logit=math.nan,
            logit_range=math.nan,
            collapse=file.collapse,
        )
        return judge_accuracy(Precision.INT8, evidence, gates)

    def judge_latency(self, latency: Latency) -> GateResult:
        """Judge one latency on this machine."""
        return judge_latency([latency], None, replace(self.gates, max_latency_ratio=None))


@dataclass(frozen=True)
class Front:
    """What a search found."""

    limits: Limits
    reference_top1: float
    entries: tuple[Entry, ...]
    """Every measured file, by its latency."""
    chosen: Entry | None
    """The one to take; None if none holds the limits."""
    nearest: Entry | None
    """What comes nearest to the limits where none holds them."""
    costliest: tuple[str, Entry] | None
    """The limit without which most could be had, and what; None where none is in the way."""

    @property
    def unbeaten(self) -> tuple[Entry, ...]:
        """The front itself."""
        return tuple(entry for entry in self.entries if not entry.beaten_by)


def build_front(trials: Iterable[Trial], machines: Sequence[Machine], rules: Rules) -> Front:
    """Put together what was measured, and choose.

    Args:
        trials: Of the search.
        machines: Devices whose latency counts; none if this machine's does.
        rules: To judge by.
    """
    measured = {trial.name: trial for trial in trials if trial.stage is Stage.MEASURED}
    entries = [
        entry
        for trial in measured.values()
        for file in trial.files
        if (entry := _entry(trial, file, measured.get(MODEL, trial), machines, rules)) is not None
    ]
    entries.sort(key=lambda entry: (entry.p90_s, entry.bytes))
    entries = [replace(entry, beaten_by=_better(entry, entries)) for entry in entries]
    chosen = choose(entries, rules.limits)
    nearest = costliest = None
    if chosen is None and entries:
        nearest = min(entries, key=lambda entry: sum(entry.excess.values()))
        costliest = _costliest(entries, rules.limits)
    return Front(rules.limits, rules.reference_top1, tuple(entries), chosen, nearest, costliest)


def choose(entries: Sequence[Entry], limits: Limits) -> Entry | None:
    """Return the file to take: proven before not proven, then the best one.

    With a limit of latency or size that is the one with the highest top-1, else the fastest.
    """
    held = [entry for entry in entries if entry.holds]
    if limits.is_hard:
        return max(
            held,
            key=lambda e: (-e.verdict.severity, e.top1, -e.p90_s),
            default=None,
        )
    return min(held, key=lambda e: (e.verdict.severity, e.p90_s, e.bytes), default=None)


def _entry(
    trial: Trial, file: TrialFile, model: Trial, machines: Sequence[Machine], rules: Rules
) -> Entry | None:
    if not file.latencies or not file.images:
        return None
    fastest = min(file.latencies, key=lambda latency: latency.p90_s)
    used = _used(trial, file, fastest, machines)
    if used is None:
        return None
    answers, latency = rules.judge_answers(file), rules.judge_latency(fastest)
    if machines and rules.limits.p90_s is not None:
        held = used.p90_s <= rules.limits.p90_s
        how = "foretold" if used.is_foretold else "measured"
        words = f"p90 {used.p90_s * 1e3:.4g} ms {how} for {used.machine}"
        latency = GateResult(Verdict.PASS if held else Verdict.FAIL, words)
    entry = Entry(
        network=trial.name,
        file=file.name,
        size=trial.size,
        share=trial.share,
        share_of_model=trial.multiply_adds / model.multiply_adds,
        runtime=used.runtime,
        threads=used.threads,
        machine=used.machine,
        is_foretold=used.is_foretold,
        p50_s=None if machines else fastest.p50_s,
        p90_s=used.p90_s,
        bytes=file.bytes,
        top1=math.nan if file.top1 is None else file.top1,
        change=(file.gained - file.lost) / file.images,
        interval=answers.interval,
        answers=answers.verdict,
        answers_reason=answers.reason,
        latency=latency.verdict,
        latency_reason=latency.reason,
        excess={},
    )
    return replace(entry, excess=_excess(entry, rules.limits))


@dataclass(frozen=True)
class _Used:
    runtime: str
    threads: int
    machine: str
    is_foretold: bool
    p90_s: float


def _used(
    trial: Trial, file: TrialFile, fastest: Latency, machines: Sequence[Machine]
) -> _Used | None:
    """Return how the file is used on the slowest machine; None if one cannot run it."""
    if not machines:
        return _Used(fastest.runtime, fastest.threads, HERE, False, fastest.p90_s)
    found = []
    for machine in machines:
        ways = machine.of(file.name)
        if not ways:
            return None
        times = {way: machine.p90_s(trial, way) for way in ways}
        way = min(ways, key=times.__getitem__)
        foretold = (trial.model_sha256, way) not in machine.measured
        found.append(_Used(way.runtime, way.threads, machine.name, foretold, times[way]))
    return max(found, key=lambda used: used.p90_s)


def _excess(entry: Entry, limits: Limits) -> dict[str, float]:
    found = {}
    if limits.p90_s is not None and entry.latency is not Verdict.PASS:
        found["--max-p90-ms"] = max(entry.p90_s / limits.p90_s - 1, 0.0)
    if limits.bytes is not None and entry.bytes > limits.bytes:
        found["--max-bytes"] = entry.bytes / limits.bytes - 1
    collapsed = entry.answers is Verdict.FAIL
    lost = limits.loss is not None and not -entry.change <= limits.loss
    if lost or collapsed:
        allowed = limits.loss or 0.01
        name = "--int8-accuracy" if limits.loss is None else "--max-loss"
        found[name] = max(-entry.change / allowed - 1, 0.0)
    return found


def _better(entry: Entry, entries: Sequence[Entry]) -> tuple[str, ...]:
    mine = (entry.p90_s, entry.bytes, -entry.top1)
    found = []
    for other in entries:
        theirs = (other.p90_s, other.bytes, -other.top1)
        if theirs != mine and all(b <= a for a, b in zip(mine, theirs, strict=True)):
            found.append(other.title)
    return tuple(found)


def _costliest(entries: Sequence[Entry], limits: Limits) -> tuple[str, Entry] | None:
    """Return the limit without which the best file could be had."""
    found = []
    for name in ("--max-p90-ms", "--max-bytes", "--max-loss", "--int8-accuracy"):
        free = [
            replace(
                entry, excess={key: value for key, value in entry.excess.items() if key != name}
            )
            for entry in entries
        ]
        if name in {key for entry in entries for key in entry.excess} and (
            best := choose(free, limits)
        ):
            found.append((name, best))
    return max(found, key=lambda pair: pair[1].top1, default=None)
