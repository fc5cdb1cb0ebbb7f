"""Commands from functions whose parameters are records of options.

A command is a function like ``def compare(tolerance: Tolerance, as_json: Json = False)``. ``bind``
turns it into one that typer reads: a record's place is taken by the options that its fields
declare, and the record is made of their values.
"""

from __future__ import annotations

import dataclasses
import inspect
import keyword
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from resnet_edge.ondevice.json_records import read_annotations
from resnet_edge.ondevice.option import (
    Changes,
    Declared,
    Names,
    Option,
    declared_options,
    without_none,
)

Place = tuple[str, ...]
"""The way to a value: a parameter of the command, then the fields of records."""


@dataclass(frozen=True)
class Only:
    """The fields of a record that a command takes.

    A path has dots, ``data.fit``. The path of a record, ``data``, stands for all of its options.
    """

    paths: tuple[str, ...]

    def selects(self, place: Place) -> bool:
        """Return True if the command takes the option at this place of the record."""
        dotted = ".".join(place)
        return any(f"{dotted}.".startswith(f"{path}.") for path in self.paths)


def only(*paths: str) -> Only:
    """Return the selection of some fields of a record."""
    return Only(paths)


@dataclass(frozen=True)
class Panel:
    """A heading in ``--help`` for all options of a record, in place of those it declares."""

    title: str


@dataclass(frozen=True)
class Argument:
    """The declaration of a value that is told by its position."""

    help: str
    metavar: str
    one_call: bool = True
    """True for a value of a single call, which does not belong in a project's file."""


@dataclass(frozen=True)
class Told:
    """A value that a command is told, as typer knows it."""

    name: str
    """The name of typer's parameter and of the key in the configuration file."""
    kind: type
    """The type that typer hands over; text for a value that ``Option.parse`` reads."""
    one_call: bool
    parameter: inspect.Parameter
    parse: Callable[[str], Any] | None
    places: tuple[Place, ...]
    """The places that the value goes to."""


@dataclass(frozen=True)
class Bound:
    """A command for typer."""

    name: str
    run: Callable[..., None]
    told: tuple[Told, ...]


def bind(command: Callable[..., None]) -> Bound:
    """Turn a function over records into one over options.

    Two fields that declare the same flag, for instance both ``seed``, are one option; its
    declaration is the first field's, its value goes to both.

    Args:
        command: Each parameter is a dataclass (with ``Only``, some of its fields), ``Changes`` of
            one (the options that were given), or ``Annotated`` with an ``Option`` or ``Argument``.
    """
    parameters = inspect.signature(command, eval_str=True).parameters
    told: dict[str, Told] = {}
    for parameter in parameters.values():
        for each in _told_of(parameter):
            first = told.get(each.name, each)
            places = first.places if first is each else (*first.places, *each.places)
            told[each.name] = dataclasses.replace(first, places=places)

    def run(**words: object) -> None:  # typer hands over options by their names
        values: dict[Place, Any] = {}
        for name, word in words.items():
            if word is not None:
                parse = told[name].parse
                value = parse(str(word)) if parse else word
                values.update(dict.fromkeys(told[name].places, value))
        command(**{name: _value_of(each, values) for name, each in parameters.items()})

    own = [each.parameter for each in told.values()]
    signature = inspect.Signature(own)
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in own}
    return Bound(command.__name__, run, tuple(told.values()))


def _told_of(parameter: inspect.Parameter) -> Iterator[Told]:
    kind, notes = _split(parameter.annotation)
    record = _record_of(kind)
    if record is not None:
        optional = typing.get_origin(kind) is Changes
        selections = [note for note in notes if isinstance(note, Only)]
        panel = next((note.title for note in notes if isinstance(note, Panel)), "")
        for place, declared in _leaves(record, ()):
            if not selections or any(each.selects(place) for each in selections):
                yield _told(declared, (parameter.name, *place), optional=optional, panel=panel)
        return
    (note,) = (note for note in notes if isinstance(note, (Option, Argument)))
    if isinstance(note, Option):
        declared = Declared(parameter.name, without_none(kind), parameter.default, note)
        yield _told(declared, (parameter.name,))
        return
    words = typer.Argument(help=note.help, metavar=note.metavar, show_default=False)
    yield Told(
        parameter.name,
        without_none(kind),
        note.one_call,
        parameter.replace(annotation=Annotated[kind, words], kind=parameter.KEYWORD_ONLY),
        None,
        ((parameter.name,),),
    )


def _leaves(kind: type, place: Place) -> Iterator[tuple[Place, Declared]]:
    """Find the options of a record and of the records in it, in the order of the fields."""
    declared = {each.name: each for each in declared_options(kind)}
    hints = read_annotations(kind)
    for field in dataclasses.fields(kind):
        here = (*place, field.name)
        if field.name in declared:
            if declared[field.name].option.panel:
                yield here, declared[field.name]
        elif dataclasses.is_dataclass(hints[field.name]):
            yield from _leaves(hints[field.name], here)


def _told(declared: Declared, place: Place, *, optional: bool = False, panel: str = "") -> Told:
    option = declared.option
    name = declared.flag.removeprefix("--").replace("-", "_")
    name = f"{name}_" if keyword.iskeyword(name) else name
    kind = str if option.parse else declared.kind
    shown = option.show_default and not optional
    default = declared.default if shown or declared.kind is bool else None
    if option.parse and default is not None:
        default = option.show(default)
    switch = f"{declared.flag}/--no-{declared.flag[2:]}" if default is True else declared.flag
    words = typer.Option(
        switch,
        help=option.help,
        rich_help_panel=panel or option.panel,
        metavar=option.metavar or None,
        show_default=shown,
        autocompletion=_completion(option),
    )
    parameter = inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind if default is not None else kind | None, words],
    )
    return Told(name, kind, option.one_call, parameter, option.parse, (place,))


def _completion(option: Option) -> Callable[[str], list[str]] | None:
    within = option.within
    if not isinstance(within, Names):
        return None

    def complete(incomplete: str) -> list[str]:  # typer knows the parameter by its name
        return [name for name in within.names if name.startswith(incomplete)]

    return complete


def _value_of(parameter: inspect.Parameter, values: dict[Place, Any]) -> object:
    kind, _ = _split(parameter.annotation)
    record = _record_of(kind)
    if record is None:
        return values.get((parameter.name,), parameter.default)
    made = _make(record, (parameter.name,), values)
    if typing.get_origin(kind) is Changes:
        return Changes(made, frozenset(place[1] for place in values if place[0] == parameter.name))
    return made


def _make(record: type, place: Place, values: dict[Place, Any]) -> object:
    """Make a record; the fields that nothing was said of keep their defaults."""
    hints = read_annotations(record)
    arguments: dict[str, object] = {}
    for field in dataclasses.fields(record):
        here = (*place, field.name)
        if here in values:
            arguments[field.name] = values[here]
        elif any(told[: len(here)] == here for told in values):
            arguments[field.name] = _make(hints[field.name], here, values)
    made: object = record(**arguments)
    return made


def _split(annotation: Any) -> tuple[Any, tuple[object, ...]]:  # noqa: ANN401 - a type
    if typing.get_origin(annotation) is Annotated:
        return annotation.__origin__, annotation.__metadata__
    return annotation, ()


def _record_of(kind: Any) -> type | None:  # noqa: ANN401 - a type
    if typing.get_origin(kind) is Changes:
        (kind,) = typing.get_args(kind)
    return kind if dataclasses.is_dataclass(kind) and isinstance(kind, type) else None
