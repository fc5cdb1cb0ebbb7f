"""The server over a real socket: what it gives, what it takes, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from hand_browser import ANSWERS, Page, hand_facts, hand_row
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resnet_edge.devices.browser.addresses import allowed_hosts
from resnet_edge.devices.browser.certificate import server_context
from resnet_edge.devices.browser.messages import Alive, Begin, Look
from resnet_edge.devices.browser.plan import Plan
from resnet_edge.devices.browser.plan_file import plan_file
from resnet_edge.devices.browser.routes import largest_message, routes
from resnet_edge.devices.browser.served_files import served_files
from resnet_edge.devices.browser.server import HEADERS, BrowserServer, Site, serve_in_background
from resnet_edge.devices.browser.session import Session

TOKEN = "a-token"
WASM = bytes(range(256)) * 40


@pytest.fixture
def runtimes(tmp_path: Path) -> Path:
    folder = tmp_path / "runtimes"
    for name in ("litert/index.js", "litert/litert.wasm", "ort/ort.wasm", "ort/LICENSE"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(WASM)
    return folder


@pytest.fixture
def site(plan: Plan, runtimes: Path) -> Site:
    session = Session(plan, lambda text: None, lambda measured: "device-hand.json")
    files = served_files(plan, runtimes)
    return Site(
        token=TOKEN,
        files=files,
        plan=plan_file(plan, files, "a note"),
        posts=routes(session, files),
        session=session,
        largest_message=largest_message(plan),
    )


@pytest.fixture
def page(site: Site) -> Iterator[Page]:
    server = BrowserServer(("127.0.0.1", 0), site)
    port = server.server_address[1]
    server.hosts = allowed_hosts(("127.0.0.1", "localhost"), port)
    thread = serve_in_background(server)
    yield Page(f"http://127.0.0.1:{port}/{TOKEN}/")
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_page_and_the_runtimes_are_given_with_every_header(page):
    for name, content_type in [
        ("", "text/html; charset=utf-8"),
        ("page/page.css", "text/css; charset=utf-8"),
        ("page/page.js", "text/javascript; charset=utf-8"),
        ("runtimes/litert/litert.wasm", "application/wasm"),
        ("artifacts/fp32.onnx", "application/octet-stream"),
        ("plan.json", "application/json"),
    ]:
        status, headers, body = page.ask("GET", name)
        assert (status, headers["Content-Type"]) == (200, content_type), name
        assert {key: headers[key] for key in HEADERS} == HEADERS
        assert int(headers["Content-Length"]) == len(body) > 0
    assert headers["Cache-Control"] == "no-store"


def test_the_plan_names_what_is_there_and_no_answer_of_the_reference(page, plan):
    _, _, body = page.ask("GET", "plan.json")
    told = json.loads(body)
    assert told["id"] == plan.id
    assert told["host"] == {"note": "a note"}
    assert told["classes"] == 2
    assert told["pictures"]["count"] == 4
    assert [each["name"] for each in told["artifacts"]] == [a.name for a in plan.artifacts]
    for each in (told["pictures"], *told["artifacts"]):
        status, headers, body = page.ask("GET", each["address"].removeprefix("./"))
        assert status == 200
        assert len(body) == each["bytes"]
        assert headers["Cache-Control"] == "private, max-age=31536000, immutable"
        assert headers["ETag"] == f'"{hashlib.sha256(body).hexdigest()}"'
    _, _, pictures = page.ask("GET", "pictures")
    assert pictures == plan.pixels.tobytes()
    for secret in ("a.png", "aa" * 32, "0.9", "cat"):
        assert secret not in json.dumps(told)


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, len(WASM)),
        ("bytes=-16", len(WASM) - 16, len(WASM)),
        ("bytes=-99999999", 0, len(WASM)),
        ("bytes=5-99999999", 5, len(WASM)),
        ("bytes=7-7", 7, 8),
    ],
)
def test_parts_of_files(page, asked, start, end):
    status, headers, body = page.ask("GET", "runtimes/ort/ort.wasm", Range=asked)
    assert body == WASM[start:end]
    whole = (start, end) == (0, len(WASM))
    assert status == (200 if whole else 206)
    if not whole:
        assert headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(WASM)}"


@pytest.mark.parametrize("asked", ["bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", ""])
def test_parts_that_mean_nothing_are_the_whole(page, asked):
    status, _, body = page.ask("GET", "runtimes/ort/ort.wasm", Range=asked)
    assert (status, body) == (200, WASM)


@pytest.mark.parametrize("asked", [f"bytes={len(WASM)}-", "bytes=9-3", "bytes=-0"])
def test_parts_that_are_not_there_are_refused(page, asked):
    assert page.ask("GET", "runtimes/ort/ort.wasm", Range=asked)[0] == 416


def test_what_is_known_is_not_sent_again(page):
    _, headers, _ = page.ask("GET", "page/page.js")
    status, _, body = page.ask("GET", "page/page.js", If_None_Match=headers["ETag"])
    assert (status, body) == (304, b"")
    status, headers, body = page.ask("HEAD", "artifacts/fp32.onnx")
    assert (status, headers["Content-Length"], body) == (200, "30", b"")
    _, _, body = page.ask(
        "GET", "runtimes/ort/ort.wasm", Range="bytes=0-9", If_Range='"another file"'
    )
    assert body == WASM


@pytest.mark.parametrize(
    "name", ["../plan.json", "page/../../x", "runtimes/ort/LICENSE", "page/", "nothing", "%00"]
)
def test_there_are_no_other_files(page, name):
    status, _, body = page.ask("GET", name)
    assert (status, json.loads(body)) == (404, {"error": "there is no such file", "gone": False})


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None
)
@given(st.from_regex(r"[!-~]{0,30}", fullmatch=True))
def test_no_other_token_opens_anything(page, token):
    wrong = Page(f"{page.origin}/{token}/")
    for name in ("", "plan.json", "pictures"):
        if token.partition("/")[0].partition("?")[0].partition("#")[0] != TOKEN:
            assert wrong.ask("GET", name)[0] == 404


def test_a_wrong_token_says_what_to_do(page):
    wrong = Page(f"{page.origin}/wrong/")
    assert wrong.post("look", Look(hand_facts())) == (
        404,
        {
            "error": "nothing is here; open the whole address that resnet-edge browser printed",
            "gone": False,
        },
    )
    assert Page(f"{page.origin}/").ask("GET", "favicon.ico")[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "127.0.0.1", ""])
def test_other_names_of_this_machine_are_refused(page, host):
    """DNS rebinding: a foreign name that resolves to the loopback."""
    status, _, body = page.ask("GET", "plan.json", Host=host)
    assert (status, json.loads(body)) == (
        403,
        {"error": "this name is not served here", "gone": False},
    )


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:1"])
def test_other_pages_are_refused(page, origin):
    words = {"error": "other pages have no business here", "gone": False}
    assert page.post("look", Look(hand_facts()), Origin=origin) == (403, words)
    assert page.ask("GET", "pictures", Origin=origin)[0] == 403


def test_a_post_without_origin_is_no_page(page):
    assert page.post("look", Look(hand_facts()), Origin="")[0] == 403


@pytest.mark.parametrize(
    ("headers", "body", "status", "words"),
    [
        ({"Content-Type": "text/plain"}, b"{}", 415, "expected application/json"),
        ({"Content-Length": ""}, b"{}", 411, "expected a Content-Length"),
        ({"Content-Length": "-1"}, b"{}", 411, "expected a Content-Length"),
        ({}, b" " * 9_000_000, 413, "9000000 bytes; expected at most 1048618"),
        ({}, b"[" * 1_000_000, 400, "look: not JSON (it is nested too deeply)"),
        ({}, b"\xff\xfe", 400, "look: not JSON ('utf-8' codec can't decode byte 0xff"),
        ({}, b"{}", 400, "look: key 'facts' is missing"),
    ],
)
def test_other_bodies_are_refused(page, headers, body, status, words):
    found, answer = page.post("look", body, **headers)
    assert found == status
    assert answer["error"].startswith(words)


def test_an_unknown_address_takes_nothing(page):
    assert page.post("results", {})[0] == 404


@pytest.mark.parametrize("now", [None, b"another file"], ids=["gone", "made anew"])
def test_a_file_that_changed_since_the_call_began_is_refused(page, plan, now):
    """A run beside the call exports again; the plan's hash is of the file before it."""
    path = plan.artifact("fp32.onnx").path
    path.unlink()
    if now is not None:
        path.write_bytes(now)
    status, _, body = page.ask("GET", "artifacts/fp32.onnx")
    assert status == 404
    assert json.loads(body)["error"] == (
        "fp32.onnx is gone or was made anew since this call began; end it and call "
        "`resnet-edge browser` again"
    )
    status, told = page.post("look", Look(hand_facts()))  # what counts its bytes still answers
    assert (status, told["left"]) == (200, 6)


