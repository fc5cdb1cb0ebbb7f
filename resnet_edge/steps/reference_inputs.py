"""The inputs of a reference: the model and the test pictures, with their true classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.data.calibration import read_calibration
from resnet_edge.data.decoded import decoded_path
from resnet_edge.data.loaded_pixels import load_pixels
from resnet_edge.data.manifest import read_manifest, write_manifest
from resnet_edge.data.pictures import Picture, Pictures, pictures_of
from resnet_edge.data.pixel_source import ManyPixels
from resnet_edge.data.split import Split
from resnet_edge.display import Display
from resnet_edge.errors import UsageError
from resnet_edge.full_precision.backend import set_environment
from resnet_edge.full_precision.compute import Questions
from resnet_edge.model.model_file import ModelInfo
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.versions import version_of
from resnet_edge.options import Options, StrPath
from resnet_edge.scale.running import Computing
from resnet_edge.steps.choose_pictures import check_apart, load_test
from resnet_edge.steps.known_model import describe_for_reference, size_for_reference

OWN_PACKAGES = ("pillow", "resnet-edge")
"""Packages that decode the pictures and ask the model, beside Keras and its backend."""


@dataclass(frozen=True)
class ReferenceInputs:
    """A model and its test pictures."""

    model: Path
    info: ModelInfo
    size: tuple[int, int]
    """Height and width of the pictures."""
    test: Sequence[Picture]
    questions: Questions

    def load(self, options: Options, display: Display) -> ManyPixels:
        """Return the test pictures' pixels: uint8 ``(n, height, width, 3)``."""
        computing = Computing(options.scale.for_pixels(), display.warn)
        fit, cache = Fit(self.info.fit), options.layout.cache
        with display.bar("decoding test pictures") as advance:
            return load_pixels(self.test, self.size, fit, cache, advance, computing=computing)

    @property
    def pixels_key(self) -> str:
        """Hash of all that the pixels depend on."""
        return decoded_path(self.test, self.size, Fit(self.info.fit), Path()).name


def reference_inputs(options: Options, model: StrPath | None, display: Display) -> ReferenceInputs:
    """Find the model and the test pictures.

    Args:
        options: The build, and ``--test`` for a model that was trained elsewhere.
        model: The ``.keras`` classifier; None takes the build folder's own.
        display: Shows the progress.

    Raises:
        ResnetEdgeError: See the subclass for what was wrong.
    """
    set_environment()
    source = Path(model or options.layout.model)
    info = describe_for_reference(options, source, display)
    size = size_for_reference(options, source)
    sha256 = hash_path(source)
    test = _test_pictures(options, source, info, size, display)
    questions = Questions(
        model_sha256=sha256,
        preprocessing=info.preprocessing,
        labels=info.labels,
        pictures=tuple(picture.name for picture in test),
        hashes=tuple(picture.sha256 for picture in test),
        classes=tuple(picture.label for picture in test),
        versions={package: version_of(package) for package in OWN_PACKAGES},
        fit=info.fit,
        size=size,
    )
    return ReferenceInputs(source, info, size, test, questions)


def _test_pictures(
    options: Options, source: Path, info: ModelInfo, size: tuple[int, int], display: Display
) -> Pictures:
    """Return the build's test split, or all of ``--test``, which then becomes the build's."""
    layout = options.layout
    if options.data.test is None:
        if layout.dataset.exists():
            return read_manifest(layout.dataset).split.test
        display.warn("no test pictures: nothing can be checked; pass --test DIR")
        return pictures_of(())
    dataset = load_test(options.data.test, options, display, info.labels)
    if source == layout.model and layout.dataset.exists():
        recorded = read_manifest(layout.dataset).split.test
        if _hashes(recorded) != _hashes(dataset.pictures):
            raise UsageError(
                f"--test: {options.data.test} has other pictures than the test split that {source} "
                "was trained apart from; pass --test to `resnet-edge finetune`"
            )
        return recorded
    if layout.calibration.exists():
        check_apart(read_calibration(layout.calibration, dataset.root), dataset.pictures, "--test")
    split = Split(pictures_of(()), pictures_of(()), dataset.pictures)
    write_manifest(layout.dataset, dataset, split, size, Fit(info.fit))
    return dataset.pictures


def _hashes(pictures: Sequence[Picture]) -> list[str]:
    return sorted(picture.sha256 for picture in pictures)
