import dataclasses
import math
import re
from html.parser import HTMLParser

import pytest

from resnet_edge.ondevice.measurements import ClassResult, GateResult, Verdict
from resnet_edge.reporting.html import render_html

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Collects tags and attributes, and checks that elements are nested."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open, self.text = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def test_page_shows_every_part(content):
    page = Page(render_html(content))
    for words in (
        "All 10 artifacts hold their gates.",
        "Read this first",
        "trained from random weights",
        "CPU: no GPU was found",
        "int8_full.tflite",
        "static: int8 weights, int16 activations, float softmax",
        "✓ pass",
        "Accuracy pass:",
        "Every artifact, latency not checked:",
        "epochs 1 to 2: head; epoch 3: last stage",
        "Confusion matrices",
        "Changed answers",
        "No artifact changed the answer to any test picture.",
        "equalized",
        "How to read this",
        "paired interval",
    ):
        assert words in page.words, words


def test_page_needs_nothing_from_outside(content, row, change):
    record, path = change("cat/1.png")
    content = dataclasses.replace(
        content, artifacts=(row("int8.onnx", changed=(record,)),), pictures={record.sha256: path}
    )
    text = render_html(content)
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert value.startswith(("#", "data:image/"))
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_inner_links_lead_somewhere(content):
    page = Page(render_html(content))
    identifiers = [value for name, value in page.attributes if name == "id"]
    links = {value[1:] for name, value in page.attributes if name == "href"}
    assert links <= set(identifiers)
    assert len(identifiers) == len(set(identifiers))


def test_same_content_same_page(content):
    assert render_html(content) == render_html(content)


def test_hostile_words_are_shown_not_run(content, row, change):
    record, path = change(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    labels = (HOSTILE, "猫 \u202e \x07")
    gate = GateResult(Verdict.FAIL, HOSTILE)
    classes = tuple(ClassResult(label, 10, 0.1, 0.9, 0.1) for label in labels)
    one = row("int8.onnx", labels, gate=gate, changed=(record,), classes=classes, collapse=HOSTILE)
    content = dataclasses.replace(
        content,
        model=dataclasses.replace(
            content.model, name=HOSTILE, labels=labels, weights=HOSTILE, rewrites=(HOSTILE,)
        ),
        data=dataclasses.replace(content.data, source=HOSTILE, skipped=(HOSTILE,)),
        reference=dataclasses.replace(content.reference, device=HOSTILE, dtype=HOSTILE),
        artifacts=(one,),
        machine=dataclasses.replace(content.machine, host=HOSTILE, runtimes={HOSTILE: HOSTILE}),
        notes=(HOSTILE,),
        made_by=HOSTILE,
        pictures={record.sha256: path},
    )
    text = render_html(content)
    page = Page(text)
    assert "script" not in page.tags
    assert page.tags.count("img") == 1
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert text.count("&lt;script&gt;") > 10
    assert "猫" in text


def test_no_test_split_and_nothing_measured(content, row):
    bare = dataclasses.replace(row("fp32.onnx"), parity=None, bench=None)
    content = dataclasses.replace(
        content,
        data=dataclasses.replace(content.data, test=0),
        reference=None,
        artifacts=(bare,),
        history=(),
        machine=None,
        notes=(),
    )
    page = Page(render_html(content))
    assert "Not checked" in page.words
    assert "because there is no test split" in page.words
    assert "No latency was measured." in page.words
    assert "Training" not in page.words
    assert "Quantization" not in page.words
    assert "Changed answers" not in page.words


def test_no_artifacts(content):
    page = Page(render_html(dataclasses.replace(content, artifacts=())))
    assert "There are no artifacts." in page.words


def test_everything_fails_and_nan_is_shown(content, row):
    gate = GateResult(Verdict.FAIL, "NaN among the answers")
    values = dict.fromkeys(
        ("top1", "top5", "agreement", "sqnr_db", "kl", "cosine", "max_abs_logit"), math.nan
    )
    rows = tuple(row(r.name, gate=gate, **values) for r in content.artifacts)
    page = Page(render_html(dataclasses.replace(content, artifacts=rows)))
    assert "10 of 10 failed:" in page.words
    assert "NaN among the answers" in page.words
    assert "✓ pass" not in page.words


def test_an_artifact_that_answers_one_class_to_everything(content, row, change):
    changes = [change(f"cat/{i}.png") for i in range(20)]
    one = row(
        "int8.onnx",
        collapse="one class (dog) for every picture",
        changed=tuple(record for record, _ in changes),
        confusion=((0, 10), (0, 10)),
        agreement=0.5,
        top1=0.5,
    )
    pictures = {record.sha256: path for record, path in changes}
    content = dataclasses.replace(content, artifacts=(one,), pictures=pictures)
    page = Page(render_html(content))
    assert "int8.onnx collapsed: one class (dog) for every picture." in page.words
    assert "20 of 20 changed: 20 lost, 0 gained" in page.words
    assert page.tags.count("img") == 12
    assert "Also changed:" in page.words


@pytest.mark.parametrize("count", [1000])
def test_a_thousand_classes_stay_readable(content, row, count):
    labels = tuple(f"class {i}" for i in range(count))
    content = dataclasses.replace(
        content,
        model=dataclasses.replace(content.model, labels=labels),
        reference=dataclasses.replace(content.reference, confusion=None),
        artifacts=(row("int8.onnx", labels),),
    )
    text = render_html(content)
    assert "Of 1,000 classes, the 20 with the most wrong answers are shown" in Page(text).words
    assert len(text) < 300_000


def test_the_quantization_is_shown(content, quantization):
    page = Page(render_html(dataclasses.replace(content, quantization=quantization)))
    for words in (
        "The way from the float model and the calibration pictures to the integer artifacts.",
        "equalisation strength 0.5, 3 groups of tensors",
        "3 layers, largest share first.",
        "conv2 CONV_2D 2 −1.50 to 20.2 30.0 dB 40.1 dB 99.50 % 62.50 %",
        "conv2 to float conv2 99.50 % 21.3 dB 25.9 MB 21.2 yes, best",
    ):
        assert words in page.words, words
    assert page.attributes.count(("class", "best")) == 1
    assert ("href", "#quantization") in page.attributes
    assert "All 3 layers" not in page.words  # the short table has them all


def test_very_many_layers_are_folded(content, quantization, layer):
    layers = tuple(layer(f"{HOSTILE}_{i}", 1 / 600) for i in range(600))
    quantization = dataclasses.replace(
        quantization, layers=layers, method=HOSTILE, findings={HOSTILE: HOSTILE}
    )
    text = render_html(dataclasses.replace(content, quantization=quantization))
    page = Page(text)
    assert "Of 600 layers, the 15 noisiest cause 2.5 % of the noise." in page.words
    assert "All 600 layers, in the order of the graph" in page.words
    assert "script" not in page.tags
    assert not any(name.startswith("on") for name, _ in page.attributes)
