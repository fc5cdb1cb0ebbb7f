"""The content of a bundle, and artifacts that are refused."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.devices.bundle_sample import choose_sample
from resnet_edge.errors import ArtifactError, OutputError, ReferenceFileError, UsageError
from resnet_edge.ondevice.command.bundle_file import open_bundle
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.names import parse_formats
from resnet_edge.ondevice.formats.sidecar import load_artifact, write_sidecar
from resnet_edge.ondevice.measurements import Latency
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.parity.interval import accuracy_interval
from resnet_edge.ondevice.reference_file import (
    Reference,
    ReferenceInfo,
    read_reference,
    write_reference,
)
from resnet_edge.options import BundleOptions, Options
from resnet_edge.steps.bundle import bundle


def hand_reference(classes: list[int], names: int) -> Reference:
    """Pictures whose hashes run backwards."""
    count = len(classes)
    labels = tuple("abcdefgh"[:names])
    info = ReferenceInfo(
        *("ab" * 32, "CPU", "hand", "float32", "none", labels),
        tuple(f"{place}.png" for place in range(count)),
        tuple(f"{count - place:064x}" for place in range(count)),
        Latency("hand", 1, (1.0,), 1.0, 1.0, 1, 0),
        {},
    )
    answers = np.full((count, names), 1 / names, np.float32)
    return Reference(info, answers, np.zeros((count, names)), np.array(classes, np.int64))


def test_classes_in_turn_each_by_its_hashes():
    reference = hand_reference([0, 0, 0, 0, 1, 1, 2], 3)
    assert choose_sample(reference, 7).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert choose_sample(reference, 3).tolist() == [3, 5, 6]  # the last of each has the least hash
    assert choose_sample(reference, 5).tolist() == [2, 3, 4, 5, 6]  # class 2 has no more
    assert choose_sample(reference, 99).tolist() == [0, 1, 2, 3, 4, 5, 6]


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), max_size=40), st.integers(1, 50))
def test_samples_are_balanced_and_nested(classes, count):
    reference = hand_reference(classes, 5)
    places = choose_sample(reference, count)
    assert places.tolist() == sorted(set(places.tolist()))
    assert len(places) == min(count, len(classes))
    assert set(choose_sample(reference, count + 1)) >= set(places)
    taken, there = Counter(reference.classes[places].tolist()), Counter(classes)
    most = max(taken.values(), default=0)
    assert all(taken[label] >= min(there[label], most - 1) for label in there)


def test_268_pictures_decide_where_no_answer_changes():
    """As the default's docstring says."""
    assert accuracy_interval(0, 0, 267).low < -0.01 < accuracy_interval(0, 0, 268).low
    assert BundleOptions().images >= 268


def test_what_is_in_it(options: Options):
    made = bundle(options)
    assert not made.rebuilt  # the run has made it
    opened = open_bundle(made.path)
    opened.check()
    manifest = opened.manifest
    assert manifest.artifacts == made.artifacts == options.formats
    assert manifest.reference_sha256 == hash_path(options.layout.reference)
    with zipfile.ZipFile(made.path) as archive:
        assert {
            m.filename: m.file_size
            for m in archive.infolist()
            if m.filename
            in ("artifacts/fp32.tflite", "artifacts/int8.tflite", "artifacts/fp32.onnx")
        } == {
            f"artifacts/{n}": (options.layout.artifacts / n).stat().st_size for n in made.artifacts
        }
        kinds = {m.filename.endswith(".py"): m.compress_type for m in archive.infolist()}
        assert kinds == {True: zipfile.ZIP_DEFLATED, False: zipfile.ZIP_STORED}
        assert archive.read("labels.txt") == b"blue\ngreen\nred\n"
        with archive.open("pictures.npy") as stream:
            pictures = np.load(stream)
    assert pictures.shape == (made.images, 32, 32, 3)
    assert pictures.dtype == np.uint8
    assert made.path.read_bytes().startswith(b"#!/usr/bin/env python3\n")
    assert stat.S_IMODE(made.path.stat().st_mode) & 0o100


def test_a_sample(options: Options, tmp_path: Path):
    made = bundle(replace(options, bundle=BundleOptions(images=5)))
    assert (made.images, made.rebuilt) == (5, True)
    whole = read_reference(options.layout.reference)
    part = open_bundle(made.path).reference(tmp_path)
    counts = Counter(part.classes.tolist())
    assert sorted(counts.values()) == [1, 2, 2]
    places = [whole.info.hashes.index(sha256) for sha256 in part.info.hashes]
    np.testing.assert_array_equal(part.probabilities, whole.probabilities[places])
    assert part.info.pictures == tuple(whole.info.pictures[place] for place in places)
    few = bundle(replace(options, bundle=BundleOptions(max_bytes=4 * 32 * 32 * 3 + 1)))
    assert few.images == 4


def test_classes_without_a_picture_are_said(options: Options, recorder):
    bundle(replace(options, bundle=BundleOptions(images=2)), recorder)
    assert recorder.warned == [
        "2 pictures for the device: 1 classes have none; raise --images or --max-bytes of "
        "`resnet-edge bundle` or `resnet-edge browser`"
    ]


