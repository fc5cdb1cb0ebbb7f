"""Two builds compared artifact by artifact: better, worse, or within noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from resnet_edge import units
from resnet_edge.comparison.compare_answers import compare_answers
from resnet_edge.comparison.compare_speed import (
    Floors,
    compare_size,
    compare_speed,
    latency_pairs,
    noise_floors,
)
from resnet_edge.comparison.differences import Change, Difference, Figure
from resnet_edge.comparison.pairing import (
    Pair,
    export_notes,
    pair_notes,
    pair_results,
    unmatched_notes,
)
from resnet_edge.comparison.results_files import Side
from resnet_edge.comparison.tolerance import Tolerance
from resnet_edge.errors import UsageError
from resnet_edge.ondevice.latency.noise import SAME_MEDIAN
from resnet_edge.ondevice.measurements import ArtifactBench, ArtifactParity, Verdict


@dataclass(frozen=True)
class VerdictChange:
    """An accuracy gate that is the same in both builds and gave two verdicts."""

    a: Verdict
    b: Verdict
    change: Change
    where: str = ""
    regression: bool = False
    """True if it failed in B and not in A."""


@dataclass(frozen=True)
class ArtifactComparison:
    """One artifact in both builds."""

    name: str
    differences: tuple[Difference, ...]
    verdicts: tuple[VerdictChange, ...]

    @property
    def regressions(self) -> int:
        """The number of its figures and gates that are worse by more than is tolerated."""
        figures = sum(each.regression for each in self.differences)
        return figures + sum(each.regression for each in self.verdicts)


@dataclass(frozen=True)
class Comparison:
    """Two builds compared; true if nothing is worse by more than is tolerated."""

    a: str
    b: str
    tolerance: Tolerance
    artifacts: tuple[ArtifactComparison, ...]
    only_a: tuple[str, ...]
    """Artifacts that B does not have."""
    only_b: tuple[str, ...]
    notes: tuple[str, ...]
    """Sentences about what was not compared, and what else differs."""
    regressions: int

    def __bool__(self) -> bool:
        return self.regressions == 0


@dataclass(frozen=True)
class _Matched:
    """The artifacts that two files of results both have."""

    pair: Pair
    answers: dict[str, tuple[ArtifactParity, ArtifactParity]]
    timed: dict[str, tuple[ArtifactBench, ArtifactBench]]
    floors: Floors
    """The noise that unchanged files show."""


def compare_sides(a: Side, b: Side, tolerance: Tolerance) -> Comparison:
    """Compare B with A.

    Args:
        a: The build before.
        b: The build now.
        tolerance: The loss that is no regression.

    Raises:
        UsageError: They have nothing in common that can be compared.
    """
    pairs = pair_results(a, b)
    matched = tuple(_match_artifacts(pair) for pair in pairs)
    shared = [name for name in a.names if name in b.names]
    compared = tuple(_compare_artifact(name, a, b, matched, tolerance) for name in shared)
    artifacts = tuple(each for each in compared if each.differences or each.verdicts)
    notes = (
        *(f"A: {note}" for note in a.notes),
        *(f"B: {note}" for note in b.notes),
        *unmatched_notes(a, b, pairs),
        *export_notes(a, b),
        *(note for pair in pairs for note in (*pair_notes(pair), *_gaps(pair, shared))),
        *(note for each in matched for note in _noise_notes(each)),
    )
    if not artifacts:
        why = f" ({'; '.join(notes)})" if notes else ""
        raise UsageError(
            f"nothing to compare: {a.path} has {a.holds()}; {b.path} has {b.holds()}{why}"
        )
    return Comparison(
        a=str(a.path),
        b=str(b.path),
        tolerance=tolerance,
        artifacts=artifacts,
        only_a=tuple(name for name in a.names if name not in b.names),
        only_b=tuple(name for name in b.names if name not in a.names),
        notes=tuple(dict.fromkeys(notes)),
        regressions=sum(each.regressions for each in artifacts),
    )


def _match_artifacts(pair: Pair) -> _Matched:
    timed = {before.name: (before, after) for before, after in _timed(pair)}
    controls = [both for both in timed.values() if _is_control(pair, both)]
    answers = {before.name: (before, after) for before, after in _answers(pair)}
    return _Matched(pair, answers, timed, noise_floors(controls))


def _compare_artifact(
    name: str, a: Side, b: Side, matched: tuple[_Matched, ...], tolerance: Tolerance
) -> ArtifactComparison:
    differences: list[Difference] = []
    verdicts: list[VerdictChange] = []
    if a.sizes.get(name) and b.sizes.get(name):
        differences.append(compare_size(a.sizes[name], b.sizes[name], tolerance))
    for each in matched:
        where = each.pair.where
        if name in each.answers:
            differences += compare_answers(*each.answers[name], tolerance, where)
            verdicts += _verdicts(each.pair, *each.answers[name])
        if name in each.timed:
            differences += compare_speed(*each.timed[name], each.floors, tolerance, where)
    return ArtifactComparison(name, tuple(differences), tuple(verdicts))


def _answers(pair: Pair) -> Iterator[tuple[ArtifactParity, ArtifactParity]]:
    """Yield the artifacts of which both have answers, with the same classes."""
    if pair.a.parity is None or pair.b.parity is None or not pair.same_classes:
        return
    theirs = {each.name: each for each in pair.b.parity.artifacts}
    for ours in pair.a.parity.artifacts:
        if ours.name in theirs:
            yield ours, theirs[ours.name]


def _timed(pair: Pair) -> Iterator[tuple[ArtifactBench, ArtifactBench]]:
    """Yield the artifacts of which both have latencies of a real processor."""
    if pair.a.timed is None or pair.b.timed is None:
        return
    theirs = {each.name: each for each in pair.b.timed.artifacts}
    for ours in pair.a.timed.artifacts:
        if ours.name in theirs:
            yield ours, theirs[ours.name]


def _is_control(pair: Pair, both: tuple[ArtifactBench, ArtifactBench]) -> bool:
    """True if only the machine can make two runs of one file differ."""
    ours, theirs = pair.a.machine, pair.b.machine
    if ours is None or theirs is None or not pair.same_machine:
        return False
    runtimes = {before.runtime for before, _ in latency_pairs(*both)}
    return all(ours.runtimes.get(name) == theirs.runtimes.get(name) for name in runtimes)


def _verdicts(pair: Pair, before: ArtifactParity, after: ArtifactParity) -> Iterator[VerdictChange]:
    """Yield the answers' gates if their verdict changed and they were checked in both."""
    ours, theirs = pair.a.parity, pair.b.parity
    old, new = before.answers_gate.verdict, after.answers_gate.verdict
    if ours is None or theirs is None or ours.gates != theirs.gates or old is new:
        return
    if Verdict.NOT_CHECKED not in (old, new):
        change = Change.BETTER if new.severity < old.severity else Change.WORSE
        yield VerdictChange(old, new, change, pair.where, regression=new is Verdict.FAIL)


