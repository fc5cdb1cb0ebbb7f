"""Slimmed networks: what is left of the answers at every share of the multiply-adds.

    python benchmarks/quantization.py --inputs inputs --only fast             # makes the inputs
    python benchmarks/compression.py inputs --shares 0.64,0.5,0.35 --seeds 0,1,2
    python benchmarks/compression.py inputs --rows refit,distilled --steps 600

Rows are variants, one part more in each. ``equal`` is the usual way: the same share of each block's
inner channels goes, those with the least energy times the norm of the weights that read them. Seeds
draw the unlabelled pictures. Answers are Keras' own, to all test pictures.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from quantization import Bench, comma_list, judge
from quantization_inputs import has_inputs
from quantization_ours import course_of
from quantization_table import Row, against_float, spread

from converters.compression.channel_removal import RemovalOrder
from converters.compression.compression import Compressible, measure
from converters.compression.courses import Course, Labelled, Unlabelled
from converters.compression.layer_statistics import measure_layers
from converters.compression.refit import refit
from converters.compression.slimmed_training import classifier_of, distill
from converters.compression.slimming import slim
from converters.compression.widths import CostOfWidths, multiply_adds
from converters.learning.labelled_pictures import LabelledPictures
from converters.multiply_adds import count_multiply_adds
from converters.preprocessing import PREPROCESSINGS, Preprocessing
from resnet_edge.training.augmentation import variation

BATCH = 64


@dataclass(frozen=True)
class Network:
    """What all rows start from."""

    model: keras.Model
    preprocessing: Preprocessing
    known: LabelledPictures
    """Training pictures in the order of the seed."""
    validation: LabelledPictures
    measured: Compressible
    measured_s: float


def main() -> int:
    options = parse()
    bench = Bench.of(options.inputs)
    model = keras.models.load_model(options.inputs / "model.keras", compile=False)
    print(f"{len(bench.labels)} test pictures, float top-1 {bench.reference_top1:.2%}\n")
    print("| with | multiply-adds | parameters | top-1 | against float | agreement | SQNR | time |")
    print("|---|---|---|---|---|---|---|---|")
    networks = {seed: prepare(options.inputs, model, seed) for seed in options.seeds}
    for share in options.shares:
        for name in options.rows:
            made = [ROWS[name](network, share, options.steps) for network in networks.values()]
            print(line(name, bench, networks, made), flush=True)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", type=Path, help="folder of benchmarks/quantization.py --inputs")
    parser.add_argument("--shares", type=comma_list(float), default=[0.64, 0.5, 0.35])
    parser.add_argument("--seeds", type=comma_list(int), default=[0, 1, 2])
    parser.add_argument("--rows", type=comma_list(str), default=list(ROWS), help=", ".join(ROWS))
    parser.add_argument("--steps", type=int, default=600, help="of distillation")
    options = parser.parse_args()
    if unknown := [name for name in options.rows if name not in ROWS]:
        parser.error(f"--rows: {', '.join(unknown)}; expected some of {', '.join(ROWS)}")
    if not has_inputs(options.inputs):
        parser.exit(2, f"{options.inputs}: no inputs; make them with quantization.py --inputs\n")
    return options


def prepare(folder: Path, model: keras.Model, seed: int) -> Network:
    """Draw the pictures of a seed, and measure the network with them."""
    preprocessing = PREPROCESSINGS[(folder / "preprocessing.txt").read_text()]
    course = course_of(folder, seed)
    known, validation = course.lessons, course.validation
    started = time.perf_counter()
    measured = measure(model, preprocessing, known.pictures, silent)
    seconds = time.perf_counter() - started
    return Network(model, preprocessing, known, validation, measured, seconds)


def silent(*_: object) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class Made:
    """A slimmed network and the time that it took, without what all shares have in common."""

    model: keras.Model
    seconds: float


def equal(network: Network, share: float, steps: int) -> Made:
    """Take the same share of the channels of every group that no sum ties, by their energy."""
    measured = network.measured
    statistics = measure_layers(measured.graph, measured.pictures, BATCH, silent)
    started = time.perf_counter()
    orders = [
        by_energy(order, measured, statistics)
        for order in measured.orders
        if len(order.group.producers) == 1
    ]
    costs = CostOfWidths(measured.graph, measured.channels, orders, multiply_adds(measured.graph))
    counts = [len(order.channels) for order in orders]
    full = costs.total(counts)
    kept = 1.0
    while costs.total(widths := [max(1, round(kept * n)) for n in counts]) > share * full:
        kept -= 0.01
        if kept <= 0:
            raise SystemExit(f"--shares {share:g}: inner channels alone do not reach it")
    removed = [
        channel
        for order, width in zip(orders, widths, strict=True)
        for channel in order.channels[: len(order.channels) - width]
    ]
    slimmed = slim(measured.graph, measured.channels, removed)
    refit(slimmed, measured.pictures, BATCH, silent)
    return Made(slimmed.model, time.perf_counter() - started)


def by_energy(order: RemovalOrder, measured: Compressible, statistics: Any) -> RemovalOrder:  # noqa: ANN401
    """Order a group by energy times the norm of the weights that read it."""
    worth = np.zeros(len(order.channels))
    for call in order.group.consumers:
        kernel = np.asarray(call.layer.kernel)
        norms = np.square(kernel).sum(axis=-1).reshape(-1, kernel.shape[-2])
        energy = statistics[call].energy[:-1].reshape(norms.shape)
        each = (norms * energy).sum(axis=0)
        read = measured.channels.of[call.inputs[0]]
        worth += [each[read == channel].sum() for channel in order.channels]
    ascending = np.argsort(worth, kind="stable")
    return RemovalOrder(
        order.group, tuple(order.channels[n] for n in ascending), np.cumsum(worth[ascending])
    )


def cut(network: Network, share: float, steps: int) -> Made:
    """Choose the channels, and fit nothing."""
    measured, started = network.measured, time.perf_counter()
    widths = measured.widths(share)
    slimmed = slim(measured.graph, measured.channels, widths.removed)
    return Made(slimmed.model, time.perf_counter() - started)


def fitted(network: Network, share: float, steps: int) -> Made:
    """Choose the channels and fit the kernels."""
    started = time.perf_counter()
    return Made(
        network.measured.slimmed(share, silent).model,
        time.perf_counter() - started,
    )


def distilled(network: Network, share: float, steps: int) -> Made:
    """Learn from the network before, without labels."""
    teacher = classifier_of(network.measured.graph, network.preprocessing)
    return learned(network, share, steps, Unlabelled(teacher, network.known.pictures))


def labelled(network: Network, share: float, steps: int) -> Made:
    """Learn from labels and from the network before."""
    teacher = classifier_of(network.measured.graph, network.preprocessing)
    course = Labelled(teacher, network.known, network.validation, variation(0))
    return learned(network, share, steps, course)


def learned(network: Network, share: float, steps: int, course: Course) -> Made:
    started = time.perf_counter()
    model = network.measured.slimmed(share, silent).model
    distill(model, network.preprocessing, course, steps, silent)
    return Made(model, time.perf_counter() - started)


ROWS: dict[str, Callable[[Network, float, int], Made]] = {
    "equal": equal,
    "cut": cut,
    "refit": fitted,
    "distilled": distilled,
    "labelled": labelled,
}


def line(name: str, bench: Bench, networks: dict[int, Network], made: list[Made]) -> str:
    """Judge the networks of all seeds."""
    test = np.load(bench.folder / "test.npy").astype(np.float32)
    rows, shares, parameters, seconds = [], [], [], []
    for (seed, network), one in zip(networks.items(), made, strict=True):
        answers = one.model.predict(network.preprocessing.apply(test), verbose=0)
        rows.append(Row(tool=name, seed=seed, **judge(bench, np.asarray(answers))))
        full = count_multiply_adds(network.model)
        shares.append(count_multiply_adds(one.model) / full)
        parameters.append(one.model.count_params() / network.model.count_params())
        seconds.append(one.seconds + network.measured_s)
    columns = (
        name,
        spread(shares, "{:.3f}", ""),
        spread(parameters, "{:.3f}", ""),
        spread([row.top1 * 100 for row in rows], "{:.2f}", " %"),
        against_float(rows),
        spread([row.agreement * 100 for row in rows], "{:.2f}", " %"),
        spread([row.sqnr_db for row in rows], "{:.1f}", " dB"),
        spread(seconds, "{:.0f}", " s"),
    )
    return f"| {' | '.join(columns)} |"


if __name__ == "__main__":
    sys.exit(main())
