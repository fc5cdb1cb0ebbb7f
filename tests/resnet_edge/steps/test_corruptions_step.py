"""reference, parity, report and recommend with --corruptions, on files that are made by hand.

The network answers with the channel that is brightest, so it needs no training, and it answers in
the dark as well.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from resnet_edge.data.manifest import read_manifest
from resnet_edge.errors import InferenceError, ReferenceFileError, UsageError
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.sidecar import load_artifact, write_sidecar
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.measurements import Verdict
from resnet_edge.ondevice.option import Changes
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.pictures import decode_picture
from resnet_edge.ondevice.reference_file import read_reference
from resnet_edge.options import BenchOptions, DataOptions, Options
from resnet_edge.robustness import corrupting
from resnet_edge.robustness.corrupting import corrupt
from resnet_edge.robustness.corruptions import (
    CORRUPTION_NAMES,
    Corruption,
    RobustnessOptions,
    parse_corruptions,
)
from resnet_edge.robustness.record import CorruptionResult
from resnet_edge.robustness.reference_answers import read_answers, write_answers
from resnet_edge.steps import corrupted_reference, corruptions
from resnet_edge.steps.export import export
from resnet_edge.steps.parity import judge_saved, parity
from resnet_edge.steps.recommend import recommend
from resnet_edge.steps.reference import reference
from resnet_edge.steps.report import report

ALL = RobustnessOptions(CORRUPTION_NAMES)
DARK = RobustnessOptions(("dark",))


@pytest.fixture(scope="session")
def brightest_build(write_photos, tmp_path_factory) -> Path:
    """A build of one float32 file, with 300 test pictures and every corruption answered."""
    import keras
    from keras import layers

    from resnet_edge.model.model_file import ModelInfo, write_model

    root = tmp_path_factory.mktemp("brightest")
    out = root / "build"
    out.mkdir()
    write_photos(root / "photos", count=100)
    pixels = keras.Input((32, 32, 3))
    model = keras.Model(
        pixels, layers.Dense(3, "softmax", name="answer")(layers.GlobalAveragePooling2D()(pixels))
    )
    # Classes are blue, green, red; channels are red, green, blue.
    model.layers[-1].set_weights([100 * np.eye(3)[::-1], np.zeros(3)])
    info = ModelInfo("brightest", ("blue", "green", "red"), "unit", "crop", "by hand")
    write_model(out / "model.keras", model, info)
    options = Options(
        out=out,
        formats=("fp32.onnx",),
        data=DataOptions(test=root / "photos"),
        bench=BenchOptions(LatencySpec(0.02, 2), batches=(1,)),
        robustness=ALL,
    )
    export(options)
    assert reference(options).rebuilt
    shutil.copytree(out, root / "without", ignore=shutil.ignore_patterns("cache"))
    assert parity(options).rebuilt
    return root


@pytest.fixture
def options(brightest_build: Path, tmp_path: Path) -> Options:
    """For a copy of that build."""
    out = Path(shutil.copytree(brightest_build / "build", tmp_path / "build"))
    return Options(out=out, formats=("fp32.onnx",), robustness=ALL)


def again(options: Options, brightest_build: Path) -> Options:
    """The options of ``reference``, which the copy is current for."""
    return replace(
        options,
        data=DataOptions(test=brightest_build / "photos"),
        bench=BenchOptions(LatencySpec(0.02, 2), batches=(1,)),
    )


def record_of(options: Options) -> CorruptionResult:
    return read_record(CorruptionResult, options.layout.corruptions, InferenceError)


def blind_in_the_dark(options: Options) -> None:
    """Let the file see black where the mean of a picture's values is below 60."""
    import onnx
    from onnx import TensorProto, helper

    path = options.layout.artifacts / "fp32.onnx"
    sidecar = load_artifact(path).sidecar
    model = onnx.load(path)
    graph = model.graph
    name = graph.input[0].name
    for node in graph.node:
        for place, each in enumerate(node.input):
            if each == name:
                node.input[place] = "seen"
    kind = graph.input[0].type.tensor_type.elem_type
    graph.initializer.append(helper.make_tensor("limit", TensorProto.FLOAT, [], [60.0]))
    nodes = [
        helper.make_node("Cast", [name], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["values"], ["mean"], keepdims=1),
        helper.make_node("Greater", ["mean", "limit"], ["bright"]),
        helper.make_node("Cast", ["bright"], ["factor"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["values", "factor"], ["kept"]),
        helper.make_node("Cast", ["kept"], ["seen"], to=kind),
    ]
    for place, node in enumerate(nodes):
        graph.node.insert(place, node)
    onnx.save(model, path)
    write_sidecar(path, replace(sidecar, sha256=hash_path(path)))


# -- reference


def test_the_reference_answers_what_keras_answers(options: Options):
    import keras

    from resnet_edge.model.model_file import read_model_info

    assert read_model_info(options.layout.model).preprocessing == "unit"
    network = keras.saving.load_model(options.layout.model)
    test = read_manifest(options.layout.dataset).split.test[:5]
    for corruption in Corruption:
        answers = read_answers(options.layout.reference_under(corruption.value), corruption)
        pixels = [
            corrupt(decode_picture(each.place.path, (32, 32)), each.sha256, corruption)
            for each in test
        ]
        expected = network.predict(np.stack(pixels) / np.float32(255), verbose=0)
        assert np.abs(answers.probabilities[:5] - expected).max() < 1e-5
        assert answers.info.hashes[:5] == tuple(each.sha256 for each in test)
        assert answers.info.float32.startswith("known matrix products")


def test_what_is_answered_is_not_answered_again(options, brightest_build, recorder, monkeypatch):
    known = again(options, brightest_build)
    hashes = [hash_path(options.layout.reference_under(name)) for name in CORRUPTION_NAMES]
    assert not reference(known, display=recorder).rebuilt
    assert f"{options.layout.reference_under('jpeg')} is up to date" in recorder.said
    options.layout.reference_under("jpeg").unlink()
    options.layout.reference_under("blur").write_bytes(b"damaged")
    assert reference(known).rebuilt
    found = [hash_path(options.layout.reference_under(name)) for name in CORRUPTION_NAMES]
    assert found == hashes
    assert not list(options.layout.cache.glob("corrupted-*"))
    monkeypatch.setattr(corrupted_reference, "METHOD", 2)
    assert reference(replace(known, robustness=DARK)).rebuilt
    dark = read_answers(options.layout.reference_under("dark"), Corruption.DARK)
    assert dark.info.method == 2
    assert hash_path(options.layout.reference_under("blur")) == hashes[1]


# -- parity


def test_an_honest_file_is_not_accused(options: Options, recorder):
    done = parity(options, recorder)
    assert not done.rebuilt
    assert f"{options.layout.corruptions} is up to date" in recorder.said
    assert [each.corruption for each in done.corruptions.artifacts] == list(Corruption)
    assert done.corruptions.failed == ()
    for each in done.corruptions.artifacts:
        assert (each.name, each.images, each.agreement) == ("fp32.onnx", 300, 1.0)
        assert each.top1 == done.corruptions.reference_under(each.corruption).top1 == 1.0
        assert each.sqnr_db > 80
        assert each.gate.verdict is Verdict.PASS
    assert done.corruptions == record_of(options)


def test_a_file_that_is_blind_in_the_dark_is_caught(options: Options, cli):
    blind_in_the_dark(options)
    done = parity(options)
    assert done.rebuilt
    (clean,) = done.result.artifacts
    assert (clean.gate.verdict, clean.agreement) == (Verdict.PASS, 1.0)
    verdicts = {each.corruption.value: each.gate.verdict for each in done.corruptions.artifacts}
    assert verdicts.pop("dark") is Verdict.FAIL
    assert set(verdicts.values()) == {Verdict.PASS}
    (dark,) = done.corruptions.failed
    assert dark.top1 == pytest.approx(0.0)  # three classes as probable as each other are no answer
    assert "(0 gained, 300 lost of 300)" in dark.gate.reason
    ran = cli("parity", "--out", options.out, "--corruptions", "dark,blur")
    assert ran.code == 1
    assert "fp32.onnx under dark  fail: top-1 0.00%, reference 100.00%" in ran.out
    assert "100 % (0.00) pass" in ran.out
    assert "noise" not in ran.out
    assert cli("parity", "--out", options.out).code == 0  # clean pictures alone were asked for


def test_report_and_recommend_name_it(options: Options):
    blind_in_the_dark(options)
    parity(options)
    content = report(options).content
    (row,) = content.artifacts
    assert (row.verdict, row.accuracy_gate.verdict) == (Verdict.FAIL, Verdict.PASS)
    assert content.verdict is Verdict.FAIL
    note = (
        "fp32.onnx does not fail on the test pictures as they are, but on corrupted ones: dark "
        "(top-1 0 %, the reference's 100 %)."
    )
    html = unescape((options.out / "report.html").read_text())
    markdown = (options.out / "report.md").read_text()
    data = json.loads((options.out / "report.json").read_text())
    assert note in html
    assert note in markdown
    assert "No artifact is proven yet" in html
    assert data["take"] is None
    assert "Accuracy under dark fail:" in html
    assert [each["corruption"] for each in data["corruptions"]] == list(CORRUPTION_NAMES)
    (dark,) = data["corruptions"][0]["artifacts"]
    assert (dark["verdict"], dark["top1"], dark["images"]) == ("fail", 0.0, 300)
    found = recommend(replace(options, bench=BenchOptions(LatencySpec(0.02, 2), (1,))))
    assert not found
    (left_out,) = found.left_out
    assert left_out.reason.startswith("fail under dark: top-1 0.00%, reference 100.00%")


def test_corruptions_add_up_and_go_with_their_file(options: Options):
    options.layout.corruptions.unlink()
    first = parity(replace(options, robustness=DARK))
    assert [each.corruption for each in first.corruptions.artifacts] == [Corruption.DARK]
    second = parity(replace(options, robustness=RobustnessOptions(("blur",))))
    assert [each.corruption for each in second.corruptions.artifacts] == [Corruption.BLUR]
    kept = record_of(options)
    assert [each.corruption.value for each in kept.artifacts] == ["dark", "blur"]
    blind_in_the_dark(options)
    parity(replace(options, robustness=RobustnessOptions(("noise",))))
    assert [each.corruption.value for each in record_of(options).artifacts] == ["noise"]


def test_other_gates_judge_the_record_again(options: Options):
    blind_in_the_dark(options)
    parity(options)
    lax = Gates(int8_accuracy=0.0)
    assert report(options, changes=Changes(lax, frozenset({"int8_accuracy"}))).content.verdict is (
        Verdict.PASS
    )
    parity(replace(options, gates=lax, robustness=RobustnessOptions()))
    assert record_of(options).failed == ()
    shutil.rmtree(options.layout.artifacts)
    judge_saved(replace(options, formats=None, robustness=RobustnessOptions()))
    assert [each.corruption for each in record_of(options).failed] == [Corruption.DARK]
    with pytest.raises(InferenceError, match=r"^--corruptions: no artifacts in .* to ask; put"):
        parity(replace(options, formats=None))


def test_memory_stays_flat_and_nothing_is_left(options: Options, monkeypatch):
    seen = []
    ask = corruptions.ask_all

    def watched(*arguments):
        seen.append([path.name for path in options.layout.cache.glob("corrupted-*")])
        return ask(*arguments)

    monkeypatch.setattr(corruptions, "ask_all", watched)
    options.layout.corruptions.unlink()
    parity(options)
    assert seen == [[f"corrupted-{name}.npy"] for name in CORRUPTION_NAMES]
    assert not list(options.layout.cache.glob("corrupted-*"))


# -- Without the record, the model or the answers


def test_a_build_without_corruptions(options: Options):
    options.layout.corruptions.unlink()
    plain = replace(options, robustness=RobustnessOptions())
    assert parity(plain).corruptions is None
    assert not options.layout.corruptions.exists()
    content = report(plain).content
    assert (content.verdict, content.corrupted) == (Verdict.PASS, ())
    assert "Robustness" not in (options.out / "report.html").read_text()
    assert "Robustness" not in (options.out / "report.md").read_text()
    assert json.loads((options.out / "report.json").read_text())["corruptions"] == []


def test_no_answers_of_the_reference(options: Options):
    path = options.layout.reference_under("dark")
    path.unlink()
    with pytest.raises(ReferenceFileError) as caught:
        parity(options)
    assert str(caught.value) == (
        f"{path}: no such file, so there is nothing to compare answers under dark with; make it "
        "with `resnet-edge reference --corruptions dark`, which needs the model"
    )


def test_answers_of_something_else(options: Options):
    path = options.layout.reference_under("blur")
    answers = read_answers(path, Corruption.BLUR)
    advice = "make it again with `resnet-edge reference --corruptions blur`"
    changes = {
        "weights": {"model_sha256": "cd" * 32},
        "preprocessing": {"preprocessing": "tf"},
        "fit": {"fit": "pad"},
        "classes": {"labels": ("blue", "green", "rot")},
        "pictures": {"hashes": ("0" * 64, *answers.info.hashes[1:])},
    }
    for what, change in changes.items():
        write_answers(path, replace(answers, info=replace(answers.info, **change)))
        with pytest.raises(ReferenceFileError) as caught:
            parity(options)
        assert str(caught.value) == f"{path}: made with other {what} than the reference; {advice}"
    for change in ({"pixels_sha256": "0" * 64}, {"method": corrupting.METHOD + 1}):
        write_answers(path, replace(answers, info=replace(answers.info, **change)))
        with pytest.raises(ReferenceFileError) as caught:
            parity(options)
        assert str(caught.value) == (
            f"{path}: answers other pixels than the test pictures become here under blur (another "
            f"version of Pillow or resnet-edge); {advice}"
        )


def test_a_damaged_file_of_answers(options: Options):
    path = options.layout.reference_under("noise")
    shutil.copy(options.layout.reference_under("jpeg"), path)
    with pytest.raises(ReferenceFileError) as caught:
        parity(options)
    assert str(caught.value) == (
        f"{path}: no answers to corrupted pictures (they are of jpeg, not of noise); make it again "
        "with `resnet-edge reference --corruptions noise`"
    )
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ReferenceFileError, match=r"no answers to corrupted pictures \(.*\); make"):
        parity(options)


