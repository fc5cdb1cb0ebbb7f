"""The state of one call: which page measures, what it has done, and what is left.

Every method may be called from any thread; a page's request is answered before the next one.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from resnet_edge.devices.browser.judging import Judged, browser_name, judge_row, platform_words
from resnet_edge.devices.browser.messages import Alive, Begin, Facts, Failed, GiveUp, Row, Started
from resnet_edge.devices.browser.plan import Job, Plan
from resnet_edge.errors import PageRefusedError, RemoteError
from resnet_edge.ondevice.measurements import Unmeasured

SILENT_S = 15.0
"""A page that says nothing for so long is gone; it says something every 3 s."""

KILLED = (
    "the page ended while it ran (the browser or the system killed it, mostly for want of memory)"
)


@dataclass(frozen=True)
class RowAnswer:
    """What a page shows of a row: figures, and no answer of the reference's."""

    verdict: str
    """Of the answers; empty where the row had none."""
    words: str
    agreement: float | None
    sqnr_db: float | None
    p50_ms: float | None
    not_timed: str


@dataclass(frozen=True)
class JobState:
    """A job as the page shows it."""

    id: str
    artifact: str
    backend: str
    title: str
    threads: int
    answers: bool
    """True if this job has to answer the pictures."""
    not_timed: str
    """The reason why it need not be timed; empty if it has to be."""
    state: str
    """``waiting``, ``done`` or ``failed``."""
    words: str
    """The reason why it failed."""
    result: RowAnswer | None


@dataclass(frozen=True)
class LeftOut:
    """What a browser cannot do."""

    name: str
    reason: str


@dataclass(frozen=True)
class Overview:
    """All jobs."""

    jobs: tuple[JobState, ...]
    left_out: tuple[LeftOut, ...]
    result: str
    """The name of the result's file, once it is kept."""

    @property
    def left(self) -> int:
        """The number of jobs that wait."""
        return sum(job.state == "waiting" for job in self.jobs)


@dataclass(frozen=True)
class Measured:
    """All that a page has measured."""

    facts: Facts
    judged: tuple[Judged, ...]
    failed: tuple[tuple[Job, str], ...]
    left_out: tuple[Unmeasured, ...]


