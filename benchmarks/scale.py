"""Stages over many pictures: engines and numbers of workers, with time, memory and the hash.

    python benchmarks/scale.py --model tiny16.keras --preprocessing NAME --data DIR
        [--stages answers,features] [--engines here,local1,local2,local4,ray2] [--repeats 3]

Each run is a process of its own with an empty cache. ``start`` are the seconds until the first
shard is finished, ``run`` the others, ``memory`` the most that the process and all that it started
held at a time (proportional set size), and ``sha256`` is the hash of the result. Engines take
turns; ``per picture`` is the time of a picture after the start, as a ratio to that of ``--against``
in the same turn: median and range. ``--project N`` also prints how long N pictures would take, from
the rate of ``local1``. Of fewer pictures than ``--pictures`` each is taken several times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

STAGES = ("check", "decoding", "features", "reference", "answers", "corruption", "calibration")
CORES = (2, 64, 16 * 64)
ENGINES = ("here", "local1", "local2", "local4", "ray2")


@dataclass(frozen=True)
class Row:
    """One run."""

    start_s: float
    run_s: float
    memory_mb: float
    items: int
    """Pictures of ``run_s``."""
    sha256: str

    @property
    def rate(self) -> float:
        """Pictures a second after the start."""
        return self.items / self.run_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", type=Path, required=True, help="a .keras classifier")
    parser.add_argument("--preprocessing", default="none", help="what the model expects")
    parser.add_argument("--data", type=Path, required=True, help="pictures, a folder per class")
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--against", help="engine of the ratios; default the first one")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "scale-inputs")
    parser.add_argument("--ray-address", default="", help="head of a cluster for the engines rayN")
    parser.add_argument("--project", type=int, help="pictures of the projection")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.one:
        from scale_stages import engine_of, measure

        stage, name = words.one.split(":")
        engine = engine_of(name, words.ray_address)
        print(json.dumps(measure(stage, engine, words.work, words.pictures, name)))
        return
    from scale_stages import prepare

    prepare(words.model, words.preprocessing, words.data, words.work, words.pictures)
    engines = words.engines.split(",")
    against = words.against or engines[0]
    print(
        f"{'stage':12} {'engine':8} {'start s':>8} {'run s':>8} {'a second':>9} {'memory MB':>10}  "
        "sha256        per picture"
    )
    for stage in words.stages.split(","):
        rows: dict[str, list[Row]] = {engine: [] for engine in engines}
        for _ in range(words.repeats):
            for engine in engines:
                rows[engine].append(run_apart(stage, engine, words))
        for engine in engines:
            print_row(stage, engine, rows[engine], rows[against])
        if words.project and "local1" in rows:
            rate = statistics.median(row.rate for row in rows["local1"])
            times = {cores: words.project / rate / cores for cores in CORES}
            each = ", ".join(f"{cores} cores {duration(time)}" for cores, time in times.items())
            print(f"{'':12} {words.project:,} pictures at {rate:.3g} a second and core: {each}")


def print_row(stage: str, engine: str, rows: list[Row], against: list[Row]) -> None:
    """Print the medians, and the ratios to another engine turn by turn."""
    start, run, rate, memory = (
        statistics.median(getattr(row, name) for row in rows)
        for name in ("start_s", "run_s", "rate", "memory_mb")
    )
    hashes = sorted({row.sha256[:12] for row in rows})
    ratios = [theirs.rate / ours.rate for ours, theirs in zip(rows, against, strict=True)]
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    figures = f"{stage:12} {engine:8} {start:8.1f} {run:8.1f} {rate:9.4g} {memory:10.0f}"
    print(f"{figures}  {','.join(hashes)}  {spread}", flush=True)


def duration(seconds: float) -> str:
    """Return a time as people read it."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def run_apart(stage: str, engine: str, words: argparse.Namespace) -> Row:
    """Run one stage in a process of its own, and watch its memory."""
    command = [sys.executable, __file__, "--one", f"{stage}:{engine}", "--work", str(words.work)]
    command += ["--model", str(words.model), "--data", str(words.data)]
    command += ["--pictures", str(words.pictures), "--ray-address", words.ray_address]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = watch(process.pid)
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{stage} with {engine} failed")
    found = json.loads(out.splitlines()[-1])
    figures = found["start_s"], found["run_s"], peak() / 1e6
    return Row(*figures, found["items"], found["sha256"])


def watch(pid: int) -> Callable[[], int]:
    """Sample the memory of a process and of all its descendants; the result tells the most."""
    most, over = 0, threading.Event()

    def sample() -> None:
        nonlocal most
        while not over.wait(0.2):
            most = max(most, sum(map(proportional_set_size, tree_of(pid))))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()

    def end() -> int:
        over.set()
        thread.join()
        return most

    return end


def tree_of(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found, children = [pid], Path(f"/proc/{pid}/task")
    try:
        for task in children.iterdir():
            for child in (task / "children").read_text().split():
                found += tree_of(int(child))
    except OSError:  # it has ended
        pass
    return found


def proportional_set_size(pid: int) -> int:
    """Return the memory of a process, of which shared pages count in part."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
