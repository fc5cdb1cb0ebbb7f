"""The lines that tell what comes next and about how long the rest takes, by a clock of the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_edge.steps.progress_plan import (
    PlannedStep,
    ProgressPlan,
    left_words,
    read_times,
)

STEPS = (
    PlannedStep("finetune", "train the network"),
    PlannedStep("export", "9 files"),
    PlannedStep("report", "one page"),
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_plan(recorder, clock: Clock, tmp_path: Path):
    def make(estimates: dict[str, float], *, made_before: bool = False) -> ProgressPlan:
        return ProgressPlan(
            recorder, STEPS, tmp_path / "times.json", lambda: estimates, made_before, clock
        )

    return make


def test_each_step_says_its_number_and_what_is_left(make_plan, recorder):
    plan = make_plan({"export": 62.0, "report": 3.0})
    for name in ("finetune", "export", "report"):
        with plan.step(name):
            pass
    assert recorder.said == [
        "[1/3] finetune: train the network (then export, report)",
        "[2/3] export: 9 files (about 1 min left in all: export, report)",
        "[3/3] report: one page (a few seconds left in all: report)",
    ]


def test_a_step_of_which_nothing_was_known_says_what_is_left_once_it_runs(
    make_plan, recorder, clock
):
    plan = make_plan({"export": 62.0, "report": 3.0})
    with plan.step("finetune"), plan.bar("training") as advance:
        advance(1, 100)
        clock.now += 4.0
        advance(21, 100)  # far enough, but too early to judge by
        assert len(recorder.said) == 1
        clock.now += 6.0
        advance(51, 100)
        clock.now += 30.0
        advance(90, 100)
    assert recorder.said[1:] == ["about 1 min left in all: training, export, report"]


def test_what_was_resumed_does_not_count_as_speed(make_plan, recorder, clock):
    plan = make_plan({})
    with plan.step("finetune"), plan.bar("training") as advance:
        advance(51, 100)
        clock.now += 10.0
        advance(61, 100)
    assert recorder.said[1:] == ["about 40 s left in all: training"]


def test_a_known_step_says_nothing_more(make_plan, recorder, clock):
    plan = make_plan({"finetune": 100.0})
    with plan.step("finetune"), plan.bar("training") as advance:
        advance(1, 100)
        clock.now += 50.0
        advance(50, 100)
    assert len(recorder.said) == 1


def test_the_times_of_the_last_run_come_first(make_plan, recorder, clock, tmp_path):
    plan = make_plan({"export": 5.0})
    with plan.step("finetune"):
        clock.now += 120.0
    with plan.step("export"):
        clock.now += 30.0
    assert plan.summary() == "150 s in all: finetune 120 s, export 30 s"
    plan.remember(["finetune"])
    assert read_times(tmp_path / "times.json") == {"finetune": 120.0}
    again = make_plan({"export": 5.0, "finetune": 1.0}, made_before=True)
    with again.step("finetune"):
        pass
    assert recorder.said[-1] == (
        "[1/3] finetune: train the network "
        "(up to about 2 min left in all: finetune, export, report)"
    )
    again.remember([])
    assert read_times(tmp_path / "times.json") == {"finetune": 120.0}


def test_a_damaged_record_of_times_is_no_record(tmp_path: Path):
    (tmp_path / "times.json").write_text("{")
    assert read_times(tmp_path / "times.json") == {}


def test_lines_and_warnings_are_passed_on(make_plan, recorder):
    plan = make_plan({})
    plan.say("one")
    plan.warn("two")
    assert (recorder.said, recorder.warned) == (["one"], ["two"])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "a few seconds"),
        (12.0, "about 10 s"),
        (54.0, "about 50 s"),
        (55.0, "about 1 min"),
        (100.0, "about 2 min"),
        (600.0, "about 10 min"),
    ],
)
def test_times_are_rough(seconds: float, words: str):
    assert left_words(seconds, made_before=False) == f"{words} left in all"
