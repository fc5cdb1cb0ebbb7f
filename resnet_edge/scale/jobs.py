"""What a process that computes shards is told, as lines of its standard input."""

from __future__ import annotations

import base64
import pickle
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.scale.stage import Work


@dataclass(frozen=True)
class Start:
    """The first line: what all shards need."""

    work: str
    """``Work``, pickled by the process that reads nobody else's pickles, in base 64."""
    folder: Path
    """For the files of shards; absolute."""
    threads: int
    tasks: int
    """Ray: tasks at a time, 0 for all cores."""
    address: str
    """Ray: of the head; empty starts Ray on this machine alone."""
    on_gpus: bool
    """Ray: a task takes a GPU as well, where the machines have some."""


@dataclass(frozen=True)
class Served:
    """The last line that it answers: nothing was left to do."""

    shards: int


def pack(value: object) -> str:
    """Return a value as one word of text."""
    return base64.b64encode(pickle.dumps(value)).decode()


def unpack_work(text: str) -> Work:
    """Return the work that was packed."""
    work: Work = pickle.loads(base64.b64decode(text))
    return work


def job_line(number: int, job: object) -> str:
    """Return the line that asks for a shard."""
    return f"{number} {pack(job)}"


def read_job_line(line: str) -> tuple[int, bytes]:
    """Return the number of a shard, and its job, pickled."""
    number, job = line.split()
    return int(number), base64.b64decode(job)
