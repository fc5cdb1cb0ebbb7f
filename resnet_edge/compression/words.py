"""A front as people read it: sentences, and the rows of tables."""

from __future__ import annotations

from collections.abc import Sequence

from resnet_edge import units
from resnet_edge.compression.front import Entry, Front
from resnet_edge.compression.limits import Limits
from resnet_edge.compression.trials import MODEL, Stage, Trial
from resnet_edge.ondevice.measurements import Interval, Verdict

ENTRY_HEADINGS = (
    "file",
    "multiply-adds",
    "p50 / p90 ms",
    "runtime, threads",
    "size",
    "top-1",
    "against the model",
    "limits",
)

TRIAL_HEADINGS = (
    "network",
    "input",
    "multiply-adds",
    "parameters",
    "validation top-1",
    "agreement",
    "followed",
    "learned",
)

_FOLLOWED = {Stage.FITTED: "fitted", Stage.MEASURED: "measured"}


def size_words(size: tuple[int, int]) -> str:
    """Return a size as people write it: ``64 px``, or ``48 x 64 px``."""
    height, width = size
    return f"{height} px" if height == width else f"{height} x {width} px"


def answer(front: Front) -> tuple[str, ...]:
    """Return what a person should do, and why, in sentences; the most important first."""
    if front.chosen is not None:
        return (f"Take {_sentence(front.chosen, front.limits)}.", *_provisos(front.chosen))
    if front.nearest is None:
        return ("Nothing was measured: give the search more minutes.",)
    missed = [
        f"{limit} is exceeded by {excess:.0%}" if excess else f"{limit} is not proven"
        for limit, excess in front.nearest.excess.items()
    ]
    found = [
        f"Nothing fits. Nearest comes {_sentence(front.nearest, front.limits)}; "
        f"{units.listed(missed)}."
    ]
    if front.costliest is not None:
        limit, entry = front.costliest
        words = _sentence(entry, front.limits)
        found.append(f"The limit that costs the most is {limit}: without it there is {words}.")
    elif len({name for entry in front.entries for name in entry.excess}) > 1:
        found.append("No single limit is in the way: without any one of them nothing fits either.")
    return tuple(found)


def _sentence(entry: Entry, limits: Limits) -> str:
    limit = f" (limit {limits.p90_s * 1e3:g})" if limits.p90_s else ""
    room = f" (limit {units.size(limits.bytes)})" if limits.bytes else ""
    how = "foretold for" if entry.is_foretold else "on"
    return (
        f"{entry.file} at {size_words(entry.size)} and {_width_words(entry)}: p90 "
        f"{units.milliseconds(entry.p90_s)} ms{limit} {how} {entry.machine} in {entry.runtime} "
        f"with {units.plural(entry.threads, 'thread')}, {units.size(entry.bytes)}{room}, top-1 "
        f"{units.points(entry.change)} points{_interval_words(entry.interval)}"
    )


def _width_words(entry: Entry) -> str:
    if entry.share == 1:
        return "all channels"
    return f"{entry.share:.2f} of the multiply-adds"


def _interval_words(interval: Interval | None) -> str:
    if interval is None:
        return ""
    low, high = units.points(interval.low), units.points(interval.high)
    return f" ({interval.confidence:.0%} interval {low} to {high})".replace("%", " %")


def _provisos(entry: Entry) -> tuple[str, ...]:
    found = []
    if entry.answers is Verdict.INCONCLUSIVE:
        found.append(f"The loss is not proven: {entry.answers_reason}.")
    if entry.is_foretold:
        found.append(
            f"The latency on {entry.machine} is foretold: make a bundle of this network, run it "
            "there, and give the result to --on-device."
        )
    return tuple(found)


def entry_rows(entries: Sequence[Entry]) -> tuple[tuple[str, ...], ...]:
    """Return a line per file in the order of ``ENTRY_HEADINGS``."""
    return tuple(
        (
            entry.title,
            f"{entry.share_of_model:.2f}",
            _times(entry),
            f"{entry.runtime}, {entry.threads}",
            units.size(entry.bytes),
            units.percent(entry.top1),
            f"{units.points(entry.change)}{_short(entry.interval)}",
            ", ".join(entry.excess) or "held",
        )
        for entry in entries
    )


def _times(entry: Entry) -> str:
    if entry.p50_s is None:
        mark = "foretold " if entry.is_foretold else ""
        return f"{mark}{units.milliseconds(entry.p90_s)}"
    return f"{units.milliseconds(entry.p50_s)} / {units.milliseconds(entry.p90_s)}"


def _short(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f" [{units.points(interval.low)}, {units.points(interval.high)}]"


def trial_rows(trials: Sequence[Trial]) -> tuple[tuple[str, ...], ...]:
    """Return a line per network in the order of ``TRIAL_HEADINGS``; probes are none."""
    last = {trial.name: trial for trial in trials if trial.stage is not Stage.PROBE}
    model = last.get(MODEL)
    full = model.multiply_adds if model else max((t.multiply_adds for t in trials), default=1)
    rows = sorted(last.values(), key=lambda trial: -trial.multiply_adds)
    return tuple(
        (
            trial.name,
            size_words(trial.size),
            f"{trial.multiply_adds / full:.2f}",
            units.operations(trial.parameters),
            units.points(trial.change or 0.0),
            units.percent(trial.agreement),
            _FOLLOWED[trial.stage],
            trial.learned or units.NOTHING,
        )
        for trial in rows
    )
