"""Numbers as people read and write them.

Inside the program a time is in seconds and a size in bytes; units are chosen here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

NOTHING = "–"
"""Stands for a number that was not measured."""


def percent(share: float | None, digits: int = 2) -> str:
    """Return a share as a percentage; only an exact 1 or 0 reads as 100 % or 0 %."""
    if share is None:
        return NOTHING
    if not math.isfinite(share):
        return "NaN" if math.isnan(share) else str(share)
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    text = f"{share * 100:.{digits}f}"
    nearest_100, nearest_0 = f"{100:.{digits}f}", f"{0:.{digits}f}"
    if text == nearest_100 and share < 1:
        return f"> {100 - 10**-digits:.{digits}f} %"
    if text == nearest_0 and share > 0:
        return f"< {10**-digits:.{digits}f} %"
    return f"{text} %"


def points(difference: float) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    if math.isnan(difference):
        return "NaN"
    value = round(difference * 100, 2)
    if value == 0:
        return "0.00"
    return f"{'+' if value > 0 else '−'}{abs(value):.2f}"


def size(count: int) -> str:
    """Return bytes in the largest decimal unit that leaves at least 1."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{count} B" if unit == "B" else f"{significant(value)} {unit}"


def milliseconds(seconds: float) -> str:
    """Return milliseconds with three significant digits, without the unit."""
    return significant(seconds * 1e3)


def significant(value: float) -> str:
    """Return ``value`` with three significant digits and no exponent; integers from 100 upwards."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else str(value)
    if value == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def decibels(sqnr_db: float | None) -> str:
    """Return an SQNR in dB; ``exact`` where the answers are equal bit for bit."""
    if sqnr_db is None:
        return NOTHING
    if sqnr_db == math.inf:
        return "exact"
    return "NaN" if math.isnan(sqnr_db) else f"{sqnr_db:.1f} dB"


def ratio(value: float) -> str:
    """Return how many times as long as the reference something took."""
    return f"{significant(value)}×"


def count(value: int) -> str:
    """Return an integer with thousands separated."""
    return f"{value:,}"


def operations(multiply_adds: int) -> str:
    """Return multiply-adds in millions (M) or thousands of millions (G)."""
    if multiply_adds >= 10**9:
        return f"{significant(multiply_adds / 1e9)} G"
    return f"{significant(multiply_adds / 1e6)} M"


def plural(number: int, noun: str) -> str:
    """Return a count with its noun: ``1 picture``, ``2 classes``, ``3 queries``."""
    if number == 1:
        return f"{number:,} {noun}"
    if noun.endswith("y"):
        return f"{number:,} {noun[:-1]}ies"
    return f"{number:,} {noun}{'es' if noun.endswith('s') else 's'}"


def counted(names: Sequence[str]) -> str:
    """Return each name once, sorted, with its count: ``ADD (2), PAD (1)``."""
    return ", ".join(f"{name} ({count})" for name, count in sorted(Counter(names).items()))


def listed(words: Sequence[str]) -> str:
    """Join words as in a sentence: ``a``, ``a and b``, ``a, b and c``.

    Args:
        words: At least one.
    """
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
