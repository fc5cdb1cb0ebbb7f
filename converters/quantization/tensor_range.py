"""The range of a tensor, and the error for a tensor that has none. Needs no NumPy."""

from __future__ import annotations

from dataclasses import dataclass

from converters.errors import ModelConversionError


@dataclass(frozen=True)
class Range:
    """Smallest and largest value of one tensor."""

    low: float
    high: float

    def union(self, other: Range) -> Range:
        """Return the smallest range that holds both."""
        return Range(min(self.low, other.low), max(self.high, other.high))


def not_finite(name: str) -> ModelConversionError:
    """Return the error for a tensor that is NaN or infinite on a calibration picture."""
    return ModelConversionError(
        f"calibration: tensor {name!r} holds NaN or infinite values; the model's weights or "
        "the --preprocessing do not fit; check the float artifacts first"
    )
