"""Photos to ``model.keras`` and ``training.json``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_edge.data.manifest import write_manifest
from resnet_edge.data.pictures import Pictures
from resnet_edge.display import Display, Silent
from resnet_edge.errors import ModelError, UsageError
from resnet_edge.full_precision.backend import keras_backend
from resnet_edge.ondevice.files import digest, hash_path
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.versions import version_of
from resnet_edge.options import Options
from resnet_edge.scale.running import Computing
from resnet_edge.steps.choose_pictures import (
    Photos,
    check_calibration,
    choose_pictures,
    decode_split,
    labels_of,
    load_photos,
)
from resnet_edge.steps.image_size import choose_image_size
from resnet_edge.steps.one_writer import sole_writer
from resnet_edge.steps.up_to_date import is_current, write_stamp
from resnet_edge.training.training_record import Epoch, TrainingRecord

if TYPE_CHECKING:
    from resnet_edge.model.weights import LoadedModel

DEFAULT_PREPROCESSING = "caffe"
"""The preprocessing of ResNet50's published Keras weights; random weights learn with it as well."""


@dataclass(frozen=True)
class Finetuned:
    """The results of ``finetune``."""

    model: Path
    record: TrainingRecord
    rebuilt: bool
    """False if nothing had changed since the last run."""


@sole_writer
def finetune(options: Options, display: Display | None = None) -> Finetuned:
    """Train a ResNet50, or a new head on one, on photos in folders.

    Writes ``model.keras``, ``training.json``, ``dataset.json`` and ``calibration.json``. With the
    same pictures and options nothing is done again; an interrupted training continues.

    Args:
        options: The pictures, the training, and the build folder.
        display: Shows the progress; None shows nothing.

    Raises:
        ResnetEdgeError: See the subclass for what was wrong.
    """
    display = display or Silent()
    layout = options.layout
    photos = load_photos(options, display)
    chosen = choose_image_size(options, photos.pictures)
    size = chosen.size
    inputs = _inputs(options, photos, size)
    calibration = choose_pictures(
        options.calibration,
        photos.split.train,
        photos.split.test,
        photos.dataset.labels,
        layout,
        display,
        skip_unreadable=options.data.skip_unreadable,
    )
    if any(artifact_kind(name).calibrated for name in options.formats or ()):
        check_calibration(calibration, options.quantization)  # now, not when all is trained
    write_manifest(
        layout.dataset,
        photos.dataset,
        photos.split,
        size,
        options.data.fit or Fit.CROP,
        test=photos.test,
        size_reason=chosen.reason,
        split_reason=photos.split_reason,
        advice=photos.advice,
    )
    split = photos.split
    display.say(
        f"{len(split.train)} pictures train, {len(split.validation)} validate, "
        f"{len(split.test)} test; "
        f"{len(calibration.pictures)} of the {calibration.source} calibrate"
    )
    display.say(f"pictures at {size[0]}x{size[1]}: {chosen.reason}")
    if is_current(options.out, "finetune", inputs):
        display.say(f"{layout.model} is up to date")
        return Finetuned(
            layout.model, read_record(TrainingRecord, layout.training, ModelError), rebuilt=False
        )
    if (backend := keras_backend()) != "tensorflow":
        raise UsageError(
            f"KERAS_BACKEND: got {backend}; expected tensorflow, which fine-tuning needs; unset it "
            "here, and set it for `resnet-edge reference` alone"
        )
    record = _train(options, photos, size, display)
    write_stamp(options.out, "finetune", inputs, (layout.model, layout.training))
    return Finetuned(layout.model, record, rebuilt=True)


def _inputs(options: Options, photos: Photos, size: tuple[int, int]) -> dict[str, str]:
    """Return everything that the trained model depends on, as texts to compare."""
    weights = options.model.weights
    return {
        "train": _pictures_key(photos.split.train),
        "validation": _pictures_key(photos.split.validation),
        "labels": digest(photos.dataset.labels),
        "size": "x".join(str(side) for side in dict.fromkeys(size)),
        "fit": (options.data.fit or Fit.CROP).value,
        "weights": hash_path(Path(weights)) if Path(weights).exists() else weights,
        "preprocessing": str(options.model.preprocessing),
        "settings": digest(options.training),
        "keras": version_of("keras"),
        "tensorflow": version_of("tensorflow"),
        "resnet-edge": version_of("resnet-edge"),
    }


