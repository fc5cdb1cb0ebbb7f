"""The quantization's section: how the integer artifacts were made, and which layers add noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from resnet_edge import units
from resnet_edge.exporting.quantization_result import (
    LayerSensitivity,
    PrecisionTrial,
    QuantizationResult,
)
from resnet_edge.reporting.content import ArtifactRow, ReportContent
from resnet_edge.reporting.provenance import Fact

MAX_NOISIEST = 15
"""Layers in the short table; the long one holds all."""
_MAX_NAMED = 3
"""Layers in float that a trial names; further ones are counted. report.json names all."""


@dataclass(frozen=True)
class LayerRow:
    """One layer, ready to be shown."""

    number: str
    """The place in the graph, counted from 1, as under the plot."""
    layer: str
    kinds: str
    range: str
    output_sqnr: str
    logits_sqnr: str
    agreement: str
    share: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells in the order of ``LAYER_HEADINGS``."""
        measured = (self.output_sqnr, self.logits_sqnr, self.agreement, self.share)
        return (self.layer, self.kinds, self.number, self.range, *measured)


LAYER_HEADINGS = (
    "layer",
    "operators",
    "no.",
    "range",
    "SQNR of its output",
    "SQNR of the logits, alone",
    "agreement, alone",
    "share of the noise",
)

ALONE = "“Alone” means that only this layer is rounded and all others compute in float."
"""Explains two headings."""


@dataclass(frozen=True)
class TrialRow:
    """One trial, ready to be shown."""

    change: str
    float_layers: str
    agreement: str
    sqnr: str
    size: str
    latency: str
    holds: str
    best: bool

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells in the order of ``TRIAL_HEADINGS``."""
        measured = (self.agreement, self.sqnr, self.size, self.latency, self.holds)
        return (self.change, self.float_layers, *measured)


TRIAL_HEADINGS = (
    "changed",
    "layers in float",
    "agreement",
    "SQNR",
    "size",
    "p50 ms (1 thread)",
    "holds",
)

TEXT_COLUMNS = 2
"""The first columns of both tables, which are text; the others are numbers."""


@dataclass(frozen=True)
class QuantizationSection:
    """The section's content."""

    facts: tuple[Fact, ...]
    """The method and the findings; those of single artifacts with their names."""
    summary: str
    """The share of the noise that the noisiest layers cause, in a sentence."""
    noisiest: tuple[LayerRow, ...]
    """The layers with the largest shares of the noise, largest first."""
    layers: tuple[LayerRow, ...]
    """All, in the order of the graph."""
    trials: tuple[TrialRow, ...]


def build_quantization(content: ReportContent) -> QuantizationSection | None:
    """Return the section; None where there are no results of the quantization."""
    result = content.quantization
    if result is None:
        return None
    ranked = rank_layers(result.layers)
    rows = tuple(_layer_row(place, layer) for place, layer in enumerate(result.layers, 1))
    return QuantizationSection(
        facts=(
            Fact("method", result.method),
            Fact("calibration", units.plural(result.pictures, "picture")),
            *(Fact(key, words) for key, words in result.findings.items()),
            *_own_findings(content.artifacts, result),
        ),
        summary=_summary(result.layers, ranked[:MAX_NOISIEST]),
        noisiest=tuple(rows[place] for place in ranked[:MAX_NOISIEST]),
        layers=rows,
        trials=tuple(
            _trial_row(t, best=place == result.best) for place, t in enumerate(result.trials)
        ),
    )


def rank_layers(layers: Sequence[LayerSensitivity]) -> list[int]:
    """Return the places of the layers, largest share first; those without a share come last."""

    def order(place: int) -> float:
        share = layers[place].share
        return -share if math.isfinite(share) else math.inf

    return sorted(range(len(layers)), key=order)


def made_differently(content: ReportContent) -> tuple[str, ...]:
    """Return the artifacts made from other calibration pictures, or by another method."""
    result = content.quantization
    if result is None:
        return ()
    same = (result.calibration_sha256, result.method)
    return tuple(
        row.name
        for row in content.artifacts
        if (made := row.sidecar.calibration) is not None and (made.sha256, made.method) != same
    )


def _own_findings(artifacts: Sequence[ArtifactRow], result: QuantizationResult) -> list[Fact]:
    """Return each finding that only sidecars have, once, with the artifacts that have it."""
    said: dict[tuple[str, str], list[str]] = {}
    for row in artifacts:
        for key, words in row.sidecar.findings.items():
            if result.findings.get(key) != words:
                said.setdefault((key, words), []).append(row.name)
    everyone = [row.name for row in artifacts if row.sidecar.calibration is not None]
    return [
        Fact(key, words if names == everyone else f"{', '.join(names)}: {words}")
        for (key, words), names in said.items()
    ]


def _summary(layers: Sequence[LayerSensitivity], noisiest: Sequence[int]) -> str:
    if not layers:
        return "No layer was measured by itself."
    total = units.plural(len(layers), "layer")
    shares = [s for place in noisiest if math.isfinite(s := layers[place].share)]
    if not shares:
        return f"{total}; no share of the noise is known."
    if not any(shares):
        return f"{total}; none causes noise in the logits by itself."
    if len(noisiest) == len(layers):
        return f"{total}, largest share first."
    # Rounding may add up to a little over all of it.
    together = units.percent(min(1.0, math.fsum(shares)), 1)
    return f"Of {total}, the {len(noisiest)} noisiest cause {together} of the noise."


def _layer_row(number: int, layer: LayerSensitivity) -> LayerRow:
    return LayerRow(
        number=units.count(number),
        layer=layer.layer,
        kinds=", ".join(dict.fromkeys(layer.kinds)),
        range=_range(layer.low, layer.high),
        output_sqnr=_decibels(layer.output_sqnr_db),
        logits_sqnr=_decibels(layer.logits_sqnr_db),
        agreement=_percent(layer.agreement),
        share=_percent(layer.share),
    )


def _trial_row(trial: PrecisionTrial, *, best: bool) -> TrialRow:
    finite = math.isfinite(trial.latency_s)
    holds = "yes" if trial.holds else "no"
    return TrialRow(
        change=_change(trial),
        float_layers=_named(trial.float_layers),
        agreement=_percent(trial.agreement),
        sqnr=_decibels(trial.sqnr_db),
        size=units.size(trial.bytes),
        latency=units.milliseconds(trial.latency_s) if finite else units.NOTHING,
        holds=f"{holds}, best" if best else holds,
        best=best,
    )


def _change(trial: PrecisionTrial) -> str:
    if not trial.layer:
        return "nothing yet"
    return f"{trial.layer} {'to float' if trial.layer in trial.float_layers else 'to integers'}"


def _named(layers: Sequence[str]) -> str:
    more = len(layers) - _MAX_NAMED
    named = ", ".join(layers[:_MAX_NAMED])
    return f"{named} and {more:,} more" if more > 0 else named or "none"


def _range(low: float, high: float) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return units.NOTHING
    return f"{_level(low)} to {_level(high)}"


def _level(value: float) -> str:
    plain = value == 0 or 1e-3 <= abs(value) < 1e6
    text = units.significant(value) if plain else f"{value:.2e}"
    return text.replace("-", "−")


def _percent(share: float) -> str:
    return units.percent(share if math.isfinite(share) else None)


def _decibels(sqnr_db: float) -> str:
    """Return the ratio as in the other tables; a dash where there is none."""
    known = math.isfinite(sqnr_db) or sqnr_db == math.inf
    return units.decibels(sqnr_db if known else None)
