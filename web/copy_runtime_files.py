"""Copies the runtimes that a browser needs out of ``node_modules``; ``make web`` runs it after npm.

What is copied lands in ``resnet_edge/devices/browser/distribution``, which is a package of its own.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

WEB = Path(__file__).resolve().parent
TARGET = WEB.parent / "resnet_edge" / "devices" / "browser" / "distribution" / "resnet_edge_browser"

LITERT, UTILS, ORT = "@litertjs/core", "@litertjs/wasm-utils", "onnxruntime-web"

BARE_IMPORT = f'from "{UTILS}"'
"""Import maps, which would resolve it, do not reach workers."""

LITERT_BUILDS = ("_compat", "", "_threaded", "_jspi")
"""Each has its browsers: those without relaxed SIMD; one thread; threads; WebGPU."""

ORT_BUILDS = ("", ".asyncify")
"""One for the processor, one for WebGPU in all browsers; each has threads and runs without them."""

SOURCE_MAP = re.compile(r"\n//# sourceMappingURL=\S+\s*\Z")


@dataclass(frozen=True)
class Copied:
    """One file of the package, named from its folder."""

    name: str
    bytes: int
    sha256: str


def files_by_target() -> dict[str, tuple[str, str]]:
    """Return the npm package and the path in it of every file, by its new name."""
    found = {
        "litert/litert.js": (LITERT, "dist/index.js"),
        "litert/wasm_utils.js": (UTILS, "dist/index.js"),
        "ort/ort.wasm.min.js": (ORT, "dist/ort.wasm.min.js"),
        "ort/ort.webgpu.min.js": (ORT, "dist/ort.webgpu.min.js"),
    }
    for build in LITERT_BUILDS:
        for suffix in ("js", "wasm"):
            name = f"litert_wasm{build}_internal.{suffix}"
            found[f"litert/{name}"] = (LITERT, f"wasm/{name}")
    for build in ORT_BUILDS:
        for suffix in ("mjs", "wasm"):
            name = f"ort-wasm-simd-threaded{build}.{suffix}"
            found[f"ort/{name}"] = (ORT, f"dist/{name}")
    return found


def copy(modules: Path, target: Path) -> None:
    """Copy all files, and write ``files.json`` with their hashes and the packages' versions.

    Args:
        modules: The folder ``node_modules``.
        target: The package's folder; what was copied before is removed first.

    Raises:
        SystemExit: A file is not there or is not as it was expected.
    """
    versions = {name: version_of(modules, name) for name in (LITERT, UTILS, ORT)}
    for folder in ("litert", "ort"):
        shutil.rmtree(target / folder, ignore_errors=True)
        (target / folder).mkdir(parents=True)
    copied = []
    for name, (package, path) in files_by_target().items():
        source = modules / package / path
        if not source.is_file():
            raise SystemExit(f"error: {source} is not there; run npm ci in {modules.parent}")
        content = source.read_bytes()
        if source.suffix == ".js":
            content = prepared(name, content.decode(), versions[LITERT]).encode()
        (target / name).write_bytes(content)
        copied.append(Copied(name, len(content), hashlib.sha256(content).hexdigest()))
    record = {"versions": versions, "files": [asdict(each) for each in copied]}
    (target / "files.json").write_text(json.dumps(record, indent=1) + "\n")


def version_of(modules: Path, package: str) -> str:
    """Return the installed version of an npm package."""
    record = modules / package / "package.json"
    if not record.is_file():
        raise SystemExit(f"error: {record} is not there; run npm ci in {modules.parent}")
    version: str = json.loads(record.read_text())["version"]
    return version


def prepared(name: str, script: str, litert_version: str) -> str:
    """Return a script without the address of a map that is not copied, its import rewritten.

    LiteRT.js knows no version of its own, so it gets one.
    """
    script = SOURCE_MAP.sub("\n", script)
    if name != "litert/litert.js":
        return script
    if script.count(BARE_IMPORT) != 1:
        raise SystemExit(
            f"error: {LITERT} has {script.count(BARE_IMPORT)} times {BARE_IMPORT!r}; expected 1; "
            "look at the new version by hand"
        )
    script = script.replace(BARE_IMPORT, 'from "./wasm_utils.js"')
    return f"{script}export const version = {json.dumps(litert_version)};\n"


if __name__ == "__main__":
    copy(WEB / "node_modules", TARGET)
    total = sum(path.stat().st_size for path in TARGET.rglob("*") if path.is_file())
    sys.stdout.write(f"browser runtimes: {total / 1e6:.0f} MB in {TARGET}\n")
