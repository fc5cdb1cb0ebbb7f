"""The script of the page in a real Chromium."""

from __future__ import annotations

import html
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from browser_processes import CHROMIUM

from resnet_edge.ondevice.measurements import ClassResult
from resnet_edge.reporting.html import render_html

pytestmark = pytest.mark.browser

ACTS = """<script>
const box = document.querySelector(".searchable");
const buttons = box.querySelectorAll("thead button");
const input = box.querySelector("input");
const rows = () => [...box.querySelectorAll("tbody tr:not([hidden])")];
const seen = () => rows().map((row) => row.cells[0].textContent);
const found = {};
buttons[0].click();
found.names = seen().slice(0, 2);
buttons[3].click();
found.rising = seen().slice(0, 2);
buttons[3].click();
found.falling = seen().slice(0, 2);
found.sorted = [...box.querySelectorAll("[aria-sort]")].map((h) => h.ariaSort);
input.value = "ÉCLAIR  9";
input.dispatchEvent(new Event("input"));
found.searched = seen();
found.told = box.querySelector("output").textContent;
document.title = JSON.stringify(found);
</script></body>"""


@pytest.fixture
def page(content, row) -> str:
    labels = tuple(f"eclair {number:02}" for number in range(30))
    classes = tuple(
        ClassResult(label, 10, number / 30, 0.5, 1.0) for number, label in enumerate(labels)
    )
    return render_html(
        replace(
            content,
            model=replace(content.model, labels=labels),
            reference=None,
            artifacts=(row("int8.onnx", labels, classes=classes),),
        )
    )


def shown(page: str, folder: Path) -> str:
    """The page's elements after its scripts ran."""
    if reason := CHROMIUM.missing():
        pytest.skip(reason)
    (folder / "page.html").write_text(page)
    words = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile")
    done = subprocess.run(
        [str(CHROMIUM.found()), *words, "--dump-dom", (folder / "page.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_the_policy_lets_the_script_run(page: str, tmp_path: Path):
    found = shown(page, tmp_path)
    assert '<form class="search" role="search">' in found  # no longer hidden
    assert "<output>30 of 30</output>" in found


def test_the_policy_lets_no_other_script_run(page: str, tmp_path: Path):
    assert "<title>pets: " in shown(page.replace("</body>", ACTS), tmp_path)


def test_searching_and_sorting(page: str, tmp_path: Path):
    open_page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    found = shown(open_page.replace("</body>", ACTS), tmp_path)
    title = re.search(r"<title>(.*?)</title>", found)
    assert json.loads(html.unescape(title[1])) == {
        "names": ["eclair 00", "eclair 01"],
        "rising": ["eclair 00", "eclair 01"],
        "falling": ["eclair 29", "eclair 28"],
        "sorted": ["descending"],
        "searched": ["eclair 29", "eclair 19", "eclair 09"],
        "told": "3 of 30",
    }
