"""ImageNet as it comes: synsets as classes, a flat validation folder, labels in files beside it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_edge.data.dataset import find_labels, load_dataset
from resnet_edge.data.imagenet import labels_in_words
from resnet_edge.data.sides import Side
from resnet_edge.errors import DataError

TENCH, CRANE, LIFT = "n01440764", "n02012849", "n03126707"
WORDS = {TENCH: "tench, Tinca tinca", CRANE: "crane", LIFT: "crane"}
MAPPING = "".join(f"{synset} {words}\n" for synset, words in WORDS.items())
VALIDATION = (CRANE, TENCH, LIFT, TENCH, CRANE, LIFT)
"""Synsets of the pictures 1 to 6."""
NAMES = [f"ILSVRC2012_val_{number:08d}" for number in range(1, 7)]


def save(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "JPEG")


@pytest.fixture
def imagenet(tmp_path):
    """``kaggle/ILSVRC/Data/CLS-LOC`` with train and val; labels are for the tests to put there."""
    root = tmp_path / "kaggle" / "ILSVRC" / "Data" / "CLS-LOC"
    for place, synset in enumerate(WORDS):
        for number in range(3):
            save(root / "train" / synset / f"{synset}_{number}.JPEG", 10 * place + number)
    for place, name in enumerate(NAMES):
        save(root / "val" / f"{name}.JPEG", 100 + place)
    save(root / "test" / "ILSVRC2012_test_00000001.JPEG", 200)
    return root


def solution(folder: Path) -> None:
    lines = [f"{n},{s} 1 2 3 4 {s} 5 6 7 8\n" for n, s in zip(NAMES, VALIDATION, strict=True)]
    (folder / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" + "".join(lines))
    (folder / "LOC_synset_mapping.txt").write_text(MAPPING)


def ground_truth(folder: Path) -> None:
    """Numbers of the development kit, which are not in the order of the synsets."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {TENCH: 449, CRANE: 2, LIFT: 1}
    text = "".join(f"{numbers[synset]}\n" for synset in VALIDATION)
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text(text)


def check(data) -> None:
    assert data.labels == ("tench", "crane (n02012849)", "crane (n03126707)")
    order = {TENCH: 0, CRANE: 1, LIFT: 2}
    found = {p.name: p.label for p in data.pictures}
    for name, synset in zip(NAMES, VALIDATION, strict=True):
        assert found[f"val/{name}.JPEG"] == order[synset]
    assert found[f"train/{LIFT}/{LIFT}_0.JPEG"] == 2
    sides = dict(zip(found, data.sides, strict=True))
    assert sides["val/ILSVRC2012_val_00000001.JPEG"] is Side.VALIDATION
    assert len(data.pictures) == 15


@pytest.mark.parametrize("inside", ["", "ILSVRC/Data/CLS-LOC", "ILSVRC"])
@pytest.mark.parametrize("given", ["", "ILSVRC/Data/CLS-LOC"])
def test_kaggle(imagenet, tmp_path, inside, given):
    solution(tmp_path / "kaggle" / inside)
    data = load_dataset(tmp_path / "kaggle" / given, tmp_path / "c")
    check(data)
    assert "val: labels from LOC_val_solution.csv" in data.notes
    assert "test: pictures without class folders, not used" in data.notes


def test_the_development_kit(imagenet, tmp_path):
    from scipy.io import savemat

    kit = imagenet / "ILSVRC2012_devkit_t12" / "data"
    ground_truth(kit)
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")]
    rows = [(449, TENCH, "tench"), (2, CRANE, "crane"), (1, LIFT, "crane")]
    savemat(kit / "meta.mat", {"synsets": np.array(rows, dtype=kind).reshape(-1, 1)})
    (imagenet / "synset_words.txt").write_text(MAPPING)
    check(load_dataset(imagenet, tmp_path / "c"))


def test_a_later_development_kit(imagenet, tmp_path):
    ground_truth(imagenet.parent)
    lines = [f"{LIFT} 1 crane\n", f"{CRANE} 2 crane\n", f"{TENCH} 449 tench\n"]
    (imagenet.parent / "map_clsloc.txt").write_text("".join(lines))
    check(load_dataset(imagenet, tmp_path / "c"))


