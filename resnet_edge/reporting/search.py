"""The page's only script: it searches and sorts long tables. Without it they stand as they are."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources

from markupsafe import Markup


@dataclass(frozen=True)
class Script:
    """A script, and the words by which the page's policy allows this one and no other."""

    element: Markup
    policy: str


def search_script() -> Script:
    """Return the script for tables in an element of the class ``searchable``."""
    file = resources.files("resnet_edge.reporting") / "search.html.j2"
    element = file.read_text(encoding="utf-8").strip()
    code = element.removeprefix("<script>").removesuffix("</script>")
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return Script(Markup(element), f"'sha256-{digest}'")
