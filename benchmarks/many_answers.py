"""A million pictures through the stages behind the check: seconds and memory of all processes.

    python benchmarks/many_answers.py [--pictures 100000,1000000] [--engine local2] [--folder DIR]

Takes a file of random pixels, 16x16, as it is after decoding (``many_pictures.py`` measures what
goes before), and a small network of random weights with 1,000 answers. Each stage is a process of
its own with an empty cache, as in ``scale.py``, where the columns are explained. Of a million
pictures the answers are 4 GB, and as much again until their shards are put together.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from many_pictures import CLASSES, SIDE, write_files
from scale import run_apart
from scale_stages import export_int8

STAGES = ("features", "reference", "answers", "corruption")
CALIBRATION = 2000
BLOCK = 1 << 16
"""Pictures made at once."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pictures", default="100000,1000000")
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--engine", default="local2", help="as in scale.py")
    parser.add_argument("--folder", type=Path, help="where the pictures are made")
    parser.add_argument("--ray-address", default="", help="head of a cluster for the engines rayN")
    words = parser.parse_args()
    print("| pictures | stage | start | the others | a second | memory | sha256 |")
    print("|---|---|---|---|---|---|---|")
    for count in map(int, words.pictures.split(",")):
        with tempfile.TemporaryDirectory(dir=words.folder) as name:
            measure(Path(name), count, words)


def measure(folder: Path, count: int, words: argparse.Namespace) -> None:
    """Make the inputs, then run every stage."""
    model, work = folder / "model.keras", folder / "work"
    make_model(model)
    write_files(folder / "calibration", CALIBRATION)
    export_int8(model, "unit", folder / "calibration", work)
    make_pixels(work / "pixels.npy", count)
    given = argparse.Namespace(
        model=model, data=folder, work=work, pictures=count, ray_address=words.ray_address
    )
    for stage in words.stages.split(","):
        row = run_apart(stage, words.engine, given)
        print(
            f"| {count:,} | {stage} | {row.start_s:.1f} s | {row.run_s:.1f} s | {row.rate:,.0f} | "
            f"{row.memory_mb:,.0f} MB | {row.sha256[:12]} |",
            flush=True,
        )


def make_pixels(path: Path, count: int) -> None:
    """Write random pixels as decoded pictures."""
    rng = np.random.default_rng(0)
    pixels = np.lib.format.open_memmap(path, "w+", np.uint8, (count, SIDE, SIDE, 3))
    for start in range(0, count, BLOCK):
        block = pixels[start : start + BLOCK]
        block[:] = rng.integers(0, 256, block.shape, np.uint8)
    pixels.flush()


def make_model(path: Path) -> None:
    """Save a small network of random weights."""
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(inputs)
    x = keras.layers.Conv2D(64, 3, strides=2, padding="same", activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = keras.layers.Dense(CLASSES, activation="softmax")(x)
    keras.Model(inputs, outputs).save(path)


if __name__ == "__main__":
    main()
