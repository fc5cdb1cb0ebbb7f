"""Memory and time of a comparison with very many pictures and classes.

    python benchmarks/parity_memory.py [--source OTHER_CHECKOUT] [--folder /tmp] [--only 50000x1000]

For each size a reference and an artifact's answers are planted on disk. A process of its own reads
them, compares them and judges the record again, as ``parity`` does. Prints its processor time, and
what it held most at a time: all resident memory, and of that what belongs to no file. ``--source``
measures another version on the same files.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SIZES = ("5000x1000", "50000x1000", "1000000x10")
BLOCK = 10_000
SHA256 = "ab" * 32


def main() -> None:
    """Plant, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--source", type=Path, default=ROOT, help="the checkout to measure")
    parser.add_argument(
        "--folder", type=Path, help="for the planted files, 20 bytes a picture and class"
    )
    parser.add_argument("--only", help="one size, as PICTURESxCLASSES")
    parser.add_argument("--compare", type=Path, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.compare:
        compare(words.compare)
        return
    print(f"{'pictures x classes':20} {'step':10} {'s':>6} {'resident MB':>12} {'of no file':>11}")
    for size in (words.only,) if words.only else SIZES:
        pictures, classes = map(int, size.split("x"))
        with tempfile.TemporaryDirectory(dir=words.folder) as folder:
            plant(Path(folder), pictures, classes)
            command = [sys.executable, __file__, "--compare", folder]
            done = subprocess.run(
                command,
                env={"PYTHONPATH": str(words.source.resolve())},
                capture_output=True,
                text=True,
                check=True,
            )
        for line in done.stdout.splitlines():
            print(f"{pictures:>12,} x {classes:<5,} {line}")


def plant(folder: Path, pictures: int, classes: int) -> None:
    """Write ``reference.npz`` and ``answers.npy``, a block at a time."""
    sys.path.insert(0, str(ROOT))
    from resnet_edge.ondevice.measurements import Latency
    from resnet_edge.ondevice.parity.derived_logits import DerivedLogits
    from resnet_edge.ondevice.reference_file import Reference, ReferenceInfo, write_reference

    rng = np.random.default_rng(0)
    labels = np.arange(pictures) % classes
    shape = (pictures, classes)
    reference = np.lib.format.open_memmap(folder / "answers_of_it.npy", "w+", np.float32, shape)
    answers = np.lib.format.open_memmap(folder / "answers.npy", "w+", np.float32, shape)
    for start in range(0, pictures, BLOCK):
        rows = slice(start, min(start + BLOCK, pictures))
        logits = rng.normal(size=(rows.stop - start, classes))
        logits[np.arange(len(logits)), labels[rows]] += 5.0
        noise = rng.normal(scale=0.1, size=logits.shape)
        reference[rows], answers[rows] = softmax(2 * logits), softmax(2 * logits + noise)
    info = ReferenceInfo(
        model_sha256=SHA256,
        device="planted",
        backend="planted",
        dtype="float32",
        preprocessing="caffe",
        labels=tuple(f"class {number}" for number in range(classes)),
        pictures=tuple(f"val/{row:08}.jpg" for row in range(pictures)),
        hashes=tuple(f"{row * 2654435761 % 2**32:064x}" for row in range(pictures)),
        latency=Latency("planted", 1, (0.1,), 0.1, 0.1, 1, 1),
        versions={},
    )
    whole = Reference(info, reference, DerivedLogits(reference), labels)
    write_reference(folder / "reference.npz", whole)
    (folder / "answers_of_it.npy").unlink()


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities, float32."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def compare(folder: Path) -> None:
    """Read and compare the planted files, and print what it took."""
    from resnet_edge.ondevice.formats.kinds import artifact_kind
    from resnet_edge.ondevice.parity.compare import compare_artifact
    from resnet_edge.ondevice.parity.evaluation import evaluation_set, parity_result
    from resnet_edge.ondevice.parity.gates import Gates
    from resnet_edge.ondevice.parity.judging import judge_again
    from resnet_edge.ondevice.reference_file import read_reference

    watch = Watch()
    print(watch.row("imports"))
    reference = read_reference(folder / "reference.npz")
    print(watch.row("read"))
    evaluation = evaluation_set(reference)
    answers = np.load(folder / "answers.npy", mmap_mode="r")
    kind, gates = artifact_kind("fp16.tflite"), Gates(max_ece_increase=0.02)
    parity = compare_artifact(kind, SHA256, "planted 1", evaluation, answers, gates)
    print(watch.row("compare"))
    result = parity_result(evaluation, SHA256, SHA256, gates, [parity])
    judge_again(result, gates)
    print(watch.row("judge"))
    print(
        f"top-1 {parity.top1:.4f}, agreement {parity.agreement:.4f}, SQNR {parity.sqnr_db:.3f} dB, "
        f"{len(parity.changed):,} answers changed",
        file=sys.stderr,
    )


class Watch:
    """The processor time, and the most memory since the last row, looked at every 5 ms."""

    def __init__(self) -> None:
        self._since = time.process_time()
        self._most = [0, 0]
        threading.Thread(target=self._look, daemon=True).start()

    def row(self, step: str) -> str:
        """Return a row of the table, and begin the next."""
        self._see()
        now = time.process_time()
        resident, own = self._most
        row = f"{step:10} {now - self._since:6.1f} {resident / 1e6:12,.0f} {own / 1e6:11,.0f}"
        self._since, self._most = time.process_time(), [0, 0]
        return row

    def _look(self) -> None:
        while True:
            self._see()
            time.sleep(0.005)

    def _see(self) -> None:
        status = Path("/proc/self/status").read_text()
        seen = [_kilobytes(status, name) * 1024 for name in ("VmRSS", "RssAnon")]
        self._most = [max(pair) for pair in zip(self._most, seen, strict=True)]


def _kilobytes(status: str, name: str) -> int:
    return int(status.partition(f"{name}:")[2].split()[0])


if __name__ == "__main__":
    main()
