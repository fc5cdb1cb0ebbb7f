"""What tests with real browsers are skipped for."""

from __future__ import annotations

import os
import pwd
import shutil

import pytest
from browser_processes import CHROMIUM, OTHER_USER, Kind

from resnet_edge.devices.browser.served_files import runtimes_folder
from resnet_edge.errors import RuntimeMissingError


def skip_without(kind: Kind) -> None:
    """Skip where the browser or its runtimes are not installed."""
    if reason := kind.missing():
        pytest.skip(reason)
    try:
        runtimes_folder()
    except RuntimeMissingError as problem:
        pytest.skip(str(problem))


def skip_without_other_user() -> None:
    """Skip where Chromium cannot be started as another user."""
    skip_without(CHROMIUM)
    if os.geteuid() != 0 or shutil.which("runuser") is None:
        pytest.skip(f"only root can start Chromium as {OTHER_USER}, by runuser")
    try:
        pwd.getpwnam(OTHER_USER)
    except KeyError:
        pytest.skip(f"there is no user {OTHER_USER} here")
