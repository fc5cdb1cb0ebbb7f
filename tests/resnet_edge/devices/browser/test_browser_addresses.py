"""Where the page is found, and its code for a camera."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from resnet_edge.devices.browser import addresses
from resnet_edge.devices.browser.addresses import (
    PLAIN_HTTP,
    Where,
    adb_line,
    allowed_hosts,
    lan_address,
    new_token,
    qr_code,
)
from resnet_edge.errors import UsageError


def test_the_loopback_is_secure_and_has_two_names():
    where = Where()
    assert (where.bind, where.is_secure, where.note) == ("127.0.0.1", True, "")
    assert where.names() == ("127.0.0.1", "localhost")
    assert allowed_hosts(where.names(), 80) == {"127.0.0.1:80", "localhost:80"}


def test_plain_http_to_others_is_marked():
    where = Where(host="192.0.2.7")
    assert (where.is_secure, where.note) == (False, PLAIN_HTTP)
    assert where.names() == ("192.0.2.7",)


def test_a_whole_network_has_this_machines_names(monkeypatch):
    monkeypatch.setattr(addresses, "lan_address", lambda: "192.0.2.7")
    monkeypatch.setattr(socket, "gethostname", lambda: "Desk.example")
    where = Where(lan=True)
    assert (where.bind, where.is_secure) == ("0.0.0.0", True)
    assert where.names() == ("192.0.2.7", "desk.example", "desk.local", "127.0.0.1", "localhost")


def test_the_address_of_this_machine_is_one_or_none():
    found = lan_address()
    assert not found or not ipaddress.ip_address(found).is_loopback


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"port": 70000}, "--port: got 70000; expected 0 to 65535, 0 for a free one"),
        ({"host": ""}, "--host: got ''; expected a name or an IPv4 address of this machine"),
        ({"host": "a:80"}, "--host: got 'a:80'; expected a name"),
        ({"host": "http://a"}, "--host: got 'http://a'; expected a name"),
        ({"host": "192.0.2.7", "lan": True}, "--lan chooses the address by itself; leave out"),
    ],
)
def test_places_that_cannot_be_are_refused(given, words):
    with pytest.raises(UsageError) as refused:
        Where(**given)
    assert str(refused.value).startswith(words)


def test_tokens_are_long_and_each_another():
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 22


def test_a_code_is_drawn_module_by_module():
    """Read back: its finder patterns are where ISO/IEC 18004 puts them."""
    lines = qr_code("http://127.0.0.1:8000/token/").splitlines()
    assert len({len(line) for line in lines}) == 1
    rows = []
    for line in lines:
        rows.append([character in " ▄" for character in line])
        rows.append([character in " ▀" for character in line])
    side = len(rows[0])
    finder = ["1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111"]
    for top, left in ((2, 2), (2, side - 9), (side - 9, 2)):
        seen = ["".join("01"[rows[top + y][left + x]] for x in range(7)) for y in range(7)]
        assert seen == finder


def test_the_line_for_a_phone_at_a_cable():
    assert adb_line(8123) == "adb reverse tcp:8123 tcp:8123"
