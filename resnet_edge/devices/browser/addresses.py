"""Where the page is found: addresses, and what a person has to know to open them on a phone."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import segno

from resnet_edge.errors import UsageError

LOOPBACK = "127.0.0.1"
ANYWHERE = "0.0.0.0"  # every network of this machine

PLAIN_HTTP = (
    "over plain http a browser gives this page one thread, a coarse clock and no WebGPU; "
    "`--lan` serves https"
)

CERTIFICATE = (
    "the certificate was made for this call, so the phone warns of it: in Chrome choose Advanced, "
    "then Proceed; in Safari Show Details, then visit this website; in Firefox Advanced, then "
    "Accept the Risk and Continue"
)


@dataclass(frozen=True)
class Where:
    """The place where a page is served.

    Raises:
        UsageError: The port or the host cannot be one.
    """

    port: int = 0
    """0 takes a free one."""
    host: str = LOOPBACK
    """The address to listen on."""
    lan: bool = False
    """True serves https to the whole network."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"--port: got {self.port}; expected 0 to 65535, 0 for a free one")
        if not self.host or "/" in self.host or ":" in self.host:
            raise UsageError(
                f"--host: got {self.host!r}; expected a name or an IPv4 address of this machine, "
                "without port"
            )
        if self.lan and self.host != LOOPBACK:
            raise UsageError("--lan chooses the address by itself; leave out --host")

    @property
    def bind(self) -> str:
        """The address to listen on."""
        return ANYWHERE if self.lan else self.host

    @property
    def is_secure(self) -> bool:
        """True if browsers take the page as secure: https, or this machine itself."""
        return self.lan or _is_loopback(self.host)

    @property
    def note(self) -> str:
        """A sentence for the person at the page; empty where there is nothing to say."""
        return "" if self.is_secure else PLAIN_HTTP

    def names(self) -> tuple[str, ...]:
        """Return the names under which this machine is found, the one to show first."""
        names = [self.host] if self.bind != ANYWHERE else [lan_address(), *_own_names()]
        if self.bind == ANYWHERE or _is_loopback(self.host):
            names += [LOOPBACK, "localhost"]
        return tuple(dict.fromkeys(filter(None, names)))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _own_names() -> Iterator[str]:
    host = socket.gethostname()
    yield host.lower()
    yield f"{host.partition('.')[0].lower()}.local"  # by mDNS


def lan_address() -> str:
    """Return this machine's IPv4 address in its network; empty where it has none.

    No packet is sent: the system is asked which address it would send from.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1 (RFC 5737): nobody is there
        except OSError:
            return ""
        address: str = probe.getsockname()[0]
    return "" if _is_loopback(address) else address


def new_token() -> str:
    """Return 128 random bits for an address."""
    return secrets.token_urlsafe(16)


def allowed_hosts(names: tuple[str, ...], port: int) -> frozenset[str]:
    """Return the values of the header ``Host`` that a browser sends for these names."""
    return frozenset(f"{name}:{port}" for name in names)


def qr_code(address: str) -> str:
    """Return an address as a QR code (ISO/IEC 18004) of block characters for a dark terminal.

    A character is two modules, one above the other; light modules are drawn, dark ones are not.
    """
    rows = [list(row) for row in segno.make_qr(address, error="l").matrix_iter(border=2)]
    rows += [[1] * len(rows[0])] * (len(rows) % 2)
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return "\n".join("".join(map(_block, *pair)) for pair in pairs)


def _block(above: int, below: int) -> str:
    return "█▀▄ "[2 * bool(above) + bool(below)]


def adb_line(port: int) -> str:
    """Return the command by which an Android phone at a cable finds this machine's loopback."""
    return f"adb reverse tcp:{port} tcp:{port}"
