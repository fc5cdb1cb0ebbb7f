"""Options that judge saved results again; not given, a verdict stays as it is."""

from __future__ import annotations

from typing import Annotated

import typer

_AGAIN = "Gates, to judge saved results again (nothing is run)"

Fp32Agreement = Annotated[
    float | None,
    typer.Option(
        help="Least agreement of float32 artifacts.", rich_help_panel=_AGAIN, show_default=False
    ),
]
Fp32MaxLogit = Annotated[
    float | None,
    typer.Option(
        help="Largest logit difference of float32 artifacts, as a share of the logits' range.",
        rich_help_panel=_AGAIN,
        show_default=False,
    ),
]
Fp16Agreement = Annotated[
    float | None,
    typer.Option(
        help="Least agreement of float16 artifacts.", rich_help_panel=_AGAIN, show_default=False
    ),
]
Int8Accuracy = Annotated[
    float | None,
    typer.Option(
        help="Least top-1 of quantized artifacts, as a share of the reference's.",
        rich_help_panel=_AGAIN,
        show_default=False,
    ),
]
Confidence = Annotated[
    float | None,
    typer.Option(
        help="Two-sided confidence of the paired interval.",
        rich_help_panel=_AGAIN,
        show_default=False,
    ),
]
MaxP90Ms = Annotated[
    float | None,
    typer.Option(
        help="Largest 90th percentile of the latency, ms. Takes the place of bench's limits.",
        rich_help_panel=_AGAIN,
        show_default=False,
    ),
]
MaxLatencyRatio = Annotated[
    float | None,
    typer.Option(
        help="Largest median latency as a multiple of the reference's. Takes the place of bench's "
        "limits.",
        rich_help_panel=_AGAIN,
        show_default=False,
    ),
]
