from __future__ import annotations

import dataclasses

import pytest

from resnet_edge.ondevice.latency.cpu_state import CoreClock, MeasuringConditions, Temperature
from resnet_edge.ondevice.measurements import Provider
from resnet_edge.reporting.html import render_html
from resnet_edge.reporting.markdown import render_markdown
from resnet_edge.reporting.measuring_conditions import build_conditions, condition_lines

FULL = MeasuringConditions(
    seconds=10.0,
    cores=(0, 1),
    clocks=(
        CoreClock(0, "ondemand", 600_000_000, 1_500_000_000, 1_800_000_000),
        CoreClock(1, "ondemand", 900_000_000, 700_000_000, 1_800_000_000),
    ),
    temperatures=(Temperature("gpu 1", 40.0, 41.0), Temperature("cpu 0", 48.3, 61.2)),
    throttled=("under-voltage", "throttled"),
    other_load=0.5,
    stolen_load=0.0,
)
SILENT = MeasuringConditions(seconds=10.0, cores=(0,))


@pytest.fixture
def measured(bench, latency):
    """One file with 1 and 2 threads."""

    def make(*conditions):
        used = Provider("XNNPACK, the interpreter's default", "XNNPACK: 9 of 9 operators")
        return bench(
            "fp32.tflite",
            *(
                dataclasses.replace(latency(8.0, threads), provider=used, conditions=seen)
                for threads, seen in enumerate(conditions, start=1)
            ),
        )

    return make


def test_everything_that_was_read(measured):
    table = build_conditions([measured(FULL)])
    assert dict(zip(table.headings, table.rows[0], strict=True)) == {
        "artifact": "fp32.tflite",
        "threads": "1",
        "delegate or provider": "XNNPACK: 9 of 9 operators",
        "cores": "0, 1",
        "governor": "ondemand",
        "clock": "0.900 → 1.50 of 1.80 GHz",
        "temperature": "48 → 61 °C",
        "throttled": "under-voltage, throttled",
        "other load": "0.50 of 2 cores",
        "taken by host": "0.00 of 2 cores",
    }
    assert table.note == (
        "Clock: the fastest core's frequency before and after, and the highest that is allowed. "
        "Temperature: the hottest zone's before and after. Other load: how many cores other "
        "programs kept busy. Taken by host: how many cores a virtual machine's host kept from it."
    )


def test_what_is_unreadable_is_named_and_takes_no_room(measured):
    table = build_conditions([measured(SILENT)])
    assert table.headings == ("artifact", "threads", "delegate or provider", "cores")
    assert table.note == (
        "Not readable on this machine: governor, clock, temperature, throttled, other load, "
        "taken by host."
    )


def test_what_one_measurement_lacks_is_a_dash(measured):
    table = build_conditions([measured(FULL, SILENT)])
    assert table.rows[1][table.headings.index("governor")] == "–"


def test_records_of_an_earlier_version_have_none(bench, content):
    assert build_conditions([bench("fp32.tflite")]) is None
    assert condition_lines([bench("fp32.tflite")]) == ()
    assert "Conditions while measuring" not in render_html(content)
    assert "Conditions while measuring" not in render_markdown(content)


def test_a_runtime_that_does_not_tell(bench, latency):
    silent = dataclasses.replace(latency(), provider=Provider("XNNPACK", ""), conditions=SILENT)
    lines = dict(condition_lines([bench("fp32.tflite", silent)]))
    assert (
        lines["delegate or provider"] == "XNNPACK: requested; the runtime does not say what it used"
    )


def test_lines_say_every_value_once(measured):
    hotter = dataclasses.replace(FULL, throttled=(), other_load=0.75)
    lines = condition_lines([measured(FULL, hotter)])
    assert lines[:5] == (
        ("delegate or provider", "XNNPACK: 9 of 9 operators"),
        ("cores", "0, 1"),
        ("governor", "ondemand"),
        ("clock", "0.900 → 1.50 of 1.80 GHz"),
        ("temperature", "48 → 61 °C"),
    )
    assert lines[5:8] == (
        ("throttled", "under-voltage, throttled: fp32.tflite (1 thread)"),
        ("", "no: fp32.tflite (2 threads)"),
        ("other load", "0.75 of 2 cores or less; most with fp32.tflite (2 threads)"),
    )
    assert condition_lines([measured(SILENT)])[-1] == (
        "not readable here",
        "governor, clock, temperature, throttled, other load, taken by host",
    )


def test_page_and_markdown_show_them(content, row, measured):
    one = dataclasses.replace(row("fp32.tflite"), bench=measured(FULL))
    content = dataclasses.replace(content, artifacts=(one,))
    for text in (render_html(content), render_markdown(content)):
        assert "Conditions while measuring" in text
        assert "48 → 61 °C" in text
        assert "The processor was throttled while it ran fp32.tflite (1 thread)." in text
