"""What browsers tell of their runs, in every rendering of a report."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resnet_edge.ondevice.measurements import Browser, BrowserRun, Machine
from resnet_edge.reporting.browser_runs import HEADINGS, build_browsers
from resnet_edge.reporting.content import DeviceSection, ReportContent
from resnet_edge.reporting.html import render_html
from resnet_edge.reporting.markdown import render_markdown
from resnet_edge.reporting.report_json import report_json

RUN = BrowserRun(
    artifact="int8.tflite",
    runtime="LiteRT.js wasm",
    threads_asked=4,
    threads=1,
    provider="wasm",
    fully_accelerated=None,
    warnings=("a|b", "second"),
    wasm_memory_bytes=52_000_000,
    hidden=False,
    not_timed="",
)
BROWSER = Browser(
    name="Firefox",
    version="140.0",
    platform="Linux x86_64",
    user_agent="…",
    isolated=False,
    shared_memory=False,
    relaxed_simd=True,
    gpu="",
    clock_step_s=1e-3,
    runs=(
        RUN,
        replace(
            RUN,
            runtime="LiteRT.js WebGPU",
            threads_asked=1,
            provider="WebGPU",
            fully_accelerated=False,
            warnings=(),
            wasm_memory_bytes=None,
            not_timed="the processor plays the GPU",
        ),
    ),
)


@pytest.fixture
def content(content: ReportContent) -> ReportContent:
    machine = Machine("kiosk <3>", "Firefox 140.0", "", (), 4, "", {"LiteRT.js wasm": "2.5.3"})
    device = DeviceSection(machine, False, "ab" * 32, 300, 0.9, (), browser=BROWSER)
    python = replace(device, browser=None)
    return replace(content, devices=(python, device))


def test_the_rows_of_a_browser(content: ReportContent) -> None:
    (browser,) = build_browsers(content)
    assert browser.device == "kiosk <3> (2)"
    assert browser.facts == (
        "Firefox 140.0 on Linux x86_64, not isolated, no shared memory, relaxed SIMD, no WebGPU, "
        "the clock steps by 1,000 µs"
    )
    assert browser.rows == (
        ("int8.tflite in LiteRT.js wasm", "1 (4 asked)", "not told (wasm)", "52.0 MB", "a|b"),
        (
            *("int8.tflite in LiteRT.js WebGPU", "1", "in part (WebGPU)", "–"),
            "not timed: the processor plays the GPU",
        ),
    )
    assert {len(row) for row in browser.rows} == {len(HEADINGS)}


def test_every_rendering_has_them(content: ReportContent) -> None:
    page = render_html(content)
    assert "<h3>In the browser</h3>" in page
    assert "kiosk &lt;3&gt; (2)" in page
    assert "<td>1 (4 asked)</td>" in page
    text = render_markdown(content)
    assert "### In the browser" in text
    assert "a\\|b" in text
    devices = report_json(content)["devices"]
    assert [device["browser"] is None for device in devices] == [True, False]
    assert devices[1]["browser"]["runs"][0]["threads_asked"] == 4


def test_without_a_browser_there_is_no_section(content: ReportContent) -> None:
    alone = replace(content, devices=content.devices[:1])
    assert build_browsers(alone) == ()
    assert "In the browser" not in render_html(alone) + render_markdown(alone)
