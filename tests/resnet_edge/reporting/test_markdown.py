import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.reporting.markdown import escape_markdown, render_markdown


def test_has_verdict_table_reasons_and_provenance(content):
    text = render_markdown(content)
    lines = text.splitlines()
    assert lines[0] == "# pets: pass"
    row = "| int8.tflite | 25.6 MB | 90.00 % | 99.50 % | 31.2 dB | 2.00 / 2.00 (1) | pass |"
    assert row in lines
    assert "- int8.tflite, accuracy pass: 1,000 of 1,000 answers agree" in lines
    assert "- every artifact, latency not checked: no latency gate was set" in lines
    assert "### int8.tflite" in lines
    assert "- calibration: 200 pictures, training split, seed 0, equalized" in lines


def test_tables_keep_their_columns(content, row):
    notes = ("a | b\n| c", "<script>")
    one = dataclasses.replace(row("fp32.onnx"), parity=None, bench=None)
    text = render_markdown(dataclasses.replace(content, artifacts=(one,), notes=notes))
    assert "- a \\| b \\| c" in text
    assert "<script>" not in text


@settings(deadline=None, max_examples=100)
@given(st.text())
def test_escaped_text_is_one_line_without_markup(text):
    escaped = escape_markdown(text)
    assert len(escaped.splitlines()) <= 1
    assert "<" not in escaped
    assert "|" not in escaped.replace("\\|", "")


def test_changed_answers_are_counted(content, row, change):
    record, _ = change("cat/1.png")
    text = render_markdown(
        dataclasses.replace(content, artifacts=(row("int8.onnx", changed=(record,)),))
    )
    assert "- int8.onnx: 1 answer of 20 changed" in text


def test_the_quantization_is_told(content, quantization):
    assert "## Quantization" not in render_markdown(content)
    text = render_markdown(dataclasses.replace(content, quantization=quantization))
    lines = text.splitlines()
    assert "- equalisation: strength 0.5, 3 groups of tensors" in lines
    layer = "| conv2 | CONV\\_2D | 2 | −1.50 to 20.2 | 30.0 dB | 40.1 dB | 99.50 % | 62.50 % |"
    assert layer in lines
    assert "| nothing yet | none | 97.50 % | 21.3 dB | 25.9 MB | 18.1 | no |" in lines
    assert "| conv2 to float | conv2 | 99.50 % | 21.3 dB | 25.9 MB | 21.2 | yes, best |" in lines
