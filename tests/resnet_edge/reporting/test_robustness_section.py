"""The section about corrupted pictures, and what else a report says of a file that falls there."""

import base64
import dataclasses
import hashlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from resnet_edge.ondevice.measurements import GateResult, PictureAnswers, Verdict
from resnet_edge.reporting.answer import find_answer
from resnet_edge.reporting.html import render_html
from resnet_edge.reporting.markdown import render_markdown
from resnet_edge.reporting.notes import derive_notes
from resnet_edge.reporting.report_json import report_json
from resnet_edge.reporting.robustness_section import Cell, build_robustness
from resnet_edge.reporting.tables import headline, reason_rows
from resnet_edge.robustness.corrupting import corrupt
from resnet_edge.robustness.corruptions import Corruption
from resnet_edge.robustness.record import CorruptedParity, CorruptedReference

REFERENCES = (
    CorruptedReference(Corruption.DARK, "01" * 32, 0.75, None),
    CorruptedReference(Corruption.JPEG, "02" * 32, 0.9, None),
)
REASON = "below the limit"


def answered(name: str, corruption: Corruption, top1: float, verdict: Verdict) -> CorruptedParity:
    answers = PictureAnswers("03" * 32, *["000000"] * 3)
    gate = GateResult(verdict, REASON)
    return CorruptedParity(
        *(corruption, name, "04" * 32, "LiteRT 2.3.0", "05" * 32, 20, top1, 0.875, 24.5, None),
        answers,
        gate,
    )


@pytest.fixture
def corrupted(content):
    """``int8.tflite`` falls in the dark, ``int8.onnx`` is undecided as a JPEG, others not asked."""
    found = {
        "int8.tflite": (
            answered("int8.tflite", Corruption.DARK, 0.25, Verdict.FAIL),
            answered("int8.tflite", Corruption.JPEG, 0.9, Verdict.PASS),
        ),
        "int8.onnx": (answered("int8.onnx", Corruption.JPEG, 0.85, Verdict.INCONCLUSIVE),),
    }
    rows = tuple(
        dataclasses.replace(row, corrupted=found.get(row.name, ())) for row in content.artifacts
    )
    return dataclasses.replace(content, artifacts=rows, corrupted=REFERENCES)


def test_cells(corrupted):
    section = build_robustness(corrupted)
    assert section.headings == ("clean", "dark", "jpeg")
    assert section.strengths == (("dark", "1/8 of the light, 3 stops"), ("jpeg", "quality 10"))
    assert section.reference == ("95.00 %", "75.00 %", "90.00 %")
    assert section.rows == (
        (
            "int8.tflite",
            (
                Cell("90.00 %", "−5.00", ""),
                Cell("25.00 %", "−50.00", "fail"),
                Cell("90.00 %", "0.00", "pass"),
            ),
        ),
        (
            "int8.onnx",
            (
                Cell("90.00 %", "−5.00", ""),
                Cell("–", "", ""),
                Cell("85.00 %", "−5.00", "inconclusive"),
            ),
        ),
    )
    first = ("int8.tflite", "dark", "87.50 %", "24.5 dB", "fail", REASON)
    assert (section.figures[0], len(section.figures)) == (first, 3)


def test_only_a_fall_makes_a_verdict(corrupted):
    verdicts = {row.name: row.verdict for row in corrupted.artifacts}
    assert verdicts.pop("int8.tflite") is Verdict.FAIL
    assert set(verdicts.values()) == {Verdict.PASS}
    assert corrupted.verdict is Verdict.FAIL
    assert headline(corrupted) == "1 of 10 failed: int8.tflite."
    named = [(r.artifact, r.gate, r.verdict) for r in reason_rows(corrupted) if "under" in r.gate]
    assert named == [("int8.tflite", "accuracy under dark", "fail")]
    (note,) = [note for note in derive_notes(corrupted) if "corrupted" in note]
    assert note == (
        "int8.tflite does not fail on the test pictures as they are, but on corrupted ones: dark "
        "(top-1 25.00 %, the reference's 75.00 %)."
    )


def test_a_file_that_falls_is_neither_taken_nor_undecided(corrupted):
    alone = tuple(row for row in corrupted.artifacts if row.name == "int8.tflite")
    one = dataclasses.replace(corrupted, artifacts=alone)
    assert find_answer(one).take is None
    (row,) = alone
    gate = GateResult(Verdict.INCONCLUSIVE, "few pictures", images_needed=100)
    undecided = dataclasses.replace(row, parity=dataclasses.replace(row.parity, gate=gate))
    assert find_answer(dataclasses.replace(one, artifacts=(undecided,))).undecided == ()


def test_a_file_that_fails_on_clean_pictures_is_no_finding(corrupted):
    failed = GateResult(Verdict.FAIL, "wrong")
    rows = tuple(
        dataclasses.replace(row, parity=dataclasses.replace(row.parity, gate=failed))
        for row in corrupted.artifacts
    )
    notes = derive_notes(dataclasses.replace(corrupted, artifacts=rows))
    assert not [note for note in notes if "corrupted" in note]


def test_all_three_renderings(corrupted):
    html, markdown = render_html(corrupted), render_markdown(corrupted)
    assert '<a href="#robustness">' in html
    assert '−50.00 <span class="badge small-badge is-fail" title="fail">✗</span>' in html
    assert "| int8.tflite | 90.00 % (−5.00) | 25.00 % (−50.00) fail | 90.00 % (0.00) pass |" in (
        markdown
    )
    dark, jpeg = report_json(corrupted)["corruptions"]
    assert (dark["corruption"], dark["reference_top1"]) == ("dark", 0.75)
    assert [each["name"] for each in dark["artifacts"]] == ["int8.tflite"]
    assert [each["name"] for each in jpeg["artifacts"]] == ["int8.tflite", "int8.onnx"]
    assert jpeg["artifacts"][1] == {
        **{"name": "int8.onnx", "runtime": "LiteRT 2.3.0", "images": 20, "top1": 0.85},
        **{"agreement": 0.875, "sqnr_db": 24.5, "sqnr_exact": False, "verdict": "inconclusive"},
        **{"reason": REASON, "interval": None, "images_needed": None},
    }


def test_nothing_was_corrupted(content):
    assert build_robustness(content) is None
    assert "Robustness" not in render_html(content) + render_markdown(content)
    assert report_json(content)["corruptions"] == []


def test_the_first_picture_at_hand_is_shown(corrupted, tmp_path):
    assert build_robustness(corrupted).examples == ()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    pictures = {"00" * 32: tmp_path / "gone.png", "0" * 63 + "1": path, sha256: path}
    shown = build_robustness(dataclasses.replace(corrupted, pictures=pictures)).examples
    assert [each.name for each in shown] == ["clean", "dark", "jpeg"]
    expected = (pixels, *(corrupt(pixels, sha256, r.corruption) for r in REFERENCES))
    for each, wanted in zip(shown, expected, strict=True):
        data = base64.b64decode(each.picture.removeprefix("data:image/png;base64,"))
        assert (np.array(Image.open(BytesIO(data))) == wanted).all()
