"""A million pictures in the parent: seconds and peak memory of every step before the training.

    python benchmarks/many_pictures.py [--pictures 10000,100000,1000000] [--kind tar] [--folder DIR]

Makes tiny pictures of different content in 1,000 classes named like ImageNet's, in folders or in
tar shards of 10,000. Then it finds, checks and splits them, writes ``dataset.json`` and reads it,
as ``finetune`` and the steps behind it do. Peak memory is of this one process (Linux), with its
libraries; a picture's memory is the slope between two rows.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import random
import struct
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet_edge.data.advice import advice
from resnet_edge.data.calibration import choose_calibration
from resnet_edge.data.dataset import Dataset, load_dataset
from resnet_edge.data.manifest import read_manifest, write_manifest
from resnet_edge.data.shares import SplitShares
from resnet_edge.data.split import split_dataset
from resnet_edge.ondevice.fit import Fit
from resnet_edge.steps.choose_pictures import labels_of
from resnet_edge.steps.finetune import _pictures_key

CLASSES = 1000
SHARD = 10_000
SIDE = 16
SIZE = (224, 224)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pictures", default="10000,100000,1000000")
    parser.add_argument("--kind", choices=("tar", "folder"), default="folder")
    parser.add_argument("--folder", type=Path, help="where the pictures are made")
    words = parser.parse_args()
    print(f"{words.kind}\n")
    print("| pictures | step | wall | processor | peak memory |")
    print("|---|---|---|---|---|")
    for count in map(int, words.pictures.split(",")):
        with tempfile.TemporaryDirectory(dir=words.folder) as name:
            folder = Path(name)
            write = write_shards if words.kind == "tar" else write_files
            write(folder / "photos", count)
            for step in (first, again, later):
                process = multiprocessing.get_context("spawn").Process(
                    target=step, args=(folder, count)
                )
                process.start()
                process.join()
                if process.exitcode:
                    raise SystemExit(f"{step.__name__}: exit code {process.exitcode}")


def named_pictures(count: int) -> Iterator[tuple[str, bytes]]:
    """Yield names like ImageNet's and PNGs of other content each."""
    rng = random.Random(0)
    for number in range(count):
        synset = f"n{1440764 + 137 * (number * CLASSES // count):08d}"
        yield f"{synset}/{synset}_{number}.png", png(rng.randbytes(SIDE * SIDE // 8))


def png(bits: bytes) -> bytes:
    """Return a picture of black and white pixels; Pillow would take ten times as long."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    row = SIDE // 8
    lines = b"".join(b"\0" + bits[at : at + row] for at in range(0, len(bits), row))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 1, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(lines, 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def write_files(root: Path, count: int) -> None:
    """Write a folder per class."""
    made: set[Path] = set()
    for name, data in named_pictures(count):
        path = root / name
        if path.parent not in made:
            path.parent.mkdir(parents=True)
            made.add(path.parent)
        path.write_bytes(data)


def write_shards(root: Path, count: int) -> None:
    """Write tar files with class folders in them; each holds pictures of some classes."""
    root.mkdir(parents=True)
    pictures = named_pictures(count)
    for shard in range(-(-count // SHARD)):
        with tarfile.open(root / f"shard-{shard:04d}.tar", "w") as tar:
            for _, (name, data) in zip(range(SHARD), pictures, strict=False):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def first(folder: Path, count: int) -> None:
    """Find and check the pictures for the first time."""
    with measured(count, "find and check"):
        load(folder)


def again(folder: Path, count: int) -> None:
    """Find and check them again, then do all that goes before the training."""
    with measured(count, "find and check again"):
        data = load(folder)
    with measured(count, "split"):
        split = split_dataset(data, SplitShares())
    with measured(count, "advice"):
        advice(data, split, None)
    with measured(count, "calibration, keys, labels"):
        choose_calibration(split.train, data.labels)
        _pictures_key(split.train)
        labels_of(split.train)
    with measured(count, "write dataset.json"):
        write_manifest(folder / "dataset.json", data, split, SIZE, Fit.CROP)


def later(folder: Path, count: int) -> None:
    """Read the pictures as every later step does."""
    with measured(count, "read dataset.json"):
        read_manifest(folder / "dataset.json")


def load(folder: Path) -> Dataset:
    """Find and check."""
    return load_dataset(folder / "photos", folder / "cache")


@contextmanager
def measured(count: int, title: str) -> Iterator[None]:
    """Print the time of a step, and the most memory that the process had during it."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    wall, processor = time.perf_counter(), time.process_time()
    yield
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    status = Path("/proc/self/status").read_text().splitlines()
    peak = int(next(line for line in status if line.startswith("VmHWM")).split()[1])
    print(
        f"| {count:,} | {title} | {wall:.1f} s | {processor:.1f} s | {peak / 2**10:,.0f} MiB |",
        flush=True,
    )


if __name__ == "__main__":
    main()
