"""The server of one call: the standard library's, with everything refused that is not expected.

It protects a page on the loopback from other pages in the same browser, and the files from other
machines in the same network: by a random token in the address, by the names in ``Host`` (against
DNS rebinding) and ``Origin``, by the content type and the size of what is posted.
"""

from __future__ import annotations

import hmac
import io
import json
import os
import re
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import BinaryIO, cast
from urllib.parse import parse_qs, urlsplit

from resnet_edge.devices.browser.plan_file import PlanFile
from resnet_edge.devices.browser.routes import Route
from resnet_edge.devices.browser.served_files import Served
from resnet_edge.devices.browser.session import Session
from resnet_edge.errors import PageRefusedError, RemoteError
from resnet_edge.ondevice.json_records import to_json

HEADERS = {
    # Cross-origin isolation: without it browsers give no threads and a coarse clock.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; "
    "worker-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

REQUEST_LIMIT_S = 60.0
"""A connection that is silent for so long is closed; pages open a new one."""

MOST_SKIPPED = 64 << 20
"""Bytes of a message that is too large that are read; the connection ends behind them."""

FOREVER = "private, max-age=31536000, immutable"
"""For addresses that name the hash of what they give."""

_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


@dataclass(frozen=True)
class Site:
    """Everything that is served."""

    token: str
    files: Mapping[str, Served]
    plan: PlanFile
    posts: Mapping[str, Route]
    session: Session
    largest_message: int


class BrowserServer(ThreadingHTTPServer):
    """Serves one site until it is shut down."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int], site: Site, context: ssl.SSLContext | None = None
    ) -> None:
        self.site, self._context = site, context
        self.hosts: frozenset[str] = frozenset()
        """The values of ``Host`` that are accepted, with the port; set once the port is known."""
        super().__init__(address, _Handler)

    @property
    def scheme(self) -> str:
        """``https`` with a certificate, else ``http``."""
        return "http" if self._context is None else "https"

    def finish_request(self, request: object, client_address: object) -> None:
        """Answer a connection, in its own thread: a slow handshake delays nobody else."""
        connection = cast("ssl.SSLSocket", request)
        connection.settimeout(REQUEST_LIMIT_S)
        if self._context is None:
            super().finish_request(connection, client_address)
            return
        try:
            wrapped = self._context.wrap_socket(connection, server_side=True)
        except (ssl.SSLError, OSError):  # a browser that was not told to trust it yet
            return
        with wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a connection that broke: the page opens another one."""


def _refused(status: HTTPStatus, words: str) -> PageRefusedError:
    return PageRefusedError(words, status)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "resnet-edge", ""

    @property
    def _server(self) -> BrowserServer:
        return cast(BrowserServer, self.server)

    def log_message(self, *args: object) -> None:
        """Print nothing: the session says what matters."""

    def do_GET(self) -> None:
        """Give a file."""
        self._answer(self._get)

    def do_HEAD(self) -> None:
        """Give a file's headers."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Take a message."""
        self._answer(self._post)

    def _answer(self, method: object) -> None:
        try:
            method()  # type: ignore[operator]
        except PageRefusedError as refused:
            self.close_connection = True  # what was posted may not have been read
            body = {"error": str(refused), "gone": refused.gone}
            self._send_json(HTTPStatus(refused.status), body)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _name(self) -> tuple[str, str]:
        """Return the address behind the token and the hash that it names; check who asks."""
        if self.headers.get("Host", "") not in self._server.hosts:
            raise _refused(HTTPStatus.FORBIDDEN, "this name is not served here")
        origin = self.headers.get("Origin")
        own = f"{self._server.scheme}://{self.headers['Host']}"
        if origin not in (None, own) or (origin is None and self.command == "POST"):
            raise _refused(HTTPStatus.FORBIDDEN, "other pages have no business here")
        parts = urlsplit(self.path)
        token, slash, name = parts.path[1:].partition("/")
        if not hmac.compare_digest(token.encode(), self._server.site.token.encode()) or not slash:
            raise _refused(
                HTTPStatus.NOT_FOUND,
                "nothing is here; open the whole address that resnet-edge browser printed",
            )
        return name, (parse_qs(parts.query).get("sha256") or [""])[0]

    def _get(self) -> None:
        name, sha256 = self._name()
        site = self._server.site
        if name == "plan.json":
            self._send_json(HTTPStatus.OK, site.plan)
            return
        served = site.files.get(name)
        if served is None:
            raise _refused(HTTPStatus.NOT_FOUND, "there is no such file")
        etag = f'"{served.sha256}"'
        headers = {
            "ETag": etag,
            "Accept-Ranges": "bytes",
            "Cache-Control": FOREVER if sha256 == served.sha256 else "private, no-cache",
            "Content-Type": served.content_type,
        }
        if etag in self.headers.get("If-None-Match", ""):
            self._head(HTTPStatus.NOT_MODIFIED, headers)
            return
        self._send_file(served, headers)

    def _send_file(self, served: Served, headers: dict[str, str]) -> None:
        start, end = self._range(served)
        status = HTTPStatus.OK
        if (start, end) != (0, served.size):
            status = HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{served.size}"
        with _opened(served) as file:
            self._head(status, {**headers, "Content-Length": str(end - start)})
            if self.command == "HEAD" or start == end:
                return
            if isinstance(served.content, bytes):
                self.wfile.write(memoryview(served.content)[start:end])
            else:
                self.connection.sendfile(file, start, end - start)

    def _range(self, served: Served) -> tuple[int, int]:
        """Return the part that is asked for (RFC 9110, 14.2); more than one part is the whole."""
        found = _RANGE.match(self.headers.get("Range", ""))
        whole = (0, served.size)
        if found is None or found.groups() == ("", ""):
            return whole
        if self.headers.get("If-Range", f'"{served.sha256}"') != f'"{served.sha256}"':
            return whole
        first, last = found.groups()
        start = int(first) if first else max(0, served.size - int(last))
        end = min(served.size, int(last) + 1) if first and last else served.size
        if end <= start:
            words = f"bytes {first}-{last} of {served.size}"
            raise _refused(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, words)
        return start, end

    def _post(self) -> None:
        name, _ = self._name()
        site = self._server.site
        route = site.posts.get(name)
        if route is None:
            raise _refused(HTTPStatus.NOT_FOUND, "there is no such address")
        if self.headers.get_content_type() != "application/json":
            raise _refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise _refused(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length")
        if int(length) > site.largest_message:
            self._skip(min(int(length), MOST_SKIPPED))
            raise _refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{length} bytes; expected at most {site.largest_message}",
            )
        if site.session.ended.is_set():
            raise _refused(HTTPStatus.GONE, "the host has ended with a result")
        try:
            answer = route(self.rfile.read(int(length)))
        except PageRefusedError:
            raise
        except RemoteError as problem:
            raise _refused(HTTPStatus.BAD_REQUEST, str(problem)) from problem
        except Exception as problem:  # a defect: told at the host, where a person can report it
            site.session.break_off(problem)
            raise _refused(HTTPStatus.GONE, f"the host has a defect: {problem}") from problem
        self._send_json(HTTPStatus.OK, answer)
        if site.session.ended.is_set():
            site.session.told.set()

    def _skip(self, count: int) -> None:
        """Read what is refused: a client that is still sending does not hear why otherwise."""
        while count > 0 and (part := self.rfile.read(min(count, 1 << 16))):
            count -= len(part)

    def _send_json(self, status: HTTPStatus, record: object) -> None:
        body = json.dumps(to_json(record), ensure_ascii=False, allow_nan=False).encode()
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        self._head(status, {**headers, "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: HTTPStatus, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, **headers}.items():
            self.send_header(name, value)
        self.end_headers()


def _opened(served: Served) -> BinaryIO:
    """Open a file before its headers are sent, while a refusal can still be told."""
    if isinstance(served.content, bytes):
        return io.BytesIO()
    try:
        file = served.content.open("rb")
    except OSError as problem:
        raise _changed(served.content.name) from problem
    if os.fstat(file.fileno()).st_size != served.size:
        file.close()
        raise _changed(served.content.name)
    return file


def _changed(name: str) -> PageRefusedError:
    return PageRefusedError(
        f"{name} is gone or was made anew since this call began; end it and call "
        "`resnet-edge browser` again",
        HTTPStatus.NOT_FOUND,
    )


def serve_in_background(server: BrowserServer) -> threading.Thread:
    """Let a server answer in a thread of its own until ``shutdown``."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.daemon = True
    thread.start()
    return thread
