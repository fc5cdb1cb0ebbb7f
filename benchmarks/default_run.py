"""Wall time and peak memory of the embedded default, from photos to report, and of a second run.

    python benchmarks/default_run.py

It runs `resnet-edge run --min-seconds 1`, as `make export` does, in a temporary folder, and sums
the memory of all its processes once a second (proportional set size: shared pages count once).
Linux only.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from pathlib import Path

from process_cost import measure


def main() -> int:
    """Run twice and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, help="build folder to keep; default: a temporary one")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as scratch:
        folder = out or Path(scratch) / "build"
        command = [sys.executable, "-m", "resnet_edge", "run", "--out", str(folder)]
        command += ["--min-seconds", "1"]
        first, second = measure(command), measure(command)
    print(
        f"machine: {platform.processor() or platform.machine()}, Python {platform.python_version()}"
    )
    for title, cost in (("first run", first), ("nothing changed", second)):
        print(f"{title}: {cost.wall_s:.1f} s, peak memory {cost.peak_bytes / 2**30:.2f} GiB")
    return first.status or second.status


if __name__ == "__main__":
    sys.exit(main())
