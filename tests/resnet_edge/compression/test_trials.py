"""The rows of a search survive whatever ends it."""

from pathlib import Path

import pytest
from search_rows import measured_file, row

from resnet_edge.compression.trials import Stage, TrialLog
from resnet_edge.errors import ArtifactError, OutputError


def test_rows_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "compressed" / "trials.jsonl"
    log = TrialLog(path, "key")
    first = log.add(row("a", Stage.FITTED))
    second = log.add(row("a", Stage.MEASURED, measured_file()))
    again = TrialLog(path, "key")
    assert tuple(again) == (first, second)
    assert again.find("a", Stage.MEASURED) == second
    assert again.find("b", Stage.MEASURED) is None


def test_the_last_row_of_a_network_counts(tmp_path: Path) -> None:
    log = TrialLog(tmp_path / "trials.jsonl", "key")
    log.add(row("a", change=-0.5))
    last = log.add(row("a", change=-0.1))
    assert log.at(Stage.MEASURED) == (last,)


def test_rows_of_another_search_stay_and_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    TrialLog(path, "old").add(row("a", key="old"))
    log = TrialLog(path, "new")
    assert tuple(log) == ()
    log.add(row("b", key="new"))
    assert [trial.name for trial in TrialLog(path, "old")] == ["a"]


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_a_row_that_was_cut_off_is_made_again(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "trials.jsonl"
    log = TrialLog(path, "key")
    kept = log.add(row("a"))
    log.add(row("b"))
    path.write_bytes(path.read_bytes()[:-cut])
    again = TrialLog(path, "key")
    assert tuple(again) == (kept,)
    again.add(row("c"))
    assert [trial.name for trial in TrialLog(path, "key")] == ["a", "c"]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    TrialLog(path, "key").add(row("a"))
    path.write_bytes(b"{]\n" + path.read_bytes())
    with pytest.raises(ArtifactError, match=r"line 1 is no trial .*; remove the file"):
        TrialLog(path, "key")
    path.write_bytes(b'{"key": 1}\n')
    with pytest.raises(ArtifactError, match="line 1"):
        TrialLog(path, "key")


def test_a_row_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = TrialLog(tmp_path / "file" / "trials.jsonl", "key")
    with pytest.raises(OutputError, match=r"trials\.jsonl: cannot be written"):
        log.add(row("a"))
    assert tuple(log) == ()
