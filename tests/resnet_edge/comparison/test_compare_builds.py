from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from resnet_edge.comparison.compare_builds import Comparison, compare_sides
from resnet_edge.comparison.differences import Change, Figure
from resnet_edge.comparison.results_files import ResultsFile, ResultsKind, Side, read_side
from resnet_edge.comparison.tolerance import Tolerance
from resnet_edge.errors import UsageError
from resnet_edge.ondevice.measurements import Verdict

OPPOSITE = {
    Change.BETTER: Change.WORSE,
    Change.WORSE: Change.BETTER,
    Change.NOISE: Change.NOISE,
    Change.SAME: Change.SAME,
}


@pytest.fixture
def side(answers_of, parity_of, latencies_of, bench_of, latency_of):
    """A build of one artifact: wrong pictures, SQNR, milliseconds, bytes."""

    def make(
        wrong=(), sqnr_db=30.0, ms=10.0, size=1000, name="int8.onnx", sha256="", **changes
    ) -> Side:
        sha256 = sha256 or f"{wrong} {sqnr_db} {ms} {size}"
        parity = parity_of(name, frozenset(wrong), sqnr_db=sqnr_db, sha256=sha256)
        bench = bench_of(name, latency_of(ms), sha256=sha256, size=size)
        sources = (
            ResultsFile(Path("parity.json"), ResultsKind.ANSWERS, answers_of(parity, **changes)),
            ResultsFile(Path("bench-desk.json"), ResultsKind.LATENCY, bench=latencies_of(bench)),
        )
        return Side(Path("build"), sources, {name: size})

    return make


def compare(a: Side, b: Side, **tolerance: float) -> Comparison:
    return compare_sides(a, b, Tolerance(**tolerance))


def changes(comparison: Comparison) -> dict[Figure, Change]:
    return {each.figure: each.change for part in comparison.artifacts for each in part.differences}


def timed(side: Side, **changes: object) -> Side:
    """Only the latencies, with another machine."""
    source = side.sources[1]
    machine = replace(source.machine, **changes)
    return replace(side, sources=(replace(source, bench=replace(source.bench, machine=machine)),))


def test_identical_builds_are_the_same(side):
    comparison = compare(side(), side())
    assert set(changes(comparison).values()) == {Change.SAME}
    assert list(changes(comparison)) == [
        *(Figure.SIZE, Figure.TOP1, Figure.AGREEMENT, Figure.SQNR),
        *(Figure.LATENCY, Figure.MEMORY, Figure.LOAD),
    ]
    assert comparison
    assert (comparison.only_a, comparison.only_b, comparison.notes) == ((), (), ())


@pytest.mark.parametrize(
    "change",
    [{"wrong": range(40)}, {"sqnr_db": 20.0}, {"ms": 20.0}, {"size": 2000}],
    ids=str,
)
def test_each_regression_makes_it_false_and_turned_round_it_is_true(side, change):
    before, after = side(), side(**change)
    there, back = compare(before, after), compare(after, before)
    assert not there
    assert back
    assert {k: OPPOSITE[v] for k, v in changes(there).items()} == changes(back)
    assert Change.WORSE in changes(there).values()


def test_tolerances(side):
    assert compare(side(), side(ms=14.0, size=1400), share=0.5)
    assert compare(side(), side(range(40)), accuracy=0.2).regressions == 1  # its gate fails
    assert compare(side(), side(sqnr_db=28.0))


def test_a_gate_that_fails_now(side):
    comparison = compare(side(), side(range(40)), accuracy=1)
    (verdict,) = comparison.artifacts[0].verdicts
    assert (verdict.a, verdict.b) == (Verdict.PASS, Verdict.FAIL)
    assert (verdict.change, verdict.regression) == (Change.WORSE, True)
    back = compare(side(range(40)), side())
    assert back.artifacts[0].verdicts[0].change is Change.BETTER


def test_verdicts_by_other_gates_are_not_compared(side):
    comparison = compare(side(), side(range(40), gates={"int8_accuracy": 0.999}), accuracy=1)
    assert comparison.artifacts[0].verdicts == ()
    assert "A and B were judged by other gates: their verdicts are not compared" in comparison.notes


