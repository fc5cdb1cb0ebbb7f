"""Training with labels: it learns, chooses by validation, is never worse, and files keep it."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from converters.errors import IntermediateFileError, RequestError
from converters.learning.labelled_pictures import LabelledPictures
from converters.quantization import distillation, labelled_training, learning_steps
from converters.quantization.calibrated_file import load_calibrated, save_calibrated
from converters.quantization.calibrated_network import CalibratedNetwork, Examined
from converters.quantization.calibration import calibrate, for_int16_activations
from converters.quantization.integer_simulation import simulate
from converters.quantization.labelled_training import (
    Course,
    Phase,
    examine,
    train,
)
from converters.quantization.onnx import for_onnxruntime
from converters.quantization.settings import Level, QuantizationSettings
from converters.quantization.student import Rates
from converters.quantization.tflite import quantize_static
from converters.quantization.unfinished_training import State, UnfinishedTraining

STEPS = 12


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "DISTILLING_STEPS", 2)
    monkeypatch.setattr(learning_steps, "FEWEST_STEPS", STEPS)
    monkeypatch.setattr(learning_steps, "MOST_STEPS", STEPS)
    monkeypatch.setattr(labelled_training, "CHECKS", 3)
    phases = (Phase(0.25, Rates(0.05, 0.01, 0.001)), Phase(0.75, Rates(0.5, 0.1, 0.001)))
    monkeypatch.setattr(labelled_training, "PHASES", phases)


def silent(stage: str, done: int, total: int, words: str) -> None:
    """Show no progress."""


def course_of(made, classes: int = 2) -> Course:
    """Bright pictures are of class 1, dark ones of class 0."""
    brightness = made.pictures.reshape(len(made.pictures), -1).mean(axis=1)
    labels = (brightness > np.median(brightness)).astype(np.int64)
    known = LabelledPictures(made.pictures, labels)
    return Course(known, known)


@pytest.fixture(scope="module")
def start(residual) -> CalibratedNetwork:
    return calibrate(residual.float32, residual.pictures, QuantizationSettings(), residual.layers)


def test_it_learns_the_labels_and_says_what_it_gained(residual, start) -> None:
    course, seen = course_of(residual), []
    found = train(start, residual.pictures, course, lambda *call: seen.append(call))
    assert [call[:3] for call in seen] == [("training", n, STEPS) for n in range(1, STEPS + 1)]
    before, after = found.training.before, found.training.after
    assert before == examine(residual.network, start.scheme, course.validation)
    assert after == examine(residual.network, found.scheme, course.validation)
    assert after.cross_entropy < before.cross_entropy
    assert after.top1 >= before.top1
    assert found.training.pictures == 40
    assert f"best {after.cross_entropy:.3f} nats, {after.top1:.1%} right" in seen[-1][3]


def test_cross_entropy_and_top1_by_hand(residual, start) -> None:
    course = course_of(residual)
    logits = simulate(residual.network, start.scheme, residual.pictures).astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = course.validation.labels
    found = examine(residual.network, start.scheme, course.validation)
    own = probabilities[np.arange(40), labels]
    assert found.cross_entropy == pytest.approx(-np.log(own).mean(), rel=1e-5)
    assert found.top1 == pytest.approx((probabilities.argmax(axis=1) == labels).mean())


@pytest.mark.parametrize(
    ("found", "is_kept"),
    [
        (Examined(0.4, 0.8), True),
        (Examined(0.4, 0.79), False),  # more wrong than at the start
        (Examined(0.5, 0.9), False),
        (Examined(float("nan"), 0.9), False),
    ],
)
def test_better_means_both(monkeypatch, found: Examined, is_kept: bool) -> None:
    monkeypatch.setattr(labelled_training, "examine", lambda *_: found)
    start, other = object(), object()
    state = State(0, start, Examined(0.6, 0.8), Examined(0.5, 0.85))
    after = labelled_training._examined(state, other, None, None, 7)
    assert after.best is (other if is_kept else start)
    assert after.done == 7


def test_each_phase_has_its_share_of_the_steps(monkeypatch) -> None:
    one, two = Rates(1.0, 1.0, 1.0), Rates(2.0, 2.0, 2.0)
    monkeypatch.setattr(labelled_training, "PHASES", (Phase(0.25, one), Phase(0.75, two)))
    assert list(labelled_training._phases(12)) == [(0, 3, one), (3, 12, two)]
    assert list(labelled_training._phases(1)) == [(0, 0, one), (0, 1, two)]


def test_a_student_that_gets_worse_is_not_kept(
    residual, start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelled_training, "PHASES", (Phase(1.0, Rates(1e4, 1e4, 10.0)),))
    found = train(start, residual.pictures, course_of(residual), silent)
    assert found.scheme is start.scheme
    assert found.training.after == found.training.before


def test_pictures_are_augmented_by_the_number_of_the_step(residual, start) -> None:
    steps, shapes = [], set()

    def augment(pictures: tf.Tensor, step: int) -> tf.Tensor:
        steps.append(step)
        shapes.add(tuple(pictures.shape[1:]))
        return pictures

    course = replace(course_of(residual), augment=augment)
    train(start, residual.pictures, course, silent)
    assert steps == list(range(1, STEPS + 1))
    assert shapes == {(16, 16, 3)}


def test_the_same_inputs_give_the_same_weights(residual, start) -> None:
    one, two = (
        train(start, residual.pictures, course_of(residual), silent).scheme for _ in range(2)
    )
    for index, p in one.parameters.items():
        np.testing.assert_array_equal(p.kernel, two.parameters[index].kernel)


class CutOffError(Exception):
    """The machine is switched off."""


@pytest.mark.parametrize("at", [pytest.param(2, marks=pytest.mark.slow), 6])
def test_a_training_that_was_cut_off_goes_on(residual, start, tmp_path, at: int) -> None:
    def cut(stage: str, done: int, total: int, words: str) -> None:
        if (stage, done) == ("training", at):
            raise CutOffError

    def noisy(pictures: tf.Tensor, step: int) -> tf.Tensor:
        return pictures + tf.random.stateless_normal(pictures.shape, (0, step))

    course = replace(course_of(residual), augment=noisy)
    method = QuantizationSettings(Level.TRAINED)
    given = residual.float32, residual.pictures, method, residual.layers
    whole = calibrate(*given, course=course)
    kept = replace(course, unfinished=UnfinishedTraining(tmp_path / "kept"))
    with pytest.raises(CutOffError):
        calibrate(*given, course=kept, progress=cut)
    seen = []
    found = calibrate(*given, course=kept, progress=lambda *call: seen.append(call))
    examined = max(step for step in (0, 3, 4, 8, 12) if step <= at)
    if examined:
        assert seen[0][:3] == ("training", examined, STEPS)  # nothing before it is done again
        assert seen[0][3].startswith(f"resumed after step {examined}; best ")
    else:
        assert {call[0] for call in seen} == {"training"}  # from the kept start
    assert found.training == whole.training
    assert found.scheme.ranges == whole.scheme.ranges
    for index, p in whole.scheme.parameters.items():
        np.testing.assert_array_equal(found.scheme.parameters[index].kernel, p.kernel)
        np.testing.assert_array_equal(found.scheme.parameters[index].bias, p.bias)
    kept.unfinished.remove()
    assert not kept.unfinished.folder.exists()


def test_a_damaged_state_is_named(residual, start, tmp_path) -> None:
    unfinished = UnfinishedTraining(tmp_path / "kept")
    unfinished.folder.mkdir()
    (unfinished.folder / "state.npz").write_bytes(b"not a state")
    course = replace(course_of(residual), unfinished=unfinished)
    with pytest.raises(IntermediateFileError, match="cannot be read as an unfinished training"):
        train(start, residual.pictures, course, silent)


@pytest.mark.parametrize("name", ["mobile", "attention", "residual"])
def test_files_answer_as_the_trained_network(networks, classify, name: str) -> None:
    made = networks[name]
    method = QuantizationSettings(Level.TRAINED)
    found = calibrate(made.float32, made.pictures, method, made.layers, course=course_of(made))
    data = quantize_static(made.float32, found.network, found.scheme, integer_only=False)
    logits = simulate(found.network, found.scheme, made.pictures).astype(np.float64)
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classify(data, made.pictures), expected, atol=0.03)


def test_other_roundings_keep_the_trained_answers(residual, start) -> None:
    """int8.onnx rounds fewer tensors: its biases keep the trained network, not the float one."""
    network = residual.network
    found = train(start, residual.pictures, course_of(residual), silent)
    trained = simulate(network, found.scheme, residual.pictures)
    as_float = simulate(network, start.scheme, residual.pictures)
    onnx = simulate(network, for_onnxruntime(found, residual.pictures), residual.pictures)
    assert np.square(onnx - trained).sum() < 0.1 * np.square(as_float - trained).sum()
    wide = for_int16_activations(found, residual.pictures)  # which keeps the float function
    for index, p in wide.parameters.items():
        np.testing.assert_array_equal(p.kernel, found.float_parameters[index].kernel)


def test_a_trained_network_is_stored(residual, start, tmp_path) -> None:
    found = train(start, residual.pictures, course_of(residual), silent)
    save_calibrated(tmp_path / "kept.npz", residual.float32, found)
    _, loaded = load_calibrated(tmp_path / "kept.npz")
    assert loaded.training == found.training
    for index, means in found.trained_outputs.means.items():
        np.testing.assert_array_equal(loaded.trained_outputs.means[index], means)


def test_without_labels_it_is_refused(residual) -> None:
    method = QuantizationSettings(Level.TRAINED)
    with pytest.raises(RequestError, match="level trained: no pictures with labels; expected"):
        calibrate(residual.float32, residual.pictures, method, residual.layers)


def test_labels_are_counted(residual) -> None:
    with pytest.raises(ValueError, match="40 pictures with 39 labels"):
        LabelledPictures(residual.pictures, np.zeros(39, np.int64))
    none = LabelledPictures(residual.pictures[:0], np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="without training or without validation pictures"):
        Course(none, none)