def _pictures_key(pictures: Pictures) -> str:
    """As ``digest`` of a list of pairs, without the list."""
    pairs = zip(pictures.hashes, pictures.labels.tolist(), strict=True)
    found = hashlib.sha256(b"[")
    for place, (hashed, label) in enumerate(pairs):
        found.update(f"{', ' if place else ''}('{hashed.tobytes().hex()}', {label})".encode())
    found.update(b"]")
    return found.hexdigest()


def _train(
    options: Options, photos: Photos, size: tuple[int, int], display: Display
) -> TrainingRecord:
    import keras

    from converters.preprocessing import PREPROCESSINGS
    from resnet_edge.model.model_file import ModelInfo, write_model
    from resnet_edge.model.pixel_scaling import PICTURES, preprocessing_warning
    from resnet_edge.model.weights import build_model
    from resnet_edge.training.labelled_pictures import LabelledPictures
    from resnet_edge.training.train import train_classifier

    layout, labels = options.layout, photos.dataset.labels
    keras.utils.set_random_seed(options.training.seed)
    loaded = build_model(
        options.model.weights, (*size, 3), len(labels), dropout=options.training.dropout
    )
    for note in loaded.notes:
        display.say(note)
    scratch = options.model.weights == "none"
    preprocessing = _choose_preprocessing(options, loaded, display)

    def labelled(pictures: Pictures, title: str) -> LabelledPictures:
        fit = options.data.fit or Fit.CROP
        pixels = decode_split(pictures, size, fit, options, display, title)
        return LabelledPictures(pixels, labels_of(pictures), _pictures_key(pictures))

    train = labelled(photos.split.train, "training")
    validation = labelled(photos.split.validation, "validation")
    some = train.pictures[:: -(-len(train) // PICTURES)]
    if warning := preprocessing_warning(loaded.model, preprocessing, some):
        display.warn(warning)
    with display.bar("training") as advance:
        result = train_classifier(
            loaded.model,
            train,
            validation,
            PREPROCESSINGS[preprocessing],
            options.training,
            scratch=scratch,
            work=layout.cache,
            on_epoch=lambda epoch: display.say(_epoch_line(epoch)),
            on_step=lambda step, steps, loss: advance(step, steps),
            on_features=advance,
            computing=Computing(options.scale.for_models(), display.warn),
        )
    info = ModelInfo(
        loaded.model.name,
        labels,
        preprocessing,
        (options.data.fit or Fit.CROP).value,
        _weights_words(scratch, loaded.weights),
    )
    write_record(layout.training, result.record)
    write_model(layout.model, result.model, info)
    return result.record


def _choose_preprocessing(options: Options, loaded: LoadedModel, display: Display) -> str:
    """Return the preprocessing that the weights expect, as far as anything tells."""
    preprocessing = options.model.preprocessing or loaded.preprocessing or DEFAULT_PREPROCESSING
    if options.model.weights == "none":
        display.warn(
            "no pretrained weights: the whole network is trained from random weights; "
            "pass --weights imagenet or a file to train only a new head"
        )
    elif options.model.preprocessing is None and loaded.preprocessing is None:
        display.warn(
            f"{loaded.weights} does not say what it expects of pictures; "
            f"{preprocessing!r} is assumed; pass --preprocessing if it is another"
        )
    return preprocessing


def _weights_words(scratch: bool, origin: str) -> str:
    if scratch:
        return "none: the whole network was trained from random weights"
    return f"{origin}, fine-tuned"


def _epoch_line(epoch: Epoch) -> str:
    return (
        f"epoch {epoch.epoch:3d} ({epoch.phase}): loss {epoch.loss:.3f}, "
        f"validation loss {epoch.validation_loss:.3f}, "
        f"validation accuracy {epoch.validation_accuracy:.1%}, {epoch.seconds:.1f} s"
    )
