"""Seconds and peak memory of quantization, by level, picture size and number of pictures.

    python benchmarks/quantization_cost.py                              # 64x64 and 224x224
    python benchmarks/quantization_cost.py --sizes 64 --counts 100,5000 --levels fast,equalized

A ResNet50 of 1000 classes with random weights on pictures of random blobs: what is measured
depends on shapes, not on values. Every measurement has a process of its own. Time goes from the
float file to ``int8.tflite``. Memory is the peak of the whole process, and what calibration added
to it: the peak minus what was there when it began.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from quantization import comma_list
from quantization_worker import memory_bytes
from random_inputs import blobs, random_resnet50

LEVELS = ("fast", "equalized", "distilled")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=comma_list(int), default=[64, 224], metavar="64,224")
    parser.add_argument("--counts", type=comma_list(int), default=[200], metavar="100,5000")
    parser.add_argument("--levels", type=comma_list(str), default=LEVELS, metavar="A,B")
    parser.add_argument("--job", nargs=3, metavar=("LEVEL", "FOLDER", "COUNT"), help="one process")
    options = parser.parse_args()
    if options.job:
        level, folder, count = options.job
        print(json.dumps(measure(level, Path(folder), int(count))))
        return 0
    if unknown := set(options.levels) - set(LEVELS):
        parser.error(f"--levels: {', '.join(unknown)}; expected some of {', '.join(LEVELS)}")
    print("| size | pictures | level | time | peak memory | added by calibration |")
    print("|---|---|---|---|---|---|")
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            run(["--sizes", str(size), "--job", "inputs", scratch, str(max(options.counts))])
            for count in options.counts:
                for level in options.levels:
                    found = run(["--job", level, str(folder), str(count)])
                    cells = [f"{size}x{size}", f"{count:,}", level, f"{found['seconds']:.1f} s"]
                    cells += [f"{found[k] / 2**20:.0f} MiB" for k in ("peak_bytes", "added_bytes")]
                    print(f"| {' | '.join(cells)} |", flush=True)
    return 0


def run(arguments: list[str]) -> dict[str, Any]:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1"}
    process = subprocess.run(
        [sys.executable, __file__, *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )
    if process.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{process.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(process.stdout.strip().splitlines()[-1])
    return answer


def measure(level: str, folder: Path, count: int) -> dict[str, Any]:
    if level == "inputs":
        make_inputs(folder, count)
        return {}
    from converters.quantization.calibration import calibrate
    from converters.quantization.settings import Level, QuantizationSettings, Target
    from converters.quantization.tflite import quantize_static
    from resnet_edge.ondevice.cores import available_cores

    method = QuantizationSettings(Level(level), grid=Target.AUTO.grid)
    float32 = (folder / "fp32.tflite").read_bytes()
    pictures = np.load(folder / "pictures.npy", mmap_mode="r")[:count]
    begun_bytes, begun = memory_bytes("VmRSS"), time.perf_counter()
    found = calibrate(float32, pictures, method, threads=available_cores())
    quantize_static(float32, found.network, found.scheme, integer_only=False)
    seconds, peak_bytes = time.perf_counter() - begun, memory_bytes("VmHWM")
    return {
        "seconds": seconds,
        "peak_bytes": peak_bytes,
        "added_bytes": peak_bytes - begun_bytes,
    }


def make_inputs(folder: Path, count: int) -> None:
    """Write a float file and pictures."""
    from converters.preprocessing import PREPROCESSINGS
    from converters.rewrites.fold_batch_norm import fold_batch_norm
    from converters.serving import serving_model
    from converters.tflite import conversion as to_tflite

    size = int(sys.argv[sys.argv.index("--sizes") + 1])
    model = fold_batch_norm(random_resnet50(size)).model
    serving = serving_model(model, PREPROCESSINGS["caffe"])
    (folder / "fp32.tflite").write_bytes(to_tflite.convert_float32(serving))
    shape = (count, size, size, 3)
    pictures = np.lib.format.open_memmap(folder / "pictures.npy", "w+", np.uint8, shape)
    for number, picture in enumerate(blobs(count, size)):
        pictures[number] = picture
    pictures.flush()


if __name__ == "__main__":
    sys.exit(main())
