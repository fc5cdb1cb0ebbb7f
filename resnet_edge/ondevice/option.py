"""Options, each declared once: in the field of the frozen dataclass that holds its value.

``option`` makes such a field. The command line, ``resnet-edge.toml``, ``--help``, shell completion
and the check of the value follow from it.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import math
import re
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Generic, TypeVar

from resnet_edge.errors import UsageError
from resnet_edge.ondevice.json_records import UNIONS, read_annotations

T = TypeVar("T")

_KEY = "option"


@dataclass(frozen=True)
class Range:
    """The numbers that an option accepts. NaN lies in no range."""

    words: str
    """The end of the message ``got …; expected …``."""
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    """True if ``low`` itself is refused."""
    open_high: bool = False
    """True if ``high`` itself is refused."""

    def holds(self, value: Any) -> bool:  # noqa: ANN401 - an option's value is of any type
        """Return True if ``value`` is accepted."""
        above = self.low < value if self.open_low else self.low <= value
        below = value < self.high if self.open_high else value <= self.high
        return bool(above and below)


@dataclass(frozen=True)
class Names:
    """The words that an option accepts."""

    names: tuple[str, ...]

    @property
    def words(self) -> str:
        """The end of the message ``got …; expected …``."""
        return f"one of {', '.join(self.names)}"

    def holds(self, value: object) -> bool:
        """Return True if ``value`` is accepted."""
        return value in self.names


AT_LEAST_1 = Range("at least 1", low=1)
SHARE = Range("a share from 0 to 1", low=0, high=1)
SHARE_BELOW_1 = Range("a share of at least 0 and below 1", low=0, high=1, open_high=True)
POSITIVE = Range("a finite number above 0", 0, math.inf, open_low=True, open_high=True)
NOT_NEGATIVE = Range("a finite number, 0 or above", 0, math.inf, open_high=True)


@dataclass(frozen=True)
class Option:
    """The declaration of an option, without its name, type and default, which the field has."""

    help: str
    panel: str = ""
    """Heading in ``--help``. Empty for a value that only the Python API takes."""
    flag: str = ""
    """Name on the command line; empty for the field's, with hyphens."""
    metavar: str = ""
    """Stands for the value in ``--help``; empty for the type."""
    within: Range | Names | None = None
    """The accepted values; of a tuple, of each of its items."""
    parse: Callable[[str], Any] | None = None
    """Turns the text of the command line into the value, where the type alone does not say how.

    Raises UsageError.
    """
    show: Callable[[Any], str] = str
    """Turns the value back into text, for the default in ``--help``."""
    show_default: bool = True
    """False where ``help`` says what the default is."""
    one_call: bool = False
    """True for an option of a single call, which does not belong in a project's file."""


def option(
    default: T,
    help_text: str,
    panel: str = "",
    *,
    flag: str = "",
    metavar: str = "",
    within: Range | Names | None = None,
    parse: Callable[[str], T] | None = None,
    show: Callable[[T], str] = str,
    show_default: bool = True,
    one_call: bool = False,
) -> T:
    """Declare a dataclass's field as an option. See ``Option`` for the arguments.

    Args:
        default: The field's default.
        help_text: Stands in ``--help``.
        panel: Heading in ``--help``.
        flag: Name on the command line.
        metavar: Stands for the value in ``--help``.
        within: The accepted values.
        parse: Turns text into the value.
        show: Turns the default into text.
        show_default: False where ``help_text`` says what the default is.
        one_call: True if it does not belong in a project's file.

    Returns:
        The field; its type is the default's for a type checker, as with ``dataclasses.field``.
    """
    declared = Option(help_text, panel, flag, metavar, within, parse, show, show_default, one_call)
    return dataclasses.field(default=default, metadata={_KEY: declared})


def parse_size(text: str) -> int:
    """Parse ``--max-bytes 64MB``: bytes, kB, MB or GB, each 1000 of the one before.

    Raises:
        UsageError: This is no size.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?)b?\s*", text, re.IGNORECASE)
    if found is None:
        raise UsageError(f"--max-bytes: got {text!r}; expected a size, for instance 64MB or 500kB")
    return int(float(found[1]) * 1000 ** " kmg".index(found[2].lower() or " "))


@dataclass(frozen=True)
class Declared:
    """An option and the field that it is declared in."""

    name: str
    """The field's."""
    kind: Any
    """The field's type, without None where that is allowed."""
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """The name on the command line, ``--image-size``; of a value of the API the field's."""
        if not self.option.panel:
            return self.name
        return self.option.flag or "--" + self.name.replace("_", "-")


@functools.lru_cache(maxsize=None)
def declared_options(kind: type) -> tuple[Declared, ...]:
    """Return the options that a dataclass declares, in the order of its fields."""
    return tuple(_declared_in(kind))


def _declared_in(kind: type) -> Iterator[Declared]:
    hints = read_annotations(kind)
    for field in dataclasses.fields(kind):
        if _KEY in field.metadata:
            plain = without_none(hints[field.name])
            yield Declared(field.name, plain, field.default, field.metadata[_KEY])


def declared_option(kind: type, name: str) -> Declared:
    """Return the option in the field ``name`` of a dataclass."""
    return next(found for found in declared_options(kind) if found.name == name)


def without_none(hint: Any) -> Any:  # noqa: ANN401 - a type as typing has it
    """Return a type; of ``X | None`` the X."""
    if typing.get_origin(hint) in UNIONS:
        return next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return hint


def check_options(record: Any) -> None:  # noqa: ANN401 - any dataclass
    """Check the options of a record; its ``__post_init__`` calls this.

    Text becomes a path or a member of an enum where that is the field's type, and a list a tuple,
    so that a Python caller may write ``DataOptions("photos", fit="pad")``.

    Raises:
        UsageError: A value is not accepted. The message begins with the option's name.
    """
    kind: type = type(record)
    for each in declared_options(kind):
        given = getattr(record, each.name)
        value = _as_declared(each, given)
        if value is not given:
            object.__setattr__(record, each.name, value)
        within = each.option.within
        if within is None or value is None:
            continue
        for item in value if isinstance(value, tuple) else (value,):
            if not within.holds(item):
                raise UsageError(f"{each.flag}: got {item}; expected {within.words}")


def _as_declared(each: Declared, value: Any) -> Any:  # noqa: ANN401 - an option's value
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, str) or not isinstance(each.kind, type):
        return value
    if issubclass(each.kind, Path):
        return Path(value)
    if issubclass(each.kind, enum.Enum) and not isinstance(value, enum.Enum):
        try:
            return each.kind(value)
        except ValueError:
            allowed = Names(tuple(str(member.value) for member in each.kind))
            message = f"{each.flag}: got {value}; expected {allowed.words}"
            raise UsageError(message) from None
    return value


@dataclass(frozen=True)
class Changes(Generic[T]):
    """Some fields of a record, to take the place of another record's.

    ``Changes(Gates(int8_accuracy=0.9), {"int8_accuracy"})`` leaves all other gates as they were.

    Raises:
        UsageError: The record has no field of one of the names.
    """

    record: T
    names: frozenset[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", frozenset(self.names))
        known = [field.name for field in dataclasses.fields(self.record)]  # type: ignore[arg-type]
        for name in sorted(self.names.difference(known)):
            raise UsageError(f"changes: got {name}; expected some of {', '.join(known)}")

    def of(self, other: T) -> T:
        """Return ``other`` with these fields."""
        values = {name: getattr(self.record, name) for name in self.names}
        return typing.cast(T, dataclasses.replace(typing.cast(Any, other), **values))
