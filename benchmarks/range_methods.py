"""Ways to choose activation ranges: that of level `fast`, four others, and level `equalized`.

    python benchmarks/range_methods.py
    python benchmarks/range_methods.py --networks plain-cnn --counts 200 --json rows.json

Networks: a trained ResNet50 (``--model``), and four small ones that are trained here first
(`benchmarks/trained_networks.py`). For every count and seed, calibration pictures are drawn anew
from the training pictures. All methods get the same pictures, weights and float head.
Each `int8.tflite` then answers all pictures of ``val/`` in LiteRT, and is compared with the float
file. A method wins if its worst seed beats the best seed of min-max and of `equalized`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import range_candidates
from quantization import SHARED, comma_list
from quantization_inputs import decode
from quantization_table import spread
from quantization_worker import in_litert
from trained_networks import RECIPES, train

from resnet_edge.ondevice.parity import metrics

if TYPE_CHECKING:  # the process that measures nothing needs none of them
    from converters.quantization.calibrated_network import CalibratedNetwork
    from converters.quantization.tflite_network import TfliteNetwork

RESNET50 = "resnet50"
NETWORKS = (RESNET50, *RECIPES)
MIN_MAX, EQUALIZED = "min-max", "equalized"


@dataclass(frozen=True)
class Row:
    """One file."""

    network: str
    count: int
    seed: int
    method: str
    sqnr_db: float
    """SQNR of the centred log-probabilities against those of the float file."""
    agreement: float
    """Share of pictures with the float file's best class, in [0, 1]."""
    float_top1: float
    """Accuracy of the float file, in [0, 1]."""


def main() -> int:
    options = parse()
    if options.job:
        for row in measure(options, options.job):
            print(json.dumps(asdict(row)), flush=True)
        return 0
    rows = []
    for network in options.networks:
        rows += run(network)
        if options.json:
            options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    report(rows)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=comma_list(str), default=NETWORKS, metavar="A,B")
    parser.add_argument("--counts", type=comma_list(int), default=[32, 200, 1000], metavar="32,200")
    parser.add_argument("--seeds", type=comma_list(int), default=[0, 1, 2], metavar="0,1,2")
    parser.add_argument("--model", type=Path, default=SHARED / "weights" / "tiny16.keras")
    parser.add_argument("--train", type=Path, default=SHARED / "data" / "tiny16" / "train_full")
    parser.add_argument("--val", type=Path, default=SHARED / "data" / "tiny16" / "val")
    parser.add_argument("--json", type=Path, help="write all rows there")
    parser.add_argument("--job", metavar="NETWORK", help="one process")
    options = parser.parse_args()
    if unknown := set(options.networks) - set(NETWORKS):
        parser.error(f"--networks: {', '.join(unknown)}; expected some of {', '.join(NETWORKS)}")
    if missing := [str(path) for path in (options.train, options.val) if not path.exists()]:
        parser.error(f"{', '.join(missing)}: not found; pass --train FOLDER and --val FOLDER")
    return options


def run(network: str) -> Iterator[Row]:
    """Measure one network in a process of its own, with the options of this one."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1"}
    command = [sys.executable, __file__, *sys.argv[1:], "--job", network]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            if line.startswith("{"):
                row = Row(**json.loads(line))
                print(
                    f"{row.network} {row.count} pictures, seed {row.seed}: {row.method} "
                    f"{row.sqnr_db:.2f} dB, {row.agreement:.2%}",
                    file=sys.stderr,
                )
                yield row
    if process.returncode:
        sys.exit(f"{network} failed")


def measure(options: argparse.Namespace, network: str) -> Iterator[Row]:
    """Make the float file of a network, then one file per count, seed and method."""
    from converters.quantization.tflite import quantize_static

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        float32, pool, test, truth = make_float_file(options, network, folder)
        expected = answer(folder, float32, test)
        top1 = float(metrics.topk_hits(expected, truth, 1).mean())

        for count, seed in itertools.product(options.counts, options.seeds):
            pictures = pool[np.random.default_rng(seed).permutation(len(pool))[:count]]
            for method, found in calibrate_all(float32, pictures):
                data = quantize_static(float32, found.network, found.scheme, integer_only=False)
                answers = answer(folder, data, test)
                sqnr_db = metrics.compare_logits(expected, answers).sqnr_db
                agreeing = float(metrics.agreements(expected, answers).mean())
                yield Row(network, count, seed, method, sqnr_db, agreeing, top1)


def calibrate_all(float32: bytes, pictures: np.ndarray) -> Iterator[tuple[str, CalibratedNetwork]]:
    """Yield the product's calibrations, and `fast` with the ranges of every candidate."""
    from converters.quantization.calibration import calibrate
    from converters.quantization.settings import Level, QuantizationSettings, Target
    from converters.quantization.tensorflow_execution import unknown_operations
    from resnet_edge.ondevice.cores import available_cores

    fast = calibrate(
        float32,
        pictures,
        QuantizationSettings(Level.FAST, grid=Target.AUTO.grid),
        threads=available_cores(),
    )
    yield MIN_MAX, fast
    yield from with_other_ranges(float32, fast, pictures)
    if not unknown_operations(fast.network):
        settings = QuantizationSettings(Level.EQUALIZED, grid=Target.AUTO.grid)
        yield EQUALIZED, calibrate(float32, pictures, settings)


