"""What is known of runtimes that no figure explains: one row for each fact."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_edge.ondevice.formats.kinds import Precision


@dataclass(frozen=True)
class KnownTrait:
    """The reason why files of one precision are slow in a runtime."""

    runtime: str
    """The name in results."""
    precision: Precision
    fact: str
    """What the runtime does; the runtime's name stands before it."""
    seen_with: str
    """The version that was seen to do so; another one may do better."""
    advice: str

    @property
    def words(self) -> str:
        """The fact and the advice as a sentence."""
        return f"{self.runtime} {self.fact} (seen with {self.seen_with}), so there {self.advice}."


KNOWN_TRAITS = (
    KnownTrait(
        runtime="LiteRT.js wasm",
        precision=Precision.FLOAT16,
        fact="leaves convolutions over float16 weights to slow kernels",
        seen_with="2.5.3",
        advice="take fp32.tflite or an integer file",
    ),
)
"""Every fact; it is told only where the figures show what it explains."""


def known_trait(runtime: str, precision: Precision) -> KnownTrait | None:
    """Return what is known of a precision in a runtime; None where nothing is."""
    for trait in KNOWN_TRAITS:
        if trait.runtime == runtime and trait.precision is precision:
            return trait
    return None
