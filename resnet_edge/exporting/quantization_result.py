"""How the integer artifacts were made: the record between ``export`` and ``report``.

Leaf module: standard library only. Times are seconds, sizes bytes, shares in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

from resnet_edge.ondevice.measurements import SCHEMA_VERSION


@dataclass(frozen=True)
class LayerQuantization:
    """What rounding one layer costs."""

    layer: str
    """Its Keras name."""
    kinds: tuple[str, ...]
    """Its operators in the TFLite file."""
    low: float
    high: float
    """The range its output is rounded in."""
    output_sqnr_db: float
    """Of its output in the fully rounded network, against the float network."""
    logits_sqnr_db: float
    """Of the centred logits where only this layer is rounded."""
    agreement: float
    """Share of pictures with the same best class where only this layer is rounded."""
    share: float
    """Part of the noise in the logits that it causes: the layers' parts sum to 1."""


@dataclass(frozen=True)
class QuantizationTrial:
    """One candidate of the search for layers that have to stay in float."""

    layer: str
    """What was changed; empty for the first, with every layer rounded."""
    float_layers: tuple[str, ...]
    agreement: float
    """Of the file in its runtime with the float model, on the calibration pictures."""
    sqnr_db: float
    bytes: int
    latency_s: float
    """Median, one thread, on this machine."""
    holds: bool
    """Whether the agreement is enough."""


@dataclass(frozen=True)
class QuantizationResult:
    """``results/quantization.json``: how the integer artifacts were made, and who is guilty."""

    model_sha256: str
    calibration_sha256: str
    pictures: int
    method: str
    findings: dict[str, str]
    """What was found, in words."""
    layers: tuple[LayerQuantization, ...]
    """In the order of the graph."""
    trials: tuple[QuantizationTrial, ...]
    """In the order they were made."""
    best: int | None = None
    """Place of the trial whose layers in float were taken."""
    float32_sha256: str = ""
    """Of the float32 file that was quantized; trials with another graph are not continued."""
    schema: int = SCHEMA_VERSION
