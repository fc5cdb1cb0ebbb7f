"""What goes wrong around a real page: killed tabs, cut cables, coarse clocks, second pages."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from browser_calls import Call, agreement, calling, page_answers, python_answers
from browser_processes import (
    CHROMIUM,
    FIREFOX,
    KINDS,
    WEBKIT,
    Kind,
    driven_chromium,
    opened,
    renderers_of,
)
from real_browsers import skip_without

from resnet_edge.devices.browser import server as server_module
from resnet_edge.devices.browser import session as session_module
from resnet_edge.devices.browser.addresses import Where, lan_address
from resnet_edge.devices.browser.backends import NOT_ISOLATED, NOT_SECURE
from resnet_edge.devices.browser.session import KILLED
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.options import BenchOptions, Options
from resnet_edge.steps import browser as browser_step

pytestmark = pytest.mark.browser

LIMIT_S = 300.0
STARTED_S = 120.0

FORMATS = ("fp32.tflite", "int8.tflite", "fp32.onnx")
"""Jobs enough to be in the middle of them."""


@pytest.fixture
def few(browser_options: Callable[[str], Options]) -> Options:
    """Three files, in one thread."""
    options = browser_options("plain")
    return replace(options, formats=FORMATS, bench=BenchOptions(options.bench.spec, (1,)))


def slow(options: Options, seconds: float = 2.0) -> Options:
    """Jobs that last so long that something can happen to them."""
    return replace(options, bench=BenchOptions(LatencySpec(seconds, 8, 0.5), (1,)))


def check_all_judged(call: Call) -> None:
    """Every file was answered on the processor, as the Python runtime answers it."""
    plan = call.session.plan
    for artifact in plan.artifacts:
        rows = [row for job, row in call.session.rows.items() if job.startswith(artifact.name)]
        answers = [page_answers(plan, row) for row in rows if row.answers is not None]
        assert answers, artifact.name
        assert agreement(answers[0], python_answers(plan, artifact.name)) == 1
    judged = {parity.name for parity in call.outcome(0).result.parity.artifacts}
    assert judged == {artifact.name for artifact in plan.artifacts}


class Cable:
    """A connection to a port of this machine, that can be cut."""

    def __init__(self, port: int) -> None:
        self._target, self._ends = port, set[socket.socket]()
        self._cut = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                near, _ = self._listener.accept()
                if self._cut.is_set():
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._target))
                self._ends |= {near, far}
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # cut, or one side has ended
            while part := source.recv(1 << 16):
                target.sendall(part)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Break every connection, and take no new one."""
        self._cut.set()
        for end in tuple(self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Carry again."""
        self._cut.clear()

    def close(self) -> None:
        """Take it away."""
        self.cut()
        self._listener.close()
        for end in self._ends:
            end.close()


@contextlib.contextmanager
def cabled(call: Call) -> Iterator[tuple[Cable, str]]:
    """A cable to the call's server, and the page's address at its other end."""
    port = int(call.page.split(":")[2].partition("/")[0])
    cable = Cable(port)
    try:
        yield cable, call.page.replace(f":{port}/", f":{cable.port}/")
    finally:
        cable.close()


@pytest.fixture
def any_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers at a cable's port too, which it otherwise takes for a foreign name."""

    class Everywhere(frozenset):
        def __contains__(self, host: object) -> bool:
            return str(host).startswith("127.0.0.1:")

    monkeypatch.setattr(browser_step, "allowed_hosts", lambda names, port: Everywhere())


@pytest.mark.usefixtures("any_port")
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_connection_that_is_cut_loses_no_row(kind: Kind, few: Options) -> None:
    skip_without(kind)
    with (
        calling(slow(few, 0.5)) as call,
        cabled(call) as (cable, address),
        opened(kind, address),
    ):
        call.session.starts.get(timeout=STARTED_S)
        call.session.starts.get(timeout=STARTED_S)  # one row is there, the next job runs
        cable.cut()
        time.sleep(5)
        had = len(call.session.rows)
        cable.mend()
        call.outcome(LIMIT_S)
    assert had < len(call.session.rows)
    assert KILLED not in str(call.display.said)
    check_all_judged(call)


@pytest.mark.usefixtures("any_port")
def test_a_page_says_that_it_waits_for_the_host(few: Options) -> None:
    skip_without(CHROMIUM)
    with (
        calling(slow(few)) as call,
        cabled(call) as (cable, address),
        driven_chromium() as (_, driver),
    ):
        driver.open(address)
        call.session.starts.get(timeout=STARTED_S)
        cable.cut()
        assert wait_for(lambda: "The host does not answer" in driver.text("#waiting"))
        cable.mend()
        call.outcome(LIMIT_S)
        assert wait_for(lambda: driver.text("#end").startswith("Done"))
        assert driver.text("#waiting") == ""
    check_all_judged(call)


def wait_for(seen: Callable[[], bool], limit_s: float = 60.0) -> bool:
    """Ask until it is true."""
    end = time.monotonic() + limit_s
    while not seen():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def test_a_killed_tab_goes_on_with_the_next_job(few: Options) -> None:
    skip_without(CHROMIUM)
    with calling(slow(few)) as call, driven_chromium() as (process, driver):
        driver.open(call.page)
        done = call.session.starts.get(timeout=STARTED_S)
        killed = call.session.starts.get(timeout=STARTED_S)
        for pid in renderers_of(process):
            os.kill(pid, signal.SIGKILL)
        time.sleep(1)
        driver.open(call.page)
        driver.reload()  # an address with another fragment only is not loaded again
        made = call.outcome(LIMIT_S)
    first, *later = call.session.begun
    assert {begin.page for begin in later} == {first.page}  # the tab kept its name
    assert set(call.session.rows) == {job.id for job in call.session.plan.jobs(first.facts)} - {
        killed
    }
    assert done in call.session.rows
    reasons = {f"{each.name}/{each.reason}" for each in made.result.failed}
    assert reasons == {f"{killed.partition('/')[0]}/{KILLED}"}


def test_a_second_page_waits_and_takes_over(few: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without(CHROMIUM)
    monkeypatch.setattr(session_module, "SILENT_S", 5.0)
    with calling(slow(few)) as call:
        with opened(CHROMIUM, call.page):
            call.session.starts.get(timeout=STARTED_S)
            with opened(CHROMIUM, call.page):
                assert wait_for(lambda: len(call.session.begun) > 1)
                first, second = call.session.begun[:2]
                assert first.page != second.page
                while not call.session.starts.empty():
                    call.session.starts.get()
        with opened(CHROMIUM, call.page):
            call.outcome(LIMIT_S)
    check_all_judged(call)
    assert len({begin.page for begin in call.session.begun}) == 3


@pytest.fixture
def no_isolation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server forgets the headers that isolate a page."""
    for name in ("Cross-Origin-Opener-Policy", "Cross-Origin-Embedder-Policy"):
        monkeypatch.delitem(server_module.HEADERS, name)


@pytest.mark.usefixtures("no_isolation")
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_no_isolation_leaves_one_thread_and_a_coarse_clock(
    kind: Kind, browser_options: Callable[[str], Options]
) -> None:
    skip_without(kind)
    options = replace(browser_options("plain"), formats=FORMATS)
    options = replace(options, bench=BenchOptions(options.bench.spec, (1, 2)))
    with calling(options) as call, opened(kind, call.page):
        made = call.outcome(LIMIT_S)
    facts = call.session.begun[0].facts
    assert not facts.isolated
    assert not facts.shared_memory
    assert facts.secure
    assert facts.clock_step_s > 2e-5
    assert {row.threads for row in call.session.rows.values()} == {1}
    without = [gone for gone in made.result.left_out if NOT_ISOLATED in gone.reason]
    assert len(without) == len(FORMATS)
    check_all_judged(call)


@pytest.mark.usefixtures("no_isolation")
@pytest.mark.parametrize("kind", [FIREFOX, WEBKIT], ids=["firefox", "webkit"])
def test_a_clock_of_1_ms_times_several_queries_and_judges_no_p90(
    kind: Kind, browser_options: Callable[[str], Options]
) -> None:
    skip_without(kind)
    options = replace(
        browser_options("resnet50"),
        formats=("fp32.onnx",),
        gates=Gates(max_p90_ms=1000.0),
        bench=BenchOptions(LatencySpec(0.2, 8, 0.5), (1,)),
    )
    with calling(options) as call, opened(kind, call.page):
        made = call.outcome(LIMIT_S)
    facts = call.session.begun[0].facts
    assert facts.clock_step_s == pytest.approx(1e-3, rel=0.2)
    (row,) = call.session.rows.values()
    assert row.queries_per_sample > 1
    assert np.median(row.samples_s) * row.queries_per_sample > 20 * facts.clock_step_s
    (bench,) = made.result.bench.artifacts
    assert bench.gate.reason.startswith(
        "not checked: p90 (at most 1000 ms wanted) cannot be judged"
    )
    check_all_judged(call)


def lan_where(lan: bool) -> Where:
    """This machine's address in its network, by https or plain http."""
    if not (address := lan_address()):
        pytest.skip("this machine has no address in a network")
    return Where(lan=True) if lan else Where(host=address)


def test_https_of_a_certificate_of_the_call(few: Options) -> None:
    skip_without(CHROMIUM)
    flags = ("--ignore-certificate-errors",)
    with calling(few, lan_where(lan=True)) as call, opened(CHROMIUM, call.page, flags):
        call.outcome(LIMIT_S)
    assert call.page.startswith("https://")
    facts = call.session.begun[0].facts
    assert facts.secure
    assert facts.isolated
    assert facts.shared_memory
    check_all_judged(call)


def test_plain_http_in_a_network(few: Options) -> None:
    skip_without(CHROMIUM)
    options = replace(few, bench=BenchOptions(few.bench.spec, (1, 2)))
    with calling(options, lan_where(lan=False)) as call, opened(CHROMIUM, call.page):
        made = call.outcome(LIMIT_S)
    facts = call.session.begun[0].facts
    assert not facts.secure
    assert not facts.isolated
    reasons = " ".join(gone.reason for gone in made.result.left_out)
    assert NOT_ISOLATED in reasons
    assert NOT_SECURE in reasons
    check_all_judged(call)
