"""The plan of a run: the steps to come, and about how long they take.

An estimate comes from what is known at the time: how long a step took when this build folder was
made last, how far the step that runs has come, and else from the training's own times.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resnet_edge.display import Advance, Display
from resnet_edge.errors import ResnetEdgeError
from resnet_edge.ondevice.json_records import read_record, write_record

LEAST_SHARE = 0.1
"""Share of a step that has to be done before its own speed tells the time that is left."""

LEAST_S = 5.0
"""Seconds of a step that have to have passed before its own speed says the same."""


@dataclass(frozen=True)
class PlannedStep:
    """A step of the run, in order."""

    name: str
    words: str
    """Its work, in a few words."""


@dataclass(frozen=True)
class StepTimes:
    """``cache/step-times.json``: the seconds of each step when it was last done."""

    seconds: dict[str, float]


def read_times(path: Path) -> dict[str, float]:
    """Return the seconds of each step that was done in this build folder; empty where none was."""
    try:
        return read_record(StepTimes, path, ResnetEdgeError).seconds
    except ResnetEdgeError:  # no run before this one, or its record is damaged: nothing is known
        return {}


@dataclass
class ProgressPlan:
    """A display that begins each step with its number and the time left in all."""

    display: Display
    steps: Sequence[PlannedStep]
    times: Path
    """The file of ``StepTimes``."""
    estimate: Callable[[], Mapping[str, float]]
    """Seconds of the steps of which something is known now."""
    made_before: bool
    """True if the folder holds an earlier build: then a step may find nothing to do."""
    clock: Callable[[], float] = time.monotonic
    spent: dict[str, float] = field(default_factory=dict)
    """Seconds of each step that is done."""
    _said: bool = False

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Say that a step begins, and take its time."""
        number = next(n for n, planned in enumerate(self.steps) if planned.name == name)
        estimates = {**self.estimate(), **read_times(self.times)}
        left = sum_known(self.steps[number:], estimates)
        self._said = left is not None
        rest = f"{left_words(left, self.made_before)}: " if left is not None else "then "
        following = self.steps[number:] if left is not None else self.steps[number + 1 :]
        coming = ", ".join(planned.name for planned in following)
        self.display.say(
            f"[{number + 1}/{len(self.steps)}] {name}: {self.steps[number].words}"
            + (f" ({rest}{coming})" if coming else "")
        )
        self._number, self._started = number, self.clock()
        yield
        self.spent[name] = self.clock() - self._started

    def remember(self, rebuilt: Sequence[str]) -> None:
        """Write down the seconds of the steps that had something to do."""
        done = {name: seconds for name, seconds in self.spent.items() if name in rebuilt}
        if done:
            write_record(self.times, StepTimes({**read_times(self.times), **done}))

    def summary(self) -> str:
        """Return the seconds of the whole run and of each step, in one line."""
        parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.spent.items())
        return f"{sum(self.spent.values()):.0f} s in all: {parts}"

    def say(self, text: str) -> None:
        """Show a line."""
        self.display.say(text)

    def warn(self, text: str) -> None:
        """Show a line that a person should not miss."""
        self.display.warn(text)

    @contextlib.contextmanager
    def bar(self, title: str) -> Iterator[Advance]:
        """Show a bar; where nothing was known of the step before, its speed says what is left."""
        began: tuple[float, int] | None = None
        with self.display.bar(title) as advance:

            def watched(done: int, total: int, words: str = "") -> None:
                nonlocal began
                advance(done, total, words)
                if began is None:  # not before: what was resumed has cost nothing now
                    began = self.clock(), done
                passed, more = self.clock() - began[0], done - began[1]
                if not self._said and more >= LEAST_SHARE * total and passed >= LEAST_S:
                    self._said = True
                    self._say_left(title, passed * (total - done) / more)

            yield watched

    def _say_left(self, title: str, left_s: float) -> None:
        """Say what is left in all, once the step that runs has shown its speed."""
        following = self.steps[self._number + 1 :]
        estimates = {**self.estimate(), **read_times(self.times)}
        known = [planned for planned in following if planned.name in estimates]
        total = left_s + sum(estimates[planned.name] for planned in known)
        names = ", ".join((title, *(planned.name for planned in known)))
        self.display.say(f"{left_words(total, made_before=False)}: {names}")


def sum_known(steps: Sequence[PlannedStep], estimates: Mapping[str, float]) -> float | None:
    """Add up what is known of the steps, None where nothing is known of the first."""
    if not steps or steps[0].name not in estimates:
        return None
    return sum(estimates.get(step.name, 0.0) for step in steps)


def left_words(seconds: float, made_before: bool) -> str:
    """Say how long the rest takes, roughly, for instance ``about 2 min left in all``."""
    if seconds < 10:
        about = "a few seconds"
    elif seconds < 55:
        about = f"about {round(seconds, -1):.0f} s"
    else:
        about = f"about {max(1, round(seconds / 60)):.0f} min"
    return f"{'up to ' if made_before else ''}{about} left in all"
