"""Stages on Ray: two nodes on this machine, one of them killed in the middle of everything."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ray_nodes import Cluster, cluster_of_two, free_port, kill
from shard_works import Squares, squares, stage_of

from resnet_edge.errors import (
    DataError,
    OutOfMemoryError,
    RuntimeMissingError,
    UsageError,
    WorkerError,
)
from resnet_edge.scale import ray_worker
from resnet_edge.scale.engine import Engine, EngineKind, ScaleOptions
from resnet_edge.scale.jobs import Start
from resnet_edge.scale.running import Computed, Computing, run_stage
from resnet_edge.scale.stage import Stage

TESTS = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'resnet-edge[ray]'")
    with cluster_of_two() as two:
        yield two


@pytest.fixture
def two_nodes(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Both nodes, alive."""
    if cluster.nodes[-1].poll() is not None:
        cluster.start_node()
    cluster.wait_for(2)
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    return cluster


def run(stage: Stage, cluster: Cluster, at: Callable[[int], None] = lambda done: None) -> Told:
    told: list[str] = []
    computing = Computing(Engine(EngineKind.RAY, 0, 1, cluster.address), told.append)
    return Told(run_stage(stage, computing, lambda done, _: at(done)), told)


class Told:
    """A stage, and what was said meanwhile."""

    def __init__(self, computed: Computed, lines: list[str]) -> None:
        self.computed, self.lines = computed, lines
        self.bytes = b"".join(path.read_bytes() for path in computed.files())


def once_after(items: int, act: Callable[[], None]) -> Callable[[int], None]:
    """Return a count that acts once, as soon as so many items are done."""
    acted = False

    def count(done: int) -> None:
        nonlocal acted
        if done >= items and not acted:
            acted = True
            act()

    return count


@pytest.mark.ray
def test_the_bytes_are_those_of_one_process(tmp_path: Path, two_nodes: Cluster):
    told = run(stage_of(tmp_path, Squares(seconds=0.05), 2000), two_nodes)
    assert told.bytes == squares(2000)
    assert told.lines == []


@pytest.mark.ray
def test_a_node_is_killed(tmp_path: Path, two_nodes: Cluster):
    """``kill -9`` of a node and all its processes."""
    act = once_after(300, lambda: kill(two_nodes.nodes[-1]))
    told = run(stage_of(tmp_path, Squares(seconds=0.5), 2000), two_nodes, act)
    assert told.bytes == squares(2000)
    assert told.lines
    assert all(line.endswith(" of 2000 are done again") for line in told.lines), told.lines


@pytest.mark.ray
def test_a_node_joins(tmp_path: Path, two_nodes: Cluster):
    kill(two_nodes.nodes[-1])
    two_nodes.wait_for(1)
    act = once_after(100, lambda: two_nodes.start_node() and None)
    told = run(stage_of(tmp_path, Squares(seconds=0.5), 2000), two_nodes, act)
    assert told.bytes == squares(2000)


@pytest.mark.ray
def test_a_process_is_killed(tmp_path: Path, two_nodes: Cluster):
    work = Squares(kill_at=128, killed=tmp_path / "killed")
    told = run(stage_of(tmp_path, work), two_nodes)
    assert told.bytes == squares(300)
    assert told.lines == ["its process died; 129 to 192 of 300 are done again"]


@pytest.mark.ray
def test_a_shard_that_ends_every_process_is_at_fault(tmp_path: Path, two_nodes: Cluster):
    with pytest.raises(WorkerError) as caught:
        run(stage_of(tmp_path, Squares(kill_at=128)), two_nodes)
    assert str(caught.value) == (
        "shard 3 was lost 3 times, at last because its process died; what is finished is kept: "
        "run it again"
    )


@pytest.mark.ray
def test_a_poisoned_picture_and_the_next_call(tmp_path: Path, two_nodes: Cluster):
    with pytest.raises(DataError, match=r"^item 299: a poisoned picture; remove it$"):
        run(stage_of(tmp_path, Squares(poisoned=299, seconds=0.3)), two_nodes)
    told = run(stage_of(tmp_path, Squares()), two_nodes)
    assert told.bytes == squares(300)
    assert told.computed.found > 0


@pytest.mark.ray
def test_another_token_is_refused(
    tmp_path: Path, two_nodes: Cluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 32)
    with pytest.raises(WorkerError) as caught:
        run(stage_of(tmp_path, Squares()), two_nodes)
    text = str(caught.value)
    assert text.startswith(f"--engine ray: Ray cannot be joined at {two_nodes.address} (")
    assert text.endswith(
        "; expected the token and the version of its head; check RAY_AUTH_TOKEN, or leave the "
        "option out"
    )


@pytest.mark.ray
def test_a_process_out_of_memory(tmp_path: Path, two_nodes: Cluster):
    """A shard that needs more memory than there is ends the step with words, not the machine."""
    with pytest.raises((WorkerError, OutOfMemoryError)):
        run(stage_of(tmp_path, Squares(huge=1 << 45)), two_nodes)
    assert run(stage_of(tmp_path, Squares()), two_nodes).bytes == squares(300)


