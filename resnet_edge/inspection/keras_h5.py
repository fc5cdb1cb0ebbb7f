"""Reads whole models in ``.h5`` files: no layer is built and no code from the file runs."""

from __future__ import annotations

import math
from pathlib import Path

from resnet_edge.errors import ArtifactError
from resnet_edge.inspection.contents import Contents, StoredTensor, text_metadata
from resnet_edge.inspection.keras_model import Json, describe_network
from resnet_edge.ondevice.reading import parse_json, refusing

_EMPTY: Json = {"class_name": "weights", "config": {"name": "weights alone", "layers": []}}


def read_keras_h5(path: Path) -> Contents:
    """Read an ``.h5`` file of Keras 2 or 3.

    Args:
        path: The file that ``model.save("x.h5")`` or ``model.save_weights`` wrote.

    Raises:
        ArtifactError: It is truncated, or no HDF5 file.
    """
    import h5py

    def refusal(reason: str) -> ArtifactError:
        return ArtifactError(
            f"{path}: truncated, damaged or no HDF5 file ({reason}); "
            "expected what model.save('NAME.h5') writes; save or copy it again"
        )

    found: list[StoredTensor] = []

    def add(name: str, item: object) -> None:
        own = not name.startswith("optimizer") and "seed_generator" not in name
        if own and isinstance(item, h5py.Dataset):
            found.append(StoredTensor(str(item.dtype), math.prod(item.shape), 0))

    with refusing(refusal), h5py.File(path) as file:
        text, version = file.attrs.get("model_config"), file.attrs.get("keras_version")
        file.visititems(add)
        config: Json = _EMPTY if text is None else parse_json(text)
        return describe_network(
            config,
            tuple(found),
            text_metadata({"keras": None if version is None else str(version)}),
            () if text is not None else ("it holds weights alone, without the network",),
        )
