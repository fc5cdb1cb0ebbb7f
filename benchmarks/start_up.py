"""Start-up time of the command line: how long a person waits for help, version and completion.

    python benchmarks/start_up.py [--runs 9] [--imports 12]

Prints the median and the fastest wall time and the processor time of each, then the imports that
take longest. The processor time says more on a machine that is busy with other things.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMPLETE = {
    "_RESNET_EDGE_COMPLETE": "complete_bash",
    "COMP_WORDS": "resnet-edge run --ep",
    "COMP_CWORD": "2",
}
CALLS = {
    "--help": (("--help",), {}),
    "--version": (("--version",), {}),
    "run --help": (("run", "--help"), {}),
    "doctor --help": (("doctor", "--help"), {}),
    "completion of --ep": ((), COMPLETE),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--imports", type=int, default=12)
    words = parser.parse_args()
    print(f"{'resnet-edge …':20} {'median':>8} {'fastest':>8} {'processor':>10}")
    for title, (arguments, variables) in CALLS.items():
        walls, processors = zip(
            *(measure(arguments, variables) for _ in range(words.runs)), strict=True
        )
        times = (statistics.median(walls), min(walls), statistics.median(processors))
        print(f"{title:20} {times[0]:7.2f}s {times[1]:7.2f}s {times[2]:9.2f}s")
    print("\nslowest imports of --help, with what they import, in ms")
    for name, milliseconds in slowest_imports(("--help",))[: words.imports]:
        print(f"{milliseconds:8.1f}  {name}")


def measure(arguments: tuple[str, ...], variables: dict[str, str]) -> tuple[float, float]:
    """Return the wall time and the processor time of one call, in seconds."""
    before, start = children(), time.perf_counter()
    subprocess.run(command(arguments), env=environment(variables), stdout=subprocess.DEVNULL)
    return time.perf_counter() - start, children() - before


def children() -> float:
    """Return the processor time of all child processes so far, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def command(arguments: tuple[str, ...], *flags: str) -> list[str]:
    """Return the command line of a call."""
    return [sys.executable, *flags, "-m", "resnet_edge", *arguments]


def environment(variables: dict[str, str]) -> dict[str, str]:
    """Return the environment of a call: this checkout comes first."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **variables}


def slowest_imports(arguments: tuple[str, ...]) -> list[tuple[str, float]]:
    """Return modules and their time in milliseconds, the slowest first."""
    done = subprocess.run(
        command(arguments, "-X", "importtime"),
        env=environment({}),
        capture_output=True,
        text=True,
        check=True,
    )
    rows = re.findall(r"import time: +\d+ \| +(\d+) \| +(\S+)", done.stderr)
    return sorted(((name, int(us) / 1e3) for us, name in rows), key=lambda row: -row[1])


if __name__ == "__main__":
    main()
