"""What each part of the int8 quantization brings: one network, one part more in every row.

    python benchmarks/quantization.py --inputs inputs --only equalized        # makes the inputs
    python benchmarks/quantization_ablation.py inputs --seeds 0,1,2

Every row is an `int8.tflite` that LiteRT runs on all test pictures. Rows of a seed calibrate on the
same pictures. Parts are taken out of the product's own functions, so nothing is written twice.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from quantization_ours import course_of
from quantization_worker import in_litert

from converters.quantization import calibration, equalized_level
from converters.quantization.settings import Level, QuantizationSettings, Target
from converters.quantization.tflite import quantize_static
from resnet_edge.ondevice.cores import available_cores
from resnet_edge.ondevice.parity import metrics
from resnet_edge.ondevice.parity.interval import accuracy_interval


def same(calibrated: Any, *_: Any) -> Any:  # noqa: ANN401
    """Stand for a step that is left out."""
    return calibrated


def nothing(*_: Any) -> None:  # noqa: ANN401
    """Stand for derivatives that are not known."""


STRENGTH = (equalized_level, "measure_gains", nothing)
HEAD = (calibration, "round_head", same)
LAYERS = (calibration, "round_layers", same)
DISTILLING = (calibration, "distill", same)

ROWS: tuple[tuple[str, Level, bool, tuple[Any, ...]], ...] = (
    ("ranges alone (`fast`)", Level.FAST, False, ()),
    ("equalisation of one strength, biases", Level.EQUALIZED, False, (STRENGTH, HEAD)),
    ("scales with the least noise", Level.EQUALIZED, False, (HEAD,)),
    ("joined shortcuts", Level.EQUALIZED, True, (HEAD,)),
    ("learned rounding of the head (`equalized`)", Level.EQUALIZED, True, ()),
    ("learned rounding of all layers", Level.DISTILLED, True, (DISTILLING,)),
    ("distillation (`distilled`)", Level.DISTILLED, True, ()),
    ("training with labels (`trained`)", Level.TRAINED, True, ()),
    ("training with labels, not distilled before", Level.TRAINED, True, (DISTILLING,)),
    ("training with labels from `equalized`", Level.TRAINED, True, (LAYERS, DISTILLING)),
)
"""What is added, the level, whether the network has all rewrites, and what is left out."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", type=Path, help="folder of benchmarks/quantization.py --inputs")
    parser.add_argument("--seeds", default="0,1,2", help="of the calibration pictures")
    parser.add_argument("--count", type=int, default=200, help="calibration pictures")
    parser.add_argument("--rows", default="1-7", help=f"first and last row, 1 to {len(ROWS)}")
    options = parser.parse_args()
    if not (options.inputs / "reference.npy").exists():
        parser.exit(2, f"{options.inputs}: no inputs; make them with quantization.py --inputs\n")
    first, last = map(int, options.rows.split("-"))
    seeds = [int(seed) for seed in options.seeds.split(",")]
    print(
        "| with | top-1 | against float | agreement | SQNR | seconds |\n|---|---|---|---|---|---|"
    )
    for row in ROWS[first - 1 : last]:
        print(f"| {row[0]} | {cells(options, row, seeds)} |", flush=True)
    return 0


def cells(options: argparse.Namespace, row: Any, seeds: list[int]) -> str:  # noqa: ANN401
    """Measure a row with every seed."""
    _, level, rewritten, left_out = row
    folder, found = options.inputs, []
    for seed in seeds:
        pictures = np.load(folder / "train.npy")
        drawn = np.random.default_rng(seed).permutation(len(pictures))[: options.count]
        with ExitStack() as stack:
            for module, name, stand_in in left_out:
                stack.enter_context(mock.patch.object(module, name, stand_in))
            floats = folder / "ours" if rewritten else folder
            found.append(measure(folder, floats, level, pictures[drawn], seed))
    columns = list(zip(*found, strict=True))
    forms: tuple[Callable[[float], str], ...] = (
        "{:.2%}".format,
        "{:+.2f}".format,
        "{:.2%}".format,
        "{:.1f} dB".format,
        "{:.0f} s".format,
    )
    return " | ".join(spread(values, form) for values, form in zip(columns, forms, strict=True))


def measure(
    folder: Path, floats: Path, level: Level, pictures: np.ndarray, seed: int
) -> tuple[float, ...]:
    """Return top-1, points against the float model, agreement, SQNR and seconds."""
    float32 = (floats / "fp32.tflite").read_bytes()
    method = QuantizationSettings(level, grid=Target.AUTO.grid)
    course = course_of(folder, seed) if level.learns else None
    started = time.perf_counter()
    calibrated = calibration.calibrate(
        float32, pictures, method, course=course, threads=available_cores()
    )
    scheme = calibration.for_litert(calibrated, pictures)
    data = quantize_static(float32, calibrated.network, scheme, integer_only=False)
    seconds = time.perf_counter() - started
    path = folder / "ablation.tflite"
    path.write_bytes(data)
    answers = in_litert(path, np.load(folder / "test.npy"))
    reference, labels = np.load(folder / "reference.npy"), np.load(folder / "test-labels.npy")
    right, before = (metrics.topk_hits(one, labels, 1) for one in (answers, reference))
    gained, lost = int((right & ~before).sum()), int((before & ~right).sum())
    interval = accuracy_interval(gained, lost, len(labels))
    print(
        f"seed {seed}: {gained} gained, {lost} lost of {len(labels)}, 90 % interval "
        f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f} points",
        file=sys.stderr,
    )
    sqnr_db = metrics.compare_logits(reference, answers, metrics.FLOAT_FLOOR).sqnr_db
    agreement = float(metrics.agreements(reference, answers).mean())
    points = 100 * (gained - lost) / len(labels)
    return float(right.mean()), points, agreement, sqnr_db, seconds


def spread(values: Sequence[float], form: Callable[[float], str]) -> str:
    """Return the median, with the smallest and the largest."""
    low, middle, high = (form(f(values)) for f in (min, statistics.median, max))
    return middle if low == high else f"{middle} ({low}–{high})"


if __name__ == "__main__":
    sys.exit(main())
