"""The side of the network's input: as asked for, by the weights, or by the pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from resnet_edge.data.pictures import Picture
from resnet_edge.data.places import FilePlace
from resnet_edge.errors import PictureError
from resnet_edge.options import DataOptions, ModelOptions, Options
from resnet_edge.steps.image_size import ImageSize, choose_image_size


def pictures(folder: Path, *sizes: tuple[int, int]) -> list[Picture]:
    paths = [folder / f"{number}.png" for number in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        Image.new("L", size).save(path)
    return [Picture(FilePlace(path), path.name, 0, "0" * 64) for path in paths]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(8, 8), (8, 8)], 32),
        ([(32, 32)], 32),
        ([(8, 8), (33, 20)], 64),
        ([(20, 33)], 64),
        ([(640, 480)], 64),
    ],
)
def test_without_weights_the_pictures_decide(sizes, expected: int, tmp_path: Path):
    chosen = choose_image_size(Options(), pictures(tmp_path, *sizes))
    assert chosen.side == expected
    assert chosen.reason == (
        "no picture is larger than 32 pixels a side"
        if expected == 32
        else "the default without pretrained weights"
    )


def test_the_first_larger_picture_is_the_last_that_is_read(tmp_path: Path):
    large, gone = pictures(tmp_path, (64, 64), (8, 8))
    gone.place.path.unlink()
    assert choose_image_size(Options(), [large, gone]).side == 64
    with pytest.raises(PictureError, match=r"^1.png: cannot be read"):
        choose_image_size(Options(), [gone, large])


@pytest.mark.parametrize("weights", ["imagenet", "x.h5", "gone.keras"])
def test_weights_have_their_own_size(weights: str, tmp_path: Path):
    chosen = choose_image_size(Options(model=ModelOptions(weights)), pictures(tmp_path, (8, 8)))
    assert chosen == ImageSize(224, "the default with pretrained weights")


def test_a_network_of_fixed_size_keeps_it(edge_model: Path):
    chosen = choose_image_size(Options(model=ModelOptions(str(edge_model))), [])
    assert chosen == ImageSize(32, f"the only size that {edge_model.name} takes")


def test_sides_that_differ_are_height_and_width(tmp_path: Path):
    import keras

    path = tmp_path / "wide.keras"
    x = keras.Input((24, 40, 3))
    y = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(x))
    keras.Model(x, keras.layers.Dense(3, activation="softmax")(y)).save(path)
    chosen = choose_image_size(Options(model=ModelOptions(str(path))), [])
    assert chosen == ImageSize(24, "the only size that wide.keras takes", width=40)
    assert chosen.size == (24, 40)


def test_what_is_asked_for_comes_first(tmp_path: Path):
    asked = Options(data=DataOptions(image_size=96), model=ModelOptions("imagenet"))
    assert choose_image_size(asked, []) == ImageSize(96, "as asked for with --image-size")


def test_a_damaged_header_is_named(tmp_path: Path):
    path = tmp_path / "cut.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    with pytest.raises(PictureError, match=r"^cut.png: damaged or truncated PNG .*copy it again"):
        choose_image_size(Options(), [Picture(FilePlace(path), path.name, 0, "0" * 64)])
