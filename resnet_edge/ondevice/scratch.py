"""One folder for all temporary files of a command and its workers.

A process that is killed cannot remove its folder; the next one does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from resnet_edge.ondevice.locks import held, is_abandoned

_PREFIX = "resnet-edge-scratch-"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Let ``tempfile`` use a new folder, here and in every worker, while the context lasts.

    Folders of killed processes are removed first.

    Yields:
        The folder. It is in the system's folder for temporary files, or in ``TMPDIR``.

    Raises:
        OSError: No folder can be made there.
    """
    home = Path(tempfile.gettempdir())
    for left in home.glob(f"{_PREFIX}*"):
        if _is_own_folder(left) and is_abandoned(left):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=".resnet-edge-", dir=home))
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    with held(folder):
        try:
            # It gets the name by which others find it when it is locked.
            folder = folder.rename(home / f"{_PREFIX}{folder.name.rpartition('-')[2]}")
            os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
            yield folder
        finally:
            tempfile.tempdir = before[0]
            os.environ.pop("TMPDIR", None)
            if before[1] is not None:
                os.environ["TMPDIR"] = before[1]
            shutil.rmtree(folder, ignore_errors=True)


def _is_own_folder(path: Path) -> bool:
    """Return True for a folder of this user; a link that another user planted is none."""
    if os.name != "posix" or path.is_symlink():
        return False
    try:
        return path.is_dir() and path.stat().st_uid == os.getuid()
    except OSError:
        return False
