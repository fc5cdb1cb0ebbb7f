import hashlib
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.data.calibration import choose_calibration, read_calibration, write_calibration
from resnet_edge.data.pictures import Picture
from resnet_edge.data.places import FilePlace, RangePlace
from resnet_edge.errors import DataError, UsageError

LABELS = ("cat", "dog", "owl")


def picture(content: str, label: int) -> Picture:
    name = f"{LABELS[label]}/{content}.png"
    place = FilePlace(Path("/photos") / name)
    return Picture(place, name, label, hashlib.sha256(content.encode()).hexdigest())


PICTURES = [picture(f"{label}-{i}", label) for label in range(3) for i in range(20)]


def test_balanced():
    chosen = choose_calibration(PICTURES, LABELS, count=30)
    assert Counter(p.label for p in chosen.pictures) == {0: 10, 1: 10, 2: 10}
    assert [p.label for p in chosen.pictures[:6]] == [0, 1, 2, 0, 1, 2]
    assert chosen.summary == "30 pictures from training split, seed 0"


def test_a_class_that_runs_out_leaves_its_places():
    few = [picture(f"{label}-{i}", label) for label, n in enumerate((2, 9, 9)) for i in range(n)]
    chosen = choose_calibration(few, LABELS, count=10)
    assert Counter(p.label for p in chosen.pictures) == {0: 2, 1: 4, 2: 4}


def test_fewer_than_requested_is_said():
    chosen = choose_calibration(PICTURES, LABELS, count=200, seed=3, source="/extra")
    assert len(chosen.pictures) == 60
    assert chosen.summary == ("60 pictures from /extra, seed 3 (all there are; 200 were requested)")


@settings(deadline=None, max_examples=50)
@given(order=st.randoms(use_true_random=False), count=st.integers(1, 70), seed=st.integers(0, 5))
def test_order_of_the_input_does_not_matter(order, count, seed):
    shuffled = list(PICTURES)
    order.shuffle(shuffled)
    chosen = choose_calibration(shuffled, LABELS, count, seed)
    assert chosen == choose_calibration(PICTURES, LABELS, count, seed)
    assert set(chosen.pictures) <= set(PICTURES)
    assert len(set(chosen.pictures)) == min(count, 60)


def test_seed_chooses_others():
    one, other = (choose_calibration(PICTURES, LABELS, 30, seed).pictures for seed in (0, 1))
    assert set(one) != set(other)


def test_copies_count_once():
    copies = [
        Picture(p.place, p.name.replace(".png", "-copy.png"), p.label, p.sha256) for p in PICTURES
    ]
    both = PICTURES + copies
    random.Random(0).shuffle(both)
    assert choose_calibration(both, LABELS, 100).pictures == (
        choose_calibration(copies, LABELS, 100).pictures
    )


def test_nothing_to_choose():
    with pytest.raises(DataError, match="no calibration pictures in training split"):
        choose_calibration([], LABELS)
    with pytest.raises(UsageError, match="0 calibration pictures requested; expected at least 1"):
        choose_calibration(PICTURES, LABELS, count=0)


def test_file_and_back(tmp_path):
    chosen = choose_calibration(PICTURES, LABELS, 10, seed=4)
    path = tmp_path / "calibration.json"
    write_calibration(path, chosen)
    assert read_calibration(path, Path("/photos")) == chosen
    assert "/photos" not in path.read_text()  # the same on every machine
    moved = read_calibration(path, Path("/moved"))
    assert moved.pictures[0].place == FilePlace(Path("/moved") / chosen.pictures[0].name)


def test_pictures_of_archives_are_found_among_those_that_train(tmp_path):
    archive = Path("/wds/0.tar")
    training = [
        Picture(RangePlace(archive, n, 5), p.name, p.label, p.sha256)
        for n, p in enumerate(PICTURES)
    ]
    path = tmp_path / "calibration.json"
    chosen = choose_calibration(training, LABELS, 10)
    write_calibration(path, chosen)
    assert read_calibration(path, archive, training) == chosen


def test_damaged_file(tmp_path):
    path = tmp_path / "calibration.json"
    with pytest.raises(DataError, match="no such file; run the step that writes it"):
        read_calibration(path, tmp_path)
    write_calibration(path, choose_calibration(PICTURES, LABELS, 10))
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"schema": 9}))
    with pytest.raises(DataError, match=r"newer resnet-edge \(schema 9; this one reads 1\); upd"):
        read_calibration(path, tmp_path)
    path.write_text(json.dumps(data | {"labels": ["cat"]}))
    with pytest.raises(DataError, match="a label without a name"):
        read_calibration(path, tmp_path)