def test_a_record_of_other_files_is_left_out_of_the_report(options: Options, recorder):
    blind_in_the_dark(options)
    parity(replace(options, robustness=RobustnessOptions()))
    content = report(options, recorder).content
    assert content.corrupted == ()
    assert content.artifacts[0].corrupted == ()
    assert recorder.warned == [
        "corruptions.json: fp32.onnx left out: compared as other files, or on other pictures; run "
        "`resnet-edge reference` and `resnet-edge parity` with --corruptions again"
    ]


def test_a_record_of_other_pictures_is_left_out_of_the_report(options: Options, recorder):
    found = record_of(options)
    dark, *others = found.artifacts
    answers = replace(dark.answers, pictures_sha256="0" * 64)
    changed = replace(found, artifacts=(replace(dark, answers=answers), *others))
    write_record(options.layout.corruptions, changed)
    content = report(options, recorder).content
    assert [each.corruption.value for each in content.corrupted] == list(CORRUPTION_NAMES[1:])
    assert recorder.warned[0].startswith("corruptions.json: fp32.onnx left out")


def test_without_test_pictures_there_is_nothing_to_corrupt(options: Options, recorder):
    from resnet_edge.ondevice.reference_file import Reference, write_reference

    found = read_reference(options.layout.reference)
    info = replace(found.info, hashes=(), pictures=())
    empty = np.zeros((0, 3))
    write_reference(
        options.layout.reference,
        Reference(info, empty.astype(np.float32), empty, np.zeros(0, np.int64)),
    )
    assert parity(options, recorder).corruptions is None
    assert any(text.startswith("no test pictures") for text in recorder.warned)


# -- Options


def test_names_of_corruptions(cli, tmp_path):
    assert parse_corruptions("all") == CORRUPTION_NAMES
    assert parse_corruptions("none") == ()
    assert parse_corruptions("blur, dark") == ("dark", "blur")
    assert RobustnessOptions(["noise"]).chosen == (Corruption.NOISE,)
    with pytest.raises(UsageError) as caught:
        RobustnessOptions(parse_corruptions("drak"))
    assert str(caught.value) == (
        "--corruptions: got drak; expected one of dark, blur, noise, jpeg, rotation"
    )
    for flag in ("--pack", "--from"):
        words = [flag] if flag == "--pack" else [flag, tmp_path / "reference.npz"]
        ran = cli("reference", *words, "--corruptions", "all")
        assert ran.code == 2
        assert f"error: {flag} and --corruptions: got both; a pack answers clean" in ran.err
