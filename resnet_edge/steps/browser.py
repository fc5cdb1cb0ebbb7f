"""A browser as a device: serve the page, judge what it sends, keep the result."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from resnet_edge.devices.browser.addresses import (
    CERTIFICATE,
    LOOPBACK,
    Where,
    adb_line,
    allowed_hosts,
    new_token,
)
from resnet_edge.devices.browser.certificate import server_context
from resnet_edge.devices.browser.judging import device_result
from resnet_edge.devices.browser.messages import Begin, Failed, SavedRows, read_message
from resnet_edge.devices.browser.plan import Plan
from resnet_edge.devices.browser.plan_file import plan_file
from resnet_edge.devices.browser.routes import largest_message, routes
from resnet_edge.devices.browser.served_files import runtimes_folder, served_files
from resnet_edge.devices.browser.server import BrowserServer, Site, serve_in_background
from resnet_edge.devices.browser.session import Measured, Session
from resnet_edge.display import Display, Silent
from resnet_edge.errors import ArtifactError, OutputError, RemoteError, ResnetEdgeError, UsageError
from resnet_edge.inspection import inspect_file
from resnet_edge.layout import Layout
from resnet_edge.ondevice.command.device_result import DeviceResult, device_path
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.sidecar import Artifact, exported_names, load_artifacts
from resnet_edge.ondevice.json_records import write_record
from resnet_edge.ondevice.reference_file import read_reference
from resnet_edge.ondevice.runtimes.base import Scaling
from resnet_edge.ondevice.versions import version_of
from resnet_edge.options import Options
from resnet_edge.steps.bundle import bundle_formats
from resnet_edge.steps.device_sample import sample_answers, sample_pixels, sample_places
from resnet_edge.steps.evaluation import check_reference

TOLD_S = 5.0
"""The longest wait for the page's last question to be answered."""

SAVED = "saved"


@dataclass(frozen=True)
class BrowserBench:
    """The result of a browser, and the file that keeps it."""

    result: DeviceResult
    path: Path


def browser(
    options: Options,
    where: Where | None = None,
    name: str | None = None,
    announce: Callable[[str], None] | None = None,
    display: Display | None = None,
) -> BrowserBench:
    """Serve the page until a browser has measured every artifact.

    Ctrl-C ends it; what was measured by then is kept, the rest is named in the result.

    Args:
        options: The build, the artifacts, the number of pictures, gates, and the measuring of
            latency.
        where: Port and address; None takes a free port on the loopback.
        name: The device's name in results; None makes one of what the browser tells.
        announce: Called with the page's address once it is there.
        display: Shows the address and the progress.

    Raises:
        UsageError: There is nothing that a browser can run or be judged by.
        RuntimeMissingError: The browsers' runtimes are not installed.
        OutputError: The port is taken, or the result cannot be written.
        RemoteError: The page was ended before anything was measured.
        ResnetEdgeError: As ``bundle``.
    """
    display, where = display or Silent(), where or Where()
    runtimes = runtimes_folder()
    plan = make_plan(options, display)
    keeper = _Keeper(plan, options.layout, name)
    session = Session(plan, display.say, keeper.keep)
    files = served_files(plan, runtimes)
    site = Site(
        token=new_token(),
        files=files,
        plan=plan_file(plan, files, where.note),
        posts=routes(session, files),
        session=session,
        largest_message=largest_message(plan),
    )
    with _serving(where, site) as addresses:
        _tell(addresses, where, display)
        try:
            if announce is not None:
                announce(addresses[0])
            session.ended.wait()
            if session.problem is not None:
                raise session.problem
            session.told.wait(TOLD_S)
        except KeyboardInterrupt:
            session.end()
            if keeper.is_empty:
                raise
            display.say("interrupted; what was measured is kept")
    return keeper.outcome()


def judge_saved(
    options: Options, saved: Path, name: str | None = None, display: Display | None = None
) -> BrowserBench:
    """Judge the file that the page saves, for instance where the connection was lost.

    Args:
        options: As of ``browser``; the build must be the one that was served.
        saved: The page's file.
        name: As of ``browser``.
        display: Shows the progress.

    Raises:
        UsageError: There is no such file.
        ArtifactError: It is damaged, or of another build or another number of pictures.
    """
    display = display or Silent()
    try:
        body = saved.read_bytes()
    except OSError as problem:
        raise UsageError(
            f"--saved: {saved} cannot be read ({problem.strerror}); expected the file that the "
            "page saved"
        ) from problem
    plan = make_plan(options, display)
    keeper = _Keeper(plan, options.layout, name)
    session = Session(plan, display.say, keeper.keep)
    try:
        rows = read_message(SavedRows, body, str(saved))
        if rows.plan != plan.id:
            raise RemoteError(
                f"{saved}: measured with other artifacts or pictures than this build has now; "
                "measure again, or pass the same --formats and --images"
            )
        session.begin(Begin(SAVED, rows.facts))
        for row in rows.rows:
            session.row(replace(row, page=SAVED))
        for gone in rows.failed:
            session.failed(Failed(SAVED, gone.job, gone.reason, gone.stage))
    except RemoteError as problem:
        raise ArtifactError(str(problem)) from problem
    session.end()
    return keeper.outcome()


