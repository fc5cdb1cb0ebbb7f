"""A whole call: served, measured by a page that is a program, judged, kept, and in the report."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hand_browser import Page, hand_facts, hand_row

from resnet_edge.devices.browser import served_files
from resnet_edge.devices.browser.addresses import Where
from resnet_edge.devices.browser.messages import Begin, GiveUp, SavedFailure, SavedRows
from resnet_edge.display import Silent
from resnet_edge.errors import (
    ArtifactError,
    OutputError,
    RemoteError,
    RuntimeMissingError,
    UsageError,
)
from resnet_edge.ondevice.command.device_result import read_device_result
from resnet_edge.ondevice.json_records import write_record
from resnet_edge.ondevice.measurements import Verdict
from resnet_edge.ondevice.reference_file import read_reference
from resnet_edge.options import BundleOptions, Options
from resnet_edge.steps.browser import browser, judge_saved, make_plan
from resnet_edge.steps.report import report


@pytest.fixture
def runtimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the runtimes were there: the program that plays the page has no use for them."""
    for name in ("litert", "ort"):
        (tmp_path / "runtimes" / name).mkdir(parents=True)
        (tmp_path / "runtimes" / name / "runtime.js").write_text("// a runtime\n")
    monkeypatch.setattr(served_files, "RUNTIMES", "no_such_package")
    monkeypatch.setattr(served_files, "BUILT_HERE", tmp_path / "runtimes")


@dataclass
class Visitor:
    """A page that measures in a thread of its own, as soon as it has the address."""

    options: Options
    stop_after: int | None = None
    refuse: str = ""
    cores: int = 1

    def __call__(self, address: str) -> None:
        threading.Thread(target=self.measure, args=(Page(address),), daemon=True).start()

    def measure(self, page: Page) -> None:
        answers = read_reference(self.options.layout.reference).probabilities
        count = json.loads(page.ask("GET", "plan.json")[2])["pictures"]["count"]
        assert count == len(answers)
        _, told = page.post("begin", Begin("one", hand_facts(cores=self.cores)))
        for number in range(99):
            jobs = told.get("jobs", ())  # none where the host has ended
            job = next((each for each in jobs if each["state"] == "waiting"), None)
            if job is None:
                return
            if number == self.stop_after:
                page.post("give_up", GiveUp("one", ""))
                return
            if job["artifact"] == self.refuse:
                gone = {"page": "one", "job": job["id"], "reason": "refused", "stage": "load"}
                told = page.post("failed", gone)[1]
            else:
                given = answers.astype(np.float32) if job["answers"] else None
                told = page.post("row", hand_row(job["id"], given))[1]


def test_a_browser_is_measured_and_stands_in_the_report(options: Options, runtimes, recorder):
    made = browser(options, None, "kiosk 3", Visitor(options, cores=2), recorder)
    assert made.path.name.startswith("device-kiosk-3-")
    assert read_device_result(made.path) == made.result
    assert [p.name for p in made.result.parity.artifacts] == list(options.formats)
    assert {p.gate.verdict for p in made.result.parity.artifacts if "fp32" in p.name} == {
        Verdict.PASS
    }
    assert recorder.said[0].startswith("open this page and press Measure: http://127.0.0.1:")
    assert recorder.said[1].startswith("an Android phone at a cable: run `adb reverse tcp:")
    written = report(options, recorder)
    (device,) = json.loads(written.json.read_text())["devices"]
    assert device["machine"]["host"] == "kiosk 3"
    assert [row["name"] for row in device["artifacts"]] == list(options.formats)
    for path in (written.html, written.markdown):
        assert "kiosk 3" in path.read_text(), path


def test_an_artifact_that_no_runtime_takes_fails(options: Options, runtimes):
    made = browser(options, None, None, Visitor(options, refuse="int8.tflite"))
    (gone,) = made.result.failed
    assert (gone.name, gone.runtime, gone.reason) == (
        "int8.tflite",
        "LiteRT.js wasm",
        "load: refused",
    )
    assert made.result.verdicts.count(Verdict.FAIL) == 1


def test_what_was_measured_before_stop_is_kept(options: Options, runtimes):
    made = browser(options, None, None, Visitor(options, stop_after=1))
    assert len(made.result.parity.artifacts) == 1
    words = "not measured: stopped before its turn"
    assert sum(gone.reason == words for gone in made.result.left_out) == 2


