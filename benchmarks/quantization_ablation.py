"""What each part of the int8 quantization brings: one network, one part more in every row.

    python benchmarks/quantization.py --inputs inputs --only equalized        # makes the inputs
    python benchmarks/quantization_ablation.py inputs --seeds 0,1,2

Every row is an `int8.tflite` that LiteRT runs on all test pictures. Rows of a seed calibrate on the
same pictures. Parts are taken out of the product's own functions, so nothing is written twice.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from quantization import Bench, draw_calibration, judge
from quantization_inputs import has_inputs
from quantization_ours import course_of
from quantization_table import Row, against_float, spread
from quantization_worker import in_litert

from converters.quantization import calibration, equalized_level
from converters.quantization.settings import Level, QuantizationSettings, Target
from converters.quantization.tflite import quantize_static
from resnet_edge.ondevice.cores import available_cores


def same(calibrated: Any, *_: Any) -> Any:  # noqa: ANN401
    """Stand for a step that is left out."""
    return calibrated


def nothing(*_: Any) -> None:  # noqa: ANN401
    """Stand for derivatives that are not known."""


STRENGTH = (equalized_level, "measure_gains", nothing)
HEAD = (calibration, "round_head", same)
LAYERS = (calibration, "round_layers", same)
DISTILLING = (calibration, "distill", same)
MORE = (calibration, "START_PICTURES", 0)

ROWS: tuple[tuple[str, Level, bool, tuple[Any, ...]], ...] = (
    ("ranges alone (`fast`)", Level.FAST, False, ()),
    ("equalisation of one strength, biases", Level.EQUALIZED, False, (STRENGTH, HEAD)),
    ("scales with the least noise", Level.EQUALIZED, False, (HEAD,)),
    ("joined shortcuts", Level.EQUALIZED, True, (HEAD,)),
    ("learned rounding of the head (`equalized`)", Level.EQUALIZED, True, ()),
    ("learned rounding of all layers", Level.DISTILLED, True, (DISTILLING, MORE)),
    ("ranges of 640 pictures", Level.DISTILLED, True, (DISTILLING,)),
    ("distillation (`distilled`)", Level.DISTILLED, True, ()),
    ("training with labels (`trained`)", Level.TRAINED, True, ()),
    ("training with labels, without learned rounding", Level.TRAINED, True, (LAYERS,)),
)
"""What is added, the level, whether the network has all rewrites, and what is left out."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", type=Path, help="folder of benchmarks/quantization.py --inputs")
    parser.add_argument("--seeds", default="0,1,2", help="of the calibration pictures")
    parser.add_argument("--count", type=int, default=200, help="calibration pictures")
    parser.add_argument("--rows", default="1-8", help=f"first and last row, 1 to {len(ROWS)}")
    options = parser.parse_args()
    if not has_inputs(options.inputs):
        parser.exit(2, f"{options.inputs}: no inputs; make them with quantization.py --inputs\n")
    first, last = map(int, options.rows.split("-"))
    seeds = [int(seed) for seed in options.seeds.split(",")]
    print(
        "| with | top-1 | against float | agreement | SQNR | seconds |\n|---|---|---|---|---|---|"
    )
    for row in ROWS[first - 1 : last]:
        print(f"| {row[0]} | {cells(options, row, seeds)} |", flush=True)
    return 0


def cells(options: argparse.Namespace, variant: Any, seeds: list[int]) -> str:  # noqa: ANN401
    """Measure a row with every seed."""
    _, level, rewritten, left_out = variant
    bench, rows = Bench.of(options.inputs), []
    for seed in seeds:
        pictures = draw_calibration(bench.folder, seed, options.count)
        with ExitStack() as stack:
            for module, name, stand_in in left_out:
                stack.enter_context(mock.patch.object(module, name, stand_in))
            floats = bench.folder / "ours" if rewritten else bench.folder
            rows.append(measure(bench, floats, level, pictures, seed))
    columns = (
        spread([row.top1 * 100 for row in rows], "{:.2f}", " %"),
        against_float(rows),
        spread([row.agreement * 100 for row in rows], "{:.2f}", " %"),
        spread([row.sqnr_db for row in rows], "{:.1f}", " dB"),
        spread([row.quantize_s for row in rows], "{:.0f}", " s"),
    )
    return " | ".join(columns)


def measure(bench: Bench, floats: Path, level: Level, pictures: np.ndarray, seed: int) -> Row:
    """Make one `int8.tflite` and judge its answers."""
    float32 = (floats / "fp32.tflite").read_bytes()
    method = QuantizationSettings(level, grid=Target.AUTO.grid)
    course = course_of(bench.folder, seed) if level.learns else None
    started = time.perf_counter()
    calibrated = calibration.calibrate(
        float32, pictures, method, course=course, threads=available_cores()
    )
    scheme = calibration.for_litert(calibrated, pictures)
    data = quantize_static(float32, calibrated.network, scheme, integer_only=False)
    seconds = time.perf_counter() - started
    path = bench.folder / "ablation.tflite"
    path.write_bytes(data)
    answers = in_litert(path, np.load(bench.folder / "test.npy"))
    return Row(tool=level, seed=seed, quantize_s=seconds, **judge(bench, answers))


if __name__ == "__main__":
    sys.exit(main())
