"""Options about devices: what goes there, where it is, and what came back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_DEVICE = "Device"

Images = Annotated[
    int,
    typer.Option(
        help="Test pictures that go to the device, the classes in turn.", rich_help_panel=_DEVICE
    ),
]
MaxBytes = Annotated[
    str,
    typer.Option(
        help="Their size at most, decoded: 64MB, 500kB.",
        metavar="SIZE",
        rich_help_panel=_DEVICE,
    ),
]
DeviceFile = Annotated[
    Path | None,
    typer.Option(
        "--device",
        help="What a device's run wrote; it is checked and kept in OUT/results.",
        rich_help_panel=_DEVICE,
    ),
]
Host = Annotated[
    str | None,
    typer.Option(
        "--host",
        help="Measure there, over ssh: a bundle is copied, run, and its result kept. A name that "
        "ssh knows: device or user@device.",
        metavar="USER@DEVICE",
        rich_help_panel=_DEVICE,
    ),
]
Python = Annotated[
    str | None,
    typer.Option(help="Python on --host. Default: python3.", rich_help_panel=_DEVICE),
]
Install = Annotated[
    bool,
    typer.Option(
        "--install",
        help="Let pip install NumPy and runtimes that are missing on --host.",
        rich_help_panel=_DEVICE,
    ),
]
