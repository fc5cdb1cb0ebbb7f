"""The rows of a search, which survive its interruption: one JSON object a line."""

from __future__ import annotations

import enum
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.errors import FREE_SPACE, ArtifactError, OutputError
from resnet_edge.ondevice.json_records import from_json, to_json
from resnet_edge.ondevice.measurements import Latency
from resnet_edge.ondevice.reading import parse_json, refusing

MODEL = "model"
"""The name of the model itself, with all channels and at its own size."""


class Stage(enum.Enum):
    """How far a network was followed."""

    PROBE = "probe"
    """Exported with untrained weights, for its latency alone."""
    FITTED = "fitted"
    """Slimmed and fitted; Keras' answers to the validation pictures are known."""
    MEASURED = "measured"
    """Trained, exported, compared with the full-precision model and timed."""


@dataclass(frozen=True)
class TrialFile:
    """One file of a network. It keeps what was seen, and no verdicts: limits may change."""

    name: str
    """For instance ``int8.onnx``."""
    sha256: str
    bytes: int
    latencies: tuple[Latency, ...]
    """By runtime and number of threads. Those that come near no limit were measured for a moment
    only."""
    top1: float | None = None
    """On the test pictures; None of a probe."""
    agreement: float | None = None
    images: int = 0
    """Test pictures that were answered."""
    gained: int = 0
    """Test pictures that the file has right and the full-precision model wrong."""
    lost: int = 0
    collapse: str | None = None
    """The reason why the answers are worthless; None if they are not."""


@dataclass(frozen=True)
class Trial:
    """One network of a search."""

    key: str
    """Hash of everything that the search depends on."""
    name: str
    """Of its folder."""
    stage: Stage
    size: tuple[int, int]
    """Height and width of its pictures."""
    multiply_adds: int
    parameters: int
    share: float
    """Of the multiply-adds that the network takes with all channels at this size, in (0, 1]."""
    work: tuple[float, ...]
    """See ``converters.compression.latency_model.work_of``."""
    model_sha256: str
    seconds: float
    """What the row took to make."""
    change: float | None = None
    """Top-1 minus the full-precision model's on validation pictures; without labels the share of
    answers that are the same, minus 1."""
    agreement: float | None = None
    aim: str = ""
    """What the network was fitted for, in words; the same aim is not tried twice."""
    learned: str = ""
    """What was learned, in words."""
    files: tuple[TrialFile, ...] = ()


class TrialLog:
    """The trials of a search in the order in which they were made.

    Args:
        path: ``trials.jsonl``; made with the first trial.
        key: Only rows with this key count. Others stay in the file.

    Raises:
        ArtifactError: A line before the last is damaged.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path, self.key = path, key
        self._trials = [trial for trial in _read(path) if trial.key == key]

    def __iter__(self) -> Iterator[Trial]:
        return iter(self._trials)

    def find(self, name: str, stage: Stage) -> Trial | None:
        """Return the last row of a network at a stage."""
        found = [trial for trial in self._trials if (trial.name, trial.stage) == (name, stage)]
        return found[-1] if found else None

    def at(self, stage: Stage) -> tuple[Trial, ...]:
        """Return the last row of every network at a stage."""
        return tuple({t.name: t for t in self._trials if t.stage is stage}.values())

    def has_aim(self, words: str) -> bool:
        """Return True if a network was fitted for this."""
        return any(trial.aim == words for trial in self._trials)

    def add(self, trial: Trial) -> Trial:
        """Append a row; it is on the disk when this returns.

        Raises:
            OutputError: It cannot be written.
        """
        line = json.dumps(to_json(trial), ensure_ascii=False, allow_nan=False) + "\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _end_last_line(self._path)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as problem:
            raise OutputError(
                f"{self._path}: cannot be written ({problem.strerror}); {FREE_SPACE}"
            ) from problem
        self._trials.append(trial)
        return trial


def _read(path: Path) -> Iterator[Trial]:
    if not path.exists():
        return
    with refusing(lambda reason: _damaged(path, 1, reason)):
        lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):  # the last is empty, or was cut off
        if not line.strip():
            continue

        def refusal(reason: str, number: int = number) -> ArtifactError:
            return _damaged(path, number, reason)

        with refusing(refusal):
            data = parse_json(line)
        yield from_json(Trial, data, f"{path}: line {number}", ArtifactError)


def _damaged(path: Path, number: int, reason: str) -> ArtifactError:
    return ArtifactError(
        f"{path}: line {number} is no trial ({reason}); remove the file to begin the search anew"
    )


def _end_last_line(path: Path) -> None:
    """Cut off a line that was not written to its end."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        data = file.read()
        if data and not data.endswith(b"\n"):
            file.truncate(data.rfind(b"\n") + 1)
