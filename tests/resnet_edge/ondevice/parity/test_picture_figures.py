"""Figures that are made block by block, against the formulas on whole arrays."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.ondevice import row_blocks
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.parity import metrics
from resnet_edge.ondevice.parity.compare import EvaluationSet, compare_artifact
from resnet_edge.ondevice.parity.derived_logits import DerivedLogits
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.parity.picture_figures import PictureFigures, picture_figures

CLASSES = 5
COUNTS = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 16, 31])  # around the edges of blocks of 3 rows
LIGHT = settings(deadline=None, max_examples=60)


@pytest.fixture(autouse=True)
def blocks_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rows are a block."""
    monkeypatch.setattr(row_blocks, "NUMBERS", 3 * CLASSES + 1)


@st.composite
def answers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two sides with ties, floats or steps of 1/256, and the labels."""
    count, seed = draw(COUNTS), draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=3, size=(2, count, CLASSES)).round(draw(st.integers(0, 3)))
    powers = np.exp(logits)
    sides = (powers / powers.sum(axis=2, keepdims=True)).astype(np.float32)
    if draw(st.booleans()):
        sides[1] = (sides[1] * 256).round() / 256
    return sides[0], sides[1], rng.integers(0, CLASSES, count)


@LIGHT
@given(answers())
def test_figures_by_whole_arrays(sides):
    _, found, labels = sides
    figures = picture_figures(found, labels)
    ordered = np.sort(found, axis=1)
    own = found[np.arange(len(labels)), labels]
    better = (found > own[:, None]).sum(axis=1)
    equal = (found == own[:, None]).sum(axis=1) - 1
    expected = PictureFigures(
        finite=np.ones(len(labels), np.bool_),
        right=better + equal < 1,
        top5=better + equal < 5,
        answers=metrics.top_answers(found, labels),
        first_best=found.argmax(axis=1),
        ties=(found == ordered[:, -1:]).sum(axis=1),
        largest=ordered[:, -1],
        second=ordered[:, -2],
        sums=found.astype(np.float64).sum(axis=1),
        negative=np.zeros(len(labels), np.bool_),
    )
    for field in fields(PictureFigures):
        ours, theirs = getattr(figures, field.name), getattr(expected, field.name)
        np.testing.assert_array_equal(ours, theirs, err_msg=field.name)


@LIGHT
@given(answers())
def test_distances_of_logits_by_whole_arrays(sides):
    reference, artifact, _ = sides
    ours, theirs = metrics.centred_logits(reference), metrics.centred_logits(artifact)
    found = metrics.compare_logits(reference, artifact)
    # Largest, smallest: the same bits. Sums over pictures: those of each picture's sum, in order.
    assert found.max_abs == np.abs(ours - theirs).max()
    assert found.logit_range == ours.max() - ours.min()
    assert found.mean_abs == np.abs(ours - theirs).sum(axis=1).sum() / ours.size
    signal, noise = ((each**2).sum(axis=1).sum() for each in (ours, ours - theirs))
    if noise:
        assert found.sqnr_db == 10 * math.log10(signal / noise)
    assert found.mean_abs == pytest.approx(np.abs(ours - theirs).mean(), rel=1e-12)
    power = np.linalg.norm(ours) * np.linalg.norm(theirs)
    if power:
        assert found.cosine == pytest.approx((ours * theirs).sum() / power, rel=1e-9)


@LIGHT
@given(answers())
def test_agreements_by_whole_arrays(sides):
    reference, artifact, _ = sides
    same = metrics.best_classes(reference) == metrics.best_classes(artifact)
    np.testing.assert_array_equal(metrics.agreements(reference, artifact), same.all(axis=1))


@LIGHT
@given(answers())
def test_the_size_of_a_block_changes_no_bit_of_a_record(sides):
    reference, artifact, labels = sides
    names = tuple(f"class {number}" for number in range(CLASSES))
    pictures = tuple(f"{row}.png" for row in range(len(labels)))
    found = []
    for numbers in (1, 3 * CLASSES + 1, 1 << 19):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(row_blocks, "NUMBERS", numbers)
            evaluation = EvaluationSet(reference, labels, names, pictures, pictures)
            kind = artifact_kind("int8.tflite")
            found.append(
                compare_artifact(kind, "ab" * 32, "LiteRT 2.3", evaluation, artifact, Gates())
            )
    assert repr(found[0]) == repr(found[1]) == repr(found[2])  # NaN equals itself in words


@pytest.mark.parametrize("row", [0, 2, 3, 6])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_found_in_every_block(row: int, bad: float):
    found = np.full((7, CLASSES), 1 / CLASSES, np.float32)
    found[row, 1] = bad
    figures = picture_figures(found, np.zeros(7, np.int64))
    assert np.flatnonzero(~figures.finite).tolist() == [row]
    assert not figures.top5[row]
    assert (figures.answers[row], figures.ties[row]) == (metrics.NO_ANSWER, 0)
    assert math.isnan(metrics.compare_logits(np.full((7, CLASSES), 0.2), found).sqnr_db)


def test_no_pictures_have_no_figures():
    figures = picture_figures(np.zeros((0, CLASSES), np.float32), np.zeros(0, np.int64))
    assert {getattr(figures, field.name).shape for field in fields(PictureFigures)} == {(0,)}


def test_a_mapped_file_has_the_same_figures(tmp_path: Path):
    rng = np.random.default_rng(0)
    found = rng.random((10, CLASSES), np.float32)
    labels = rng.integers(0, CLASSES, 10)
    np.save(tmp_path / "answers.npy", found)
    mapped = np.load(tmp_path / "answers.npy", mmap_mode="r")
    assert repr(picture_figures(mapped, labels)) == repr(picture_figures(found, labels))


def test_derived_logits_are_those_of_the_rows():
    found = np.random.default_rng(0).random((10, CLASSES), np.float32)
    logits = DerivedLogits(found)
    expected = metrics.centred_logits(found)
    assert logits.shape == (10, CLASSES)
    np.testing.assert_array_equal(np.asarray(logits), expected)
    np.testing.assert_array_equal(logits[slice(2, 5)], expected[2:5])
    np.testing.assert_array_equal(logits[np.array([7, 0])], expected[[7, 0]])
