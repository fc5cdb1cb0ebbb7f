"""The command line's commands and the options that come before them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnet_edge.cli.bundling import bundle
from resnet_edge.cli.choosing import recommend
from resnet_edge.cli.comparing import compare
from resnet_edge.cli.config import find_config, read_config
from resnet_edge.cli.looking import doctor, inspect
from resnet_edge.cli.making import export, finetune, run
from resnet_edge.cli.proving import bench, parity, reference, report
from resnet_edge.cli.settings import option_types

app = typer.Typer(
    help="ResNet50 from photos to edge devices: fine-tune, export, and proof for every file.\n\n"
    "[bold]resnet-edge run --data PHOTOS[/] does it all; the other commands are its steps.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
_STEPS = (run, finetune, export, reference, parity, bench, report, bundle)
for _command in (*_STEPS, recommend, compare, inspect, doctor):
    app.command()(_command)


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
) -> None:
    """Read the configuration file; its values become the commands' defaults."""
    if (path := find_config(config)) is None:
        return
    commands = [c.callback for c in app.registered_commands if c.callback is not None]
    known = {command.__name__: option_types(command) for command in commands}
    everything = {name: kind for kinds in known.values() for name, kind in kinds.items()}
    of_one_call = ("file", "device", "before", "after", "host", "python", "install", "as_json")
    for word in (*of_one_call, "pack", "from_"):  # not of a project
        del everything[word]
    values = read_config(path, everything)
    context.default_map = {
        command: {name: value for name, value in values.items() if name in kinds}
        for command, kinds in known.items()
    }