def test_artifacts_in_one_only_are_named(side):
    a, extra = side(), side(name="fp32.onnx")
    both = replace(a, sources=(*a.sources, *extra.sources), sizes={**a.sizes, **extra.sizes})
    assert compare(both, a).only_a == ("fp32.onnx",)
    assert compare(a, both).only_b == ("fp32.onnx",)
    with pytest.raises(UsageError) as caught:
        compare(a, extra)
    assert str(caught.value) == (
        "nothing to compare: build has parity.json (answers), bench-desk.json (latencies) of "
        "int8.onnx; build has parity.json (answers), bench-desk.json (latencies) of fp32.onnx"
    )


def test_answers_against_latencies(side):
    a = side()
    answers, latencies = (
        replace(a, sources=(source,), sizes={}, is_file=True) for source in a.sources
    )
    with pytest.raises(UsageError, match=r"^nothing to compare: build has parity.json \(answers\)"):
        compare(answers, latencies)


def test_other_classes_are_not_compared_in_accuracy(side):
    comparison = compare(side(), side(range(40), labels=("cat", "dog", "eel")))
    assert Figure.TOP1 not in changes(comparison)
    assert changes(comparison)[Figure.LATENCY] is Change.SAME
    assert comparison.notes == (
        "A has 2 classes, B 3, and they are not the same: their answers are not compared",
    )


def test_another_model_is_said(side):
    comparison = compare(side(), side(model_sha256="ef" * 32))
    assert comparison.notes == (
        "other models: A is of abababababababab…, B of efefefefefefefef…; agreement and SQNR "
        "compare each with its own reference",
    )
    assert changes(comparison)[Figure.TOP1] is Change.SAME  # paired: the pictures are the same


def test_other_pictures_are_said(side, answers_of, parity_of):
    b = side()
    other = answers_of(parity_of("int8.onnx", images=300, pictures="other"))
    b = replace(b, sources=(replace(b.sources[0], parity=other), b.sources[1]))
    assert compare(side(), b).notes == (
        "other test pictures (400 in A, 300 in B): intervals are those of two samples, and wide",
    )


def test_a_record_without_its_answers_is_said(side):
    b = side()
    (parity,) = b.sources[0].parity.artifacts
    old = replace(b.sources[0].parity, artifacts=(replace(parity, answers=None),))
    b = replace(b, sources=(replace(b.sources[0], parity=old), b.sources[1]))
    (note,) = compare(side(), b).notes
    assert note.startswith("one of the records does not hold its answers picture by picture; inte")


def test_no_test_pictures(side):
    b = side()
    empty = replace(b.sources[0].parity, images=0, artifacts=())
    b = replace(b, sources=(replace(b.sources[0], parity=empty), b.sources[1]))
    comparison = compare(side(), b)
    assert comparison.notes == (
        "no test pictures in B: answers are not compared",
        "int8.onnx: answers only in A",
    )


def test_another_version_of_a_runtime_is_said_and_is_no_control(side):
    a, b = timed(side(sha256="one")), timed(side(ms=20.0, sha256="one"))
    comparison = compare(a, timed(side(ms=20.0, sha256="one"), runtimes={"LiteRT": "2.4"}))
    assert comparison.notes == ("timed in another version of LiteRT: 2.3 in A, 2.4 in B",)
    assert changes(comparison)[Figure.LATENCY] is Change.WORSE
    # The same file in the same version: what changed is the machine.
    comparison = compare(a, b)
    assert changes(comparison)[Figure.LATENCY] is Change.NOISE
    assert comparison.notes == (
        "medians of files that are the same to the byte lie up to 50.0% apart with 1 thread: so "
        "much comes from the machine, and is noise",
    )


def test_another_host_with_the_same_processor_is_compared_and_said(side):
    comparison = compare(timed(side()), timed(side(), host="ci-7"))
    assert comparison.notes == ("A was timed on host desk, B on ci-7: the same processor",)


