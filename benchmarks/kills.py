"""Kill `run` at random moments, run it again, and compare the bytes with an undisturbed run's.

SIGKILL, SIGTERM and SIGINT, to the process alone or to its whole group. After each kill the build
is searched for broken files and the machine for processes that live on; whenever a run gets to its
end, the build is searched for leftovers and compared with the undisturbed one. Linux only.

    python benchmarks/kills.py [--kills 200] [--seed 0] [--folder DIR]
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from kill_check import broken_files, difference, names_below

REPOSITORY = Path(__file__).resolve().parents[1]
COLOURS = {"blue": (40, 60, 200), "green": (40, 190, 60), "red": (200, 50, 50)}
SIDE = 32
TAG = "RESNET_EDGE_KILLS"
"""The variable by which the processes of a run are found, whoever their parent is."""

ORPHAN_S = 2.0
"""Workers may take this long to end after the process that was killed."""

END_S = 30.0
"""A run that was asked to stop has to end within this time."""

KILLS_OF_ONE_BUILD = 8
"""So many kills after the last comparison the run is let come to its end."""

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@dataclass
class Tally:
    """The figures that are printed at the end."""

    kills: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)
    """The step that was hit."""
    compared: int = 0
    faults: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Trial:
    """The folders of this benchmark, and the command that it kills."""

    folder: Path
    command: tuple[str, ...]

    @property
    def temporary(self) -> Path:
        """The folder for temporary files, which must be empty after a run."""
        return self.folder / "tmp"

    def start(self, out: Path, log: Path) -> subprocess.Popen[bytes]:
        """Start a run in a process group of its own."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "TMPDIR": str(self.temporary),
            TAG: str(self.folder),
        }
        with log.open("wb") as sink:
            return subprocess.Popen(
                [*self.command, "--out", str(out)],
                stdout=sink,
                stderr=sink,
                env=environment,
                start_new_session=True,
                # A shell without a terminal lets its background programs ignore Ctrl-C.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def finish(self, out: Path) -> float:
        """Run to the end and return the seconds it took."""
        started = time.monotonic()
        log = self.folder / "whole.log"
        code = self.start(out, log).wait()
        if not came_to_end(code, log):
            sys.exit(f"an undisturbed run ended with {code}:\n{log.read_text()}")
        return time.monotonic() - started

    def living(self) -> list[int]:
        """Return the processes of any run of this benchmark that are alive."""
        wanted = f"{TAG}={self.folder}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                variables = (entry / "environ").read_bytes().split(b"\0")
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if wanted in variables and state != "Z":
                found.append(int(entry.name))
        return found


def make_inputs(folder: Path) -> tuple[str, ...]:
    """Write photos and a tiny network; return the command that works on them."""
    import keras
    from keras import layers
    from PIL import Image

    sys.path.insert(0, str(REPOSITORY))
    from resnet_edge.model.model_file import ModelInfo, write_model

    generator = np.random.default_rng(0)
    photos = folder / "photos"
    for name, colour in COLOURS.items():
        (photos / name).mkdir(parents=True)
        for number in range(20):
            pixels = np.clip(generator.normal(colour, 30, (SIDE, SIDE, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(photos / name / f"{number}.png")
    archive = shutil.make_archive(str(folder / "photos"), "zip", photos)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Conv2D(8, 3, strides=2, use_bias=False, name="conv4_block1_conv"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(16, 3, strides=2, name="conv5_block1_conv"),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(len(COLOURS), activation="softmax"),
        ],
        name="tiny",
    )
    network = folder / "tiny.keras"
    write_model(network, model, ModelInfo("tiny", tuple(COLOURS), "unit", "crop", "random"))
    return (
        *(sys.executable, "-m", "resnet_edge", "run"),
        *("--data", archive, "--weights", str(network)),
        *("--formats", "int8.tflite,fp32.onnx"),
        *("--epochs", "6", "--learning-rate", "0.2", "--unfreeze", "1", "--threads", "1"),
        *("--min-seconds", "0.05", "--min-queries", "8", "--allow-inconclusive"),
    )


def kill(process: subprocess.Popen[bytes], number: signal.Signals, *, group: bool) -> int | None:
    """Send a signal; return the exit code, or None if the process does not end."""
    if group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    try:
        return process.wait(END_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def came_to_end(code: int, log: Path) -> bool:
    """Return True if a run did its last step; a gate that fell is no matter here."""
    return code in (0, 1) and "\nbundle: " in log.read_text()


def step_of(log: str) -> str:
    """Return the step that a run was in, by the last line ``[2/7] export: …``."""
    lines = [line for line in log.splitlines() if line.startswith("[") and "/" in line[:4]]
    return lines[-1].split()[1].rstrip(":") if lines else "before the first step"


def check_end(trial: Trial, number: signal.Signals, code: int | None, log: str) -> list[str]:
    """Return the faults of a run that was just killed."""
    faults = []
    until = time.monotonic() + ORPHAN_S
    while (left := trial.living()) and time.monotonic() < until:
        time.sleep(0.02)
    if left:
        faults.append("orphans")
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    if code is None:
        faults.append("did not stop")
    elif number is not signal.SIGKILL and code != 130 and step_of(log)[0] != "b":
        faults.append(f"exit code {code}")
    if number is not signal.SIGKILL and "Traceback" in log and step_of(log)[0] != "b":
        faults.append("traceback")
    return faults


def disturb(trial: Trial, out: Path, chance: random.Random, longest_s: float, tally: Tally) -> bool:
    """Start a run and kill it; return True if it came to its end before."""
    log = trial.folder / "run.log"
    number, group = chance.choice(SIGNALS), chance.random() < 0.5
    process = trial.start(out, log)
    try:
        code = process.wait(chance.uniform(0, longest_s))
    except subprocess.TimeoutExpired:
        code = kill(process, number, group=group)
    else:
        if not came_to_end(code, log):
            tally.faults["a rerun that failed"] += 1
            print(log.read_text(), flush=True)
        return True
    said = log.read_text(errors="replace")
    words = f"{number.name} to the {'group' if group else 'process'}"
    tally.kills[words] += 1
    tally.steps[step_of(said)] += 1
    faults = check_end(trial, number, code, said)
    faults += [f"broken {name}" for name in broken_files(out)]
    for fault in faults:
        tally.faults[fault] += 1
    print(sum(tally.kills.values()), words, f"in {step_of(said)}:", faults or "ok", flush=True)
    if faults:
        print(said, flush=True)
    return False


def check_whole(trial: Trial, out: Path, whole: Path, exact: set[str], tally: Tally) -> None:
    """Compare a build that was killed on its way with the undisturbed one."""
    tally.compared += 1
    faults = [f"leftover {name}" for name in sorted(names_below(out) - names_below(whole))]
    faults += [f"missing {name}" for name in sorted(names_below(whole) - names_below(out))]
    faults += [f"leftover in TMPDIR {path.name}" for path in trial.temporary.iterdir()]
    faults += [f"broken {name}" for name in broken_files(out)]
    for name in sorted(names_below(whole) & names_below(out)):
        same = (whole / name).read_bytes() == (out / name).read_bytes()
        if not same and (name in exact or difference(whole / name, out / name)):
            faults.append(f"other bytes: {name}")
    for fault in faults:
        tally.faults[fault] += 1
    print(f"run {tally.compared} came to its end:", faults or "the same bytes", flush=True)


def main() -> int:
    """Print every kill as it goes, then the figures; 0 if there was no fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="kept; by default a temporary one, removed")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (words.folder or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        trial = Trial(folder, make_inputs(folder))
        trial.temporary.mkdir(exist_ok=True)
        tally = run_trial(trial, words.kills, random.Random(words.seed))
    print(f"\n{sum(tally.kills.values())} kills, {tally.compared} runs compared")
    for title, counts in (("kills", tally.kills), ("in the step", tally.steps)):
        print(f"{title}:", ", ".join(f"{name} {count}" for name, count in counts.most_common()))
    print("faults:", dict(tally.faults) or 0)
    return 1 if tally.faults else 0


def run_trial(trial: Trial, kills: int, chance: random.Random) -> Tally:
    """Run twice undisturbed, then kill until there are enough."""
    first, second, out = (trial.folder / name for name in ("whole", "again", "out"))
    for left in (first, second, out):
        shutil.rmtree(left, ignore_errors=True)
    took_s = trial.finish(out)
    out.rename(first)  # records hold the place of the pictures, so all are made in one folder
    trial.finish(out)
    out.rename(second)
    tally = Tally()
    both = names_below(first) & names_below(second)
    exact = {name for name in both if (first / name).read_bytes() == (second / name).read_bytes()}
    print(
        f"an undisturbed run takes {took_s:.0f} s; the same bytes in two of them: {len(exact)}",
        flush=True,
    )
    for name in sorted(both - exact):
        told = difference(first / name, second / name)
        words = told or "differs in times alone"
        print(f"  {name}: {words}", flush=True)
        tally.faults["undisturbed runs differ"] += bool(told)
    since = 0
    while sum(tally.kills.values()) < kills or since:
        if since == KILLS_OF_ONE_BUILD or sum(tally.kills.values()) == kills:
            trial.finish(out)
        elif not disturb(trial, out, chance, took_s, tally):
            since += 1
            continue
        check_whole(trial, out, first, exact, tally)
        shutil.rmtree(out)
        since = 0
    tally.faults += Counter()  # drops zeros
    return tally


if __name__ == "__main__":
    sys.exit(main())
