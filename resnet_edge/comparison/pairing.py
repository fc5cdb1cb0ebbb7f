"""Pairs of results of A and B, with notes on what else differs between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from resnet_edge.comparison.results_files import ResultsFile, ResultsKind, Side
from resnet_edge.ondevice.measurements import Machine, ParityResult


@dataclass(frozen=True)
class Pair:
    """Two files of results that are compared."""

    a: ResultsFile
    b: ResultsFile
    where: str
    """The machine's name where there are several machines; else empty."""

    @property
    def same_machine(self) -> bool:
        """True if both were measured on the same kind of machine."""
        ours, theirs = self.a.machine, self.b.machine
        return ours is not None and theirs is not None and _speed_key(ours) == _speed_key(theirs)

    @property
    def same_classes(self) -> bool:
        """True if both have answers, with the same classes."""
        ours, theirs = self.a.parity, self.b.parity
        return ours is not None and theirs is not None and ours.labels == theirs.labels


def pair_results(a: Side, b: Side) -> tuple[Pair, ...]:
    """Pair answers with answers, and latencies with latencies on the same kind of machine.

    Two single files are paired whatever their machines, because the user named them.
    """
    if a.is_file and b.is_file:
        return (Pair(a.sources[0], b.sources[0], ""),)
    left = list(b.sources)
    found: list[tuple[ResultsFile, ResultsFile]] = []
    for ours in a.sources:
        alike = [theirs for theirs in left if _belong(ours, theirs)]
        alike.sort(key=lambda theirs: _host(theirs) != _host(ours))
        if alike:
            left.remove(alike[0])
            found.append((ours, alike[0]))
    machines = [ours for ours, _ in found if ours.kind is not ResultsKind.ANSWERS]
    several = len(machines) > 1 or any(ours.kind is ResultsKind.DEVICE for ours in machines)
    return tuple(
        Pair(ours, theirs, ours.path.stem if several and ours in machines else "")
        for ours, theirs in found
    )


def _belong(one: ResultsFile, other: ResultsFile) -> bool:
    if one.kind is not other.kind:
        return False
    mine, its = one.machine, other.machine
    return mine is None or its is None or _speed_key(mine) == _speed_key(its)


def _speed_key(machine: Machine) -> tuple[str, int, tuple[str, ...]]:
    """Return the parts of a machine that decide latencies; a container's host name does not."""
    return machine.processor, machine.cores, machine.cpu_features


def _host(source: ResultsFile) -> str:
    return source.machine.host if source.machine else ""


def unmatched_notes(a: Side, b: Side, pairs: tuple[Pair, ...]) -> Iterator[str]:
    """Name the results that have no counterpart."""
    for side, letter, paired in (
        (a, "A", [pair.a for pair in pairs]),
        (b, "B", [pair.b for pair in pairs]),
    ):
        for source in side.sources:
            if source not in paired:
                machine = f" on {source.machine.processor}" if source.machine else ""
                yield (
                    f"{source.path.name} ({source.kind.value}{machine}) is only in {letter}: "
                    "not compared"
                )


def export_notes(a: Side, b: Side) -> Iterator[str]:
    """Name the options that an artifact of both builds was exported with differently."""
    for name in a.names:
        ours, theirs = a.options.get(name), b.options.get(name)
        if ours is None or theirs is None:
            continue
        for option in sorted({*ours, *theirs}):
            before, after = (side.get(option) for side in (ours, theirs))
            if before != after:
                yield (
                    f"{name}: exported with {_option_words(option, before)} in A, "
                    f"{_option_words(option, after)} in B"
                )


def _option_words(option: str, value: str | None) -> str:
    return f"no {option}" if value is None else f"{option} ({value})"


def pair_notes(pair: Pair) -> Iterator[str]:
    """Name what else differs between two files of results, or prevents their comparison."""
    prefix = f"{pair.where}: " if pair.where else ""
    if pair.a.parity and pair.b.parity:
        for words in _answer_notes(pair, pair.a.parity, pair.b.parity):
            yield f"{prefix}{words}"
    ours, theirs = pair.a.machine, pair.b.machine
    if ours is None or theirs is None:
        return
    emulated = [letter for letter, side in (("A", pair.a), ("B", pair.b)) if side.emulated]
    if emulated:
        yield (
            f"{prefix}emulated in {' and '.join(emulated)}: latency, memory and load time are not "
            "compared"
        )
        return
    if not pair.same_machine:
        yield (
            f"{prefix}A was timed on {_machine_words(ours)}, B on {_machine_words(theirs)}: the "
            "machines differ, not only the files"
        )
    elif ours.host != theirs.host:
        yield f"{prefix}A was timed on host {ours.host}, B on {theirs.host}: the same processor"
    for name in sorted(set(ours.runtimes) & set(theirs.runtimes)):
        if ours.runtimes[name] != theirs.runtimes[name]:
            versions = f"{ours.runtimes[name]} in A, {theirs.runtimes[name]} in B"
            yield f"{prefix}timed in another version of {name}: {versions}"


def _machine_words(machine: Machine) -> str:
    return f"{machine.host} ({machine.processor}, cores: {machine.cores})"


def _answer_notes(pair: Pair, a: ParityResult, b: ParityResult) -> Iterator[str]:
    if not pair.same_classes:
        yield (
            f"A has {len(a.labels)} classes, B {len(b.labels)}, and they are not the same: "
            "their answers are not compared"
        )
        return
    if not (a.images and b.images):
        empty = " and ".join(letter for letter, side in (("A", a), ("B", b)) if not side.images)
        yield f"no test pictures in {empty}: answers are not compared"
        return
    if a.model_sha256 != b.model_sha256:
        yield (
            f"other models: A is of {a.model_sha256[:16]}…, B of {b.model_sha256[:16]}…; agreement "
            "and SQNR compare each with its own reference"
        )
    pictures = [
        {each.answers.pictures_sha256 for each in side.artifacts if each.answers} for side in (a, b)
    ]
    if not (pictures[0] and pictures[1]):
        yield (
            "one of the records does not hold its answers picture by picture; intervals are those "
            "of two samples, and wide; run `resnet-edge parity` again for paired ones"
        )
    elif pictures[0] != pictures[1]:
        yield (
            f"other test pictures ({a.images} in A, {b.images} in B): intervals are those of two "
            "samples, and wide"
        )
    if a.gates != b.gates:
        yield "A and B were judged by other gates: their verdicts are not compared"
    yield from _runtime_notes(a, b)


def _runtime_notes(a: ParityResult, b: ParityResult) -> Iterator[str]:
    ours = {each.name: each.runtime for each in a.artifacts}
    theirs = {each.name: each.runtime for each in b.artifacts}
    changed = dict.fromkeys(
        (ours[name], theirs[name]) for name in ours if name in theirs and ours[name] != theirs[name]
    )
    for before, after in changed:
        yield f"answered in {before} in A, in {after} in B"
