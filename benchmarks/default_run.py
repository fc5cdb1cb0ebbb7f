"""Wall time and peak memory of `make export` in a fresh clone, and of a second run.

    python benchmarks/default_run.py
    python benchmarks/default_run.py --json first-run.json

It clones this repository into a temporary folder, where there is no `.venv`, and runs `make export`
there with an empty home folder, then once more. So it measures what a newcomer waits for: the
installation too. The memory of all processes is summed once a second (proportional set size:
shared pages count once). Linux only; the clone holds what is committed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from process_cost import Cost, measure

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("tensorflow", "keras", "ai-edge-litert", "onnxruntime", "numpy")


@dataclass(frozen=True)
class FirstRun:
    """The times of a first run."""

    machine: str
    commit: str
    install_s: float
    steps_s: dict[str, float]
    all_s: float
    processor_s: float
    """Processor time of all processes: little changed by other programs."""
    peak_gib: float
    second_s: float
    versions: dict[str, str]


def main() -> int:
    """Clone, run twice, and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--keep", type=Path, help="new folder for the clone")
    parser.add_argument("--python", default="python3", help="the Python that makes .venv")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        clone = (arguments.keep or Path(scratch) / "resnet-edge").absolute()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        environment = new_home(Path(scratch) / "home")
        make = ["make", "-C", str(clone), f"PYTHON={arguments.python}", "export"]
        started = time.time()
        before = processor_s()
        first = measure(make, environment)
        used = processor_s() - before
        if first.status:
            return first.status
        second = measure(make, environment)
        run = describe(clone, started, first, used, second)
        print_run(run)  # before the clone is deleted, which takes a while
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(asdict(run), indent=1) + "\n")
    return second.status


def new_home(home: Path) -> dict[str, str]:
    """Return an environment with an empty home folder and no way back to this one's packages."""
    home.mkdir()
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}


def processor_s() -> float:
    """Return the processor time of all processes that were started and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def describe(clone: Path, started: float, first: Cost, used: float, second: Cost) -> FirstRun:
    """Gather the figures; `.venv/.ready` is written when the installation ends."""
    steps = json.loads((clone / "build/cache/step-times.json").read_text())["seconds"]
    code = (
        "import importlib.metadata as m, json, sys; "
        "print(json.dumps({p: m.version(p) for p in sys.argv[1:]}))"
    )
    python = clone / ".venv/bin/python"
    versions = subprocess.check_output([python, "-c", code, *PACKAGES], text=True)
    commit = subprocess.check_output(
        ["git", "-C", clone, "rev-parse", "--short", "HEAD"], text=True
    )
    return FirstRun(
        machine=machine(),
        commit=commit.strip(),
        install_s=(clone / ".venv/.ready").stat().st_mtime - started,
        steps_s=steps,
        all_s=first.wall_s,
        processor_s=used,
        peak_gib=first.peak_bytes / 2**30,
        second_s=second.wall_s,
        versions=json.loads(versions),
    )


def machine() -> str:
    """Name the processor, its cores and whether it has integer dot products."""
    sys.path.insert(0, str(ROOT))  # the product is not installed yet; this needs no other package
    from resnet_edge.ondevice.cpu_features import dot_products, missing_dot_products
    from resnet_edge.ondevice.machine import describe_machine

    here = describe_machine({})
    products = ", ".join(dot_products(here.cpu_features))
    return (
        f"{here.processor}, {here.cores} cores, "
        f"{'AVX-512, ' if 'avx512f' in here.cpu_features else ''}"
        f"{products or missing_dot_products(here.cpu_features) or 'no integer dot products'}"
    )


def print_run(run: FirstRun) -> None:
    """Print a line for each part."""
    print(f"machine: {run.machine}; commit {run.commit}, Python {sys.version.split()[0]}")
    print(", ".join(f"{name} {version}" for name, version in run.versions.items()))
    for name, seconds in {"install": run.install_s, **run.steps_s}.items():
        print(f"{name:10} {seconds:6.1f} s")
    print(
        f"first run: {run.all_s:.1f} s in all, {run.processor_s:.0f} s of the processors, "
        f"peak memory {run.peak_gib:.2f} GiB"
    )
    print(f"nothing changed: {run.second_s:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
