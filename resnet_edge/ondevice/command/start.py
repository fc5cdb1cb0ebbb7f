"""The first lines of a bundle: they check its code before any of it is imported.

The archive's ``__main__.py`` runs this file in its own place, as soon as its checksum is proven,
and the command after it. Standard library only and without newer syntax, so that an old Python gets
a message and no syntax error.
"""

import hashlib
import json
import sys
import zipfile
from pathlib import Path

OLDEST_PYTHON = (3, 8)

MANIFEST = "bundle.json"
"""Lists every other member with its SHA-256."""

COPY_AGAIN = "copy the bundle again"


def find_damage(archive: str, only_code: bool = False) -> str:
    """Compare an archive's members with its manifest.

    Args:
        archive: Path of the bundle.
        only_code: True looks at ``.py`` members alone.

    Returns:
        The damage in words; empty if there is none.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            members = json.loads(bundle.read(MANIFEST).decode())["members"]
            expected = {name: member["sha256"] for name, member in members.items()}
            for name in sorted(set(bundle.namelist()) - set(expected) - {MANIFEST}):
                return f"{archive}: {name} is not in its manifest; {COPY_AGAIN}"
            for name in sorted(expected):
                if name.endswith(".py") or not only_code:
                    found = _hash_member(bundle, name)
                    if found != expected[name]:
                        return (
                            f"{archive}: {name} is damaged: {found or 'it cannot be read'}; "
                            f"expected sha256 {expected[name][:16]}…; {COPY_AGAIN}"
                        )
    except Exception as problem:  # zipfile and json raise another error for each damaged byte
        return f"{archive}: {MANIFEST} cannot be read ({problem}); {COPY_AGAIN}"
    return ""


def _hash_member(bundle: zipfile.ZipFile, name: str) -> str:
    """Return the SHA-256 of a member, or the reason why it cannot be read."""
    digest = hashlib.sha256()
    try:
        with bundle.open(name) as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    except Exception as problem:
        return f"{problem}"
    return digest.hexdigest()


def start(archive: str) -> int:
    """Check Python and the archive's code, before any of it is imported.

    Args:
        archive: Path of the bundle.

    Returns:
        0 if the code may be imported, 1 if not, with a message on standard error.
    """
    problem = _find_problem(archive)
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    sys.path[0] = archive  # absolute: the workers may start in another folder
    return 0


def _find_problem(archive: str) -> str:
    if sys.version_info < OLDEST_PYTHON:
        own, oldest = (".".join(map(str, v)) for v in (sys.version_info[:2], OLDEST_PYTHON))
        return f"Python {own}; expected {oldest} or later"
    return find_damage(archive, only_code=True)


if __name__ == "__main__":
    ARCHIVE = str(Path(__file__).parent.absolute())
    if start(ARCHIVE):
        sys.exit(1)
