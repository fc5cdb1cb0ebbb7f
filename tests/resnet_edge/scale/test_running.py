"""Stages in this process and in others: the same bytes, whatever dies on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shard_works import Maker, Squares, Unopened, span_of, squares, stage_of

from resnet_edge.errors import DataError, OutputError, ResnetEdgeError, WorkerError
from resnet_edge.scale.arrays import join_rows
from resnet_edge.scale.engine import Engine, EngineKind
from resnet_edge.scale.finished import Finished, shard_path
from resnet_edge.scale.running import Computed, Computing, run_stage, run_stages
from resnet_edge.scale.stage import Stage

HERE = Engine(EngineKind.LOCAL, 0, 1)
ONE, TWO, FOUR = (Engine(EngineKind.LOCAL, count, 1) for count in (1, 2, 4))
TESTS = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def works_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(TESTS))


class Told:
    """What a run tells and counts."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.counts: list[tuple[int, int]] = []

    def run(self, stage: Stage, engine: Engine) -> Computed:
        computing = Computing(engine, self.lines.append)
        return run_stage(stage, computing, lambda *count: self.counts.append(count))


@pytest.fixture
def told() -> Told:
    return Told()


def bytes_of(computed: Computed) -> bytes:
    return b"".join(path.read_bytes() for path in computed.files())


@pytest.mark.parametrize("engine", [HERE, ONE, TWO, FOUR], ids=["here", "one", "two", "four"])
def test_the_bytes_do_not_depend_on_the_processes(tmp_path: Path, told: Told, engine: Engine):
    computed = told.run(stage_of(tmp_path, Squares()), engine)
    assert bytes_of(computed) == squares(300)
    assert computed.maker == "squares 1"
    assert computed.found == 0
    assert told.counts[0] == (0, 300)
    assert max(told.counts) == (300, 300)
    assert told.lines == []


def test_a_killed_process_is_told_and_its_shard_done_again(tmp_path: Path, told: Told):
    work = Squares(kill_at=128, killed=tmp_path / "killed")
    assert bytes_of(told.run(stage_of(tmp_path, work), TWO)) == squares(300)
    (line,) = told.lines
    assert line.startswith("squares: the process was killed by SIGKILL")
    assert line.endswith("; 129 to 192 of 300 are done again")


def test_a_shard_that_ends_every_process_is_at_fault(tmp_path: Path, told: Told):
    with pytest.raises(WorkerError, match=r"^squares: the process was killed by SIGKILL"):
        told.run(stage_of(tmp_path, Squares(kill_at=64)), ONE)
    assert [line.rpartition("; ")[2] for line in told.lines] == 2 * [
        "65 to 128 of 300 are done again"
    ]
    assert bytes_of(told.run(stage_of(tmp_path, Squares()), ONE)) == squares(300)


def test_a_work_that_ends_every_process_is_at_fault(tmp_path: Path, told: Told):
    with pytest.raises(WorkerError, match=r"^squares: the process was killed by SIGSEGV; the run"):
        told.run(stage_of(tmp_path, Unopened()), ONE)
    assert [line.rpartition("; ")[2] for line in told.lines] == ["another one is started"] * 2


@pytest.mark.parametrize("engine", [HERE, ONE], ids=["here", "one"])
def test_what_is_finished_is_not_computed_again(tmp_path: Path, told: Told, engine: Engine):
    with pytest.raises(DataError, match=r"^item 200: a poisoned picture; remove it$"):
        told.run(stage_of(tmp_path, Squares(poisoned=200)), engine)
    asked: list[tuple[int, int]] = []

    def job(start: int, stop: int) -> object:
        asked.append((start, stop))
        return span_of(start, stop)

    computed = told.run(stage_of(tmp_path, Squares(), job=job), engine)
    assert computed.found == 192
    assert asked == [(192, 256), (256, 300)]
    assert bytes_of(computed) == squares(300)


