"""Pixels as a stage: decoded or changed by many processes, put together in one file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.data.picture_check import decoder
from resnet_edge.data.pixel_source import PixelSource
from resnet_edge.scale.arrays import join_rows, rows_of
from resnet_edge.scale.running import Computing, Count, run_stage
from resnet_edge.scale.stage import Made, Make, Stage


@dataclass(frozen=True)
class PixelWork:
    """Asks sources for their pixels."""

    def open(self) -> Make:
        """Load nothing: Pillow does."""
        maker = decoder()

        def make(source: PixelSource) -> Made:
            return Made(rows_of(source.pixels()), maker)

        return make


@dataclass(frozen=True)
class PixelFile:
    """A file of pictures that is to be made."""

    path: Path
    """``.npy``."""
    shape: tuple[int, ...]
    """``(n, height, width, 3)``."""
    key: str
    """Hash of all that the pixels depend on."""
    title: str


def write_in_shards(
    file: PixelFile,
    source: Callable[[int, int], PixelSource],
    computing: Computing,
    count: Count,
) -> None:
    """Let processes make the pixels of a file.

    Args:
        file: The file.
        source: The pictures from a first one up to a last one, which is not among them.
        computing: Who computes.
        count: Shows the number of pictures done.

    Raises:
        DataError: A picture is gone or was changed.
        OutputError: Nothing can be written.
    """
    stage = Stage(
        title=file.title,
        key=file.key,
        work=PixelWork(),
        items=file.shape[0],
        job=source,
        folder=file.path.parent / "pixels" / file.path.stem,
    )
    computed = run_stage(stage, computing, count)
    join_rows(file.path, computed.files(), file.shape, "|u1")
    computed.finished.remove()
