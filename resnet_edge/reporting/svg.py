"""Matplotlib drawings as SVG elements whose colours are the page's CSS variables.

Figures are made by matplotlib's objects, without pyplot and its state, and hold neither dates nor
random ids: the same drawing gives the same bytes.
"""

from __future__ import annotations

import html
import io
import math
import re
import warnings
from collections.abc import Callable

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

# Colours that no plot uses otherwise; the SVG gets the page's variables in their place, so that one
# drawing serves light, dark and paper.
INK, MUTED, GRID, PAPER = "#010101", "#020202", "#030303", "#040404"
BLUE, GREEN, ORANGE, PURPLE = "#050505", "#060606", "#070707", "#080808"
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--line",
    PAPER: "--paper",
    BLUE: "--blue",
    GREEN: "--green",
    ORANGE: "--orange",
    PURPLE: "--purple",
}
_WIDTH = 400
"""The width in pixels; the page scales it, on a phone by about 0.9, on a desktop by 1.4."""
WIDE = 720
"""The width of a drawing over the whole page, which is scrolled on a phone."""
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "resnet-edge",
    "text.parse_math": False,
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": MUTED,
    "axes.titlesize": 9.5,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
}


def render(title: str, height: float, draw: Callable[[Axes], None], width: float = _WIDTH) -> str:
    """Return a drawing as an SVG element.

    Args:
        title: Read out by screen readers.
        height: Pixels.
        draw: Draws on the axes.
        width: Pixels.
    """
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Matplotlib only measures the text; the browser picks fonts that have the letters.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        figure = Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        draw(axes)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(stream.getvalue(), title)


def _inline(svg: str, title: str) -> str:
    """Turn a stand-alone SVG file into an element of the page."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href", "href")
    referenced = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", body))
    prefix = re.sub(r"\W+", "-", title.lower())

    def name(match: re.Match[str]) -> str:
        return f' id="{prefix}-{match[1]}"' if match[1] in referenced else ""

    body = re.sub(r' id="([^"]+)"', name, body)
    body = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{prefix}-", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    words = html.escape(title)
    viewbox = re.search(r'viewBox="[^"]+"', body)
    head = f'<svg class="plot" role="img" aria-label="{words}" {viewbox[0] if viewbox else ""}>'
    return head + body[body.index(">") + 1 :].strip()


def tick_percent(axes: Axes, bottom: float, top: float) -> None:
    """Mark shares as percentages, never beyond 0 % and 100 %."""
    ticks = [
        t
        for t in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(bottom, top)
        if 0 <= t <= 1 and bottom <= t
    ]
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    digits = max(0, -math.floor(math.log10(step * 100) + 1e-9))
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:.{digits}f} %"))
