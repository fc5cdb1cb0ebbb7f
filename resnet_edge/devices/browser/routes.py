"""The addresses that a page posts to: each reads one kind of message and answers with a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from resnet_edge.devices.browser.messages import (
    Alive,
    Begin,
    Failed,
    GiveUp,
    Look,
    Row,
    Started,
    read_message,
)
from resnet_edge.devices.browser.plan import Plan
from resnet_edge.devices.browser.served_files import Served
from resnet_edge.devices.browser.session import Overview, RowAnswer, Session

M = TypeVar("M")

BASE64_SHARE = 4 / 3
MESSAGE_BYTES = 1 << 20
"""What a message may need beside its answers: 20,000 samples and warnings have half of it."""


@dataclass(frozen=True)
class Answer:
    """What a page is told after each message."""

    left: int
    """Jobs that wait."""
    jobs: tuple[object, ...]
    left_out: tuple[object, ...]
    bytes: int
    """What may be fetched in all: runtimes, artifacts and pictures."""
    result: str
    """The name of the result's file, once it is kept; empty before."""
    row: RowAnswer | None = None
    """The host's judgement of the row that was sent."""


Route = Callable[[bytes], Answer]


def routes(session: Session, files: Mapping[str, Served]) -> dict[str, Route]:
    """Return what answers each address."""

    def answer(overview: Overview, row: RowAnswer | None = None) -> Answer:
        return Answer(
            left=overview.left,
            jobs=overview.jobs,
            left_out=overview.left_out,
            bytes=_bytes(overview, files),
            result=overview.result,
            row=row,
        )

    def route(kind: type[M], use: Callable[[M], Overview]) -> Route:
        return lambda body: answer(use(read_message(kind, body, kind.__name__.lower())))

    def row(body: bytes) -> Answer:
        judged, overview = session.row(read_message(Row, body, "row"))
        return answer(overview, judged)

    return {
        "look": route(Look, lambda message: session.look(message.facts)),
        "begin": route(Begin, session.begin),
        "started": route(Started, session.started),
        "leaving": route(Started, session.leaving),
        "alive": route(Alive, session.alive),
        "row": row,
        "failed": route(Failed, session.failed),
        "give_up": route(GiveUp, session.give_up),
    }


def largest_message(plan: Plan) -> int:
    """Return the bytes of the largest message that a page has reason to send."""
    answers = len(plan.pixels) * len(plan.reference.info.labels) * 4
    return MESSAGE_BYTES + int(answers * BASE64_SHARE)


def _bytes(overview: Overview, files: Mapping[str, Served]) -> int:
    artifacts = {f"artifacts/{job.artifact}" for job in overview.jobs}
    folders = {f"runtimes/{job.backend.partition('-')[0]}/" for job in overview.jobs}
    fetched = {
        name
        for name in files
        if name in artifacts or any(name.startswith(folder) for folder in folders)
    }
    return sum(files[name].size for name in {*fetched, "pictures"})