def test_a_page_that_measures_nothing_leaves_nothing(options: Options, runtimes):
    with pytest.raises(RemoteError) as refused:
        browser(options, None, None, Visitor(options, stop_after=0))
    assert str(refused.value) == "ended before a browser had measured anything; nothing is kept"
    assert list(options.layout.results.glob("device-*")) == []


def test_a_defect_is_raised_where_a_person_can_report_it(options: Options, runtimes, monkeypatch):
    def fail(*anything: object) -> None:
        raise ZeroDivisionError("by hand")

    monkeypatch.setattr("resnet_edge.devices.browser.session.judge_row", fail)
    with pytest.raises(ZeroDivisionError, match="by hand"):
        browser(options, None, None, Visitor(options))


def test_ctrl_c_keeps_what_was_measured(options: Options, runtimes, recorder):
    def measure_one(address: str) -> None:
        page = Page(address)
        answers = read_reference(options.layout.reference).probabilities.astype(np.float32)
        _, told = page.post("begin", Begin("one", hand_facts(cores=1)))
        assert page.post("row", hand_row(told["jobs"][0]["id"], answers))[0] == 200
        raise KeyboardInterrupt

    made = browser(options, None, None, measure_one, recorder)
    assert len(made.result.parity.artifacts) == 1
    assert recorder.said[-1] == "interrupted; what was measured is kept"


def test_ctrl_c_before_anything_is_an_interruption(options: Options, runtimes):
    def interrupt(address: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        browser(options, None, None, interrupt)
    assert list(options.layout.results.glob("device-*")) == []


def test_a_port_that_is_taken_is_named(options: Options, runtimes):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OutputError) as refused:
            browser(options, Where(port=port))
    assert str(refused.value).startswith(f"cannot listen on 127.0.0.1, port {port} (")


def test_without_runtimes_the_message_says_how_to_get_them(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(served_files, "RUNTIMES", "no_such_package")
    monkeypatch.setattr(served_files, "BUILT_HERE", tmp_path / "nothing")
    with pytest.raises(RuntimeMissingError) as refused:
        browser(options)
    assert str(refused.value) == (
        "the runtimes for browsers are not here; expected the package resnet-edge-browser; run "
        "`pip install 'resnet-edge[browser]'`, or `make web` in a checkout (it needs npm)"
    )


def test_what_no_browser_runs_is_refused(options: Options, runtimes):
    with pytest.raises(UsageError, match="--formats: no browser runs saved_model; expected"):
        browser(replace(options, formats=("saved_model",)))


def test_fewer_pictures_are_sent_where_they_are_asked_for(options: Options):
    plan = make_plan(replace(options, bundle=BundleOptions(images=3)), Silent())
    assert len(plan.pixels) == len(plan.reference.info.hashes) == 3
    assert plan.id != make_plan(options, Silent()).id


@pytest.fixture
def saved(options: Options, tmp_path: Path) -> Callable[..., Path]:
    """The file that a page saves after the first row and a refusal."""

    def save(**changes: object) -> Path:
        answers = read_reference(options.layout.reference).probabilities.astype(np.float32)
        rows = SavedRows(
            facts=hand_facts(cores=1),
            rows=(
                hand_row("fp32.tflite/litert-wasm/1", answers, page="another"),
                hand_row("fp32.onnx/ort-wasm/1", answers, page="another"),
            ),
            failed=(SavedFailure("int8.tflite/litert-wasm/1", "refused", "load"),),
            plan=make_plan(options, Silent()).id,
        )
        write_record(tmp_path / "saved.json", replace(rows, **changes))
        return tmp_path / "saved.json"

    return save


def test_a_saved_file_is_judged_as_if_it_had_been_sent(options: Options, saved):
    made = judge_saved(options, saved())
    verdicts = {p.name: p.gate.verdict for p in made.result.parity.artifacts}
    assert verdicts == {"fp32.tflite": Verdict.PASS, "fp32.onnx": Verdict.PASS}
    assert [gone.name for gone in made.result.failed] == ["int8.tflite"]
    assert read_device_result(made.path) == made.result


def test_a_saved_file_of_another_build_is_refused(options: Options, saved):
    with pytest.raises(ArtifactError, match="measured with other artifacts or pictures than this"):
        judge_saved(options, saved(plan="another"))
    with pytest.raises(ArtifactError, match="no such job"):
        judge_saved(options, saved(rows=(hand_row("x/litert-wasm/1"),)))
    with pytest.raises(UsageError, match=r"--saved: nowhere\.json cannot be read"):
        judge_saved(options, Path("nowhere.json"))
