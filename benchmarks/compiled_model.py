"""LiteRT's CompiledModel against its Interpreter: answers bit for bit, and latency in turns.

    python benchmarks/compiled_model.py --networks plain-cnn,mobilenet_v2,resnet50
    python benchmarks/compiled_model.py --threads 1 --pairs 200 --folder files

The files are those of `resnet-edge export`, of networks with random weights: neither equality nor
latency depends on what they have learnt. A is the CompiledModel, B the Interpreter: processes that
take turns, as in `benchmarks/latency.py`. Printed are A's answers that equal B's in every bit,
medians, and the median of the pairs' ratios with its quartiles. Exit 1 where an answer differs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from latency import WARM_UP, Side, infer, stop
from random_inputs import blobs, save_pictures

PICTURES = 40
QUESTIONS = 32
RUNTIMES = ("LiteRT-CompiledModel", "LiteRT")
WORKERS = ("compiled-model", "litert")
"""The same in `benchmarks/latency_worker.py`."""
FILES = (
    *("fp32.tflite", "fp16.tflite", "dynamic.tflite"),
    *("int8.tflite", "int8_full.tflite", "int16x8.tflite"),
)


@dataclass(frozen=True)
class Network:
    """A network with random weights."""

    keras_name: str
    """In keras.applications; empty for the plain CNN of `benchmarks/zoo_networks.py`."""
    side: int
    preprocessing: str


NETWORKS = {
    "plain-cnn": Network("", 64, "none"),
    "mobilenet_v2": Network("MobileNetV2", 96, "tf"),
    "efficientnet": Network("EfficientNetB0", 96, "none"),
    "resnet50": Network("ResNet50", 96, "caffe"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--threads", default="1,2", metavar="1,2")
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="keep the files there, or use those there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        print("| network | file | threads | equal | A ms | B ms | A/B (quartiles) |")
        print("|---|---|---|---|---|---|---|")
        equal = True
        for name in options.networks.split(","):
            make_files(folder / name, NETWORKS[name])
            for path in (folder / name / "artifacts" / file for file in FILES):
                if not path.exists():
                    continue  # export says why; the integers of random weights can overflow
                for threads in map(int, options.threads.split(",")):
                    same = equal_answers(path, threads)
                    equal &= same == QUESTIONS
                    times = measure(path, threads, options.pairs)
                    cells = (name, path.name, str(threads), f"{same}/{QUESTIONS}", times)
                    print(f"| {' | '.join(cells)} |", flush=True)
    return 0 if equal else 1


def make_files(folder: Path, network: Network) -> None:
    """Export every file of a network, unless the folder has them."""
    if (folder / "artifacts").exists():
        return
    import keras
    from zoo_networks import application, scaling_cnn

    folder.mkdir(parents=True, exist_ok=True)
    build = application(network.keras_name) if network.keras_name else scaling_cnn
    keras.utils.set_random_seed(0)
    build((network.side, network.side), 10).save(folder / "model.keras")
    save_pictures(folder / "pictures", blobs(PICTURES, network.side))
    for files in (",".join(FILES[:-1]), FILES[-1]):  # refused integers of 16 bits leave the others
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "resnet_edge",
            "export",
            folder / "model.keras",
        ]
        command += ["--preprocessing", network.preprocessing, "--formats", files]
        command += ["--calibration", folder / "pictures", "--out", folder]
        quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False)
        if done.returncode:
            print(f"{folder.name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)


def equal_answers(path: Path, threads: int) -> int:
    """Count the random pictures that both answer with the same bytes."""
    from resnet_edge.ondevice.formats.sidecar import load_artifact
    from resnet_edge.ondevice.runtimes.opening import open_runtime

    artifact = load_artifact(path)
    shape = (QUESTIONS, *artifact.sidecar.image_size, 3)
    pictures = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    a, b = (open_runtime(artifact, threads, name).infer(pictures) for name in RUNTIMES)
    return sum(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


def measure(path: Path, threads: int, count: int) -> str:
    """Time both in turns; return the cells of the medians and of the ratio."""
    pair = [Side(name, path.name).start(path.parent, threads) for name in WORKERS]
    for process in pair:
        for _ in range(WARM_UP):
            infer(process)
    samples: list[list[float]] = [[], []]
    for number in range(count):
        for which in (0, 1) if number % 2 else (1, 0):
            samples[which].append(infer(pair[which]))
    stop(*pair)
    ratios = [a / b for a, b in zip(*samples, strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    a_ms, b_ms = (statistics.median(each) * 1e3 for each in samples)
    return f"{a_ms:.3g} | {b_ms:.3g} | {ratio:.3f} ({low:.3f}–{high:.3f})"


if __name__ == "__main__":
    sys.exit(main())
