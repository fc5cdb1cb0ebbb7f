"""Writes a front as a page and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from resnet_edge import units
from resnet_edge.compression.front import Front
from resnet_edge.compression.trials import Trial
from resnet_edge.compression.words import (
    ENTRY_HEADINGS,
    TRIAL_HEADINGS,
    answer,
    entry_rows,
    trial_rows,
)
from resnet_edge.ondevice.files import write_bytes
from resnet_edge.ondevice.json_records import to_json
from resnet_edge.reporting.artifact_plots import legend
from resnet_edge.reporting.front_plot import plot_front
from resnet_edge.reporting.templates import render_template


@dataclass(frozen=True)
class FrontPage:
    """All that the template shows. The template escapes every plain string."""

    title: str
    verdict: str
    answer: tuple[str, ...]
    tiles: tuple[tuple[str, str], ...]
    plot: Markup | None
    legend: str
    entry_headings: tuple[str, ...]
    entries: tuple[tuple[str, ...], ...]
    """Files that no other beats."""
    beaten: tuple[tuple[str, ...], ...]
    trial_headings: tuple[str, ...]
    trials: tuple[tuple[str, ...], ...]
    pictures: str


def write_front(folder: Path, front: Front, trials: Sequence[Trial], pictures: str) -> Path:
    """Write ``front.html`` and ``front.json`` into a folder.

    Args:
        folder: It is made where it is missing.
        front: What was found.
        trials: All rows of the search.
        pictures: Origin of the pictures that were fitted and trained with, in words.

    Returns:
        The path of the page.

    Raises:
        OutputError: A file cannot be written.
    """
    data = {**front_json(front), "answer": list(answer(front))}
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    page = folder / "front.html"
    for path, content in (
        (folder / "front.json", text),
        (page, _render(front, trials, pictures)),
    ):
        write_bytes(path, content.encode(errors="backslashreplace"))
    return page


def front_json(front: Front) -> dict[str, object]:
    """Return a front in JSON's types: limits, every file, and the names of those that count."""
    data = to_json(front)
    for name in ("chosen", "nearest"):
        entry = getattr(front, name)
        data[name] = entry and entry.title
    if front.costliest is not None:
        limit, entry = front.costliest
        data["costliest"] = {"limit": limit, "without": entry.title}
    data["front"] = [entry.title for entry in front.unbeaten]
    found: dict[str, object] = data
    return found


def _render(front: Front, trials: Sequence[Trial], pictures: str) -> str:
    plot = plot_front(front)
    beaten = [entry for entry in front.entries if entry.beaten_by]
    page = FrontPage(
        title="Networks within the limits",
        verdict=front.chosen.verdict.value if front.chosen else "fail",
        answer=answer(front),
        tiles=_tiles(front),
        plot=None if plot is None else Markup(plot),
        legend=legend(),
        entry_headings=ENTRY_HEADINGS,
        entries=entry_rows(front.unbeaten),
        beaten=entry_rows(beaten),
        trial_headings=TRIAL_HEADINGS,
        trials=trial_rows(trials),
        pictures=pictures,
    )
    return render_template("front.html.j2", page)


def _tiles(front: Front) -> tuple[tuple[str, str], ...]:
    limits = front.limits
    return (
        ("full-precision top-1", units.percent(front.reference_top1)),
        ("largest p90", f"{limits.p90_s * 1e3:g} ms" if limits.p90_s else units.NOTHING),
        ("largest size", units.size(limits.bytes) if limits.bytes else units.NOTHING),
        ("largest loss", f"{limits.loss * 100:g} points" if limits.loss else units.NOTHING),
    )
