"""From a folder of photos to the pixels that train: pictures a second and core, and memory.

    python benchmarks/photos.py [--pictures 2000,20000] [--side 640]
    python benchmarks/photos.py --looks FOLDER

Makes JPEGs, then checks and decodes them as ``finetune`` does, each step in a process of its own.
The rate is by processor time, so that other programs on the machine change it little. With
``--looks`` it counts the copies of a folder's pictures that are known by their look, and the
pictures that are taken for copies and are none.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from resnet_edge.data.dataset import load_dataset
from resnet_edge.data.decoded import decode_pictures
from resnet_edge.data.picture_check import look_of
from resnet_edge.data.workers import WORKERS
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.pictures import check_bytes

CLASSES = 6
BASES = 40
SIZE = (224, 224)
COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "as PNG": lambda picture: encoded(picture, "PNG"),
    "JPEG, quality 60": lambda picture: encoded(picture, "JPEG", 60),
    "half the side": lambda picture: encoded(scaled(picture, 0.5), "JPEG", 85),
    "twice the side": lambda picture: encoded(scaled(picture, 2), "JPEG", 85),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pictures", default="2000,20000")
    parser.add_argument("--side", type=int, default=640)
    parser.add_argument("--looks", type=Path)
    words = parser.parse_args()
    if words.looks is not None:
        count_looks(words.looks)
        return
    print(f"{WORKERS} threads; JPEGs of {words.side} x {words.side * 3 // 4} pixels\n")
    print("| pictures | step | wall | processor | pictures a second and core | peak memory |")
    print("|---|---|---|---|---|---|")
    for count in map(int, words.pictures.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            write_photos(Path(folder) / "photos", count, words.side)
            for title, step in (("check", check), ("decode", decode), ("check again", check)):
                wall, processor, peak = apart(step, Path(folder))
                print(
                    f"| {count:,} | {title} | {wall:.1f} s | {processor:.1f} s | "
                    f"{count / processor:,.0f} | {peak / 2**20:,.0f} MiB |",
                    flush=True,
                )


def write_photos(root: Path, count: int, side: int) -> None:
    """Write JPEGs like photos: few contents, so that it is quick, each file with other bytes."""
    rng = np.random.default_rng(0)
    bases = []
    for _ in range(BASES):
        rough = Image.fromarray(rng.integers(0, 256, (side // 8, side // 8, 3), np.uint8))
        picture = rough.resize((side, side * 3 // 4), Image.Resampling.BICUBIC)
        bases.append(encoded(picture, "JPEG", 85))
    for number in range(count):
        path = root / f"class {number % CLASSES}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        base, comment = bases[number % BASES], str(number).encode()
        marker = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        path.write_bytes(base[:2] + marker + base[2:])
        os.utime(path, (1e9, 1e9))


def check(folder: Path) -> None:
    load_dataset(folder / "photos", folder / "cache")


def decode(folder: Path) -> None:
    pictures = load_dataset(folder / "photos", folder / "cache").pictures
    decode_pictures(pictures, SIZE, Fit.CROP, folder / "cache")


def apart(step: Callable[[Path], None], folder: Path) -> tuple[float, float, int]:
    """Run a step in a process of its own: wall and processor seconds, and peak bytes."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (step, folder))


def measure(step: Callable[[Path], None], folder: Path) -> tuple[float, float, int]:
    wall, processor = time.perf_counter(), time.process_time()
    step(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return time.perf_counter() - wall, time.process_time() - processor, peak


def encoded(picture: Image.Image, kind: str, quality: int = 75) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, quality=quality)
    return stream.getvalue()


def scaled(picture: Image.Image, factor: float) -> Image.Image:
    width, height = (max(1, round(side * factor)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def count_looks(folder: Path) -> None:
    """Count copies that are known, and pictures that are taken for copies of another."""
    with tempfile.TemporaryDirectory() as cache:
        pictures = load_dataset(folder, Path(cache)).pictures
    found = {picture.name: picture.place.read_bytes() for picture in pictures}
    looks = {name: look_of(check_bytes(data, name)) for name, data in found.items()}
    seen = Counter(look for look in looks.values() if look)
    print(f"{len(looks):,} pictures, {sum(n - 1 for n in seen.values())} look like another one")
    for title, copy in COPIES.items():
        known = [
            look_of(check_bytes(copy(Image.open(io.BytesIO(data)).convert("RGB")), name)) == look
            for (name, data), look in zip(found.items(), looks.values(), strict=True)
            if look
        ]
        print(f"{title}: {np.mean(known):.0%} known")


if __name__ == "__main__":
    main()
