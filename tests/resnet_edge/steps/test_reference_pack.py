from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resnet_edge.errors import ReferenceFileError, UsageError
from resnet_edge.full_precision import runner as reference_runner
from resnet_edge.layout import Layout
from resnet_edge.ondevice.formats.names import parse_formats
from resnet_edge.ondevice.parity.metrics import centred_logits
from resnet_edge.ondevice.reference_file import Reference, read_reference, write_reference
from resnet_edge.options import DataOptions, ModelOptions, Options
from resnet_edge.steps.reference import reference
from resnet_edge.steps.reference_pack import adopt_reference, pack_reference

AGAIN = r"pack again with `resnet-edge reference --pack` and answer that$"


@pytest.fixture(scope="module")
def answered(edge_build: Path, tmp_path_factory) -> Path:
    """The answers of the pack of the finished build. Not to be changed."""
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(edge_build, folder / "build")
    packed = pack_reference(Options(out=folder / "build"))
    assert packed.bytes == packed.path.stat().st_size
    words = ["--min-seconds", "0.01", "--min-queries", "2", "--batches", "1"]
    assert reference_runner.main([*words, "--out", str(folder / "r.npz")], packed.path) == 0
    return folder / "r.npz"


@pytest.fixture
def back(answered: Path, tmp_path: Path) -> Path:
    """A copy, to be changed."""
    return Path(shutil.copy(answered, tmp_path / "back.npz"))


@pytest.fixture
def changed(back: Path) -> Callable[[Callable[[Reference], Reference]], Path]:
    def change(how: Callable[[Reference], Reference]) -> Path:
        write_reference(back, how(read_reference(back)))
        return back

    return change


def with_info(**values: object) -> Callable[[Reference], Reference]:
    return lambda reference: replace(reference, info=replace(reference.info, **values))  # type: ignore[arg-type]


def refuse(options: Options, file: Path) -> str:
    before = options.layout.reference.read_bytes()
    with pytest.raises(ReferenceFileError) as caught:
        adopt_reference(options, file)
    assert options.layout.reference.read_bytes() == before
    return str(caught.value)


def test_the_answers_are_those_made_here(options: Options, back):
    here = read_reference(options.layout.reference)
    adopted = adopt_reference(options, back)
    np.testing.assert_allclose(adopted.probabilities, here.probabilities, atol=1e-6)
    assert (adopted.classes == here.classes).all()
    assert adopted.info.pixels_sha256 == here.info.pixels_sha256
    assert adopted.info.adopted
    assert read_reference(options.layout.reference).info == adopted.info


def test_answers_that_look_wrong_are_said_here_too(options: Options, changed, recorder):
    def turn(reference: Reference) -> Reference:
        turned = reference.probabilities[:, [1, 2, 0]]
        return replace(reference, probabilities=turned, logits=centred_logits(turned))

    adopt_reference(options, changed(lambda reference: reference), None, recorder)
    assert recorder.warned == []
    adopt_reference(options, changed(turn), None, recorder)
    (warning,) = recorder.warned
    assert "in another order it would be " in warning
    assert ": green, red, blue; if that is the order of the model's outputs, write it" in warning


def test_it_stays_whatever_is_installed_here(options: Options, changed, recorder, monkeypatch):
    from resnet_edge.steps import reference as step

    adopt_reference(options, changed(with_info(host="gpu-box", versions={"jax": "1"})))
    spec = replace(options.bench.spec, min_queries=10**6)
    monkeypatch.setattr(step, "keras_backend", lambda: "torch")
    longer = replace(options, bench=replace(options.bench, spec=spec))
    assert not reference(longer, None, recorder).rebuilt
    assert recorder.said[-1] == f"{options.layout.reference} is up to date (answered by gpu-box)"


def test_another_model_replaces_it_aloud(options: Options, changed, recorder):
    adopt_reference(options, changed(with_info(host="gpu-box")))
    other = replace(options, model=ModelOptions(preprocessing="tf"))
    assert reference(other, None, recorder).rebuilt
    # An untrained network: the order of its classes is noticed too.
    assert recorder.warned[0] == (
        f"{options.layout.reference}, answered by gpu-box, is of another model or other pictures; "
        "it is made again on this machine"
    )


def test_of_another_model(options: Options, changed):
    message = refuse(options, changed(with_info(model_sha256="ab" * 32)))
    assert message.startswith(f"reference is of model abababababababab…, {options.layout.model} is")