def make_float_file(
    options: argparse.Namespace, network: str, folder: Path
) -> tuple[bytes, np.ndarray, np.ndarray, np.ndarray]:
    """Return the float32 file, the training pictures, the test pictures and the latter's labels."""
    import keras

    from converters.preprocessing import PREPROCESSINGS
    from converters.rewrites.fold_batch_norm import fold_batch_norm
    from converters.serving import serving_model
    from converters.tflite import conversion as to_tflite

    beside = options.model.with_name("labels.txt")
    labels = tuple(beside.read_text().split()) if network == RESNET50 and beside.exists() else None
    size = (64, 64)
    if network == RESNET50:
        model, name = keras.models.load_model(options.model, compile=False), "caffe"
        size = model.input_shape[1:3]
    pool, classes = decode(options.train, size, labels, folder)
    test, truth = decode(options.val, size, labels, folder)
    if network != RESNET50:
        model, name = train(RECIPES[network], pool, classes), RECIPES[network].preprocessing
    serving = serving_model(fold_batch_norm(model).model, PREPROCESSINGS[name])
    return to_tflite.convert_float32(serving), pool, test, truth


def with_other_ranges(
    float32: bytes, fast: CalibratedNetwork, pictures: np.ndarray
) -> Iterator[tuple[str, CalibratedNetwork]]:
    """Yield a calibration of level `fast` with the ranges of every candidate."""
    from converters.quantization.rounding import widened
    from converters.quantization.scheme import share_ranges

    network = fast.network
    seen = look(float32, network, pictures)
    for name, choose in range_candidates.CANDIDATES.items():
        ranges = {tensor: widened(choose(one)) for tensor, one in seen.items()}
        ranges |= {t: fast.scheme.ranges[t] for t in fast.scheme.ranges.keys() - ranges.keys()}
        ranges[network.image] = fast.scheme.ranges[network.image]
        scheme = replace(fast.scheme, ranges=share_ranges(network, ranges))
        yield name, replace(fast, scheme=scheme)


def look(
    float32: bytes, network: TfliteNetwork, pictures: np.ndarray
) -> dict[int, range_candidates.Seen]:
    """Run the pictures twice in LiteRT: for the extremes, then for the bins between them."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=float32, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    image = interpreter.get_input_details()[0]["index"]
    tensors = [operation.output for operation in network.operations]

    def outputs() -> Iterator[dict[int, np.ndarray]]:
        for picture in pictures:
            interpreter.set_tensor(image, picture[np.newaxis].astype(np.float32))
            interpreter.invoke()
            yield {tensor: interpreter.get_tensor(tensor).reshape(-1) for tensor in tensors}

    extremes = [
        [(float(values.min()), float(values.max())) for values in found.values()]
        for found in outputs()
    ]
    lows, highs = np.moveaxis(np.array(extremes), 2, 0)
    seen = {
        tensor: range_candidates.Seen(lows[:, i], highs[:, i]) for i, tensor in enumerate(tensors)
    }
    for found in outputs():
        for tensor, values in found.items():
            seen[tensor].add(values)
    return seen


def answer(folder: Path, data: bytes, pictures: np.ndarray) -> np.ndarray:
    path = folder / "answering.tflite"
    path.write_bytes(data)
    return in_litert(path, pictures)


def report(rows: list[Row]) -> None:
    """Print the table as Markdown; a line per network and count, a column per method."""
    methods = list(dict.fromkeys(row.method for row in rows))
    print(
        f"| network | pictures | {' | '.join(methods)} | winners |\n|{'---|' * (len(methods) + 3)}"
    )
    for network, count in dict.fromkeys((row.network, row.count) for row in rows):
        same = [row for row in rows if (row.network, row.count) == (network, count)]
        of = {method: [row for row in same if row.method == method] for method in methods}
        cells = [
            "–"
            if not of[method]
            else f"{spread([row.sqnr_db for row in of[method]], '{:.1f}', ' dB')}; "
            f"{statistics.median(row.agreement for row in of[method]):.1%}"
            for method in methods
        ]
        bar = max(row.sqnr_db for name in (MIN_MAX, EQUALIZED) for row in of[name])
        winners = [m for m in methods if min(row.sqnr_db for row in of[m]) > bar]
        name = f"{network}, top-1 {same[0].float_top1:.1%}"
        line = [name, str(count), *cells, ", ".join(winners) or "–"]
        print(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    sys.exit(main())
