"""The findings of a whole report, the first words after its answer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from resnet_edge.ondevice.parity.findings import find_harm
from resnet_edge.reporting.content import ReportContent
from resnet_edge.reporting.device_table import device_names


def find_findings(content: ReportContent) -> tuple[str, ...]:
    """Return a sentence for each harm that top-1 does not show, here and on devices."""
    return tuple(itertools.chain(_here(content), _on_devices(content)))


def _here(content: ReportContent) -> Iterator[str]:
    for row in content.artifacts:
        if row.parity is not None:
            yield from find_harm(row.parity)


def _on_devices(content: ReportContent) -> Iterator[str]:
    for device, name in zip(content.devices, device_names(content), strict=True):
        for row in device.artifacts:
            if row.parity is not None:
                yield from find_harm(row.parity, f"{row.name} on {name}")
