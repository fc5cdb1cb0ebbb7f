"""Accuracy and time of the default training on the embedded digits, one training a seed.

    python benchmarks/first_run_recipe.py                      # choose: validation only
    python benchmarks/first_run_recipe.py --held-out           # report: the test split as well
    python benchmarks/first_run_recipe.py --seeds 0,1 -- --epochs 10 --image-size 64

What stands behind ``--`` goes to `resnet-edge finetune`. A recipe is chosen by the validation
figures of several seeds; the test split is looked at once, when it is fixed. With ``--keep DIR``
the builds stay, and a later ``--held-out`` measures them without a new training.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from resnet_edge.errors import ModelError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.json_records import read_record
from resnet_edge.training.training_record import TrainingRecord


def main() -> int:
    """Train with each seed and print a row for it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated")
    parser.add_argument("--held-out", action="store_true", help="show the test split's accuracy")
    parser.add_argument("--keep", type=Path, help="folder for the builds; default: a temporary one")
    parser.add_argument("finetune", nargs="*", help="options of resnet-edge finetune, after --")
    arguments = parser.parse_args()
    print("seed  size  epochs (best)  validation: accuracy, loss  held out  training  epoch")
    with tempfile.TemporaryDirectory() as temporary:
        for seed in arguments.seeds.split(","):
            out = (arguments.keep or Path(temporary)) / f"seed-{seed}"
            train(out, seed, arguments.finetune)
            print(row(seed, Layout(out), held_out=arguments.held_out), flush=True)
    return 0


def train(out: Path, seed: str, options: list[str]) -> None:
    """Run `resnet-edge finetune`, silently unless it fails."""
    command = [sys.executable, "-m", "resnet_edge", "finetune", "--out", str(out), "--seed", seed]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)


def row(seed: str, layout: Layout, *, held_out: bool) -> str:
    """Describe one training."""
    record = read_record(TrainingRecord, layout.training, ModelError)
    seconds = [epoch.seconds for epoch in record.history]
    tested = f"{held_out_accuracy(layout):8.2%}" if held_out else "not seen"
    return (
        f"{seed:>4}  {picture_side(layout):4}  {len(record.history):6} ({record.best_epoch:4})  "
        f"{record.validation_accuracy:20.2%}, {record.validation_loss:.3f}  {tested}  "
        f"{record.seconds:6.1f} s  {sorted(seconds)[len(seconds) // 2]:4.1f} s"
    )


def picture_side(layout: Layout) -> int:
    """Return the side of the pictures in pixels."""
    from resnet_edge.data.manifest import read_manifest

    return read_manifest(layout.dataset).size[0]


def held_out_accuracy(layout: Layout) -> float:
    """Return the top-1 accuracy on the test split, in [0, 1]."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import numpy as np

    from converters.preprocessing import PREPROCESSINGS
    from resnet_edge.data.decoded import decode_pictures
    from resnet_edge.data.manifest import read_manifest
    from resnet_edge.model.model_file import read_model_info

    manifest = read_manifest(layout.dataset)
    pictures = manifest.split.test
    pixels = decode_pictures(pictures, manifest.size, manifest.fit, layout.cache)
    info = read_model_info(layout.model)
    if info is None:
        sys.exit(f"{layout.model} does not say what it expects of pictures")
    prepared = PREPROCESSINGS[info.preprocessing].apply(np.asarray(pixels, np.float32))
    answers = keras.saving.load_model(layout.model).predict(prepared, verbose=0)
    return float((answers.argmax(axis=1) == [picture.label for picture in pictures]).mean())


if __name__ == "__main__":
    sys.exit(main())