def make_plan(options: Options, display: Display) -> Plan:
    """Return the artifacts and pictures of a build that a browser is asked about.

    Raises:
        UsageError: There is nothing that a browser can run, or there are no test pictures.
        ResnetEdgeError: Artifacts and reference are missing or do not belong together.
    """
    layout = options.layout
    artifacts = _artifacts(options)
    reference = read_reference(layout.reference)
    check_reference(artifacts, reference)
    if not len(reference.classes):
        raise UsageError(
            "no test pictures, so that a browser's answers cannot be judged; make the reference "
            "again with `resnet-edge reference --test DIR`"
        )
    places = sample_places(options, reference, artifacts[0], display)
    return Plan(
        artifacts=artifacts,
        scalings={a.name: s for a in artifacts if (s := _scaling(a)) is not None},
        reference=sample_answers(reference, places),
        pixels=sample_pixels(options, reference, artifacts[0], places, display),
        model_sha256=artifacts[0].sidecar.model_sha256,
        reference_sha256=hash_path(layout.reference),
        gates=options.gates,
        spec=options.bench.spec,
        threads=options.bench.threads,
        made_by=f"resnet-edge {version_of('resnet-edge')}",
    )


def _artifacts(options: Options) -> tuple[Artifact, ...]:
    folder, asked = options.layout.artifacts, options.formats
    names = bundle_formats(exported_names(folder) if asked is None else asked)
    if asked is not None and len(names) < len(asked):
        refused = next(name for name in asked if name not in names)
        raise UsageError(
            f"--formats: no browser runs {refused}; expected .tflite and .onnx artifacts"
        )
    if not names:
        raise UsageError(
            f"{folder}: nothing for a browser; expected .tflite or .onnx artifacts; make some with "
            "`resnet-edge export --formats int8.tflite`"
        )
    return load_artifacts(folder, names)


def _scaling(artifact: Artifact) -> Scaling | None:
    """Return how a file's integer answers become probabilities; None where they are floats."""
    answer = inspect_file(artifact.path).outputs[0]
    if answer.scale is None or answer.dtype.startswith("float"):
        return None
    return Scaling(answer.scale, answer.zero_point or 0)


class _Keeper:
    """Writes the result, in whichever thread the last row comes in."""

    def __init__(self, plan: Plan, layout: Layout, name: str | None) -> None:
        self._plan, self._layout, self._name = plan, layout, name
        self._kept: BrowserBench | None = None
        self._problem: ResnetEdgeError | None = None

    def keep(self, measured: Measured | None) -> str:
        """Judge and write; return the file's name, or nothing where that failed."""
        if measured is None:
            return ""
        result = device_result(
            self._plan,
            measured.facts,
            self._name,
            measured.judged,
            measured.failed,
            measured.left_out,
        )
        path = device_path(self._layout.results, result)
        try:
            write_record(path, result)
        except ResnetEdgeError as problem:
            self._problem = problem
            return ""
        self._kept = BrowserBench(path=path, result=result)
        return path.name

    @property
    def is_empty(self) -> bool:
        """True if nothing was measured."""
        return self._kept is None and self._problem is None

    def outcome(self) -> BrowserBench:
        """Return what was kept.

        Raises:
            RemoteError: Nothing was measured.
            OutputError: The result could not be written.
        """
        if self._problem is not None:
            raise self._problem
        if self._kept is None:
            raise RemoteError("ended before a browser had measured anything; nothing is kept")
        return self._kept


@contextlib.contextmanager
def _serving(where: Where, site: Site) -> Iterator[tuple[str, ...]]:
    """Serve while the context lasts; yield the addresses, the best one first."""
    names = where.names()
    if where.lan and names[0] == LOOPBACK:
        raise UsageError("--lan: this machine has no address in a network; connect it to one")
    try:
        server = BrowserServer(
            (where.bind, where.port), site, server_context(names) if where.lan else None
        )
    except OSError as problem:
        raise OutputError(
            f"cannot listen on {where.bind}, port {where.port} ({problem.strerror or problem}); "
            "expected a free port and an address of this machine; leave out --port for a free one"
        ) from problem
    port = server.server_address[1]
    server.hosts = allowed_hosts(names, port)
    thread = serve_in_background(server)
    try:
        yield tuple(f"{server.scheme}://{name}:{port}/{site.token}/" for name in names)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _tell(addresses: Sequence[str], where: Where, display: Display) -> None:
    display.say(f"open this page and press Measure: {addresses[0]}")
    if where.lan:
        display.say(CERTIFICATE)
    elif where.is_secure:
        port = urlsplit(addresses[0]).port
        assert port is not None  # every address names it
        display.say(
            f"an Android phone at a cable: run `{adb_line(port)}`, then open the same address "
            "there; other phones: --lan"
        )
    else:
        display.warn(where.note)
