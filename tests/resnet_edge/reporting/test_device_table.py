from __future__ import annotations

from dataclasses import replace

import pytest

from resnet_edge import units
from resnet_edge.ondevice.measurements import (
    ChangedPicture,
    GateResult,
    Interval,
    Machine,
    PictureAnswers,
    Unmeasured,
    Verdict,
)
from resnet_edge.reporting.content import ArtifactRow, DeviceSection, ReportContent
from resnet_edge.reporting.device_agreement import agreement_with
from resnet_edge.reporting.device_table import build_devices
from resnet_edge.reporting.html import render_html
from resnet_edge.reporting.markdown import render_markdown
from resnet_edge.reporting.report_json import report_json
from resnet_edge.reporting.tables import headline

PI = Machine("pi", "Linux", "Arm Cortex-A76", ("asimddp",), 4, "3.11.2", {"LiteRT": "2.3.0"})
INCONCLUSIVE = GateResult(
    Verdict.INCONCLUSIVE, "needs about 320 more pictures", Interval(-0.02, 0.01, 0.9), 320
)


@pytest.fixture
def device(row) -> DeviceSection:
    """Two artifacts, one undecided; one crashed, one without a runtime."""
    undecided: ArtifactRow = row("int8.tflite", gate=INCONCLUSIVE)
    return DeviceSection(
        machine=PI,
        emulated=False,
        bundle_sha256="ef" * 32,
        images=300,
        reference_top1=0.95,
        artifacts=(row("fp32.tflite"), undecided),
        failed=(Unmeasured("fp16.tflite", "the process was killed by SIGKILL"),),
        left_out=tuple(
            Unmeasured(name, "no runtime for onnx files is installed here")
            for name in ("fp32.onnx", "fp16.onnx")
        ),
    )


def test_no_devices(content: ReportContent):
    assert build_devices(content) is None
    assert 'id="devices"' not in render_html(content)
    assert "## Devices" not in render_markdown(content)
    assert report_json(content)["devices"] == []


def test_devices_side_by_side(content: ReportContent, device: DeviceSection):
    emulated = replace(device, machine=replace(PI, cores=1), emulated=True, failed=())
    table = build_devices(replace(content, devices=(device, emulated)))
    assert table is not None
    assert [heading.name for heading in table.headings] == ["pi (1)", "pi (2)"]
    assert table.headings[0].machine == "Arm Cortex-A76, 4 cores, LiteRT 2.3.0"
    assert table.headings[0].sample == "300 pictures, reference 95.00 %"
    assert [heading.emulated for heading in table.headings] == [False, True]
    cells = dict(table.rows)
    assert cells["fp32.tflite"][0].words == "pass, 99.50 % agree, 31.2 dB, 2.00 / 2.00 ms (1)"
    assert cells["int8.tflite"][0].verdict == "inconclusive"
    assert [cell.verdict for cell in cells["fp16.tflite"]] == ["fail", ""]
    assert cells["fp32.onnx"][0].words == "no runtime"
    assert set(cells) == {"fp32.tflite", "int8.tflite", "fp16.tflite", "fp32.onnx", "fp16.onnx"}
    assert cells["fp16.tflite"][1].words == "–"
    assert [(r.device, r.artifact, r.what, r.reason) for r in table.reasons[:3]] == [
        ("pi (1)", "int8.tflite", "accuracy inconclusive", "needs about 320 more pictures"),
        ("pi (1)", "fp16.tflite", "failed", "the process was killed by SIGKILL"),
        (
            "pi (1)",
            "fp32.onnx, fp16.onnx",
            "left out",
            "no runtime for onnx files is installed here",
        ),
    ]


def test_all_three_renderings(content: ReportContent, device: DeviceSection):
    content = replace(content, devices=(replace(device, emulated=True),))
    page, text, data = render_html(content), render_markdown(content), report_json(content)
    for words in ("Arm Cortex-A76, 4 cores, LiteRT 2.3.0", "the process was killed by SIGKILL"):
        assert words in page
        assert words in text
    assert 'href="#devices"' in page
    assert ">emulated</span>" in page
    assert "emulated, so its latencies are not those of a real device" in text
    (found,) = data["devices"]
    assert (found["emulated"], found["verdict"], found["images"]) == (True, "fail", 300)
    assert found["artifacts"][0]["latency"]["p50_ms"] == 2.0
    assert found["machine"]["processor"] == "Arm Cortex-A76"


@pytest.mark.parametrize(
    ("here", "there", "share"),
    [
        ({}, {}, 1.0),
        ({"a": "dog"}, {"a": "dog"}, 1.0),
        ({"a": "dog"}, {}, 0.75),
        ({"a": "dog", "z": "cat"}, {"a": "cow", "b": "cow"}, 0.5),  # z is not in the sample
    ],
)
def test_agreement_with_this_machine(content, device, row, here, there, share):
    bits = PictureAnswers("00", "ff", "ff", "ff")

    def one(changed: dict[str, str]) -> ArtifactRow:
        pictures = tuple(
            ChangedPicture(f"{sha256}.png", sha256, "cat", "cat", answer, 0.9, 0.8)
            for sha256, answer in changed.items()
        )
        return row("fp32.tflite", changed=pictures, answers=bits, images=8)

    measured = replace(device, artifacts=(one(there),), pictures=("a", "b", "c", "d"))
    both = replace(content, artifacts=(one(here),), devices=(measured,))
    assert agreement_with(measured, one(here)) == share
    assert report_json(both)["devices"][0]["agreement_here"] == {"fp32.tflite": share}
    assert f"{units.percent(share)} as here" in render_html(both)
    unknown = replace(measured, artifacts=(row("fp32.tflite"),))
    assert agreement_with(unknown, one(here)) is None
    assert agreement_with(replace(measured, pictures=()), one(here)) is None


