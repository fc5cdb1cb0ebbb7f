"""Do milliseconds follow multiply-adds? Slimmed networks against the whole one, side by side.

    python benchmarks/quantization.py --inputs inputs --only fast             # makes the inputs
    python benchmarks/compression_latency.py inputs --size 224 --shares 0.64,0.5,0.35

The widths are those that the network's own pictures ask for; the files are timed at another input
size, where weights do not matter. Both files of a pair take turns, as in `benchmarks/latency.py`.
Printed are medians of the pairs' ratios with their quartiles. The last rows are the slimmed int8
files against the whole float32 file, which is what a user has before.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from latency import Pair, Side, measure, peak_rate
from latency_files import make_peaks
from quantization import comma_list
from quantization_inputs import has_inputs
from random_inputs import blobs, save_pictures

FILES = {
    "fp32.tflite": "litert",
    "int8.tflite": "litert",
    "fp32.onnx": "onnxruntime",
    "int8.onnx": "onnxruntime",
}


def main() -> int:
    options = parse()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        save_pictures(folder / "pictures", blobs(64, options.size))
        shares = make_networks(options, folder)
        for name in shares:
            export(folder, name)
        make_peaks(folder)
        print("| file | against | threads | multiply-adds | latency (quartiles) | latency / them |")
        print("|---|---|---|---|---|---|")
        for threads in options.threads:
            peak = peak_rate(folder, "float32", threads)
            for name, share in list(shares.items())[1:]:
                for file, runtime in FILES.items():
                    show(folder, name, file, file, share, threads, options.pairs, peak, runtime)
                for file in ("int8.tflite", "int8.onnx"):
                    before = file.replace("int8", "fp32")
                    runtime = FILES[file]
                    show(folder, name, file, before, share, threads, options.pairs, peak, runtime)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", type=Path, help="folder of benchmarks/quantization.py --inputs")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--shares", type=comma_list(float), default=[0.64, 0.5, 0.35])
    parser.add_argument("--threads", type=comma_list(int), default=[1])
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--folder", type=Path, help="keep the files there, or use those there")
    options = parser.parse_args()
    if not has_inputs(options.inputs):
        parser.exit(2, f"{options.inputs}: no inputs; make them with quantization.py --inputs\n")
    return options


def make_networks(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Write the whole and the slimmed networks; return multiply-adds, the whole one's as 1."""
    import keras
    import numpy as np

    from converters.compression.compression import measure as measure_channels
    from converters.compression.input_size import at_input_size
    from converters.compression.slimming import slim
    from converters.multiply_adds import count_multiply_adds
    from converters.preprocessing import PREPROCESSINGS

    paths = {"whole": folder / "whole" / "model.keras"}
    paths |= {f"slimmed-{s:g}": folder / f"slimmed-{s:g}" / "model.keras" for s in options.shares}
    if all(path.exists() for path in paths.values()):
        counts = {
            name: count_multiply_adds(keras.models.load_model(path, compile=False))
            for name, path in paths.items()
        }
        return {name: count / counts["whole"] for name, count in counts.items()}
    model = keras.models.load_model(options.inputs / "model.keras", compile=False)
    preprocessing = PREPROCESSINGS[(options.inputs / "preprocessing.txt").read_text()]
    pictures = np.load(options.inputs / "train.npy", mmap_mode="r")[:300]
    measured = measure_channels(model, preprocessing, pictures, lambda *_: None)
    whole = at_input_size(model, options.size, options.size)
    networks = {"whole": whole}
    for share in options.shares:
        slimmed = slim(measured.graph, measured.channels, measured.widths(share).removed).model
        networks[f"slimmed-{share:g}"] = at_input_size(slimmed, options.size, options.size)
    full = count_multiply_adds(whole)
    for name, network in networks.items():
        paths[name].parent.mkdir(exist_ok=True)
        network.save(paths[name])
    return {name: count_multiply_adds(network) / full for name, network in networks.items()}


def export(folder: Path, name: str) -> None:
    """Write the files that a user gets."""
    command = [sys.executable, "-m", "resnet_edge", "export", folder / name / "model.keras"]
    command += ["--preprocessing", "caffe", "--calibration", folder / "pictures"]
    command += ["--formats", ",".join(FILES), "--out", folder / name, "--quantization", "fast"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def show(
    folder: Path,
    name: str,
    file: str,
    before: str,
    share: float,
    threads: int,
    pairs: int,
    peak: float,
    runtime: str,
) -> None:
    """Time one pair and print its row."""
    a = Side(runtime, f"{name}/artifacts/{file}")
    b = Side(runtime, f"whole/artifacts/{before}")
    row = measure(Pair(a, "whole", 1.0, (b,)), folder, threads, pairs, peak)
    spread = f"{row.ratio:.3f} ({row.low:.3f}–{row.high:.3f})"
    print(
        f"| {name} {file} | {before} | {threads} | {share:.3f} | {spread} | "
        f"{row.ratio / share:.2f} |",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
