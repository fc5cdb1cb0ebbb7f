"""A sidecar made by hand, in one place: a new field of it is added here and nowhere else."""

from __future__ import annotations

from dataclasses import replace

from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.formats.sidecar import Sidecar
from resnet_edge.ondevice.option import Changes
from resnet_edge.ondevice.parity.gates import Gates


def hand_sidecar(name: str, labels: tuple[str, ...] = ("cat", "dog"), **changes: object) -> Sidecar:
    """The sidecar of an artifact of this name, with other values for some fields."""
    kind = artifact_kind(name)
    sidecar = Sidecar(
        name=name,
        format=kind.format,
        precision=kind.precision,
        quantization=kind.quantization,
        input_name="image",
        input_dtype=kind.input_dtype,
        input_shape=(1, 4, 4, 3),
        output_name="probabilities",
        output_dtype=kind.output_dtype,
        output_shape=(1, len(labels)),
        preprocessing="caffe",
        fit="crop",
        labels=labels,
        bytes=5,
        sha256="0" * 64,
        model_name="hand",
        model_sha256="0" * 64,
        parameters=1,
        multiply_adds=1,
        multiply_adds_before=1,
        rewrites=(),
        calibration=None,
        tools={},
        options={},
    )
    return replace(sidecar, **changes)


def changed_gates(**values: float) -> Changes[Gates]:
    """These gates; the others stay as they were."""
    return Changes(Gates(**values), frozenset(values))