def test_a_line_for_every_further_runtime(content, device, row):
    one = row("fp32.onnx")
    latency = replace(one.bench.latencies[0], runtime="OpenVINO", samples_s=(0.007,) * 70)
    other = replace(one.parity, runtime="OpenVINO 7.1", agreement=0.75)
    bench = replace(one.bench, latencies=(*one.bench.latencies, latency))
    both = replace(one, bench=bench, in_further_runtimes=(other,))
    plain = replace(device, artifacts=(one,), left_out=(), failed=())
    table = build_devices(replace(content, devices=(plain, replace(plain, artifacts=(both,)))))
    names = [name for name, _ in table.rows]
    assert names[names.index("fp32.onnx") + 1] == "fp32.onnx in OpenVINO"
    assert [cell.words for cell in dict(table.rows)["fp32.onnx in OpenVINO"]] == [
        "–",
        "pass, 75.00 % agree, 31.2 dB, 7.00 / 7.00 ms (1)",
    ]


def test_a_refusal_is_of_the_runtime(content, device, row):
    """On one device another runtime came through, on the other one none did."""
    one = row("fp32.onnx")
    refused = Unmeasured("fp32.onnx", "no kernel for Frobnicate", "LiteRT.js WebGPU")
    held = replace(device, artifacts=(one,), left_out=(), failed=(refused,))
    lost = replace(held, artifacts=())
    both = replace(content, devices=(held, lost))
    table = build_devices(both)
    assert table is not None
    own, there = dict(table.rows)["fp32.onnx"], dict(table.rows)["fp32.onnx in LiteRT.js WebGPU"]
    assert own[0].words == (
        f"pass, 99.50 % agree, 31.2 dB, in {one.parity.runtime}, 2.00 / 2.00 ms (1)"
    )
    assert own[1].words == "fail"
    assert [cell.words for cell in there] == ["fail", "fail"]
    assert [(why.what, why.reason) for why in table.reasons] == [
        ("failed in LiteRT.js WebGPU", "no kernel for Frobnicate")
    ] * 2
    assert (held.verdict, lost.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert (held.lost, lost.lost) == ((), ("fp32.onnx",))
    assert headline(both) == "Failed on a device: pi (2)."
    for text in (render_html(both), render_markdown(both)):
        assert "fp32.onnx in LiteRT.js WebGPU" in text
        assert "failed in LiteRT.js WebGPU" in text
    data = report_json(both)["devices"]
    assert data[0]["failed"][0]["runtime"] == "LiteRT.js WebGPU"
    assert [each["verdict"] for each in data] == ["pass", "fail"]


def test_an_artifact_that_failed_everywhere_has_one_line(content, device):
    gone = (Unmeasured("fp32.onnx", "killed", "onnxruntime"),)
    alone = replace(device, artifacts=(), left_out=(), failed=gone)
    table = build_devices(replace(content, devices=(alone,)))
    assert table is not None
    assert [(name, cells[0].words) for name, cells in table.rows] == [("fp32.onnx", "fail")]
    assert [why.what for why in table.reasons] == ["failed in onnxruntime"]


def test_means_of_queries_are_marked(content, device, row):
    one = row("fp32.onnx")
    (latency,) = one.bench.latencies
    means = replace(latency, queries_per_sample=5)
    coarse = replace(one, bench=replace(one.bench, latencies=(means,)))
    plain = replace(device, artifacts=(coarse,), left_out=(), failed=())
    table = build_devices(replace(content, devices=(plain,)))
    assert table is not None
    words = dict(table.rows)["fp32.onnx"][0].words
    assert words.endswith("2.00 / 2.00 ms (1; means of 5 queries)")


def test_a_host_that_is_called_like_a_tag(content: ReportContent, device: DeviceSection):
    named = replace(device, machine=replace(PI, host="<b>|pi|</b>"))
    content = replace(content, devices=(named,))
    assert "<b>|pi|" not in render_html(content)
    assert "&lt;b&gt;\\|pi\\|&lt;/b&gt;" in render_markdown(content)


def test_the_verdict_of_a_device(content: ReportContent, device: DeviceSection):
    """A failure there is a failure; an undecided small sample changes nothing."""
    assert device.verdict is Verdict.FAIL
    failing = replace(content, devices=(device,))
    assert failing.verdict is Verdict.FAIL
    assert headline(failing) == "Failed on a device: pi."
    undecided = replace(device, failed=())
    assert undecided.verdict is Verdict.INCONCLUSIVE
    assert replace(content, devices=(undecided,)).verdict is Verdict.PASS