def test_a_page_measures_to_the_end(page, site, plan):
    status, told = page.post("look", Look(hand_facts(cores=1)))
    assert (status, told["left"]) == (200, 3)
    artifacts = sum(each.sidecar.bytes for each in plan.artifacts)
    assert told["bytes"] == artifacts + plan.pixels.size + 3 * len(WASM)
    status, told = page.post("begin", Begin("one", hand_facts(cores=1)))
    first = told["jobs"][0]
    assert first["answers"]
    status, told = page.post("row", hand_row(first["id"], ANSWERS))
    assert status == 200
    assert told["row"]["verdict"] == "pass"
    assert told["left"] == 2
    for job in told["jobs"][1:]:
        reason = {"page": "one", "job": job["id"], "reason": "no", "stage": "load"}
        status, told = page.post("failed", reason)
    assert told["result"] == "device-hand.json"
    assert site.session.told.wait(5)
    assert page.post("alive", Alive("one", False)) == (
        410,
        {"error": "the host has ended with a result", "gone": False},
    )


def test_a_defect_of_the_host_ends_the_call(page, site, monkeypatch):
    def fail(message):
        raise ZeroDivisionError("by hand")

    page.post("begin", Begin("one", hand_facts()))
    monkeypatch.setattr(site.session, "row", fail)
    assert page.post("row", hand_row("fp32.tflite/litert-wasm/2", ANSWERS)) == (
        410,
        {"error": "the host has a defect: by hand", "gone": False},
    )
    assert site.session.ended.is_set()
    assert isinstance(site.session.problem, ZeroDivisionError)


