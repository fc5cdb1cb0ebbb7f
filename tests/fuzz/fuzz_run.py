"""Damage files for some seconds and count what their readers make of them.

    make fuzz SECONDS=600
    python tests/fuzz/fuzz_run.py --seconds 600 [--target NAME] [--seed N] [--inputs 10000]

Every input is read in a process that may die, hang or take too much memory without ending this one.
A fault is printed with its seed, which makes the same file again:
``--target NAME --seed N --inputs 1``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from random import Random

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

MAX_CPU_S = 10.0
"""Processor time of one input above which it counts as a hang."""

MAX_WALL_S = 180.0
"""An input that takes longer is ended."""

MAX_BYTES = 1 << 30
"""Memory that one input may add."""


def make_inputs(folder: Path) -> None:
    """Make a finished build with the command line, and the corpus from it."""
    from conftest import run_arguments, save_plain_model, write_photos
    from fuzz_corpus import make_corpus

    photos = write_photos(folder / "photos")
    save_plain_model(folder / "plain.keras")
    words = run_arguments(photos, folder / "plain.keras", folder / "build")
    words[words.index("--formats") + 1] = "saved_model,fp32.tflite,int8.tflite,fp32.onnx"
    command = [sys.executable, "-m", "resnet_edge", *words]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    device = folder / "device.json"
    bundle = folder / "build" / "resnet-edge-device.pyz"
    measure = [sys.executable, str(bundle), "run", "--min-seconds", "0.05", "--threads", "1"]
    # Small samples leave gates undecided, which is exit code 1; the file is there.
    subprocess.run([*measure, "--out", str(device)], check=False, stdout=subprocess.DEVNULL)
    corpus = folder / "corpus"
    corpus.mkdir()
    make_corpus(corpus, folder / "build", photos, folder / "build" / "artifacts" / "saved_model")
    device.rename(corpus / "device-host.json")


def work(folder: Path) -> None:
    """Read ``target seed`` lines; answer each with a line of JSON."""
    from fuzz_targets import TARGETS, try_one

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    targets = {target.name: target for target in TARGETS}
    for line in sys.stdin:
        name, seed = json.loads(line)
        peak, started = _peak_bytes(), time.process_time()
        case = try_one(targets[name], folder / "corpus", folder / "build", Random(seed))
        took_s, grown = time.process_time() - started, _peak_bytes() - peak
        outcome = case.outcome
        if not case.is_fault and took_s > MAX_CPU_S:
            outcome = f"took {took_s:.0f} s of the processor"
        elif not case.is_fault and grown > MAX_BYTES:
            outcome = f"took {grown / 1e9:.1f} GB"
        print(json.dumps([case.file, outcome]), file=answers)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


class Worker:
    """A process that reads damaged files; a new one takes the place of one that died."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def ask(self, target: str, seed: int) -> tuple[str, str]:
        """Return the file that was damaged, and the outcome."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        alarm = threading.Timer(MAX_WALL_S, process.kill)
        started = time.monotonic()
        alarm.start()
        try:
            print(json.dumps([target, seed]), file=process.stdin, flush=True)
            line = process.stdout.readline()
        finally:
            alarm.cancel()
        if line:
            file, outcome = json.loads(line)
            return file, outcome
        status = process.wait()
        self._process = None
        hung = time.monotonic() - started >= MAX_WALL_S
        return "?", "hung" if hung else f"died ({status})"

    def _start(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker", str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self._process

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def main() -> int:
    """Print the faults as they come, then the counts; 0 if there was no fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--inputs", type=int, help="end after so many")
    parser.add_argument("--target", action="append", help="only these readers")
    parser.add_argument("--seed", type=int, default=0, help="the first input's")
    parser.add_argument("--folder", type=Path, help="keeps build and corpus between calls")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.worker is not None:
        work(words.worker)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = (words.folder or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "corpus").exists():
            make_inputs(folder)
        counts = _run(folder, words)
    titles = sorted({outcome for _, outcome in counts})
    print(f"\n{sum(counts.values())} damaged files")
    for name in sorted({name for name, _ in counts}):
        figures = ", ".join(f"{t} {counts[name, t]}" for t in titles if counts[name, t])
        print(f"  {name}: {figures}")
    for title in titles:
        print(f"{title}: {sum(n for (_, t), n in counts.items() if t == title)}")
    return 1 if any(title == "FAULT" for title in titles) else 0


def _run(folder: Path, words: argparse.Namespace) -> Counter[tuple[str, str]]:
    from fuzz_targets import TARGETS

    targets = [t for t in TARGETS if not words.target or t.name in words.target]
    counts: Counter[tuple[str, str]] = Counter()
    worker = Worker(folder)
    until, seed = time.monotonic() + words.seconds, words.seed
    while time.monotonic() < until and (words.inputs is None or seed - words.seed < words.inputs):
        target = targets[seed % len(targets)]
        file, outcome = worker.ask(target.name, seed)
        title = outcome if outcome in ("worked", "clear error") else "FAULT"
        if target.dies and outcome.startswith("died"):
            title = "a worker died, which is reported"
        if title == "FAULT":
            print(f"{target.name}, seed {seed}, {file}: {outcome}", flush=True)
        counts[target.name, title] += 1
        seed += 1
    worker.end()
    return counts


if __name__ == "__main__":
    sys.exit(main())
