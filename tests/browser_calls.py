"""`resnet-edge browser` in this process, with all that the page sends kept for tests."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from resnet_edge.devices.browser.addresses import Where
from resnet_edge.devices.browser.messages import Begin, Failed, Row, Started
from resnet_edge.devices.browser.plan import Plan
from resnet_edge.devices.browser.session import Overview, RowAnswer, Session
from resnet_edge.display import Silent
from resnet_edge.errors import RemoteError
from resnet_edge.ondevice.runtimes.opening import open_runtime
from resnet_edge.options import Options
from resnet_edge.steps import browser as browser_step
from resnet_edge.steps.browser import BrowserBench

START_S = 60.0
"""The longest wait for the server."""


class KeptSession(Session):
    """A session that keeps what the page sent: results hold its judgements, no answers."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.begun: list[Begin] = []
        self.rows: dict[str, Row] = {}
        self.refused: dict[str, str] = {}
        self.starts: queue.Queue[str] = queue.Queue()

    def begin(self, message: Begin) -> Overview:
        try:
            return super().begin(message)
        finally:
            self.begun.append(message)

    def started(self, message: Started) -> Overview:
        overview = super().started(message)
        self.starts.put(message.job or "")
        return overview

    def row(self, message: Row) -> tuple[RowAnswer, Overview]:
        self.rows[message.job] = message
        return super().row(message)

    def failed(self, message: Failed) -> Overview:
        self.refused[message.job] = message.reason
        return super().failed(message)


class Speaker(Silent):
    """A display that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


class Call:
    """One call that runs in a thread of its own."""

    def __init__(
        self,
        options: Options,
        where: Where | None,
        session: type[KeptSession],
        pool: ThreadPoolExecutor,
    ) -> None:
        self.display, self._kind = Speaker(), session
        self._addresses: queue.Queue[str] = queue.Queue()
        self._sessions: queue.Queue[KeptSession] = queue.Queue()
        self._ended: Future[BrowserBench] = pool.submit(self._run, options, where)
        self._ended.add_done_callback(lambda _: self._addresses.put(""))
        self.address = self._addresses.get(timeout=START_S)
        if not self.address:
            self._ended.result()  # raises what went wrong
        self.session = self._sessions.get(timeout=START_S)

    def _run(self, options: Options, where: Where | None) -> BrowserBench:
        def make(*arguments: Any) -> KeptSession:
            session = self._kind(*arguments)
            self._sessions.put(session)
            return session

        with mock.patch.object(browser_step, "Session", make):
            return browser_step.browser(
                options, where, announce=self._addresses.put, display=self.display
            )

    @property
    def page(self) -> str:
        """The address of a page that begins by itself."""
        return f"{self.address}#measure"

    def outcome(self, limit_s: float) -> BrowserBench:
        """Wait for the result.

        Raises:
            TimeoutError: There is none after so many seconds; the message says what there was.
        """
        try:
            return self._ended.result(limit_s)
        except TimeoutError as late:
            said = "\n".join(self.display.said)
            raise TimeoutError(f"no result after {limit_s:g} s; the host said:\n{said}") from late

    def stop(self) -> None:
        """End it however far it is."""
        if not self._ended.done():
            self.session.end()
        with contextlib.suppress(RemoteError):
            self._ended.result(START_S)


@contextmanager
def calling(
    options: Options, where: Where | None = None, session: type[KeptSession] = KeptSession
) -> Iterator[Call]:
    """Serve while the context lasts."""
    with ThreadPoolExecutor(1, "resnet-edge-browser") as pool:
        call = Call(options, where, session, pool)
        try:
            yield call
        finally:
            call.stop()


def page_answers(plan: Plan, row: Row) -> np.ndarray:
    """A row's answers as probabilities, ``(n, classes)``."""
    assert row.answers is not None
    answers = row.answers.array()
    scaling = plan.scalings.get(row.job.partition("/")[0])
    return answers if scaling is None else scaling.probabilities(answers)


def python_answers(plan: Plan, name: str) -> np.ndarray:
    """The probabilities of the runtime that this machine has for Python, ``(n, classes)``."""
    return open_runtime(plan.artifact(name), threads=1).infer(plan.pixels)


def sqnr_db(answers: np.ndarray, expected: np.ndarray) -> float:
    """Decibels of the expected answers above the difference; infinite where there is none."""
    noise = float(np.square(answers.astype(np.float64) - expected).sum())
    power = float(np.square(expected.astype(np.float64)).sum())
    return 10 * float(np.log10(power / noise)) if noise else float("inf")


def agreement(answers: np.ndarray, expected: np.ndarray) -> float:
    """The share of pictures with the same first class."""
    return float((answers.argmax(axis=1) == expected.argmax(axis=1)).mean())
