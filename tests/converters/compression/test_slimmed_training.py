"""A slimmed network learns what the network before answers; the best weights are kept."""

from pathlib import Path

import keras
import numpy as np
import pytest

from converters.compression import student
from converters.compression.compression import measure
from converters.compression.courses import Labelled, Unlabelled, answers_of
from converters.compression.slimmed_training import classifier_of, distill
from converters.errors import IntermediateFileError, ModelConversionError
from converters.learning.labelled_pictures import LabelledPictures
from converters.preprocessing import PREPROCESSINGS

TORCH = PREPROCESSINGS["torch"]
STEPS = 20


def silent(*_: object) -> None:
    """Progress of a test."""


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (60, 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    return (0.8 * coarse + 0.2 * rng.integers(0, 256, (60, 16, 16, 3))).astype(np.uint8)


def slimmed(model: keras.Model, pictures: np.ndarray) -> keras.Model:
    """Half of the model, and worse than it needs to be."""
    small = measure(model, TORCH, pictures, silent).slimmed(0.5, silent).model
    rng = np.random.default_rng(6)
    for variable in small.weights:
        if len(variable.shape) > 1:
            variable.assign(variable.numpy() * rng.normal(1, 0.2, variable.shape))
    return small


def labelled(model: keras.Model, pictures: np.ndarray) -> Labelled:
    """A course with two classes: pictures with more of class 1 than most, and the others."""
    teacher = classifier_of(model, TORCH)
    logits = answers_of(teacher, pictures)
    lead = logits[:, 1] - logits[:, 3]
    labels = np.where(lead > np.median(lead), 1, 3)
    train, validation = (
        LabelledPictures(pictures[part], labels[part]) for part in (slice(45), slice(45, 60))
    )
    return Labelled(teacher, train, validation)


def test_it_learns(network, pictures, monkeypatch) -> None:
    monkeypatch.setattr(student, "RATE", 0.005)
    small = slimmed(network, pictures)
    course = Unlabelled(classifier_of(network, TORCH), pictures)
    before = course.examine(classifier_of(small, TORCH))
    found = distill(small, TORCH, course, 40, silent)
    assert found.first.score == pytest.approx(before.score, abs=1e-3)
    assert found.best.score > found.first.score
    again = course.examine(classifier_of(small, TORCH))
    assert again.score == pytest.approx(found.best.score, abs=1e-3)


def test_it_learns_with_labels(make, pictures, monkeypatch) -> None:
    monkeypatch.setattr(student, "RATE", 0.005)
    model = make("residual")
    course = labelled(model, pictures)
    found = distill(slimmed(model, pictures), TORCH, course, 40, silent)
    assert found.best.score > found.first.score
    assert found.best.top1 >= found.first.top1


def test_a_student_that_gets_worse_is_not_kept(make, pictures, monkeypatch) -> None:
    monkeypatch.setattr(student, "RATE", 10.0)
    model = make("residual")
    small = slimmed(model, pictures)
    weights = small.get_weights()
    course = Unlabelled(classifier_of(model, TORCH), pictures)
    found = distill(small, TORCH, course, 4, silent)
    assert found.best == found.first
    for old, new in zip(weights, small.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_frozen_layers_learn_and_stay_frozen(make, pictures) -> None:
    model = make("nested")
    model.get_layer("backbone").trainable = False
    small = slimmed(model, pictures)
    weights = [np.array(w) for w in small.get_layer("backbone").get_weights()]
    distill(small, TORCH, Unlabelled(classifier_of(model, TORCH), pictures), STEPS, silent)
    changed = [
        not np.array_equal(old, new)
        for old, new in zip(weights, small.get_layer("backbone").get_weights(), strict=True)
    ]
    assert any(changed)
    statistics = [w for w in small.get_layer("backbone").weights if "moving" in w.path]
    assert statistics
    for variable in statistics:
        place = [w is variable for w in small.get_layer("backbone").weights].index(True)
        assert not changed[place]


@pytest.mark.parametrize("kind", [pytest.param("unlabelled", marks=pytest.mark.slow), "labelled"])
def test_a_training_that_was_cut_off_goes_on(make, pictures, tmp_path: Path, kind: str) -> None:
    model = make("residual")

    def course():
        if kind == "labelled":
            return labelled(model, pictures)
        return Unlabelled(classifier_of(model, TORCH), pictures)

    whole, cut = slimmed(model, pictures), slimmed(model, pictures)
    expected = distill(whole, TORCH, course(), STEPS, silent)

    def stop(_: str, done: int, *__: object) -> None:
        if done == 13:
            raise KeyboardInterrupt

    kept = tmp_path / "unfinished.npz"
    with pytest.raises(KeyboardInterrupt):
        distill(cut, TORCH, course(), STEPS, stop, kept)
    assert kept.exists()
    said: list[str] = []
    found = distill(cut, TORCH, course(), STEPS, lambda *call: said.append(call[3]), kept)
    assert said[0] == "resumed after step 12"
    assert found.best.score == pytest.approx(expected.best.score, rel=1e-4)
    assert found.first.score == pytest.approx(expected.first.score, rel=1e-4)
    assert not kept.exists()
    for one, other in zip(whole.get_weights(), cut.get_weights(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-5)


def test_a_damaged_file_says_what_to_do(make, pictures, tmp_path: Path) -> None:
    kept = tmp_path / "unfinished.npz"
    kept.write_bytes(b"PK nothing")
    model = make("plain")
    course = Unlabelled(classifier_of(model, TORCH), pictures)
    with pytest.raises(IntermediateFileError, match="remove it and run again"):
        distill(slimmed(model, pictures), TORCH, course, STEPS, silent, kept)


def test_a_training_of_other_length_is_not_gone_on_with(make, pictures, tmp_path: Path) -> None:
    kept = tmp_path / "unfinished.npz"
    model = make("plain")
    small, course = slimmed(model, pictures), Unlabelled(classifier_of(model, TORCH), pictures)

    def stop(_: str, done: int, *__: object) -> None:
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill(small, TORCH, course, STEPS, stop, kept)
    with pytest.raises(
        IntermediateFileError, match=r"it is of 20 steps, not of 30\); remove it"
    ) as p:
        distill(small, TORCH, course, 30, silent, kept)
    assert str(kept) in str(p.value)


def test_answers_that_are_not_finite(make, pictures) -> None:
    model = make("residual")
    course = Unlabelled(classifier_of(model, TORCH), pictures)
    model.get_layer("head").bias.assign([np.nan] * 4)
    with pytest.raises(ModelConversionError, match="answers of the slimmed model are not fin"):
        distill(model, TORCH, course, STEPS, silent)


def test_progress_tells_the_best_and_the_first(make, pictures) -> None:
    model = make("plain")
    seen: list[tuple[str, int, int, str]] = []
    course = Unlabelled(classifier_of(model, TORCH), pictures)
    found = distill(slimmed(model, pictures), TORCH, course, STEPS, lambda *call: seen.append(call))
    assert [call[:3] for call in seen] == [("distilling", n, STEPS) for n in range(1, STEPS + 1)]
    assert seen[0][3] == f"best {found.first.words}; at first {found.first.words}"
    assert seen[-1][3] == f"best {found.best.words}; at first {found.first.words}"
