from __future__ import annotations

from dataclasses import replace

import pytest

from resnet_edge.errors import OutputError
from resnet_edge.exporting.failures import Failure
from resnet_edge.ondevice.measurements import GateResult, Verdict
from resnet_edge.reporting.content import ReportContent
from resnet_edge.reporting.step_summary import append_step_summary, render_step_summary


def test_a_pass_is_short(content: ReportContent):
    text = render_step_summary(content)
    assert text.startswith("## pets: pass\n\n- Take ")
    assert "| artifact | size |" in text
    assert "\n- " not in text[text.index("| artifact") :]  # no reasons


def test_the_reasons_against_are_listed(content: ReportContent, row):
    bad = row("int8.onnx", gate=GateResult(Verdict.FAIL, "a | b < c"))
    text = render_step_summary(
        replace(content, artifacts=(bad,), failed=(Failure("fp16.onnx", "no operator"),))
    )
    assert text.startswith("## pets: fail\n")
    assert "- int8.onnx, accuracy fail: a \\| b &lt; c\n" in text
    assert "- fp16.onnx could not be made: no operator\n" in text


def test_it_is_appended(content: ReportContent, tmp_path):
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    append_step_summary(path, content)
    append_step_summary(path, content)
    assert path.read_text() == "before\n" + 2 * render_step_summary(content)


def test_a_file_that_cannot_be_written(content: ReportContent, tmp_path):
    with pytest.raises(OutputError) as caught:
        append_step_summary(tmp_path / "gone" / "summary.md", content)
    assert str(caught.value) == (
        f"{tmp_path}/gone/summary.md: the summary cannot be appended (No such file or directory); "
        "GITHUB_STEP_SUMMARY names this file; unset it to do without"
    )
