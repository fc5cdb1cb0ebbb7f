"""The content of a device bundle, and its unpacking.

A zip that Python starts: code, a manifest with the hash of every other member, artifacts with their
sidecars, a sample of the test split and the reference's answers to it. Artifacts and sample are
stored without compression, so that reading them takes the disk's time alone.
"""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Callable

from resnet_edge.errors import ArtifactError, OutputError
from resnet_edge.ondevice.command.start import COPY_AGAIN, MANIFEST, find_damage
from resnet_edge.ondevice.formats.sidecar import Artifact, Sidecar, load_artifact
from resnet_edge.ondevice.json_records import from_json
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.reading import read_json_member, refusing
from resnet_edge.ondevice.reference_file import Reference, read_reference

BUNDLE_VERSION = 1

ARTIFACTS = "artifacts"
"""The folder of artifacts and sidecars."""

PICTURES = "pictures.npy"
"""The sample: uint8 ``(n, height, width, 3)`` at the model's size, so nothing has to be decoded."""

REFERENCE = "reference.npz"
"""The reference's answers to the sample."""

LABELS = "labels.txt"

NO_ROOM = "free some space, or set TMPDIR to a folder that has it"


@dataclass(frozen=True)
class Member:
    """A file in the archive."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class BundleManifest:
    """``bundle.json``."""

    made_by: str
    model_name: str
    model_sha256: str
    reference_sha256: str
    """The hash of the build's whole ``reference.npz``; the sample's answers are a part of it."""
    artifacts: tuple[str, ...]
    gates: Gates
    """The gates of every artifact on the device."""
    members: dict[str, Member]
    """Every member but this one, by its name in the archive."""
    schema: int = BUNDLE_VERSION


@dataclass(frozen=True)
class Bundle:
    """An archive with its manifest."""

    archive: Path
    manifest: BundleManifest

    def check(self) -> None:
        """Compare every member with its hash.

        Raises:
            ArtifactError: One is damaged; the message says which.
        """
        if damage := find_damage(str(self.archive)):
            raise ArtifactError(damage)

    def extract(self, name: str, folder: Path) -> Path:
        """Write a member as a file, under its own name without folders.

        Raises:
            ArtifactError: It is damaged.
            OutputError: There is no room for it.
        """
        path = folder / Path(name).name
        try:
            with refusing(self._refusal(name)):
                self._copy(name, path)
        except OSError as problem:  # a full disk
            raise OutputError(f"{path}: {problem.strerror or problem}; {NO_ROOM}") from problem
        return path

    def _copy(self, name: str, path: Path) -> None:
        with zipfile.ZipFile(self.archive) as bundle, bundle.open(name) as source:
            _save(source, path)

    def _refusal(self, name: str) -> Callable[[str], ArtifactError]:
        return lambda reason: ArtifactError(f"{self.archive}: {name} ({reason}); {COPY_AGAIN}")

    def sidecar(self, name: str) -> Sidecar:
        """Return an artifact's sidecar."""
        where = f"{ARTIFACTS}/{name}.json"
        with refusing(self._refusal(where)), zipfile.ZipFile(self.archive) as bundle:
            data = read_json_member(bundle, where)
        return from_json(Sidecar, data, f"{self.archive}: {where}", ArtifactError)

    def extract_artifact(self, name: str, folder: Path) -> Artifact:
        """Write an artifact and its sidecar.

        Raises:
            ArtifactError: One is damaged, or the sidecar is another file's.
            OutputError: There is no room for them.
        """
        self.extract(f"{ARTIFACTS}/{name}.json", folder)
        return load_artifact(self.extract(f"{ARTIFACTS}/{name}", folder))

    def reference(self, folder: Path) -> Reference:
        """Return the reference's answers to the sample; their file is unpacked into ``folder``."""
        return read_reference(self.extract(REFERENCE, folder))


def _save(source: IO[bytes], path: Path) -> None:
    with path.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)


def open_bundle(archive: Path) -> Bundle:
    """Read a bundle's manifest.

    Raises:
        ArtifactError: It is no bundle, is damaged, or was written by a newer version.
    """

    def refusal(reason: str) -> ArtifactError:
        return ArtifactError(
            f"{archive}: not a device bundle, or damaged ({reason}); "
            "make it with `resnet-edge bundle`"
        )

    with refusing(refusal), zipfile.ZipFile(archive) as bundle:
        data = read_json_member(bundle, MANIFEST)
    if isinstance(data, dict) and data.get("schema") != BUNDLE_VERSION:
        raise ArtifactError(
            f"{archive}: schema {data.get('schema')}; expected {BUNDLE_VERSION}; "
            "make it again with `resnet-edge bundle`"
        )
    return Bundle(archive, from_json(BundleManifest, data, str(archive), ArtifactError))
