"""The table of `benchmarks/quantization.py`.

python benchmarks/quantization_table.py rows.json more-rows.json    # one table of several runs
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quantization_peers import PEERS

from resnet_edge.ondevice.parity.interval import accuracy_interval

HEADER = (
    "tool",
    "artifact",
    "runtime",
    "size",
    "top-1",
    "against float",
    "agreement",
    "with its .tflite",
    "SQNR",
    "SQNR in 8-bit steps",
    "quantize",
    "time ratio",
    "peak memory",
)


@dataclass(frozen=True)
class Row:
    """One artifact of one tool and one seed; figures are 0 if the tool failed."""

    tool: str
    seed: int
    error: str | None = None
    artifact: str = ""
    runtime: str = ""
    bytes: int = 0
    top1: float = 0.0
    """Share of pictures whose label is strictly the best answer."""
    gained: int = 0
    """Pictures that are right where the float model is wrong."""
    lost: int = 0
    """Pictures that are wrong where the float model is right."""
    pictures: int = 0
    """Test pictures."""
    agreement: float = 0.0
    """Share of pictures with the float model's answer. A tie counts as another answer."""
    sqnr_db: float = 0.0
    """SQNR of the centred log-probabilities, floored at half a step of the artifact's output."""
    sqnr_8bit_db: float = 0.0
    """The same SQNR with the floor of an 8-bit softmax for every artifact."""
    tied: int = 0
    """Pictures with more than one best class."""
    quantize_s: float = 0.0
    """Seconds from float file to int8 file, or to both files of a tool that writes two."""
    peak_bytes: int = 0
    """Peak memory of the process until the file was written, without its child processes."""
    loaded_bytes: int = 0
    """Memory of the process just before it began to quantize."""
    twin: float | None = None
    """Agreement of ``int8.onnx`` with the ``int8.tflite`` of the same quantization."""


def print_table(rows: list[Row], tools: Sequence[str]) -> None:
    """Print the table as Markdown, and what its time ratios are to."""
    fastest = fastest_peer(rows)
    print(f"Time ratio: to {fastest or 'the fastest peer, of which there is none here'}.\n")
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}")
    for tool in tools:
        for line in table_lines([row for row in rows if row.tool == tool], rows, fastest):
            print(f"| {' | '.join(line)} |")


def fastest_peer(rows: list[Row]) -> str | None:
    times = {
        tool: [row.quantize_s for row in rows if row.tool == tool and not row.error]
        for tool in PEERS
    }
    medians = {tool: statistics.median(values) for tool, values in times.items() if values}
    return min(medians, key=lambda tool: medians[tool]) if medians else None


def table_lines(own: list[Row], rows: list[Row], fastest: str | None) -> list[list[str]]:
    """One line per artifact of a tool, and one per seed that failed."""
    against = {row.seed: row.quantize_s for row in rows if row.tool == fastest and not row.error}
    lines = []
    for artifact in dict.fromkeys(row.artifact for row in own if not row.error):
        same = [row for row in own if row.artifact == artifact and not row.error]
        ratios = [row.quantize_s / against[row.seed] for row in same if row.seed in against]
        lines.append(
            [
                same[0].tool,
                artifact,
                same[0].runtime,
                spread([row.bytes / 1e6 for row in same], "{:.1f}", " MB"),
                spread([row.top1 * 100 for row in same], "{:.2f}", " %"),
                against_float(same),
                spread([row.agreement * 100 for row in same], "{:.2f}", " %"),
                spread([row.twin * 100 for row in same if row.twin is not None], "{:.2f}", " %"),
                spread([row.sqnr_db for row in same], "{:.1f}", " dB"),
                spread([row.sqnr_8bit_db for row in same], "{:.1f}", " dB"),
                spread([row.quantize_s for row in same], "{:.1f}", " s"),
                spread(ratios, "{:.2f}", ""),
                spread([row.peak_bytes / 2**20 for row in same], "{:.0f}", " MiB"),
            ]
        )
    for row in (row for row in own if row.error):
        reason = str(row.error).replace("|", "/")  # it would end the cell
        line = [row.tool, f"failed with seed {row.seed}: {reason}"]
        lines.append(line + [""] * (len(HEADER) - len(line)))
    return lines


def against_float(rows: list[Row]) -> str:
    """Return the median difference in points, with its interval and those of the other seeds."""
    by_difference = sorted(rows, key=lambda row: row.gained - row.lost)
    row = by_difference[(len(rows) - 1) // 2]  # of an even number the lower one
    interval = accuracy_interval(row.gained, row.lost, row.pictures)
    others = [100 * (each.gained - each.lost) / each.pictures for each in by_difference]
    middle = 100 * (row.gained - row.lost) / row.pictures
    bounds = f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}"
    return f"{middle:+.2f} [{bounds}] ({others[0]:+.2f}–{others[-1]:+.2f})"


def spread(values: Sequence[float], form: str, unit: str) -> str:
    """Return the median as text, with the smallest and the largest if they differ."""
    if not values:
        return "–"
    low, middle, high = (form.format(f(values)) for f in (min, statistics.median, max))
    return middle + unit if low == high else f"{middle}{unit} ({low}–{high})"


def main() -> int:
    if not sys.argv[1:]:
        print("expected files of benchmarks/quantization.py --json", file=sys.stderr)
        return 2
    found = [json.loads(Path(name).read_text())["rows"] for name in sys.argv[1:]]
    rows = [Row(**row) for part in found for row in part]
    print_table(rows, list(dict.fromkeys(row.tool for row in rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
