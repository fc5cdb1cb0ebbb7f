"""Files and folders that systems and programs leave among photos. They are never data."""

from __future__ import annotations

import re
from collections.abc import Collection, Set
from pathlib import PurePath

_FOLDERS = frozenset(
    {
        # macOS and iOS
        *("__macosx", "network trash folder", "temporary items", "thevolumesettingsfolder"),
        # Windows, and its file checks
        *("$recycle.bin", "recycler", "recycled", "system volume information", "found.000"),
        # Linux
        *("lost+found",),
        # NAS: Synology, QNAP, TrueNAS
        *("@eadir", "@tmp", "@sharebin", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"),
        *("@recently_snapshot", "@transcode"),
        # programs
        *("__pycache__", "node_modules", "cvs", "bridgecache"),
    }
)
_FILES = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "icon?"),
        *("desktop db", "desktop df", "picasa.ini", "zbthumbnail.info", "wpsettings.dat"),
        *("indexervolumeguid", "bridgecache", "bridgecachet"),
    }
)
_ENDINGS = ("@synoeastream", "@synoresource", ":zone.identifier", ".lrcat", ".aae", ".xmp")
"""Ends of files that programs put beside pictures: edits, streams of a NAS or of Windows."""
_FOLDER_ENDINGS = (".lrdata", ".photoslibrary")
_HIDDEN_RUBBISH = re.compile(r"\._|\.trashed-|\.pending-|\.nfs|\.fuse_hidden|\.goutputstream|\.~")
"""Starts of hidden files that end like pictures and are none that a person would miss: halves of
macOS files, pictures in Android's trash, unfinished copies."""
_VIDEO_SUFFIXES = (".mov", ".mp4")

BUILD_FILES = frozenset(
    {
        *("model.keras", "training.json", "dataset.json", "calibration.json", "reference.npz"),
        *("report.html", "report.json", "resnet-edge-device.pyz", "resnet-edge-reference.pyz"),
    }
)
"""Files of a build folder (``resnet_edge.layout``)."""
BUILD_FOLDERS = frozenset({"artifacts", "results", "cache", "compressed"})
"""Folders in a build folder."""


def is_litter_folder(name: str) -> bool:
    """Return True for a folder of a system or a program. Hidden folders count as such."""
    low = name.casefold()
    return low in _FOLDERS or name.startswith(".") or low.endswith(_FOLDER_ENDINGS)


def is_litter_file(name: str, beside: Set[str], suffixes: Set[str]) -> bool:
    """Return True for a file of a system or a program.

    Args:
        name: The file's name.
        beside: Names of all files in its folder, in lower case. The notes that Google writes of a
            picture and the moving part of a live photo are known by the picture beside them.
        suffixes: Endings of picture files. A hidden file with one of them is a picture.
    """
    low = name.casefold()
    if low in _FILES or low.endswith(_ENDINGS):
        return True
    path = PurePath(low)
    if name.startswith("."):
        return bool(_HIDDEN_RUBBISH.match(low)) or path.suffix not in suffixes
    if path.suffix == ".json":  # IMG_1.jpg.json, IMG_1.jpg.supplemental-metadata.json
        picture = low.removesuffix(".json")
        return not beside.isdisjoint((picture, picture.rpartition(".")[0]))
    if path.suffix in _VIDEO_SUFFIXES:
        return any(path.with_suffix(suffix).name in beside for suffix in suffixes)
    return False


def is_build(files: Collection[str], folders: Collection[str], cached: Collection[str]) -> bool:
    """Return True for a build folder of resnet-edge.

    Args:
        files: Names of its files.
        folders: Names of its folders.
        cached: Names in its folder ``cache``; empty where it has none.
    """
    if "unpacked" in cached or any(re.fullmatch(r"decoded-\w+\.npy", name) for name in cached):
        return True
    known = sum(name in BUILD_FILES for name in files)
    return known >= 2 or (known == 1 and any(name in BUILD_FOLDERS for name in folders))
