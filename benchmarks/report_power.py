"""How often the report accuses an honest file, and how often it catches a planted one.

    python benchmarks/report_power.py [--runs 1000]

Networks of eight classes with a top-1 of about 85 % answer test splits that are drawn anew in every
run. So do honest files (noise in the logits, by its SQNR) and planted ones (all logits multiplied,
or a share of one class answered as another). Three things are counted: a finding about the
calibration, a finding about a class, and the verdicts of ``--max-ece-increase 0.02
--max-class-loss 0.10``. Planted files have a third of the runs.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # for `planted`

from planted import compare, evaluation_of, noisy, reference_logits, without_class

from resnet_edge.ondevice.measurements import ArtifactParity
from resnet_edge.ondevice.parity.findings import find_harm
from resnet_edge.ondevice.parity.gates import Gates

SIZES = (200, 800, 3000)
RUNS = 1000
GATES = Gates(max_ece_increase=0.02, max_class_loss=0.10)
REFERENCES = {"calibrated": 1.0, "a bit too sure": 1.3, "not sure enough": 0.6}
"""The reference's logits, multiplied; 1 is perfect calibration."""

Plant = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]


def honest(sqnr_db: float) -> Plant:
    def plant(rng: np.random.Generator, logits: np.ndarray, _: np.ndarray) -> np.ndarray:
        centred = logits - logits.mean(axis=1, keepdims=True)
        return noisy(rng, logits, float(centred.std()) * 10 ** (-sqnr_db / 20))

    return plant


HONEST: dict[str, Plant] = {
    "honest, 30 dB": honest(30),
    "honest, 25 dB": honest(25),
    "honest, 20 dB": honest(20),
}
PLANTED: dict[str, Plant] = {
    "logits x 1.2": lambda rng, logits, labels: 1.2 * logits,
    "logits x 1.5": lambda rng, logits, labels: 1.5 * logits,
    "logits x 2.5": lambda rng, logits, labels: 2.5 * logits,
    "a class loses 10 %": lambda rng, logits, labels: without_class(rng, logits, labels, 0.1),
    "a class loses 20 %": lambda rng, logits, labels: without_class(rng, logits, labels, 0.2),
    "a class loses 40 %": lambda rng, logits, labels: without_class(rng, logits, labels, 0.4),
}


MARKS = {
    "finding: calibration": "calibration",
    "finding: class": "class",
    "ECE gate passes": "calibration pass",
    "ECE gate fails": "calibration fail",
    "class gate passes": "classes pass",
    "class gate fails": "classes fail",
}
"""Columns, and what is counted in them."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    print(
        "Shares of the runs in %, with "
        + " / ".join(f"{size:,}" for size in SIZES)
        + " test pictures.\n"
    )
    print("| reference | file | runs | " + " | ".join(MARKS) + " |")
    print("|---|---|---|" + "---|" * len(MARKS))
    for reference, sharpness in REFERENCES.items():
        for name, plant in (*HONEST.items(), *PLANTED.items()):
            runs = options.runs if name in HONEST else max(1, options.runs // 3)
            found = [count(plant, pictures, sharpness, runs) for pictures in SIZES]
            cells = (
                " / ".join(f"{100 * each[mark] / runs:.1f}" for each in found)
                for mark in MARKS.values()
            )
            words = " | ".join(cells)
            print(f"| {reference} | {name} | {runs:,} | {words} |", flush=True)
    return 0


def count(plant: Plant, pictures: int, sharpness: float, runs: int) -> Counter[str]:
    """Compare one file in many runs, and count each mark."""
    found: Counter[str] = Counter()
    for seed in range(runs):
        found.update(marks(answer(plant, pictures, sharpness, seed)))
    return found


def answer(plant: Plant, pictures: int, sharpness: float, seed: int) -> ArtifactParity:
    rng = np.random.default_rng(seed)
    logits, labels = reference_logits(rng, pictures, sharpness=sharpness)
    return compare(evaluation_of(logits, labels), plant(rng, logits, labels), GATES)


def marks(parity: ArtifactParity) -> Iterator[str]:
    findings = find_harm(parity)
    if any("lost accuracy" in words for words in findings):
        yield "class"
    if any("lost accuracy" not in words for words in findings):
        yield "calibration"
    for gate in parity.further_gates:
        yield f"{gate.name} {gate.result.verdict.value}"


if __name__ == "__main__":
    sys.exit(main())
