"""Answers of an int8 ONNX file on x86 with VNNI and without.

    python benchmarks/saturation.py OUT/artifacts/int8.onnx PICTURES

Without VNNI, x86 sums pairs of 8-bit products in 16 bits and saturates. The script needs no such
machine: the file answers the same pictures on this processor and on one without VNNI, which
`qemu-x86_64-static` emulates (Debian's package `qemu-user-static`). Then the answers are compared.
On a processor without VNNI both are always the same.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

EMULATOR = "qemu-x86_64-static"
PROCESSOR = "Haswell"
ANSWER = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
(image,) = session.get_inputs()
kind = numpy.uint8 if "uint8" in image.type else numpy.float32
pictures = numpy.load(sys.argv[2])
answers = [session.run(None, {image.name: one[None].astype(kind)})[0] for one in pictures]
numpy.save(sys.argv[3], numpy.concatenate(answers))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", help="ONNX files, then a folder of pictures")
    parser.add_argument("--count", type=int, default=64, help="pictures; the emulator is slow")
    options = parser.parse_args()
    *models, folder = options.files
    if not models or not folder.is_dir():
        parser.error("expected one or more .onnx files and then a folder of pictures")
    if shutil.which(EMULATOR) is None:
        parser.exit(2, f"{EMULATOR}: not found; install qemu-user-static\n")
    for model in models:
        compare(model, folder, options.count)
    return 0


def compare(model: Path, folder: Path, count: int) -> None:
    """Print how far the two processors' answers are apart."""
    with tempfile.TemporaryDirectory() as scratch:
        pictures = Path(scratch) / "pictures.npy"
        np.save(pictures, decode(folder, size_of(model), count))
        here, there = (
            answers(model, pictures, Path(scratch) / f"{index}.npy", emulator)
            for index, emulator in enumerate([[], [EMULATOR, "-cpu", PROCESSOR]])
        )
    changed = int((here.argmax(axis=1) != there.argmax(axis=1)).sum())
    print(
        f"{model}: {len(here)} pictures, {changed} answers changed without VNNI, largest "
        f"difference of a probability {np.abs(here - there).max():.2g}"
    )


def size_of(model: Path) -> tuple[int, int]:
    """Height and width of the pictures that a model takes."""
    import onnx

    shape = onnx.load(model, load_external_data=False).graph.input[0].type.tensor_type.shape
    return shape.dim[1].dim_value, shape.dim[2].dim_value


def decode(folder: Path, size: tuple[int, int], count: int) -> np.ndarray:
    """Return pictures from all over a folder, uint8 ``(n, height, width, 3)``."""
    from resnet_edge.ondevice.fit import Fit
    from resnet_edge.ondevice.pictures import decode_picture

    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    chosen = paths[:: max(1, len(paths) // count)][:count]
    return np.stack([decode_picture(path, size, Fit.CROP) for path in chosen])


def answers(model: Path, pictures: Path, out: Path, emulator: list[str]) -> np.ndarray:
    """Let a process answer, on this processor or on an emulated one."""
    command = [*emulator, sys.executable, "-c", ANSWER, str(model), str(pictures), str(out)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return np.load(out)


if __name__ == "__main__":
    sys.exit(main())
