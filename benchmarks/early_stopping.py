"""MLPerf's early-stopping bound of p90: the share of runs in which it is true, and its cost.

    python benchmarks/early_stopping.py [OUT/results/bench-HOST.json ...]

It is measured three times. First on distributions with a known p90, with every run drawn anew. Then
on the samples of real `bench` runs, cut into pieces of so many queries in a row; the p90 of the
whole run counts as the truth, so runs with few pieces are left out. Then on the same samples in
random order: the difference shows the effect of a machine that is slower for a while. "True" is the
share of runs whose figure is at or above the truth. The bound promises 99 % or more, a plain
percentile reaches about half. "Above" is the distance of the figure above the truth, in the median
run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from resnet_edge.errors import InferenceError
from resnet_edge.ondevice.json_records import read_record
from resnet_edge.ondevice.latency.early_stopping import PERCENTILE, allowed_over
from resnet_edge.ondevice.measurements import BenchResult

COUNTS = (64, 128, 512, 1024)
RUNS = 20_000
LEAST_PIECES = 5
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "records", type=Path, nargs="*", help="records that `resnet-edge bench` wrote"
    )
    parser.add_argument("--runs", type=int, default=RUNS, help="runs drawn of each distribution")
    options = parser.parse_args()
    print("| latencies | queries | runs | plain p90 true | above | bound true | above |")
    print("|---|---|---|---|---|---|---|")
    for name, draw in DISTRIBUTIONS.items():
        truth = float(np.quantile(draw(np.random.default_rng(1), (1_000_000, 4)), PERCENTILE))
        for count in COUNTS:
            runs = draw(np.random.default_rng(0), (options.runs, count))
            print_row(name, runs, truth)
    for path in options.records:
        for name, samples in measured(path):
            print_pieces(name, samples)
            print_pieces(f"{name}, shuffled", np.random.default_rng(0).permutation(samples))
    return 0


def print_pieces(name: str, samples: np.ndarray) -> None:
    truth = plain_p90(samples[np.newaxis])[0]
    for count in COUNTS:
        pieces = len(samples) // count
        if pieces >= LEAST_PIECES:
            print_row(name, samples[: pieces * count].reshape(pieces, count), truth)


def normal(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A steady machine: 2 % of noise."""
    return 1 + 0.02 * generator.standard_normal(shape)


def lognormal(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A noisy one."""
    return np.exp(0.2 * generator.standard_normal(shape))


def exponential(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A long tail."""
    return 1 + 0.3 * generator.exponential(size=shape)


def two_speeds(slow: float) -> Draw:
    """Some queries take twice as long, at random."""

    def draw(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return normal(generator, shape) * np.where(generator.random(shape) < slow, 2, 1)

    return draw


def wandering(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Noise is nine tenths that of the query before, which the bound does not reckon with."""
    noise = generator.standard_normal(shape, dtype=np.float32)
    noise[:, 1:] *= (1 - 0.9**2) ** 0.5
    for column in range(1, shape[1]):
        noise[:, column] += 0.9 * noise[:, column - 1]
    return np.exp(0.2 * noise)


DISTRIBUTIONS: dict[str, Draw] = {
    "normal, 2 %": normal,
    "lognormal, 20 %": lognormal,
    "1 + exponential, 30 %": exponential,
    "5 % of queries twice as long": two_speeds(0.05),
    "9.5 % of queries twice as long": two_speeds(0.095),
    "lognormal, 20 %, neighbours correlated (0.9)": wandering,
}


def measured(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the samples of every measurement."""
    for bench in read_record(BenchResult, path, InferenceError).artifacts:
        for latency in bench.latencies:
            yield f"{bench.name} ({latency.threads})", np.array(latency.samples_s)


def plain_p90(runs: np.ndarray) -> np.ndarray:
    """Return the p90 of each row, by the nearest rank."""
    count = runs.shape[1]
    return np.sort(runs, axis=1)[:, -(-9 * count // 10) - 1]


def bound(runs: np.ndarray) -> np.ndarray:
    """MLPerf's, of each row."""
    count = runs.shape[1]
    return np.sort(runs, axis=1)[:, count - allowed_over(count)]


def print_row(name: str, runs: np.ndarray, truth: float) -> None:
    cells = [name, str(runs.shape[1]), f"{len(runs):,}"]
    for figures in (plain_p90(runs), bound(runs)):
        cells.append(f"{np.mean(figures >= truth):.2%}".replace("%", " %"))
        above = round(statistics.median(figures.tolist()) / truth - 1, 3) + 0.0  # no -0.0
        cells.append(f"{above:+.1%}".replace("%", " %"))
    print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    sys.exit(main())
