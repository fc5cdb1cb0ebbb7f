import base64
import dataclasses
from io import BytesIO

import pytest
from PIL import Image

from resnet_edge.reporting import changed_answers as changed_module
from resnet_edge.reporting.changed_answers import build_changed


@pytest.fixture
def with_changed(content, row):
    def build(*changes, image_size=(64, 64)):
        records = tuple(record for record, _ in changes)
        return dataclasses.replace(
            content,
            model=dataclasses.replace(content.model, image_size=image_size),
            artifacts=(row("fp32.onnx"), row("int8.onnx", changed=records)),
            pictures={record.sha256: path for record, path in changes},
        )

    return build


@pytest.mark.parametrize(
    ("image_size", "kind", "expected"),
    [((64, 64), "JPEG", (64, 64)), ((448, 224), "JPEG", (48, 96)), ((32, 32), "PNG", (32, 32))],
)
def test_thumbnail_is_what_the_model_sees(with_changed, change, image_size, kind, expected):
    (section,) = build_changed(with_changed(change("cat/1.png"), image_size=image_size))
    header, data = section.cards[0].thumbnail.split(",")
    assert header == f"data:image/{kind.lower()};base64"
    with Image.open(BytesIO(base64.b64decode(data))) as image:
        assert (image.format, image.size) == (kind, expected)


def test_counts_and_words(with_changed, change):
    (section,) = build_changed(
        with_changed(
            change("a", "cat", "dog", "cat"),
            change("b", "cat", "cat", "dog"),
            change("c", "bird", "cat", "dog"),
        )
    )
    assert (section.artifact, section.images, section.total) == ("int8.onnx", 20, 3)
    assert (section.lost, section.gained) == (1, 1)
    assert [card.outcome for card in section.cards] == [
        "reference right",
        "artifact right",
        "both wrong",
    ]
    assert section.cards[0].reference_probability == "61.0 %"


def test_more_than_fit_are_listed_by_name(with_changed, change, monkeypatch):
    monkeypatch.setattr(changed_module, "MAX_LISTED", 3)
    (section,) = build_changed(with_changed(*(change(f"{i:02}.png") for i in range(20))))
    assert len(section.cards) == 12
    assert section.listed == ("12.png", "13.png", "14.png")
    assert section.unlisted == 5


def test_a_picture_that_cannot_be_shown_says_why(with_changed, change):
    gone, altered, missing = change("a.png"), change("b.png"), change("c.png")
    gone[1].unlink()
    altered[1].write_bytes(b"other")
    content = with_changed(gone, altered, missing)
    pictures = {k: v for k, v in content.pictures.items() if k != missing[0].sha256}
    (section,) = build_changed(dataclasses.replace(content, pictures=pictures))
    assert [(card.thumbnail, card.problem) for card in section.cards] == [
        (None, "cannot be read"),
        (None, "changed since"),
        (None, "not at hand"),
    ]


def test_nothing_changed(content):
    assert build_changed(content) == ()
