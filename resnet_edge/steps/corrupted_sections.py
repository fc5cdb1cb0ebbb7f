"""The corruptions of a report: the record, as far as it is of this build."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_edge.errors import InferenceError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.formats.sidecar import Artifact
from resnet_edge.ondevice.json_records import read_record
from resnet_edge.ondevice.measurements import ParityResult
from resnet_edge.ondevice.option import Changes
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.parity.judging import AS_JUDGED
from resnet_edge.robustness.judging import judge_by
from resnet_edge.robustness.record import CorruptedParity, CorruptedReference, CorruptionResult


@dataclass(frozen=True)
class Corrupted:
    """The comparisons under corruptions that a report shows."""

    references: tuple[CorruptedReference, ...] = ()
    artifacts: tuple[CorruptedParity, ...] = ()
    left_out: tuple[str, ...] = ()
    """What is not this build's, with the reason."""

    def of(self, name: str) -> tuple[CorruptedParity, ...]:
        """Return one artifact's comparisons."""
        return tuple(each for each in self.artifacts if each.name == name)


def read_corrupted(
    layout: Layout,
    artifacts: tuple[Artifact, ...],
    parity: ParityResult | None = None,
    changes: Changes[Gates] = AS_JUDGED,
) -> Corrupted:
    """Read the record, without what is of other files or of other pictures.

    Args:
        layout: The build's.
        artifacts: Those that the report is about.
        parity: The comparison on clean pictures; None where there is none.
        changes: Gates to judge by; the record's own where none is given.

    Raises:
        InferenceError: The record is damaged or of a newer version.
    """
    path = layout.corruptions
    if not path.exists():
        return Corrupted()
    result = read_record(CorruptionResult, path, InferenceError)
    hashes = {artifact.name: artifact.sidecar.sha256 for artifact in artifacts}
    clean = (
        {a.name: a.answers.pictures_sha256 for a in parity.artifacts if a.answers} if parity else {}
    )
    named = [each for each in judge_by(result, changes, str(path)).artifacts if each.name in hashes]
    ours = tuple(
        each
        for each in named
        if each.sha256 == hashes[each.name]
        and clean.get(each.name, each.answers.pictures_sha256) == each.answers.pictures_sha256
    )
    present = {each.corruption for each in ours}
    references = tuple(each for each in result.references if each.corruption in present)
    stale = list(dict.fromkeys(each.name for each in named if each not in ours))
    words = (
        f"{path.name}: {', '.join(stale)} left out: compared as other files, or on other pictures; "
        "run `resnet-edge reference` and `resnet-edge parity` with --corruptions again"
    )
    return Corrupted(references, ours, (words,) if stale else ())