def test_pages_that_do_not_measure_are_told(page):
    page.post("begin", Begin("one", hand_facts()))
    status, told = page.post("begin", Begin("two", hand_facts()))
    assert (status, told["gone"]) == (409, False)
    assert told["error"].startswith("another page is measuring (Chromium")
    status, told = page.post("alive", Alive("two", False))
    assert (status, told["gone"]) == (409, True)


def test_a_connection_that_breaks_ends_nothing(page):
    host, _, port = page.host.partition(":")
    for words in (b"", b"GET / HT", b"POST /a-token/row HTTP/1.1\r\nHost: x\r\n\r\n"):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(words)
    assert page.ask("GET", "plan.json")[0] == 200


def test_https_with_a_certificate_of_its_own(site):
    context = server_context(("127.0.0.1", "localhost"))
    server = BrowserServer(("127.0.0.1", 0), site, context)
    port = server.server_address[1]
    server.hosts = allowed_hosts(("127.0.0.1",), port)
    thread = serve_in_background(server)
    try:
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", port)) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")  # no TLS: ends this connection alone
        address = f"https://127.0.0.1:{port}/{TOKEN}/runtimes/ort/ort.wasm"
        with urllib.request.urlopen(address, context=trusting, timeout=10) as answer:
            assert answer.read() == WASM
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(address, timeout=10)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