def test_the_same_inputs_give_the_same_bytes(options: Options, tmp_path: Path):
    first = bundle(options).path.read_bytes()
    options.layout.bundle.unlink()
    for path in options.layout.artifacts.iterdir():
        os.utime(path, (1, 1))
    assert bundle(options).rebuilt
    assert options.layout.bundle.read_bytes() == first


def test_what_makes_it_anew(options: Options):
    for changed in (
        replace(options, gates=Gates(max_p90_ms=50)),
        replace(options, formats=parse_formats("int8.tflite")),
        replace(options, bundle=BundleOptions(images=6)),
    ):
        assert bundle(changed).rebuilt
        assert not bundle(changed).rebuilt
    assert open_bundle(options.layout.bundle).manifest.gates == Gates()


def test_a_reference_of_another_model(options: Options):
    reference = read_reference(options.layout.reference)
    other = replace(reference.info, model_sha256="cd" * 32)
    write_reference(options.layout.reference, replace(reference, info=other))
    with pytest.raises(ReferenceFileError, match=r"^reference is of model cdcdcdcdcdcdcdcd…, fp32"):
        bundle(options)


def test_a_reference_of_other_pictures(options: Options):
    reference = read_reference(options.layout.reference)
    other = replace(reference.info, hashes=("0" * 64, *reference.info.hashes[1:]))
    write_reference(options.layout.reference, replace(reference, info=other))
    with pytest.raises(ReferenceFileError, match=r"other pictures than the test split's"):
        bundle(options)


def test_no_reference(options: Options):
    options.layout.reference.unlink()
    with pytest.raises(ReferenceFileError, match=r"no such file; make it with `resnet-edge refere"):
        bundle(options)


def test_another_preprocessing(options: Options):
    for name in options.formats or ():
        path = options.layout.artifacts / name
        write_sidecar(path, replace(load_artifact(path).sidecar, preprocessing="tf"))
    expected = r"fp32.tflite: exported with preprocessing 'tf', the reference was made with 'unit'"
    with pytest.raises(ReferenceFileError, match=expected):
        bundle(options)


def test_a_truncated_artifact(options: Options):
    path = options.layout.artifacts / "int8.tflite"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"int8.tflite: sha256 is .* export it again"):
        bundle(options)


def test_a_folder_is_no_file_for_a_device(options: Options):
    with pytest.raises(
        UsageError,
        match=r"^--formats: saved_model is SavedModel, which devices do not run; expected .tfli",
    ):
        bundle(replace(options, formats=("saved_model", "fp32.tflite")))
    with pytest.raises(
        UsageError, match=r"artifacts: nothing for a device; expected .tflite or .o"
    ):
        bundle(replace(options, formats=()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BundleOptions(images=0), "--images: got 0; expected at least 1"),
        (lambda: BundleOptions(max_bytes=0), "--max-bytes: got 0; expected at least 1"),
    ],
)
def test_sizes_that_are_none(make, message):
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == message


def test_room_for_not_one_picture(options: Options):
    with pytest.raises(UsageError) as caught:
        bundle(replace(options, bundle=BundleOptions(max_bytes=3071)))
    assert str(caught.value) == (
        "--max-bytes: got 3071; expected at least 3072, one picture of 32 x 32"
    )


def test_without_test_pictures_latency_can_still_be_measured(options: Options, recorder):
    reference = read_reference(options.layout.reference)
    empty = replace(
        reference,
        info=replace(reference.info, pictures=(), hashes=()),
        probabilities=reference.probabilities[:0],
        logits=reference.logits[:0],
        classes=reference.classes[:0],
    )
    write_reference(options.layout.reference, empty)
    assert bundle(options, recorder).images == 0
    assert recorder.warned == [
        "no test pictures: the device can check no accuracy; pass --test DIR to `resnet-edge "
        "reference`"
    ]


def test_a_full_disk_leaves_the_old_bundle(options: Options, monkeypatch):
    before = options.layout.bundle.read_bytes()

    def full(file: int) -> None:
        if ".pyz." in Path(f"/proc/self/fd/{file}").readlink().name:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OutputError, match=r"device.pyz: cannot be written \(No space left on devic"
    ):
        bundle(replace(options, bundle=BundleOptions(images=4)))
    assert options.layout.bundle.read_bytes() == before
    assert not list(options.out.glob(".*.part"))


def test_the_command(options: Options, cli):
    ran = cli("bundle", "--out", options.out, "--images", "6", "--max-bytes", "1MB", "--json")
    assert ran.code == 0, ran.err
    made = json.loads(ran.out)
    assert (made["images"], made["rebuilt"]) == (6, True)
    assert made["sha256"] == hash_path(options.layout.bundle)
    ran = cli("bundle", "--out", options.out, "--max-bytes", "many")
    assert ran.code == 2
    assert "--max-bytes: got 'many'; expected a size, for instance 64MB or 500kB" in ran.err
    ran = cli("bundle", "--out", options.out)
    assert "python3 resnet-edge-device.pyz run --out result.json" in ran.out
