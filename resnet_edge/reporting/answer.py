"""The first words of a report: the file to take, and what is not proven yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from resnet_edge import units
from resnet_edge.ondevice.measurements import Verdict
from resnet_edge.recommendation import Candidate, Choice, Recommendation, choose
from resnet_edge.reporting.content import ArtifactRow, ReportContent


@dataclass(frozen=True)
class Undecided:
    """Artifacts that the test pictures neither prove nor refute."""

    names: tuple[str, ...]
    images: int
    """Test pictures that there are."""
    images_needed: int | None
    """Further pictures that decide all of them; None where no number does."""


@dataclass(frozen=True)
class Answer:
    """The answer to the question that a person reads a report for."""

    take: str | None
    """The artifact to take here; None where none is proven."""
    take_words: str
    undecided: tuple[Undecided, ...]
    """Those that a number of pictures decides, then those that none does."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """The answer in words."""
        return (self.take_words, *map(_undecided_words, self.undecided))


def find_answer(content: ReportContent) -> Answer:
    """Choose among the artifacts that hold their gates, and count the pictures that others need.

    The choice is that of ``recommend``: the fastest in its preferred runtime, of equals the
    smallest. Without latencies it is the smallest.
    """
    proven = [row for row in content.artifacts if _is_proven(row)]
    take, words = _take(proven, content)
    return Answer(take, words, tuple(_undecided(content)))


def _is_proven(row: ArtifactRow) -> bool:
    """Return True if the answers pass, and neither latency nor corruption speaks against it."""
    held = row.latency_gate.verdict in (Verdict.PASS, Verdict.NOT_CHECKED)
    return row.answers_gate.verdict is Verdict.PASS and held and not row.falls


def _take(proven: Sequence[ArtifactRow], content: ReportContent) -> tuple[str | None, str]:
    if not proven:
        return None, f"No artifact is proven yet, so none can be recommended.{_too_slow(content)}"
    alone = "the only artifact that is proven so far" if len(content.artifacts) > 1 else "proven"
    candidates = [
        Candidate(row.parity, replace(row.bench, latencies=row.bench.preferred))
        for row in proven
        if row.parity is not None and row.bench is not None and row.bench.preferred
    ]
    if not candidates or content.machine is None:
        row = min(proven, key=lambda each: each.sidecar.bytes)
        why = f"the smallest that is proven, {units.size(row.sidecar.bytes)}"
        return row.name, f"Take {row.name}: {alone if len(proven) == 1 else why}. It was not timed."
    choice = choose(candidates, [candidate.bench for candidate in candidates], (), content.machine)
    taken = next(each for each in choice.choices if each.name == choice.fastest)
    figures = (
        f"{units.milliseconds(taken.p50_s)} ms a picture with "
        f"{units.plural(taken.threads, 'thread')}, {units.size(taken.bytes)}"
    )
    why = alone if len(proven) == 1 else _fastest_words(taken, choice)
    words = f"Take {taken.name}: {why} ({figures})."
    if choice.smallest not in (None, taken.name):
        least = next(each for each in choice.choices if each.name == choice.smallest)
        words += f" The smallest is {least.name}, {units.size(least.bytes)}."
    return taken.name, words


def _too_slow(content: ReportContent) -> str:
    """Name the way to a smaller network where the latency alone is in the way."""
    right = [row for row in content.artifacts if row.answers_gate.verdict is Verdict.PASS]
    if not right or any(row.latency_gate.verdict is not Verdict.FAIL for row in right):
        return ""
    return (
        " All whose answers pass are slower than the limit: `resnet-edge compress` looks for a "
        "network within it."
    )


def _fastest_words(taken: Choice, choice: Recommendation) -> str:
    """Say that it is the fastest, or that the noise of the timings hides which one is."""
    lower = [
        f"{each.name} ({units.milliseconds(each.p50_s)} ms)"
        for each in choice.choices
        if each.name in choice.as_fast and each.p50_s < taken.p50_s
    ]
    if not lower:
        return "the fastest here of those that are proven"
    return f"proven, and as fast here as {units.listed(lower)} within the noise of the timings"


def _undecided(content: ReportContent) -> Iterator[Undecided]:
    undecided = [r for r in content.artifacts if r.answers_gate.verdict is Verdict.INCONCLUSIVE]
    rows = [row for row in undecided if not row.falls]
    needs = {row.name: row.answers_gate.images_needed for row in rows}
    images = max((row.parity.images for row in rows if row.parity), default=0)
    if decided := {name: need for name, need in needs.items() if need is not None}:
        yield Undecided(tuple(decided), images, max(decided.values()))
    if never := tuple(name for name, need in needs.items() if need is None):
        yield Undecided(never, images, None)


def _undecided_words(undecided: Undecided) -> str:
    names, images = units.listed(undecided.names), units.plural(undecided.images, "test picture")
    if undecided.images_needed is None:
        return (
            f"Neither proven nor refuted: {names}. The accuracy lies so near its limit that no "
            f"number of pictures would decide at these rates; {images} were asked."
        )
    more = units.count(undecided.images_needed)
    return (
        f"Not yet proven, and not refuted: {names}. {images} are too few to tell; about {more} "
        "more would decide."
    )
