"""``plan.json``: what the page needs to know before it asks."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_edge.devices.browser.plan import Plan
from resnet_edge.devices.browser.served_files import Served
from resnet_edge.ondevice.latency.spec import LatencySpec


@dataclass(frozen=True)
class PicturesFile:
    """The sample's pixels: uint8, ``count`` x ``height`` x ``width`` x 3, in C order."""

    count: int
    height: int
    width: int
    bytes: int
    address: str


@dataclass(frozen=True)
class ArtifactFile:
    """An artifact as the page needs it."""

    name: str
    format: str
    """``tflite`` or ``onnx``."""
    bytes: int
    address: str
    input_dtype: str
    output_dtype: str


@dataclass(frozen=True)
class HostNote:
    """What the host has to say to a person."""

    note: str
    """A sentence; empty where there is nothing to say."""


@dataclass(frozen=True)
class PlanFile:
    """The whole."""

    id: str
    made_by: str
    model: str
    classes: int
    pictures: PicturesFile
    artifacts: tuple[ArtifactFile, ...]
    spec: LatencySpec
    host: HostNote
    schema: int = 1


def plan_file(plan: Plan, files: dict[str, Served], note: str) -> PlanFile:
    """Return the content of ``plan.json``.

    Args:
        plan: What is to be measured.
        files: From ``served_files``.
        note: A sentence for the person at the page; may be empty.
    """
    count, height, width, _ = plan.pixels.shape
    artifacts = tuple(
        ArtifactFile(
            name=each.name,
            format=each.sidecar.format.value,
            bytes=each.sidecar.bytes,
            address=_address(f"artifacts/{each.name}", files),
            input_dtype=each.sidecar.input_dtype,
            output_dtype=each.sidecar.output_dtype,
        )
        for each in plan.artifacts
    )
    return PlanFile(
        id=plan.id,
        made_by=plan.made_by,
        model=plan.artifacts[0].sidecar.model_name,
        classes=len(plan.reference.info.labels),
        pictures=PicturesFile(count, height, width, plan.pixels.size, _address("pictures", files)),
        artifacts=artifacts,
        spec=plan.spec,
        host=HostNote(note),
    )


def _address(name: str, files: dict[str, Served]) -> str:
    return f"./{name}?sha256={files[name].sha256}"
