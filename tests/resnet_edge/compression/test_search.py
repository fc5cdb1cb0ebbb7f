"""The next network follows from the rows alone."""

from dataclasses import replace
from pathlib import Path

from search_rows import measured_file, row

from resnet_edge.compression.limits import Limits
from resnet_edge.compression.search import (
    Aim,
    best_change,
    first_aims,
    is_far_behind,
    next_to_measure,
)
from resnet_edge.compression.trials import MODEL, Stage, Trial, TrialLog

SIZES = ((64, 64), (56, 56), (48, 48), (40, 40))
FAST = Limits(p90_s=0.02)
LOSSY = Limits(loss=0.01)


def log_of(folder: Path, *trials: Trial) -> TrialLog:
    log = TrialLog(folder / "trials.jsonl", "key")
    for trial in trials:
        log.add(trial)
    return log


def test_with_a_hard_limit_every_size_is_as_wide_as_it_may_be() -> None:
    assert first_aims(SIZES, FAST) == tuple(Aim(size, None) for size in SIZES)


def test_without_one_widths_come_first_and_two_smaller_sizes_join() -> None:
    aims = first_aims(SIZES, LOSSY)
    assert aims[0] == Aim((64, 64), 0.75)
    assert len(set(aims)) == len(aims)
    assert {aim.size for aim in aims} == {(64, 64), (56, 56), (48, 48)}
    assert all(aim.share is not None for aim in aims)


def test_the_most_accurate_fitted_network_is_next(tmp_path: Path) -> None:
    log = log_of(
        tmp_path,
        row("a", Stage.FITTED, change=-0.02),
        row("b", Stage.FITTED, change=-0.01),
        row("c", Stage.FITTED, change=-0.5),
    )
    foretold = {"a": 0.01, "b": 0.01, "c": 0.001}
    found = next_to_measure(log, FAST, foretold)
    assert found is not None
    assert found.name == "b"
    log.add(row("b", Stage.MEASURED, measured_file()))
    found = next_to_measure(log, FAST, foretold)
    assert found is not None
    assert found.name == "a"
    log.add(row("a", Stage.MEASURED, measured_file()))
    assert next_to_measure(log, FAST, foretold) is None  # c is too far behind


def test_networks_that_nothing_foretells_do_not_count(tmp_path: Path) -> None:
    log = log_of(tmp_path, row("a", Stage.FITTED, change=0.0))
    assert next_to_measure(log, FAST, {}) is None


def test_by_loss_the_fastest_that_may_do_is_next_and_then_the_gap_narrows(tmp_path: Path) -> None:
    log = log_of(
        tmp_path,
        row(MODEL, Stage.MEASURED, measured_file()),
        row("wide", Stage.FITTED, change=0.0),
        row("half", Stage.FITTED, change=-0.005),
        row("thin", Stage.FITTED, change=-0.02),
        row("thread", Stage.FITTED, change=-0.3),
    )
    foretold = {MODEL: 0.04, "wide": 0.03, "half": 0.02, "thin": 0.01, "thread": 0.005}
    found = next_to_measure(log, LOSSY, foretold)
    assert found is not None
    assert found.name == "thin"
    log.add(row("thin", Stage.MEASURED, measured_file(lost=50)))  # 5 points: too much
    found = next_to_measure(log, LOSSY, foretold)
    assert found is not None
    assert found.name == "half"
    log.add(row("half", Stage.MEASURED, measured_file(lost=5)))  # held: nothing faster is left
    assert next_to_measure(log, LOSSY, foretold) is None


def test_the_best_file_stands_for_a_network() -> None:
    files = (measured_file(lost=30), measured_file("fp32.onnx", gained=2))
    assert best_change(row("a", Stage.MEASURED, *files)) == 0.002
    assert best_change(row("a", Stage.FITTED)) == -float("inf")


def test_sizes_below_one_that_loses_much_are_left_out(tmp_path: Path) -> None:
    log = log_of(tmp_path, row("a", Stage.FITTED, change=-0.01))
    assert not is_far_behind(log, (64, 64))
    assert not is_far_behind(log, (56, 56))  # none was tried
    log.add(replace(row("b", Stage.FITTED, change=-0.05), size=(56, 56)))
    assert not is_far_behind(log, (56, 56))
    log.add(replace(row("c", Stage.FITTED, change=-0.09), size=(48, 48)))
    assert is_far_behind(log, (48, 48))


def test_aims_differ_by_size_share_limits_and_round() -> None:
    aims = [
        Aim((64, 64), None).words(FAST),
        Aim((64, 64), None, 1).words(FAST),
        Aim((56, 56), None).words(FAST),
        Aim((64, 64), None).words(Limits(p90_s=0.01)),
        Aim((64, 64), 0.5).words(LOSSY),
        Aim((64, 64), 0.35).words(LOSSY),
    ]
    assert len(set(aims)) == len(aims)
    assert Aim((64, 64), 0.5).words(LOSSY) == Aim((64, 64), 0.5).words(Limits(loss=0.02))