def test_of_other_pictures(options: Options, changed):
    def swap(reference: Reference) -> Reference:
        hashes = ("ab" * 32, *reference.info.hashes[1:])
        return with_info(hashes=hashes)(reference)

    count = len(read_reference(options.layout.reference).classes)
    message = refuse(options, changed(swap))
    assert f"back.npz: answers {count} pictures, which are not the {count} of the test" in message
    assert "(1 of these are not answered); pack again with" in message


def test_of_the_same_pictures_in_another_order(options: Options, changed):
    def turn(reference: Reference) -> Reference:
        return with_info(hashes=reference.info.hashes[::-1])(reference)

    assert "(0 of these are not answered)" in refuse(options, changed(turn))


def test_with_other_true_classes(options: Options, changed):
    def mix(reference: Reference) -> Reference:
        return replace(reference, classes=(reference.classes + 1) % 3)

    assert "which are not the" in refuse(options, changed(mix))


def test_of_other_labels_and_preprocessing(options: Options, changed):
    message = refuse(options, changed(with_info(labels=("a", "b", "c"))))
    assert "back.npz: classes a, b, c; expected blue, green, red; pack again" in message
    changed(with_info(labels=("blue", "green", "red"), preprocessing="caffe"))
    message = refuse(options, changed(lambda same: same))
    assert "back.npz: preprocessing caffe; expected unit; pack again" in message


def test_of_other_pixels(options: Options, changed):
    message = refuse(options, changed(with_info(pixels_sha256="ab" * 32)))
    assert "back.npz: answers other pixels than these pictures decode to here" in message


@pytest.mark.parametrize("values", [{"float32": ""}, {"dtype": "bfloat16"}])
def test_without_the_proof_of_float32(options: Options, changed, values):
    message = refuse(options, changed(with_info(**values)))
    assert "back.npz: does not say that its device multiplies in full float32; expected" in message


@pytest.mark.parametrize("bad", [-0.5, 3.0])
def test_that_are_no_probabilities(options: Options, changed, bad):
    def spoil(reference: Reference) -> Reference:
        probabilities = reference.probabilities.copy()
        probabilities[0, 0] = bad
        return replace(reference, probabilities=probabilities)

    assert "back.npz: its answers are no probabilities; pack" in refuse(options, changed(spoil))


def test_answers_that_are_nan(options: Options, back: Path):
    with np.load(back) as file:
        arrays = {name: file[name].copy() for name in file.files}
    arrays["probabilities"][0, 0] = np.nan
    np.savez(back, **arrays)
    assert "back.npz: reference: NaN, infinity or a class without" in refuse(options, back)


def test_logits_that_are_not_those_of_the_probabilities(options: Options, changed):
    def spoil(reference: Reference) -> Reference:
        return replace(reference, logits=reference.logits + np.eye(*reference.logits.shape))

    assert "back.npz: its logits are not those of its probabi" in refuse(options, changed(spoil))


def test_truncated_or_not_there(options: Options, back):
    back.write_bytes(back.read_bytes()[:500])
    assert "back.npz: not a reference file (" in refuse(options, back)
    with pytest.raises(UsageError) as caught:
        adopt_reference(options, back.with_name("gone"))
    assert str(caught.value) == (
        f"--from: no such file: {back.with_name('gone')}; expected the reference.npz that a pack "
        "wrote"
    )


def test_nothing_to_pack(edge_model: Path, tmp_path):
    options = Options(out=tmp_path / "own", data=DataOptions(), formats=parse_formats("fp32.onnx"))
    with pytest.raises(UsageError, match=r"^--pack: no test pictures to answer; pass --test DIR$"):
        pack_reference(options, edge_model)
    assert not Layout(tmp_path / "own").reference_pack.exists()


def test_the_command_line(cli, build: Path, back: Path):
    done = cli("reference", "--out", build, "--pack", "--json")
    assert done.code == 0
    data = json.loads(done.out)
    assert Path(data["path"]) == build / "resnet-edge-reference.pyz"
    assert data["bytes"] == Path(data["path"]).stat().st_size
    done = cli("reference", "--out", build, "--pack")
    assert data["sha256"] in done.out  # the same bytes
    assert done.out.endswith(
        "then here: the same command with --from reference.npz in place of --pack\n"
    )
    done = cli("reference", "--out", build, "--from", back, "--json")
    assert done.code == 0
    assert json.loads(done.out)["adopted"] is True
    done = cli("reference", "--out", build, "--from", back, "--pack")
    assert done.code == 2
    assert done.err.startswith("error: --pack and --from: got both; expected one")
    assert cli("reference", "--out", build, "--batches", "none").code == 2
