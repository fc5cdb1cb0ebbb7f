"""The gain of each rewrite in each runtime, also of rewrites that were tried and lost.

    python benchmarks/rewrites.py

A ResNet50 of 1000 classes at 224x224, batch 1, one thread, float32 and int8. A is the model with a
rewrite, B the same model without it. All other rewrites are applied to both. They take turns as in
`benchmarks/latency.py`. The table has the median of A/B with quartiles: below 1 the rewrite gains.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from latency import HERE, Pair, Side, measure

COLUMNS = {
    "LiteRT float32": ("litert", "fp32.tflite"),
    "LiteRT int8": ("litert", "int8.tflite"),
    "onnxruntime float32": ("onnxruntime", "fp32.onnx"),
    "onnxruntime int8": ("onnxruntime", "int8.onnx"),
}
LOST = ("space-to-depth stem", "depthwise subsampling", "strided slices")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--size", type=int, default=224, help="height and width of a picture")
    parser.add_argument("--only", metavar="REWRITE", help="measure this one alone")
    parser.add_argument("--folder", type=Path, help="keep the files there, or use those there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        if not (folder / "made").exists():
            make_files(folder, options.size, options.only)
        print("| rewrite | part of the product |", " | ".join(COLUMNS), "|")
        print("|---|---|", "---|" * len(COLUMNS), sep="")
        for name in sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name != "ours"):
            cells = [
                ratio(folder, name, runtime, file, options.pairs)
                for runtime, file in COLUMNS.values()
            ]
            kept = "no" if name in LOST else "yes"
            print(f"| {' | '.join([name, kept, *cells])} |", flush=True)
    return 0


def make_files(folder: Path, size: int, only: str | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [
        sys.executable,
        HERE / "rewrites_files.py",
        folder,
        str(size),
        *([only] if only else []),
    ]
    subprocess.run(command, check=True, env=environment)
    (folder / "made").touch()


def ratio(folder: Path, name: str, runtime: str, file: str, pairs: int) -> str:
    """Return the ratio as text: with the rewrite over without it."""
    # `ours` lacks the rewrites that lost; every other folder lacks one that is kept.
    with_it, without = (name, "ours") if name in LOST else ("ours", name)
    if not (folder / with_it / file).exists():
        return "cannot be quantized"
    if (folder / with_it / file).read_bytes() == (folder / without / file).read_bytes():
        return "same file"
    a, b = (Side(runtime, f"{which}/{file}") for which in (with_it, without))
    row = measure(Pair(a, name, 1.0, (b,)), folder, 1, pairs, peak=1.0)
    return f"{row.ratio:.3f} ({row.low:.3f}–{row.high:.3f})"


if __name__ == "__main__":
    sys.exit(main())
