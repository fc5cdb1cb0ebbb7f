"""Latency of our files and of other tools', side by side.

    make bench-peers                # once, for the rows against OpenVINO
    python benchmarks/latency.py --json latency.json
    python benchmarks/latency.py --against latency.json     # exit 1 where a row became slower

A ResNet50 of 1000 classes at 224x224, batch 1. Ours are the files of `resnet-edge export`; the
others' come from plain calls on the model as Keras has it. A and B are loaded in processes of their
own, as their runtimes need different environments, and take turns: one inference of A, one of B,
the first of the two changing, never both at once; who waits is stopped, threads that spin with it.
Printed are medians of the pairs' ratios with their quartiles, and the share of what this processor
does in a large matrix product (onnxruntime's, float32 or int8, with as many threads).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
MULTIPLY_ADDS = 3_857_973_248  # of the model as it is, at 224x224: work done, not work made of it
PEAK_MULTIPLY_ADDS = 2048**3
WARM_UP = 5
PAUSE_S = 0.005


@dataclass(frozen=True)
class Side:
    """One file in one runtime."""

    runtime: str
    path: str

    def start(self, folder: Path, threads: int) -> subprocess.Popen[str]:
        """Load it in a process of its own."""
        python = str(PEERS_PYTHON) if self.runtime == "openvino" else sys.executable
        worker = HERE / "latency_worker.py"
        process = subprocess.Popen(
            [python, worker, self.runtime, folder / self.path, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            _, words = process.communicate()
            sys.exit(f"{self.runtime} {self.path}: {(words.strip().splitlines() or ['died'])[-1]}")
        return process


@dataclass(frozen=True)
class Pair:
    """A row of the table."""

    a: Side
    against: str
    wanted: float
    b: tuple[Side, ...]
    """The fastest of several counts."""

    @property
    def ours(self) -> str:
        """Name of our file, with the runtime if it is not the usual one."""
        suffix = " in OpenVINO" if self.a.runtime == "openvino" else ""
        return Path(self.a.path).name + suffix

    @property
    def kind(self) -> str:
        """Number type that the file computes with."""
        return "int8" if self.ours.startswith("int8") else "float32"


def _ours(runtime: str, name: str) -> Side:
    return Side(runtime, f"ours/artifacts/{name}")


_TF_INT8 = Side("litert", "tf-converter/int8.tflite")
_ORT_INT8 = tuple(Side("onnxruntime", f"onnxruntime-{kind}/int8.onnx") for kind in ("u8s8", "s8s8"))
_NNCF, _OPENVINO = Side("openvino", "nncf/int8.xml"), Side("openvino", "fp32.onnx")
_ORT = "onnxruntime"
_TABLE = (
    (_ours("litert", "fp32.tflite"), "plain converter", 0.93, (Side("litert", "fp32.tflite"),)),
    (_ours("litert", "int8.tflite"), "TF converter", 0.90, (_TF_INT8,)),
    (_ours(_ORT, "fp32.onnx"), "plain tf2onnx", 0.92, (Side(_ORT, "fp32.onnx"),)),
    (_ours(_ORT, "int8.onnx"), "quantize_static", 0.92, _ORT_INT8),
    (_ours(_ORT, "int8.onnx"), "NNCF in OpenVINO", 0.97, (_NNCF,)),
    (_ours("openvino", "int8.onnx"), "NNCF in OpenVINO", 0.97, (_NNCF,)),
    (_ours(_ORT, "fp32.onnx"), "float32 in OpenVINO", 0.97, (_OPENVINO,)),
    (_ours("openvino", "fp32.onnx"), "float32 in OpenVINO", 0.97, (_OPENVINO,)),
)
PAIRS = tuple(Pair(*row) for row in _TABLE)


@dataclass(frozen=True)
class Row:
    """One pair at one thread count."""

    ours: str
    against: str
    threads: int
    wanted: float
    a_s: float
    b_s: float
    ratio: float
    low: float
    """First quartile of the pairs' ratios."""
    high: float
    peak_share: float

    @property
    def key(self) -> tuple[str, str, int]:
        """Key that tells the row from others."""
        return self.ours, self.against, self.threads


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--threads", default="1,2", metavar="1,2")
    parser.add_argument("--folder", type=Path, help="keep the files there, or use those there")
    parser.add_argument("--json", type=Path, help="save the rows")
    parser.add_argument("--against", type=Path, help="rows saved earlier, to compare with")
    options = parser.parse_args()
    if options.against and not options.against.exists():
        parser.error(f"--against {options.against}: no such file; save one with --json")
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        make_files(folder)
        rows = []
        print("| ours | against | threads | A ms | B ms | A/B (quartiles) | wanted | of the peak |")
        print("|---|---|---|---|---|---|---|---|")
        for threads in (int(text) for text in options.threads.split(",")):
            peaks = {kind: peak_rate(folder, kind, threads) for kind in ("float32", "int8")}
            for pair in PAIRS:
                if not PEERS_PYTHON.exists() and "OpenVINO" in pair.against:
                    print(f"{pair.ours} against {pair.against}: run `make bench-peers` first")
                    continue
                rows.append(measure(pair, folder, threads, options.pairs, peaks[pair.kind]))
                print(line(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
    return compare(rows, options.against) if options.against else 0


def make_files(folder: Path) -> None:
    done = folder / "made"
    if done.exists():
        return
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    script = HERE / "latency_files.py"
    subprocess.run([sys.executable, script, "all", folder, "224"], check=True, env=environment)
    if PEERS_PYTHON.exists():
        subprocess.run([PEERS_PYTHON, script, "nncf", folder, "224"], check=True)
    done.touch()


def infer(process: subprocess.Popen[str]) -> float:
    """Wake a process for one inference: runtimes' threads spin for a while when it is done."""
    time.sleep(PAUSE_S)
    assert process.stdin is not None
    assert process.stdout is not None
    process.send_signal(signal.SIGCONT)
    process.stdin.write("\n")
    process.stdin.flush()
    seconds = float(process.stdout.readline())
    process.send_signal(signal.SIGSTOP)
    return seconds


def stop(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.send_signal(signal.SIGCONT)
        process.communicate()


def peak_rate(folder: Path, kind: str, threads: int) -> float:
    """Multiply-adds a second in a large matrix product, the best of ten."""
    process = Side("onnxruntime", f"peak-{kind}.onnx").start(folder, threads)
    seconds = min(infer(process) for _ in range(10))
    stop(process)
    return PEAK_MULTIPLY_ADDS / seconds


def measure(pair: Pair, folder: Path, threads: int, count: int, peak: float) -> Row:
    a, others = pair.a.start(folder, threads), [b.start(folder, threads) for b in pair.b]
    for process in (a, *others):
        for _ in range(WARM_UP):
            infer(process)
    b = min(others, key=lambda other: statistics.median(infer(other) for _ in range(WARM_UP)))
    a_s, b_s = [], []
    for number in range(count):
        turns = [(a, a_s), (b, b_s)]
        for process, samples in turns if number % 2 else reversed(turns):
            samples.append(infer(process))
    stop(a, *others)
    low, ratio, high = statistics.quantiles([x / y for x, y in zip(a_s, b_s, strict=True)], n=4)
    median_s = statistics.median(a_s)
    return Row(
        pair.ours,
        pair.against,
        threads,
        pair.wanted,
        median_s,
        statistics.median(b_s),
        ratio,
        low,
        high,
        MULTIPLY_ADDS / median_s / peak,
    )


def line(row: Row) -> str:
    cells = [
        row.ours,
        row.against,
        str(row.threads),
        f"{row.a_s * 1e3:.1f}",
        f"{row.b_s * 1e3:.1f}",
    ]
    cells += [f"{row.ratio:.3f} ({row.low:.3f}–{row.high:.3f})", f"{row.wanted:.2f}"]
    return f"| {' | '.join([*cells, f'{row.peak_share:.0%}'])} |"


def compare(rows: list[Row], path: Path) -> int:
    """Say how every row's own latency changed; 1 where one became slower.

    Relative to B, which both runs measured, so that another state of the machine cancels.
    """
    earlier = {row.key: row for row in (Row(**fields) for fields in json.loads(path.read_text()))}
    print("\n| ours | against | threads | then | now | verdict |\n|---|---|---|---|---|---|")
    verdicts = []
    for row in rows:
        if (then := earlier.get(row.key)) is None:
            continue
        verdicts.append(judge(then, row))
        cells = [row.ours, row.against, str(row.threads), f"{then.ratio:.3f}", f"{row.ratio:.3f}"]
        print(f"| {' | '.join([*cells, verdicts[-1]])} |")
    return 1 if "slower" in verdicts else 0


def judge(then: Row, now: Row) -> str:
    """Compare quartiles: apart is a change; too wide to tell 5 % is too noisy."""
    if max(row.high - row.low for row in (then, now)) > 0.1 * now.ratio:
        return "too noisy"
    if now.low > then.high:
        return "slower"
    return "faster" if now.high < then.low else "same"


if __name__ == "__main__":
    sys.exit(main())