class Session:
    """One call of ``resnet-edge browser``."""

    def __init__(
        self,
        plan: Plan,
        say: Callable[[str], None],
        finish: Callable[[Measured | None], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nothing measured.

        Args:
            plan: What is to be measured.
            say: Shows a line to the person at the host.
            finish: Keeps what was measured, once, at the end; returns the result's name.
            clock: Returns seconds.
        """
        self.plan, self._say, self._finish, self._clock = plan, say, finish, clock
        self._lock = threading.RLock()
        self._page: str | None = None
        self._facts: Facts | None = None
        self._seen_s = 0.0
        self._running: Job | None = None
        self._judged: dict[str, Judged] = {}
        self._failed: dict[str, str] = {}
        self.ended = threading.Event()
        """Set when nothing is left to do and the result is kept."""
        self.told = threading.Event()
        """Set when the page knows that."""
        self.problem: Exception | None = None
        """A defect that ended it."""
        self._result = ""

    def look(self, facts: Facts) -> Overview:
        """Return what a browser would be asked to do; nothing is claimed."""
        with self._lock:
            fresh = self._facts is None or self._facts != facts
            return self._overview(facts, fresh)

    def begin(self, message: Begin) -> Overview:
        """Let a page measure.

        A page that ended in the middle of a job, and comes back, goes on with the next one.

        Raises:
            PageRefusedError: Another page measures.
        """
        with self._lock:
            since = self._clock() - self._seen_s
            other = self._page is not None and self._page != message.page
            if other and since < SILENT_S:
                raise PageRefusedError(
                    f"another page is measuring ({self._who()}), seen {since:.0f} s ago; expected "
                    "one at a time; close it, or wait until it has been silent for "
                    f"{SILENT_S:.0f} s",
                    HTTPStatus.CONFLICT,
                )
            if self._facts is not None and _device(self._facts) != _device(message.facts):
                self._say(f"another browser begins anew; {self._who()} had not ended")
                self._judged, self._failed, self._running = {}, {}, None
            if self._running is not None:
                self._fail(self._running, KILLED)
            self._page, self._facts = message.page, message.facts
            self._seen()
            self._say(f"{self._who()}: {self._overview(message.facts).left} measurements to make")
            return self._end_if_done()

    def started(self, message: Started) -> Overview:
        """Note that a page starts a job."""
        with self._lock:
            self._check(message.page)
            self._running = self._job(message.job or "")
            return self._current()

    def leaving(self, message: Started) -> Overview:
        """Note that a person leaves or reloads the page, so that no job is taken as killed."""
        with self._lock:
            self._check(message.page)
            self._running = None
            self._seen_s = self._clock() - SILENT_S  # another page may begin at once
            return self._current()

    def alive(self, message: Alive) -> Overview:
        """Note that a page is there."""
        with self._lock:
            self._check(message.page)
            return self._current()

    def row(self, message: Row) -> tuple[RowAnswer, Overview]:
        """Judge what a job measured.

        Raises:
            RemoteError: It is not what was asked for.
        """
        with self._lock:
            facts = self._check(message.page)
            job = self._job(message.job)
            judged = judge_row(self.plan, facts, job, message, self._answers(job))
            self._judged[job.id] = judged
            self._failed.pop(job.id, None)
            self._running = None
            answer = _row_answer(judged)
            self._say(_line(judged, answer))
            return answer, self._end_if_done()

    def failed(self, message: Failed) -> Overview:
        """Note that a job failed."""
        with self._lock:
            self._check(message.page)
            job = self._job(message.job)
            reason = " ".join(message.reason.split())[:500] or "no reason was given"
            self._fail(job, f"{message.stage}: {reason}" if message.stage else reason)
            return self._end_if_done()

    def give_up(self, message: GiveUp) -> Overview:
        """End, because a person pressed Stop."""
        with self._lock:
            self._check(message.page)
            self._say(f"stopped on the page{': ' if message.reason else ''}{message.reason}")
            self.end()
            return self._current()

    def end(self) -> None:
        """Keep what was measured so far; what was not is named in the result."""
        with self._lock:
            if not self.ended.is_set():
                self._result = self._finish(self._measured())
                self.ended.set()

    def break_off(self, problem: Exception) -> None:
        """End because of a defect of the host, which the caller raises."""
        with self._lock:
            self.problem = problem
            self.ended.set()

    def _measured(self) -> Measured | None:
        """Return what was measured so far, with the rest as left out; None if nothing was."""
        if self._facts is None or not (self._judged or self._failed):
            return None
        jobs = self.plan.jobs(self._facts)
        never = [job for job in jobs if job.id not in {*self._judged, *self._failed}]
        stopped = "not measured: stopped before its turn"
        return Measured(
            self._facts,
            tuple(self._judged[job.id] for job in jobs if job.id in self._judged),
            tuple((job, self._failed[job.id]) for job in jobs if job.id in self._failed),
            (
                *self.plan.left_out(self._facts),
                *(Unmeasured(job.artifact, stopped, job.backend.title) for job in never),
            ),
        )

    def _check(self, page: str) -> Facts:
        if self._facts is None or page != self._page:
            raise PageRefusedError(
                "another page has taken over; this one stops", HTTPStatus.CONFLICT, gone=True
            )
        self._seen()
        return self._facts

    def _seen(self) -> None:
        self._seen_s = self._clock()

    def _who(self) -> str:
        assert self._facts is not None
        name, version = browser_name(self._facts)
        return f"{name} {version} on {self._facts.model or platform_words(self._facts)}"

    def _job(self, name: str) -> Job:
        assert self._facts is not None
        found = [job for job in self.plan.jobs(self._facts) if job.id == name]
        if not found:
            raise RemoteError(f"{name[:100]!r}: no such job; reload the page")
        return found[0]

    def _fail(self, job: Job, reason: str) -> None:
        self._running = None
        if job.id not in self._judged:  # a late message about a job that came through
            self._failed[job.id] = reason
            self._say(f"{job.where}: {reason}")

    def _answers(self, job: Job) -> bool:
        """Return True if a job has to answer: no other one has in this runtime."""
        done = {each.job.question for each in self._judged.values() if each.parity is not None}
        mine = self._judged.get(job.id)
        return job.question not in done or (mine is not None and mine.parity is not None)

    def _current(self) -> Overview:
        assert self._facts is not None
        return self._overview(self._facts)

    def _overview(self, facts: Facts, fresh: bool = False) -> Overview:
        jobs = tuple(self._state(job, facts, fresh) for job in self.plan.jobs(facts))
        gone = tuple(LeftOut(each.where, each.reason) for each in self.plan.left_out(facts))
        return Overview(jobs, gone, self._result)

    def _state(self, job: Job, facts: Facts, fresh: bool) -> JobState:
        judged = None if fresh else self._judged.get(job.id)
        failed = None if fresh else self._failed.get(job.id)
        return JobState(
            id=job.id,
            artifact=job.artifact,
            backend=job.backend.name,
            title=job.backend.title,
            threads=job.threads,
            answers=fresh or self._answers(job),
            not_timed=job.backend.not_timed(facts),
            state="done" if judged else "waiting" if failed is None else "failed",
            words=failed or "",
            result=_row_answer(judged) if judged else None,
        )

    def _end_if_done(self) -> Overview:
        overview = self._current()
        if overview.left:
            return overview
        self.end()
        return self._current()  # with the result's name


def _device(facts: Facts) -> tuple[str, ...]:
    """Return what stays the same when a page is loaded again."""
    return facts.user_agent, facts.platform, facts.model, str(facts.isolated)


def _row_answer(judged: Judged) -> RowAnswer:
    parity, latency = judged.parity, judged.latency
    gate = parity.answers_gate if parity else None
    return RowAnswer(
        verdict=gate.verdict.value if gate else "",
        words=gate.reason if gate else "",
        agreement=parity.agreement if parity else None,
        # JSON has neither infinity nor NaN; the words say what they mean.
        sqnr_db=parity.sqnr_db if parity and math.isfinite(parity.sqnr_db) else None,
        p50_ms=latency.p50_s * 1e3 if latency else None,
        not_timed=judged.not_timed,
    )


def _line(judged: Judged, answer: RowAnswer) -> str:
    threads = f", {judged.row.threads} threads" if judged.row.threads > 1 else ""
    where = f"{judged.job.where}{threads}"
    answers = f"{answer.verdict}: {answer.words}; " if answer.verdict else ""
    timed = f"p50 {answer.p50_ms:.4g} ms" if answer.p50_ms else f"not timed: {answer.not_timed}"
    return f"{where}: {answers}{timed}"