def _gaps(pair: Pair, shared: list[str]) -> Iterator[str]:
    """Name the measurements that only one build has, of artifacts that both have."""
    prefix = f"{pair.where}: " if pair.where else ""
    for letter, one, other in (("A", pair.a, pair.b), ("B", pair.b, pair.a)):
        if one.parity and other.parity:
            answered = {each.name for each in other.parity.artifacts}
            for parity in one.parity.artifacts:
                if parity.name in shared and parity.name not in answered:
                    yield f"{prefix}{parity.name}: answers only in {letter}"
        if one.timed and other.timed:
            timed = {
                (each.name, latency.runtime, latency.threads)
                for each in other.timed.artifacts
                for latency in each.latencies
            }
            for bench in one.timed.artifacts:
                missing = [
                    f"{latency.runtime} with {_threads(latency.threads)}"
                    for latency in bench.latencies
                    if (bench.name, latency.runtime, latency.threads) not in timed
                ]
                if missing and bench.name in shared:
                    words = f"latency ({', '.join(missing)})"
                    yield f"{prefix}{bench.name}: {words} only in {letter}"


def _noise_notes(matched: _Matched) -> Iterator[str]:
    """Name the change of unchanged files, if it is more than ``SAME_MEDIAN``."""
    prefix = f"{matched.pair.where}: " if matched.pair.where else ""
    for (figure, threads), floor in matched.floors.items():
        if figure is Figure.LATENCY and floor > SAME_MEDIAN:
            yield (
                f"{prefix}medians of files that are the same to the byte lie up to {floor:.1%} "
                f"apart with {_threads(threads)}: so much comes from the machine, and is noise"
            )


def _threads(count: int) -> str:
    return units.plural(count, "thread")