def test_validation_without_labels(imagenet, tmp_path):
    with pytest.raises(DataError) as caught:
        load_dataset(imagenet, tmp_path / "c")
    text = str(caught.value)
    assert text.startswith(
        f"{imagenet}: 6 pictures in val without class folders, as ImageNet has them; expected "
        "LOC_val_solution.csv, ILSVRC2012_validation_ground_truth.txt with meta.mat or "
        f"map_clsloc.txt, or val_annotations.txt; looked in {imagenet}, {imagenet}/test, "
        f"{imagenet}/train, {imagenet}/val, {imagenet.parent}, "
    )
    assert text.endswith("; put one there, or pass the training folder alone")
    ground_truth(imagenet)
    with pytest.raises(
        DataError, match=r"truth\.txt has numbers; expected meta\.mat or map_clsloc"
    ):
        load_dataset(imagenet, tmp_path / "c")
    (imagenet / "meta.mat").write_bytes(b"words")
    with pytest.raises(DataError, match=r"/meta\.mat: cannot be read \(.*\); copy it again"):
        load_dataset(imagenet, tmp_path / "c")


def test_a_picture_that_the_file_does_not_name(imagenet, tmp_path):
    solution(imagenet)
    save(imagenet / "val" / "ILSVRC2012_val_00000009.JPEG", 300)
    with pytest.raises(DataError) as caught:
        load_dataset(imagenet, tmp_path / "c")
    assert (
        "\n  val/ILSVRC2012_val_00000009.JPEG: not in LOC_val_solution.csv; expected its label\n"
    ) in str(caught.value)


def test_the_validation_folder_alone_and_labels_of_a_model(imagenet, tmp_path):
    solution(imagenet)
    data = load_dataset(imagenet / "val", tmp_path / "c", labels=(LIFT, TENCH, CRANE))
    assert [p.label for p in data.pictures] == [0, 0, 1, 1, 2, 2]
    named = ("tench, Tinca tinca", "crane (n02012849)", "crane (n03126707)")
    data = load_dataset(imagenet / "val", tmp_path / "c", labels=named)
    assert [p.name[-7:-5] for p in data.pictures] == ["02", "04", "01", "05", "03", "06"]


def test_synsets_without_words(imagenet, tmp_path):
    data = load_dataset(imagenet / "train", tmp_path / "c")
    assert data.labels == (TENCH, CRANE, LIFT)
    (imagenet / "LOC_synset_mapping.txt").write_text(MAPPING)
    data = load_dataset(imagenet / "train", tmp_path / "c")
    assert data.labels[0] == "tench"
    assert find_labels(imagenet / "train", tmp_path / "c", tmp_path / "build") == data.labels


def test_tiny_imagenet(tmp_path):
    root = tmp_path / "tiny-imagenet-200"
    for place, synset in enumerate(WORDS):
        for number in range(2):
            save(
                root / "train" / synset / "images" / f"{synset}_{number}.JPEG", 10 * place + number
            )
    lines = []
    for number, synset in enumerate(VALIDATION):
        save(root / "val" / "images" / f"val_{number}.JPEG", 100 + number)
        lines.append(f"val_{number}.JPEG\t{synset}\t0\t32\t44\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    (root / "words.txt").write_text("".join(f"{s}\t{w}\n" for s, w in WORDS.items()))
    save(root / "test" / "images" / "test_0.JPEG", 200)
    data = load_dataset(root, tmp_path / "c")
    assert data.labels == ("tench", "crane (n02012849)", "crane (n03126707)")
    found = {p.name: p.label for p in data.pictures}
    assert [found[f"val/images/val_{n}.JPEG"] for n in range(6)] == [1, 0, 2, 0, 1, 2]


def test_labels_are_told_apart():
    words = {"n00000001": "maillot", "n00000002": "maillot, tank suit", "n00000003": "sunglass, x"}
    assert labels_in_words(words, words, None) == {
        "n00000001": "maillot",
        "n00000002": "maillot, tank suit",
        "n00000003": "sunglass",
    }
    assert labels_in_words(["n00000003"], {}, None) == {"n00000003": "n00000003"}
