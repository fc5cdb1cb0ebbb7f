"""The commands, and the options that come before them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from resnet_edge.cli.bench import bench
from resnet_edge.cli.binding import Bound, bind
from resnet_edge.cli.browser import browser
from resnet_edge.cli.bundle import bundle
from resnet_edge.cli.compare import compare
from resnet_edge.cli.compress import compress
from resnet_edge.cli.config import find_config, read_config
from resnet_edge.cli.doctor import doctor
from resnet_edge.cli.export import export
from resnet_edge.cli.finetune import finetune
from resnet_edge.cli.inspect import inspect
from resnet_edge.cli.parity import parity
from resnet_edge.cli.recommend import recommend
from resnet_edge.cli.reference import reference
from resnet_edge.cli.report import report
from resnet_edge.cli.run import run
from resnet_edge.ondevice.scratch import scratch_folder
from resnet_edge.ondevice.versions import version_of

COMMANDS: tuple[Bound, ...] = tuple(
    bind(command)
    for command in (
        *(run, finetune, export, reference, parity, bench, report, bundle),
        *(browser, recommend, compress, compare, inspect, doctor),
    )
)
"""The commands in the order of ``--help``."""

app = typer.Typer(
    help="ResNet50 from photos to edge devices: fine-tune, export, and proof for every file.\n\n"
    "[bold]resnet-edge run --data PHOTOS[/] does it all; the other commands are its steps.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for _command in COMMANDS:
    app.command(_command.name)(_command.run)


def print_version(asked: bool) -> None:
    """Print name and version and end, where ``--version`` asks for it."""
    if asked:
        print(f"resnet-edge {version_of('resnet-edge')}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file of options. Default: resnet-edge.toml where there is one."),
    ] = None,
    debug: Annotated[  # main() takes it out of the arguments; it is declared for --help
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=print_version, is_eager=True),
    ] = False,
) -> None:
    """Read the configuration file; its values become the commands' defaults."""
    with contextlib.suppress(OSError):  # a step that needs temporary files says so itself
        context.with_resource(scratch_folder())
    if (path := find_config(config)) is None:
        return
    known = {told.name: told.kind for each in COMMANDS for told in each.told if not told.one_call}
    values = read_config(path, known)
    context.default_map = {
        command.name: {
            told.name: values[told.name]
            for told in command.told
            if told.name in values and not told.one_call
        }
        for command in COMMANDS
    }
