"""``resnet-edge doctor``."""

from __future__ import annotations

from resnet_edge.cli.console import Json, print_json, print_rows


def doctor(as_json: Json = False) -> None:
    """Show what this machine has: processor, GPU, runtimes and versions, and what is missing."""
    from resnet_edge.diagnosis import diagnosis_rows
    from resnet_edge.steps import doctor as step

    diagnosis = step.doctor()
    print_json(diagnosis) if as_json else print_rows(diagnosis_rows(diagnosis))
