"""Where the time of each artifact goes, as tables on standard output."""

from __future__ import annotations

from resnet_edge import units
from resnet_edge.cli.console import print_rows, print_table
from resnet_edge.ondevice.latency.profiling import by_layer
from resnet_edge.ondevice.measurements import OperatorProfile, ProfileResult

TOP = 10
"""Layers that are shown; the file has every operator."""

HEADINGS = ("layer", "operators", "ms", "share")


def print_profiles(result: ProfileResult) -> None:
    """Print the slowest layers of each artifact, or why they are not known."""
    for artifact in result.artifacts:
        for profile in artifact.profiles:
            total = units.milliseconds(profile.total_s)
            print(
                f"\n{artifact.name}, {profile.runtime}, {units.plural(profile.threads, 'thread')}: "
                f"{units.plural(len(profile.operators), 'operator')}, {total} ms in all"
            )
            print_table(HEADINGS, layer_rows(profile))
    unknown = [
        (a.name, f"not profiled: {a.unavailable}") for a in result.artifacts if a.unavailable
    ]
    print_rows(unknown)


def layer_rows(profile: OperatorProfile) -> tuple[tuple[str, ...], ...]:
    """Return a line for each of the slowest layers, and one for all others together."""
    layers = by_layer(profile.operators)
    rows = [
        (
            layer.layer or f"({layer.node})",
            layer.operator,
            units.milliseconds(layer.median_s),
            units.percent(layer.share, 1),
        )
        for layer in layers[:TOP]
    ]
    if rest := layers[TOP:]:
        time_s, share = sum(x.median_s for x in rest), sum(x.share for x in rest)
        name = f"{units.plural(len(rest), 'other')}"
        rows.append((name, "", units.milliseconds(time_s), units.percent(share, 1)))
    return tuple(rows)
