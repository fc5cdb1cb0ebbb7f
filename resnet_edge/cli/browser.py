"""``resnet-edge browser``."""

from __future__ import annotations

import webbrowser
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from resnet_edge.cli.binding import only
from resnet_edge.cli.console import Json, Terminal, out_words, print_json
from resnet_edge.cli.verdict import AllowInconclusive
from resnet_edge.ondevice.measurements import any_refused
from resnet_edge.ondevice.option import Option
from resnet_edge.options import Options

_PANEL = "Page"

Port = Annotated[int, Option("Port to listen on; 0 takes a free one.", _PANEL, one_call=True)]
HostAddress = Annotated[
    str,
    Option(
        "Address to listen on. Any but the loopback is plain http: one thread, a coarse clock.",
        _PANEL,
        metavar="ADDRESS",
        one_call=True,
    ),
]
Lan = Annotated[
    bool,
    Option(
        "Serve https to the whole network, with a certificate made for this call.",
        _PANEL,
        one_call=True,
    ),
]
Open = Annotated[
    bool, Option("Open the page in this machine's browser.", _PANEL, flag="--open", one_call=True)
]
Name = Annotated[
    str | None,
    Option(
        "Name of the device in results. Default: what the browser tells of itself.",
        _PANEL,
        one_call=True,
    ),
]
Saved = Annotated[
    Path | None,
    Option(
        "Judge the file that the page saved, and serve nothing.",
        _PANEL,
        metavar="FILE",
        one_call=True,
    ),
]


def browser(
    options: Annotated[
        Options, only("out", "formats", "bundle", "gates", "bench.spec", "bench.threads")
    ],
    port: Port = 0,
    host: HostAddress = "127.0.0.1",
    lan: Lan = False,
    open_page: Open = True,
    name: Name = None,
    saved: Saved = None,
    allow_inconclusive: AllowInconclusive = False,
    as_json: Json = False,
) -> None:
    """Let a browser be the device: it runs every file, this machine judges the answers.

    Serves a page; open it on any phone, tablet, laptop or kiosk and press Measure. The result is
    OUT/results/device-BROWSER.json, which the report takes in.
    """
    from resnet_edge.devices.browser.addresses import Where
    from resnet_edge.ondevice.command.table import result_lines
    from resnet_edge.steps import browser as step

    terminal = Terminal(quiet=as_json)
    if saved is not None:
        made = step.judge_saved(options, saved, name, terminal)
    else:
        where = Where(port, host, lan)
        announced = _Announced(opened=open_page and not lan, terminal=terminal)
        made = step.browser(options, where, name, announced, terminal)
    if as_json:
        print_json(made.result)
    else:
        print("\n".join(result_lines(made.result)))
        print(f"result: {made.path}")
        print(f"in the report: resnet-edge report{out_words(options)}")
    measured = {parity.name for parity in made.result.parity.artifacts}
    missing = set(options.formats or ()) - measured
    if missing or any_refused(made.result.verdicts, allow_inconclusive):
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Announced:
    """What is done with the address once the page is there."""

    opened: bool
    terminal: Terminal = field(compare=False)

    def __call__(self, address: str) -> None:
        """Draw the address for a phone's camera, and open it."""
        from resnet_edge.devices.browser.addresses import qr_code

        console = self.terminal.console
        if console.is_terminal and console.encoding.startswith("utf"):
            self.terminal.say(qr_code(address))
        if self.opened:
            webbrowser.open(address)
