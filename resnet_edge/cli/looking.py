"""The commands that look: inspect, doctor."""

from __future__ import annotations

from resnet_edge.cli import parameters as p
from resnet_edge.cli.console import print_json, print_rows


def inspect(file: p.FileArgument, as_json: p.Json = False) -> None:
    """Show what is in a file: input and output, operators, quantization, labels, hashes."""
    from resnet_edge.inspection import inspect_file, inspection_rows

    inspection = inspect_file(file)
    print_json(inspection) if as_json else print_rows(inspection_rows(inspection))


def doctor(as_json: p.Json = False) -> None:
    """Show what this machine has: processor, GPU, runtimes and versions, and what is missing."""
    from resnet_edge.diagnosis import diagnose, diagnosis_rows

    diagnosis = diagnose()
    print_json(diagnosis) if as_json else print_rows(diagnosis_rows(diagnosis))
