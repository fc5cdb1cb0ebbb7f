"""The content of a model file of any format, as the readers hand it to ``inspect_file``.

Leaf module: standard library only.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from resnet_edge.ondevice.formats.kinds import Quantization

MAX_LABELS_BYTES = 16 << 20
"""Largest label list that is read out of an archive: a small zip can unpack to anything."""


class Computation(enum.Enum):
    """The computation of one operator that has weights."""

    FLOAT32 = "float32"
    FLOAT16 = "float16 weights"
    DYNAMIC = "int8 weights, activations quantized at run time"
    STATIC = "int8 weights and activations"
    STATIC_INT16 = "int8 weights, int16 activations"
    WEIGHT_ONLY = "int8 weights, float32 activations"


@dataclass(frozen=True)
class Endpoint:
    """One input or output."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None
    """None in it where a size is free; None as a whole where the file does not say."""
    scale: float | None = None
    zero_point: int | None = None
    """The real value of an integer endpoint is ``(value - zero_point) * scale``."""


@dataclass(frozen=True)
class Count:
    """A name with the number of its occurrences."""

    name: str
    count: int


@dataclass(frozen=True)
class WeightGroup:
    """The stored weights of one dtype and granularity."""

    dtype: str
    granularity: str
    """``per-channel``, ``per-tensor`` or ``not quantized``."""
    tensors: int
    values: int


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of weights; ``group_weights`` sums these up."""

    dtype: str
    values: int
    scales: int
    """The number of its quantization scales; 0 if it is not quantized."""


@dataclass(frozen=True)
class Contents:
    """The facts that a reader found in a file."""

    inputs: tuple[Endpoint, ...]
    outputs: tuple[Endpoint, ...]
    operators: tuple[Count, ...]
    weights: tuple[WeightGroup, ...]
    computations: tuple[Count, ...]
    """Operators with weights by how they compute (``Computation``), most frequent first."""
    quantization: str
    """Deduced from the graph: a value of ``Quantization`` where one fits."""
    labels: tuple[str, ...] | None
    model_name: str | None
    parameters: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """Facts that could not be found out, each with the reason."""


def split_labels(text: str) -> tuple[str, ...]:
    """Return the class names of a text file that has one a line.

    ``str.splitlines`` would also split at characters that a name may hold, for instance U+2028.
    """
    lines = text.replace("\r\n", "\n").removesuffix("\n")
    return tuple(lines.split("\n")) if lines else ()


def count_names(names: Iterable[str]) -> tuple[Count, ...]:
    """Count equal names: most frequent first, equally frequent ones by name."""
    ordered = sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))
    return tuple(Count(name, count) for name, count in ordered)


def group_weights(tensors: Iterable[StoredTensor]) -> tuple[WeightGroup, ...]:
    """Sum up weights by dtype and granularity, the largest group first."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for tensor in tensors:
        key = tensor.dtype, _granularity(tensor.scales)
        count, values = sums.get(key, (0, 0))
        sums[key] = count + 1, values + tensor.values
    groups = (WeightGroup(*key, *total) for key, total in sums.items())
    return tuple(sorted(groups, key=lambda g: (-g.values, g.dtype, g.granularity)))


def _granularity(scales: int) -> str:
    if scales == 0:
        return "not quantized"
    return "per-tensor" if scales == 1 else "per-channel"


def deduce_quantization(computations: Iterable[Computation], *, integer_only: bool) -> str:
    """Name the kind of quantization by the computation of most operators with weights.

    Args:
        computations: One for every operator that has weights.
        integer_only: True if nothing in the graph is computed in floating point.

    Returns:
        A value of ``Quantization``, or words of its own for kinds that ``export`` does not make.
    """
    counts = Counter(computations)
    if not counts:
        return "unknown: no operator has weights"
    match counts.most_common(1)[0][0]:
        case Computation.FLOAT32:
            return Quantization.NONE.value
        case Computation.FLOAT16:
            return Quantization.FLOAT16_WEIGHTS.value
        case Computation.DYNAMIC:
            return Quantization.DYNAMIC.value
        case Computation.STATIC if integer_only:
            return Quantization.INTEGER_ONLY.value
        case Computation.STATIC:
            return Quantization.STATIC.value
        case Computation.STATIC_INT16:
            return Quantization.INT16_ACTIVATIONS.value
        case Computation.WEIGHT_ONLY:
            return "weight only: int8 weights, float32 activations"


def text_metadata(entries: Mapping[str, str | None]) -> dict[str, str]:
    """Return the entries that are not empty."""
    return {name: value for name, value in entries.items() if value}
