"""Files that every machine reads under the same path."""

from __future__ import annotations

import platform
from pathlib import Path

from resnet_edge.errors import DataError


def shared_file(path: Path) -> Path:
    """Return the path of a file or folder that this process was told of.

    Raises:
        DataError: This machine has no such file.
    """
    if not path.exists():
        raise DataError(
            f"{path}: not on {platform.node() or 'this machine'}; expected the build folder and "
            "the pictures under the same path on every machine; share the folder, or take pictures "
            "from a store such as s3://"
        )
    return path