@pytest.mark.ray
def test_results_larger_than_the_object_store(tmp_path: Path, two_nodes: Cluster):
    """Ray writes to disk what does not fit."""
    repeat = 2 * two_nodes.store_bytes // (64 * 8)
    told = run(stage_of(tmp_path, Squares(repeat=repeat), 128), two_nodes)
    sizes = [path.stat().st_size for path in told.computed.files()]
    assert sizes == [repeat * 64 * 8] * 2
    first = next(told.computed.files())
    assert first.read_bytes() == squares(64) * repeat
    assert told.lines == []


@pytest.mark.ray
def test_the_object_store_and_the_disk_are_full(tmp_path: Path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'resnet-edge[ray]'")
    full = {"RAY_local_fs_capacity_threshold": "0.0001"}  # the disk counts as full
    with cluster_of_two(more=full) as two, pytest.MonkeyPatch.context() as patch:
        for name, value in {**two.environment, "PYTHONPATH": str(TESTS)}.items():
            patch.setenv(name, value)
        large = Squares(repeat=2 * two.store_bytes // (64 * 8))
        with pytest.raises(WorkerError) as caught:
            run(stage_of(tmp_path, large, 128), two)
        assert "a machine's disk is full" in str(caught.value)
        assert run(stage_of(tmp_path, Squares()), two).bytes == squares(300)


@pytest.mark.ray
def test_the_head_goes_away_and_comes_back(tmp_path: Path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'resnet-edge[ray]'")
    stage = stage_of(tmp_path, Squares(seconds=0.5), 2000)
    with cluster_of_two() as two, pytest.MonkeyPatch.context() as patch:
        for name, value in {**two.environment, "PYTHONPATH": str(TESTS)}.items():
            patch.setenv(name, value)
        act = once_after(300, lambda: kill(two.nodes[0]))
        with pytest.raises(WorkerError, match=r"^squares: "):
            run(stage, two, act)
    with cluster_of_two() as two, pytest.MonkeyPatch.context() as patch:
        for name, value in {**two.environment, "PYTHONPATH": str(TESTS)}.items():
            patch.setenv(name, value)
        told = run(stage_of(tmp_path, Squares(), 2000), two)
    assert told.bytes == squares(2000)
    assert told.computed.found >= 300


@pytest.mark.ray
def test_ray_of_this_machine_alone_has_no_dashboard_and_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'resnet-edge[ray]'")
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    asked: list[bytes] = []
    stranger = "import ray; ray.init(address='auto', log_to_driver=False); print('joined')"

    def look() -> None:
        """Join it, as another user of this machine could."""
        environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 32}
        command = [sys.executable, "-c", stranger]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, timeout=20)
            asked.append(done.stdout)
        except subprocess.TimeoutExpired as late:
            asked.append(late.stdout or b"")

    told: list[str] = []
    computing = Computing(
        ScaleOptions(engine=EngineKind.RAY, workers=2).for_runtimes(), told.append
    )
    act = once_after(64, look)
    done = run_stage(stage_of(tmp_path, Squares(), 300), computing, lambda count, _: act(count))
    assert b"".join(path.read_bytes() for path in done.files()) == squares(300)
    assert len(asked) == 1
    assert b"joined" not in asked[0]


def start_of(address: str) -> Start:
    return Start(work="", folder=Path("unused"), threads=1, tasks=0, address=address, on_gpus=False)


def test_nothing_answers_at_the_address(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray_worker, "importlib", Importing())
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(UsageError) as caught:
        ray_worker.connect(start_of(address))
    assert str(caught.value) == (
        f"--ray-address: nothing answers at {address} ([Errno 111] Connection refused); expected "
        "host:port of a head node; start one with `ray start --head`"
    )
    with pytest.raises(UsageError, match=r"^--ray-address: nothing answers at nonsense \("):
        ray_worker.connect(start_of("nonsense"))


def test_without_ray(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray_worker, "importlib", Importing("ray"))
    with pytest.raises(RuntimeMissingError) as caught:
        ray_worker.connect(start_of(""))
    assert str(caught.value) == (
        "--engine ray: Ray is not installed; `pip install 'resnet-edge[ray]'`, or leave the option "
        "out"
    )


class Importing:
    """``importlib`` without some modules."""

    def __init__(self, *missing: str) -> None:
        self._missing = missing

    def import_module(self, name: str) -> object:
        if name in self._missing:
            raise ImportError(name)
        return self


def test_an_address_without_ray_is_refused():
    with pytest.raises(UsageError) as caught:
        ScaleOptions(ray_address="127.0.0.1:6379")
    assert str(caught.value) == (
        "--ray-address: got 127.0.0.1:6379, and the engine local; expected the engine ray with it, "
        "or no address"
    )
    with pytest.raises(UsageError, match=r"^--workers: got 0; expected at least 1$"):
        ScaleOptions(workers=0)


def test_what_was_lost_is_said_in_words():
    kinds = {name: type(name, (Exception,), {}) for name in ("ObjectLostError", "NodeDiedError")}
    rebuilt = type("ObjectReconstructionFailedError", (kinds["ObjectLostError"],), {})
    assert ray_worker._words(rebuilt("e082c90ab")) == "its result was lost with a machine"
    assert ray_worker._words(kinds["NodeDiedError"]("")) == "a machine died"
    assert ray_worker._words(ValueError("\n one line\nmore")) == "ValueError: one line"
