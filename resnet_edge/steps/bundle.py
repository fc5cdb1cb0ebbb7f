"""Artifacts, runner and a sample of the test split in one file for a device.

The runner is this package's own ``resnet_edge.ondevice``, so there is no second copy of any
measurement.
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnet_edge.display import Display, Silent
from resnet_edge.errors import UsageError
from resnet_edge.ondevice.command.bundle_file import (
    ARTIFACTS,
    LABELS,
    PICTURES,
    REFERENCE,
    BundleManifest,
    Member,
)
from resnet_edge.ondevice.command.start import MANIFEST
from resnet_edge.ondevice.files import digest, hash_path
from resnet_edge.ondevice.formats.kinds import FORMATS, artifact_kind
from resnet_edge.ondevice.formats.sidecar import (
    Artifact,
    exported_names,
    load_artifacts,
    sidecar_path,
)
from resnet_edge.ondevice.json_records import to_json
from resnet_edge.ondevice.reference_file import (
    Reference,
    read_reference,
    write_reference,
)
from resnet_edge.ondevice.versions import version_of
from resnet_edge.options import Options
from resnet_edge.steps.device_sample import sample_answers, sample_pixels, sample_places
from resnet_edge.steps.evaluation import check_reference
from resnet_edge.steps.one_writer import sole_writer
from resnet_edge.steps.up_to_date import is_current, write_stamp
from resnet_edge.zipapp import MAIN_FILE, ON_DEVICE, Content, find_sources, write_archive

START = "resnet_edge/ondevice/command/start.py"
"""The member that checks all others; ``MAIN`` runs it once it is proven whole itself."""

_HURT = "# an error here: the bundle is damaged; copy it again"

MAIN = f"""\
try:  {_HURT}
    import sys, zipfile  {_HURT}
    exec(zipfile.ZipFile(sys.path[0]).read("{START}"))  {_HURT}
except Exception as damage:  {_HURT}
    raise SystemExit("error: this file is damaged (%s); copy the bundle again" % damage)  {_HURT}
from resnet_edge.ondevice.command.main import main  {_HURT}
sys.exit(main(ARCHIVE, sys.argv[1:]))  {_HURT}
""".encode()
"""The archive's ``__main__.py``, which Python starts without looking at its checksum.

Python shows a line that it cannot parse, so that each says what an error in it means. What it can
parse runs the check, which compares these lines with their hash as well.
"""


@dataclass(frozen=True)
class Bundled:
    """The bundle that is in the build."""

    path: Path
    sha256: str
    bytes: int
    artifacts: tuple[str, ...]
    images: int
    """Pictures of the sample."""
    rebuilt: bool


def bundle_formats(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return those artifacts whose format devices take."""
    return tuple(name for name in names if artifact_kind(name).format.traits.on_devices)


def _device_files() -> str:
    """Name the files that devices take, for instance ``.tflite or .onnx``."""
    return " or ".join(traits.suffix for traits in FORMATS.values() if traits.on_devices)


@sole_writer
def bundle(options: Options, display: Display | None = None) -> Bundled:
    """Write ``resnet-edge-device.pyz``.

    Args:
        options: The build, the artifacts, the gates for the device, and the number of pictures.
        display: Shows the progress.

    Raises:
        ResnetEdgeError: Artifacts or reference are missing or do not belong together, there is
            nothing that a device takes, or the archive cannot be written.
    """
    display = display or Silent()
    layout = options.layout
    asked = options.formats
    names = bundle_formats(exported_names(layout.artifacts) if asked is None else asked)
    if asked is not None and len(names) < len(asked):
        refused = next(name for name in asked if name not in names)
        raise UsageError(
            f"--formats: {refused} is {artifact_kind(refused).format.traits.title}, which devices "
            f"do not run; expected {_device_files()} artifacts"
        )
    if not names:
        raise UsageError(
            f"{layout.artifacts}: nothing for a device; expected {_device_files()} artifacts; "
            "make some with `resnet-edge export --formats int8.tflite`"
        )
    artifacts = load_artifacts(layout.artifacts, names)
    reference = read_reference(layout.reference)
    check_reference(artifacts, reference)
    code = {name: path.read_bytes() for name, path in find_sources(ON_DEVICE).items()}
    inputs = {
        "artifacts": digest([(a.name, a.sidecar) for a in artifacts]),
        "reference": hash_path(layout.reference),
        "gates": digest(options.gates),
        "sample": digest(options.bundle),
        "code": digest(sorted(code.items())),
        "versions": digest([version_of(package) for package in ("resnet-edge", "numpy")]),
    }
    places = sample_places(options, reference, artifacts[0], display)
    rebuilt = not is_current(options.out, "bundle", inputs)
    if rebuilt:
        sample = sample_answers(reference, places)
        pixels = sample_pixels(options, reference, artifacts[0], places, display)
        contents = _contents(code, artifacts, sample, _array_file(pixels))
        _write(options, artifacts, inputs["reference"], contents)
        write_stamp(options.out, "bundle", inputs, (layout.bundle,))
        display.say(f"bundle: {layout.bundle}")
    else:
        display.say(f"{layout.bundle} is up to date")
    return Bundled(
        path=layout.bundle,
        sha256=hash_path(layout.bundle),
        bytes=layout.bundle.stat().st_size,
        artifacts=names,
        images=len(places),
        rebuilt=rebuilt,
    )


def _array_file(pixels: np.ndarray) -> bytes:
    """Return an array as a ``.npy`` file."""
    stream = io.BytesIO()
    np.save(stream, pixels, allow_pickle=False)
    return stream.getvalue()


def _contents(
    code: Mapping[str, bytes], artifacts: tuple[Artifact, ...], sample: Reference, pixels: bytes
) -> dict[str, Content]:
    """Return the members by name in the order of the archive; the manifest comes last."""
    with tempfile.TemporaryDirectory() as folder:
        write_reference(Path(folder) / REFERENCE, sample)
        answers = (Path(folder) / REFERENCE).read_bytes()
    contents: dict[str, Content] = {MAIN_FILE: MAIN, **code}
    contents[LABELS] = "".join(f"{label}\n" for label in sample.info.labels).encode()
    contents[REFERENCE] = answers
    contents[PICTURES] = pixels
    for artifact in artifacts:
        contents[f"{ARTIFACTS}/{artifact.name}.json"] = sidecar_path(artifact.path).read_bytes()
        contents[f"{ARTIFACTS}/{artifact.name}"] = artifact.path
    return contents


def _write(
    options: Options,
    artifacts: tuple[Artifact, ...],
    reference_sha256: str,
    contents: dict[str, Content],
) -> None:
    manifest = BundleManifest(
        made_by=f"resnet-edge {version_of('resnet-edge')}",
        model_name=artifacts[0].sidecar.model_name,
        model_sha256=artifacts[0].sidecar.model_sha256,
        reference_sha256=reference_sha256,
        artifacts=tuple(artifact.name for artifact in artifacts),
        gates=options.gates,
        members={name: _member(content) for name, content in contents.items()},
    )
    text = json.dumps(to_json(manifest), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_archive(options.layout.bundle, {**contents, MANIFEST: text.encode()})


def _member(content: Content) -> Member:
    if isinstance(content, Path):
        return Member(hash_path(content), content.stat().st_size)
    return Member(hashlib.sha256(content).hexdigest(), len(content))
