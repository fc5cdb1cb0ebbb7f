"""The reference's own section: its device, the proof of float32, and its throughput, as strings."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_edge import units
from resnet_edge.ondevice.measurements import Throughput
from resnet_edge.reporting.content import ReferenceSection
from resnet_edge.reporting.provenance import Fact

THROUGHPUT_HEADINGS = ("batch", "pictures / s", "ms a batch", "batches timed")


@dataclass(frozen=True)
class ReferenceView:
    """The section's content."""

    facts: tuple[Fact, ...]
    throughput: tuple[tuple[str, ...], ...]
    """Cells in the order of ``THROUGHPUT_HEADINGS``."""
    stopped: str
    """A sentence that says why larger batches are missing; empty if none is."""


def build_reference(reference: ReferenceSection | None) -> ReferenceView | None:
    """Return the section; None if there is no reference."""
    if reference is None:
        return None
    stopped = reference.throughput_stopped
    return ReferenceView(
        facts=reference_facts(reference),
        throughput=tuple(_cells(throughput) for throughput in reference.throughput),
        stopped=f"Larger batches were not measured: {stopped}." if stopped else "",
    )


def reference_facts(reference: ReferenceSection) -> tuple[Fact, ...]:
    """Return the device and the software that computed the reference."""
    return (
        Fact("device", reference.device),
        *(Fact(name, value) for name, value in reference.details.items()),
        Fact("backend", reference.backend),
        Fact("dtype", reference.dtype),
        Fact("proof of float32", reference.float32 or "none"),
        Fact("machine", reference.host or units.NOTHING),
        Fact("versions", ", ".join(f"{k} {v}" for k, v in reference.versions.items()) or "none"),
    )


def _cells(throughput: Throughput) -> tuple[str, ...]:
    return (
        units.count(throughput.batch),
        units.significant(throughput.pictures_per_s),
        units.milliseconds(throughput.batch_s),
        units.count(len(throughput.samples_s)),
    )
