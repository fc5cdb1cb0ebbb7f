"""The pictures of any source, listed: folders, archives and tables, here or in a store."""

from __future__ import annotations

from pathlib import Path

from resnet_edge.data.address import Address, Source
from resnet_edge.data.archive import OnEntry, unpack_zip
from resnet_edge.data.layouts import list_any, list_folders
from resnet_edge.data.listing import Listing
from resnet_edge.data.origins import OnDisk
from resnet_edge.data.table import is_table, list_table
from resnet_edge.data.tree import read_tree
from resnet_edge.errors import UsageError


def list_source(
    source: Source,
    cache: Path,
    *,
    known: tuple[str, ...] | None,
    exclude: Path | None = None,
    unpacking: OnEntry | None = None,
    classes: bool = True,
) -> Listing:
    """List the pictures of a source, without opening one.

    Args:
        source: A folder, a zip file of one, or a CSV file (``resnet_edge.data.table``).
        cache: Cache folder, in which a zip is unpacked.
        known: Labels of a model that exists; a folder named like one is a class.
        exclude: The build folder of this run, which may lie among the photos.
        unpacking: Called after each entry of a zip with done and total.
        classes: False to take pictures from whatever folders they lie in.

    Raises:
        UsageError: ``source`` does not exist.
        DataError: The source is not of a form that is known.
        OutputError: ``cache`` cannot be written.
    """
    assert not isinstance(source, Address)
    if is_table(source):
        return list_table(source)
    top = _folder(source, cache, unpacking)
    unpacked = top != source.absolute()
    tree = read_tree(top, None if unpacked or exclude is None else exclude.absolute())
    if classes:
        return list_folders(tree, source, known, OnDisk(top))
    return list_any(tree, source, known or (), OnDisk(top))


def _folder(source: Path, cache: Path, unpacking: OnEntry | None) -> Path:
    """Return the folder to read; a zip is unpacked first."""
    if not source.exists():
        raise UsageError(
            f"{source}: no such folder or zip file; expected a folder per class; check the path"
        )
    if source.is_dir():
        return source.absolute()
    return unpack_zip(source.absolute(), cache.absolute(), unpacking)
