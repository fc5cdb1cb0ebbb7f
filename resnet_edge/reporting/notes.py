"""Notes that follow from the figures, in sentences."""

from __future__ import annotations

from resnet_edge import units
from resnet_edge.ondevice.formats.kinds import Precision, artifact_kind
from resnet_edge.ondevice.latency.float32_gain import (
    compare_with_float32,
    gain_words,
    processor_words,
)
from resnet_edge.ondevice.latency.warnings import warning_sentences
from resnet_edge.ondevice.measurements import Verdict
from resnet_edge.reporting.content import ReportContent
from resnet_edge.reporting.quantization_section import made_differently

_SHOWN = 5


def derive_notes(content: ReportContent) -> tuple[str, ...]:
    """Return the caller's notes, followed by those that follow from the results."""
    return (
        *(f"{failure.name} could not be made: {failure.reason}" for failure in content.failed),
        *content.notes,
        *_falls(content),
        *_unchecked(content),
        *_collapsed(content),
        *_skipped(content),
        *_warnings(content),
        *_slow_int8(content),
        *_made_differently(content),
    )


def _unchecked(content: ReportContent) -> list[str]:
    if not content.artifacts:
        return ["No artifacts were found, so there is nothing to judge."]
    notes = []
    if names := [row.name for row in content.artifacts if row.parity is None]:
        why = "there is no test split" if not content.data.test else "parity was not run on it"
        notes.append(f"Accuracy was not checked, because {why}: {_names(names, content)}.")
    if names := [row.name for row in content.artifacts if row.bench is None]:
        notes.append(f"Latency was not measured: {_names(names, content)}.")
    return notes


def _names(names: list[str], content: ReportContent) -> str:
    return "every artifact" if len(names) == len(content.artifacts) else ", ".join(names)


def _collapsed(content: ReportContent) -> list[str]:
    collapsed = [(row.name, row.parity.collapse) for row in content.artifacts if row.parity]
    return [f"{name} collapsed: {collapse}." for name, collapse in collapsed if collapse]


def _falls(content: ReportContent) -> list[str]:
    """Name the files that hold on clean pictures and fall under a corruption."""
    top1 = {each.corruption: each.top1 for each in content.corrupted}
    notes = []
    for row in content.artifacts:
        if row.falls and row.accuracy_gate.verdict is not Verdict.FAIL:
            falls = [
                f"{each.corruption.value} (top-1 {units.percent(each.top1)}, the reference's "
                f"{units.percent(top1[each.corruption])})"
                for each in row.falls
            ]
            notes.append(
                f"{row.name} does not fail on the test pictures as they are, but on corrupted "
                f"ones: {units.listed(falls)}."
            )
    return notes


def _skipped(content: ReportContent) -> list[str]:
    skipped = content.data.skipped
    if not skipped:
        return []
    shown = "; ".join(skipped[:_SHOWN])
    rest = f"; and {len(skipped) - _SHOWN} more" if len(skipped) > _SHOWN else ""
    return [f"{units.plural(len(skipped), 'unreadable picture')} left out: {shown}{rest}."]


def _warnings(content: ReportContent) -> tuple[str, ...]:
    """Return the warnings about latencies, with advice."""
    return warning_sentences(
        [
            (row.name, latency)
            for row in content.artifacts
            for latency in (row.bench.latencies if row.bench else ())
        ]
    )


def _slow_int8(content: ReportContent) -> list[str]:
    """Say which int8 artifacts are not faster than float32, and what the processor has to do with
    it, in the sentences of ``recommend``.
    """
    benches = [row.bench for row in content.artifacts if row.bench is not None]
    gains = [
        gain
        for gain in compare_with_float32(benches)
        if artifact_kind(gain.name).precision is Precision.INT8
    ]
    slow = [gain_words(gain) for gain in gains if not all(gain.gains)]
    features = content.machine.cpu_features if content.machine else ()
    why = processor_words(gains, features) if slow else ""
    return [*slow, why] if why else slow


def _made_differently(content: ReportContent) -> list[str]:
    names = made_differently(content)
    if not names:
        return []
    was = "was" if len(names) == 1 else "were"
    return [
        f"The section about the quantization does not apply to {', '.join(names)}, which {was} "
        "made from other calibration pictures or by another method. Run `resnet-edge export` with "
        f"{', '.join(names)} among the formats to make all of them alike."
    ]
