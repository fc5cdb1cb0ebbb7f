"""Ctrl-C, ``kill`` and ``kill -9`` in each step; the same command then ends as if undisturbed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.reference_file import read_reference

PATIENCE_S = 120.0
TRAINING = ("--epochs", "30", "--learning-rate", "0.2", "--no-augment")
FORMATS = ("--formats", "fp32.tflite,int8.tflite,fp32.onnx")
LATENCY = ("--min-seconds", "0.05", "--min-queries", "8")


@dataclass(frozen=True)
class Step:
    """A step, and the sign by which one sees from outside that it is in its middle."""

    arguments: tuple[str, ...]
    makes: tuple[str, ...]
    """Paths in the build that are removed before."""
    worker: str | None = None
    """A child process of this name runs."""
    line: str | None = None
    """This stands on standard error."""
    library: str | None = None
    """This library is loaded."""


STEPS = {
    "finetune": Step(
        ("finetune", *TRAINING),
        ("model.keras", "training.json", "dataset.json", "calibration.json", "cache"),
        line="epoch   3 (head)",
    ),
    "export": Step(("export", *FORMATS), ("artifacts",), worker="resnet_edge.exporting.worker"),
    "reference": Step(("reference", *LATENCY), ("reference.npz",), line="reference on "),
    "parity": Step(
        ("parity", "--allow-inconclusive"),
        ("results/parity.json", "cache/parity.stamp.json"),
        worker="resnet_edge.scale.shard_worker",
    ),
    "bench": Step(
        ("bench", "--threads", "1", *LATENCY),
        ("results",),
        worker="resnet_edge.ondevice.latency.bench_worker",
    ),
    "report": Step(
        ("report", "--allow-inconclusive"),
        ("report.json", "report.md", "report.html"),
        library="ft2font",
    ),
}


def process_tree(root: int) -> dict[int, str]:
    """Every living process below ``root`` with its command line."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parents[int(entry.name)] = int(fields[1])
    found: dict[int, str] = {}
    waiting = [root]
    while waiting:
        parent = waiting.pop()
        for pid in [pid for pid, above in parents.items() if above == parent]:
            waiting.append(pid)
            try:
                found[pid] = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def reached(step: Step, pid: int, said: str) -> bool:
    """True if the process is in the middle of its step."""
    if step.worker is not None:
        return any(step.worker in words for words in process_tree(pid).values())
    if step.line is not None:
        return step.line in said
    try:
        return str(step.library) in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


def heed_ctrl_c() -> None:
    """A shell without a terminal lets what it starts in the background ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt(
    words: list[str], environment: dict[str, str], step: Step, number: signal.Signals, log: Path
) -> tuple[int, str]:
    """Start the command, send the signal in its middle; return exit code and what it said."""
    with log.open("w") as sink:
        process = subprocess.Popen(
            words, stdout=sink, stderr=sink, env=environment, preexec_fn=heed_ctrl_c
        )
        until = time.monotonic() + PATIENCE_S
        while process.poll() is None and not reached(step, process.pid, log.read_text()):
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.01)
        assert process.poll() is None, f"it was over too soon: {log.read_text()}"
        children = set(process_tree(process.pid))
        process.send_signal(number)
        code = process.wait(PATIENCE_S)
    until = time.monotonic() + 30
    while alive := [pid for pid in children if is_alive(pid)]:
        assert time.monotonic() < until, f"workers survived: {alive}"
        time.sleep(0.02)
    return code, log.read_text()


@pytest.fixture
def check(
    command: tuple[list[str], dict[str, str]],
    build: Path,
    edge_build: Path,
    edge_photos: Path,
    edge_model: Path,
    tmp_path: Path,
) -> Callable[[str, signal.Signals], None]:
    def run(name: str, number: signal.Signals) -> None:
        step = STEPS[name]
        for path in (build / made for made in step.makes):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        program, environment = command
        words = [*program, *step.arguments, "--out", str(build)]
        if name == "finetune":
            words += ["--data", str(edge_photos), "--weights", str(edge_model)]
        code, said = interrupt(words, environment, step, number, tmp_path / "log")
        if number is not signal.SIGKILL:
            assert code == 130, said
            assert said.endswith("interrupted; run the same command again to go on\n")
            assert "Traceback" not in said
        else:
            assert code == -signal.SIGKILL
        done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        compare(name, build, edge_build)

    return run


def compare(name: str, build: Path, expected: Path) -> None:
    """Hold what the second run left against the build that nobody interrupted."""
    match name:
        case "finetune":
            for made in ("model.keras", "dataset.json", "calibration.json"):
                assert (build / made).read_bytes() == (expected / made).read_bytes(), made
        case "export":
            for path in (expected / "artifacts").iterdir():
                assert hash_path(build / "artifacts" / path.name) == hash_path(path), path.name
        case "reference":
            found, wanted = (read_reference(out / "reference.npz") for out in (build, expected))
            assert (found.probabilities == wanted.probabilities).all()
        case "parity":
            found, wanted = (
                json.loads((out / "results" / "parity.json").read_text())
                for out in (build, expected)
            )
            assert found == wanted
        case "bench":
            (path,) = (build / "results").glob("bench-*.json")
            names = [a["name"] for a in json.loads(path.read_text())["artifacts"]]
            assert names == ["fp32.tflite", "int8.tflite", "fp32.onnx"]
        case "report":
            found, wanted = (
                json.loads((out / "report.json").read_text()) for out in (build, expected)
            )
            assert found == wanted


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("finetune", signal.SIGKILL),
        ("export", signal.SIGTERM),
        ("parity", signal.SIGINT),
    ],
)
def test_three_of_them(check, name, number):
    check(name, number)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("name", STEPS)
def test_all_of_them(check, name, number):
    check(name, number)