def test_damaged_shards_and_lines_are_computed_again(tmp_path: Path, told: Told):
    stage = stage_of(tmp_path, Squares())
    told.run(stage, HERE)
    shard_path(stage.folder, 0).write_bytes(bytes(512))  # the same size
    shard_path(stage.folder, 1).unlink()
    listed = stage.folder / "shards.jsonl"
    lines = listed.read_text().splitlines()
    listed.write_text(
        "\n".join([*lines[:3], '{"number": 9000}', "[[", *lines[3:-1], lines[-1][:20]])
    )
    assert set(Finished(stage).shards) == {2, 3}
    assert bytes_of(told.run(stage, HERE)) == squares(300)


def test_shards_of_other_inputs_are_removed(tmp_path: Path, told: Told):
    told.run(stage_of(tmp_path, Squares(), items=1000, key="old"), HERE)
    computed = told.run(stage_of(tmp_path, Squares(), key="new"), HERE)
    assert computed.found == 0
    assert len(list(computed.stage.folder.rglob("*.part"))) == 5
    computed.finished.remove()
    assert not computed.stage.folder.exists()


def test_no_folder_has_very_many_shards(tmp_path: Path):
    folders = [shard_path(tmp_path, number).parent for number in range(2000)]
    assert max(map(folders.count, set(folders))) == 500


def test_different_versions_do_not_mix(tmp_path: Path, told: Told):
    with pytest.raises(WorkerError) as caught:
        told.run(stage_of(tmp_path, Maker()), HERE)
    assert str(caught.value) == (
        "squares: made by versions of 64 on one machine and by versions of 0 on another; expected "
        "the same everywhere; install the same versions"
    )


def test_different_processors_are_told(tmp_path: Path, told: Told):
    stage = stage_of(tmp_path, Squares())
    told.run(stage, HERE)
    listed = stage.folder / "shards.jsonl"
    key, first, *others = listed.read_text().splitlines()
    first = json.dumps({**json.loads(first), "machine": "A Processor"})
    listed.write_text("\n".join([key, first, *others]) + "\n")
    told.run(stage, HERE)
    assert told.lines[-1].startswith("squares: computed on A Processor, ")
    assert told.lines[-1].endswith("answers of different processors may differ in their last bits")


@pytest.mark.parametrize("engine", [HERE, TWO], ids=["here", "two"])
def test_one_stage_fails_and_the_other_goes_on(tmp_path: Path, engine: Engine):
    failed: list[tuple[str, str]] = []

    def fail(stage: Stage, problem: ResnetEdgeError) -> None:
        failed.append((stage.title, str(problem)))

    stages = [
        stage_of(tmp_path, Squares(poisoned=0), title="bad"),
        stage_of(tmp_path, Squares(), title="good"),
    ]
    bad, good = run_stages(stages, Computing(engine, print), lambda *_: None, fail)
    assert bad is None
    assert good is not None
    assert bytes_of(good) == squares(300)
    assert failed == [("bad", "item 0: a poisoned picture; remove it")]


def test_a_folder_that_cannot_be_written(tmp_path: Path, told: Told):
    (tmp_path / "squares").write_text("a file")
    with pytest.raises(OutputError, match=r"squares.*: cannot be written \("):
        told.run(stage_of(tmp_path, Squares()), HERE)


@given(items=st.integers(0, 1000), shard=st.integers(1, 200))
def test_shards_cover_every_item_once(items: int, shard: int):
    stage = Stage("it", "k", Squares(), items, span_of, Path("unused"), shard)
    spans = [stage.span(number) for number in range(stage.shards)]
    assert [item for span in spans for item in range(*span)] == list(range(items))
    assert all(0 < stop - start <= shard for start, stop in spans)


def test_rows_are_joined_as_numpy_would(tmp_path: Path, told: Told):
    import numpy as np

    computed = told.run(stage_of(tmp_path, Squares()), HERE)
    join_rows(tmp_path / "all.npy", computed.files(), (150, 2), "<i8")
    found = np.load(tmp_path / "all.npy")
    assert (found == (np.arange(300, dtype=np.int64) ** 2).reshape(150, 2)).all()
