"""A shard as one of Ray's processes computes it."""

from __future__ import annotations

import pickle
import traceback
from dataclasses import dataclass
from functools import lru_cache

from resnet_edge.errors import translate
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.versions import version_of
from resnet_edge.scale.stage import Made, Make


@dataclass(frozen=True)
class Failure:
    """An error of the work itself, as it travels."""

    kind: str
    text: str
    traceback: str


@dataclass(frozen=True)
class Answer:
    """What a task returns."""

    made: Made | Failure
    machine: str
    version: str
    """Of resnet-edge."""


def compute(work: bytes, job: bytes) -> Answer:
    """Compute a shard in one of Ray's processes."""
    try:
        made: Made | Failure = _opened(work)(pickle.loads(job))
    except Exception as problem:
        error = translate(problem)
        made = Failure(type(error).__name__, str(error), traceback.format_exc())
    return Answer(made, describe_machine({}).processor, version_of("resnet-edge"))


@lru_cache(maxsize=1)
def _opened(work: bytes) -> Make:
    make: Make = pickle.loads(work).open()
    return make
