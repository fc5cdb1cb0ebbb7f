"""Patterns of several files: ``shard-{000..099}.tar``, ``*.parquet``, here or in a store."""

from __future__ import annotations

import glob
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from resnet_edge.data import stores
from resnet_edge.data.address import Address, Source
from resnet_edge.errors import UsageError

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST = 1_000_000
"""Most files that braces may name."""


def expand(source: Source) -> tuple[Source, ...]:
    """Return the files that a pattern names, in its order; those of ``*`` by their names.

    Raises:
        UsageError: A file that braces name does not exist, or none fits.
        DataError: A store cannot be asked.
    """
    text = source.url if isinstance(source, Address) else str(source)
    found: list[Source] = []
    for name in itertools.islice(_braces(text), _MOST):
        here = _matches(name, isinstance(source, Address))
        if not here:
            raise UsageError(
                f"{source}: no file {name if name != text else 'fits it'}; expected archives, for "
                "instance shard-{000..099}.tar or *.parquet; check the pattern"
            )
        found += here
    return tuple(dict.fromkeys(found))


def _matches(text: str, stored: bool) -> list[Source]:
    if not stored:
        return [Path(name).absolute() for name in sorted(_glob(text))]
    address = Address(text)
    if any(c in str(address) for c in "*[") or ("?" in text and not address.is_web):
        found = stores.match_files(address)
        return [*sorted(found, key=lambda match: match.url)]
    return [address] if stores.exists(address) else []


def _glob(text: str) -> list[str]:
    return glob.glob(text, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern


def _braces(text: str) -> Iterator[str]:
    """Yield a text for each choice in braces: ``{000..099}`` with its zeros, ``{a,b}``."""
    found = _BRACES.search(text)
    if found is None:
        yield text
        return
    if between := _RANGE.fullmatch(found[1]):
        first, last = between[1], between[2]
        numbers = range(int(first), int(last) + 1)
        choices: Iterator[str] = (f"{number:0{len(first)}d}" for number in numbers)
    else:
        choices = iter(found[1].split(","))
    for choice in choices:
        yield from _braces(text[: found.start()] + choice + text[found.end() :])