def test_other_machines_are_not_compared_in_builds(side):
    comparison = compare(timed(side()), timed(side(), processor="Arm Cortex-A76"))
    assert list(changes(comparison)) == [Figure.SIZE]
    assert comparison.notes == (
        "bench-desk.json (latencies on AMD EPYC) is only in A: not compared",
        "bench-desk.json (latencies on Arm Cortex-A76) is only in B: not compared",
    )


def test_two_files_named_by_hand_are_compared_whatever_the_machine(side):
    a = replace(timed(side()), is_file=True)
    b = replace(timed(side(ms=20.0), host="pi", processor="Arm Cortex-A76"), is_file=True)
    comparison = compare(a, b)
    assert changes(comparison)[Figure.LATENCY] is Change.WORSE
    assert comparison.notes == (
        "A was timed on desk (AMD EPYC, cores: 2), B on pi (Arm Cortex-A76, cores: 2): the "
        "machines differ, not only the files",
    )


def device(side: Side, *, emulated: bool = False, name: str = "device-pi.json") -> ResultsFile:
    answers, latencies = side.sources
    return ResultsFile(Path(name), ResultsKind.DEVICE, answers.parity, latencies.bench, emulated)


def test_emulated_latencies_are_never_compared(side):
    a = replace(side(), sources=(device(side()),))
    b = replace(side(ms=20.0), sources=(device(side(ms=20.0), emulated=True),))
    for one, other, letter in ((a, b, "B"), (b, a, "A")):
        comparison = compare(one, other)
        assert set(changes(comparison)) == {
            *(Figure.SIZE, Figure.TOP1, Figure.AGREEMENT, Figure.SQNR),
        }
        (note,) = comparison.notes
        assert note.endswith(
            f"emulated in {letter}: latency, memory and load time are not compared"
        )


def test_devices_stand_beside_the_build_by_their_names(side):
    def with_device(ms: float, wrong=()) -> Side:
        own = side()
        return replace(own, sources=(*own.sources, device(side(wrong, ms=ms, size=2000))))

    comparison = compare(with_device(10.0), with_device(20.0, range(40)))
    (artifact,) = comparison.artifacts
    places = {(each.figure, each.where): each.change for each in artifact.differences}
    assert places[Figure.TOP1, ""] is Change.SAME
    assert places[Figure.TOP1, "device-pi"] is Change.WORSE
    assert places[Figure.LATENCY, "bench-desk"] is Change.SAME
    assert places[Figure.LATENCY, "device-pi"] is Change.WORSE


def test_threads_in_one_only_are_said(side, bench_of, latency_of, latencies_of):
    b = timed(side())
    more = bench_of("int8.onnx", latency_of(10), latency_of(6, 2), sha256="() 1000")
    b = replace(b, sources=(replace(b.sources[0], bench=latencies_of(more)),))
    comparison = compare(timed(side()), b)
    assert comparison.notes == ("int8.onnx: latency (LiteRT with 2 threads) only in B",)


def test_files_and_folders_together(write_build, answers_of, parity_of, tmp_path):
    build = write_build(tmp_path / "a", parity=answers_of(parity_of("int8.onnx")))
    write_build(tmp_path / "b", parity=answers_of(parity_of("int8.onnx", frozenset(range(40)))))
    comparison = compare(read_side(build), read_side(tmp_path / "b" / "results" / "parity.json"))
    assert changes(comparison)[Figure.TOP1] is Change.WORSE


def test_other_options_of_the_export_are_named(side):
    fallback = "1 layer to float, because 8 bits lose too much in them"
    a = replace(side(), options={"int8.onnx": {"grid": "7 bits"}, "fp32.onnx": {"rewrites": "no"}})
    b = replace(side(), options={"int8.onnx": {"grid": "7 bits", "float fallback": fallback}})
    expected = f"int8.onnx: exported with no float fallback in A, float fallback ({fallback}) in B"
    assert compare(a, b).notes == (expected,)
    assert compare(a, side()).notes == ()  # one that has no sidecars says nothing of them
