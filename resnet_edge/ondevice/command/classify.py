"""The most probable classes of one picture, by an artifact of the bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from resnet_edge.errors import PictureError, RuntimeMissingError, UsageError
from resnet_edge.ondevice.array_files import map_array
from resnet_edge.ondevice.command.bundle_file import Bundle
from resnet_edge.ondevice.cores import available_cores
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.reading import refusing
from resnet_edge.ondevice.runtimes.installed import (
    installed_runtime,
    missing_error,
    missing_runtime,
)
from resnet_edge.ondevice.runtimes.opening import open_runtime
from resnet_edge.ondevice.scratch import scratch_folder
from resnet_edge.ondevice.versions import installed_version, release

OLDEST_PILLOW = (10, 1)
"""The first that says whether a picture has transparent parts."""

TOP = 5


def classify(bundle: Bundle, picture: Path, name: str | None = None) -> tuple[str, list[str]]:
    """Answer one picture.

    Args:
        bundle: The bundle that carries the artifact.
        picture: A picture file, or a ``.npy`` of uint8 ``(height, width, 3)`` at the model's size.
        name: The artifact's; None takes the first that has a runtime here.

    Returns:
        The artifact with its runtime, and the five most probable classes, a line each.

    Raises:
        ResnetEdgeError: There is no runtime, no Pillow, or no such picture; see the subclass.
    """
    chosen = _choose(bundle, name)
    sidecar = bundle.sidecar(chosen)
    pixels = _read_pixels(picture, sidecar.image_size, sidecar.fit)
    with scratch_folder() as folder:
        runtime = open_runtime(bundle.extract_artifact(chosen, folder), available_cores())
        answer = runtime.infer(pixels[np.newaxis])[0]
    if not np.isfinite(answer).all():
        raise PictureError(f"{picture}: {chosen} answers NaN or infinity; take another artifact")
    best = np.argsort(-answer, kind="stable")[:TOP]
    lines = [f"{answer[index]:8.2%}  {sidecar.labels[index]}" for index in best.tolist()]
    return f"{chosen}, {runtime.title}", lines


def _choose(bundle: Bundle, name: str | None) -> str:
    carried = bundle.manifest.artifacts
    if name is not None and name not in carried:
        raise UsageError(
            f"--artifact: {name} is not in this bundle; expected one of {', '.join(carried)}"
        )
    lacks = []
    for candidate in carried if name is None else (name,):
        kind = artifact_kind(candidate).format
        if installed_runtime(kind) is not None:
            return candidate
        lacks.append(missing_runtime(kind))
    raise missing_error(lacks)


def _read_pixels(path: Path, size: tuple[int, int], fit: str) -> np.ndarray:
    if path.suffix == ".npy":
        return _load_pixels(path, size)
    if (problem := pillow_problem()) is not None:
        height, width = size
        raise RuntimeMissingError(
            f"{path}: {problem}, or pass a .npy file of uint8 ({height}, {width}, 3)"
        )
    from resnet_edge.ondevice.fit import Fit
    from resnet_edge.ondevice.pictures import decode_picture

    try:
        return decode_picture(path, size, Fit(fit))
    except PictureError as refused:  # its advice is about data sets
        raise PictureError(refused.reason) from refused


def _load_pixels(path: Path, size: tuple[int, int]) -> np.ndarray:
    with refusing(lambda reason: PictureError(f"{path}: not a .npy file of pixels ({reason})")):
        pixels = map_array(path)
    shape = (*size, 3)
    if pixels.shape != shape or pixels.dtype != np.uint8:
        what = f"{pixels.dtype} {pixels.shape}"
        raise PictureError(f"{path}: {what}; expected uint8 {shape}, raw RGB")
    return pixels


def pillow_problem() -> str | None:
    """Return the reason why pictures cannot be decoded here, and the advice; None if they can."""
    oldest, version = ".".join(map(str, OLDEST_PILLOW)), installed_version("pillow")
    if version is None:
        return "Pillow is not installed; run `pip install pillow`"
    if release(version) < OLDEST_PILLOW:
        return f"Pillow {version} is here; expected {oldest} or later; run `pip install -U pillow`"
    return None
