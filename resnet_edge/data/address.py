"""Where data are: a path on this machine, or the address of a file or a folder in a store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from resnet_edge.errors import UsageError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_GLOB = frozenset("*?[{")


@dataclass(frozen=True, slots=True)
class Address:
    """A file or a folder in a store, or a pattern of such, for instance ``s3://bucket/photos``.

    Raises:
        UsageError: It has a password in it.
    """

    url: str

    def __post_init__(self) -> None:
        before, at, host = urlsplit(self.url).netloc.rpartition("@")
        if at and ":" in before:
            raise UsageError(
                f"{self.scheme}://…@{host}: a name and a password in an address; expected none; "
                "give them by the store's own means, for instance its file of credentials"
            )

    def __str__(self) -> str:
        """The address without its query, which may hold a signature."""
        return self.url.partition("?")[0] if self.is_web else self.url

    def __truediv__(self, name: str) -> Address:
        return Address(f"{self.url.rstrip('/')}/{name}")

    @property
    def scheme(self) -> str:
        """``s3``, ``gs``, ``https``, …, in lower case."""
        return self.url.partition("://")[0].lower()

    @property
    def is_web(self) -> bool:
        """True for an address that a browser opens: it may have a query."""
        return self.scheme in ("http", "https")

    @property
    def name(self) -> str:
        """The last part, or the bucket where that is all."""
        last = str(self).rstrip("/").rpartition("/")[2]
        return unquote(last) if self.is_web else last

    @property
    def parent(self) -> Address:
        """The folder around it; itself where there is none."""
        start, _, path = str(self).partition("://")
        above = path.rstrip("/").rpartition("/")[0]
        return Address(f"{start}://{above}") if above.strip("/") else self

    def absolute(self) -> Address:
        """Return the address itself, as a path returns its absolute one."""
        return self


Source = Path | Address
"""Where data are, as a person or ``dataset.json`` says."""


def parse_source(text: str) -> Source:
    """Read a path or an address as written by a person.

    Raises:
        UsageError: It is an address with a password in it.
    """
    found = _SCHEME.match(text)
    if found is None:
        return Path(text)
    return Path(unquote(urlsplit(text).path)) if found[1].lower() == "file" else Address(text)


def source_text(source: Source) -> str:
    """Return the text that ``parse_source`` reads: absolute, and of an address all of it."""
    return source.url if isinstance(source, Address) else source.absolute().as_posix()


def is_pattern(source: Source) -> bool:
    """Return True for a pattern of several files: ``shard-{000..099}.tar``, ``*.parquet``."""
    text = str(source)
    if isinstance(source, Address):
        return not _GLOB.isdisjoint(text)
    return not _GLOB.isdisjoint(text) and not source.exists()
