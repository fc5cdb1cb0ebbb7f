"""HDF5 weight files in every layout, and everything that can be wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest

from resnet_edge.errors import ModelError
from resnet_edge.model.weight_files import StoredLayer, read_weight_file

KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)
BIAS = np.ones(3, np.float32)


def legacy(path: Path, layers: dict[str, dict[str, np.ndarray]], group: str = "/") -> Path:
    with h5py.File(path, "w") as file:
        root = file.require_group(group)
        root.attrs["layer_names"] = [name.encode() for name in layers]
        for name, weights in layers.items():
            stored = root.create_group(name)
            stored.attrs["weight_names"] = [weight.encode() for weight in weights]
            for weight, value in weights.items():
                stored[weight] = value
    return path


def keras3(path: Path, layers: Mapping[str, str | None], value: np.ndarray = KERNEL) -> Path:
    with h5py.File(path, "w") as file:
        for key, name in layers.items():
            variables = file.create_group(f"{key}/vars")
            variables["0"], variables["1"] = value, BIAS
            if name:
                variables.attrs["name"] = name
    return path


@pytest.mark.parametrize("group", ["/", "model_weights"])
@pytest.mark.parametrize("names", [("fc/kernel:0", "fc/bias:0"), ("fc_W:0", "fc_b:0")])
def test_legacy_of_keras_1_and_2(tmp_path: Path, group: str, names: tuple[str, str]) -> None:
    layers = {"relu": {}, "fc": dict(zip(names, (KERNEL, BIAS), strict=True))}
    (layer,) = read_weight_file(legacy(tmp_path / "w.h5", layers, group))
    assert layer.name == "fc"
    np.testing.assert_array_equal(layer.arrays[0], KERNEL)
    np.testing.assert_array_equal(layer.arrays[1], BIAS)


def test_legacy_nested_model_falls_apart_into_its_layers(tmp_path: Path) -> None:
    nested = {"a/kernel:0": KERNEL, "b/kernel:0": KERNEL, "a/bias:0": BIAS, "b/bias:0": BIAS}
    layers = read_weight_file(legacy(tmp_path / "w.h5", {"resnet50": nested}))
    assert [(layer.name, layer.shapes) for layer in layers] == [
        ("a", ((2, 3), (3,))),
        ("b", ((2, 3), (3,))),
    ]


def test_legacy_names_split_over_attributes(tmp_path: Path) -> None:
    path = legacy(tmp_path / "w.h5", {n: {f"{n}/kernel:0": KERNEL} for n in ("a", "b")})
    with h5py.File(path, "a") as file:
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = [b"a"], [b"b"]
    assert [layer.name for layer in read_weight_file(path)] == ["a", "b"]


def test_keras3_with_names_and_nested(tmp_path: Path) -> None:
    keys = {"layers/dense": "fc5", "layers/functional/layers/conv2d": "conv1"}
    path = keras3(tmp_path / "w.weights.h5", keys)
    with h5py.File(path, "a") as file:
        file["layers/dropout/seed_generator/vars/0"] = np.uint32(1)
        file["optimizer/vars/0"] = np.uint32(1)
    layers = read_weight_file(path)
    assert [(layer.name, layer.named) for layer in layers] == [("fc5", True), ("conv1", True)]


def test_keras3_without_names_counts_in_numbers(tmp_path: Path) -> None:
    keys = [f"layers/conv2d{suffix}" for suffix in ("", "_1", "_2", "_10")]
    path = keras3(tmp_path / "w.weights.h5", dict.fromkeys(keys))
    layers = read_weight_file(path)
    assert [layer.name for layer in layers] == ["conv2d", "conv2d_1", "conv2d_2", "conv2d_10"]
    assert not any(layer.named for layer in layers)


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    path = keras3(tmp_path / "w.h5", {"layers/dense": "fc"}, KERNEL.astype(np.float16))
    assert [a.dtype for a in read_weight_file(path)[0].arrays] == [np.float32, np.float32]


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "w.h5").touch()
    with pytest.raises(ModelError, match=r"w\.h5: 0 bytes; expected a Keras weight file"):
        read_weight_file(tmp_path / "w.h5")


def test_text_file(tmp_path: Path) -> None:
    (tmp_path / "w.h5").write_text("not weights")
    with pytest.raises(ModelError, match="not a readable HDF5 file, or truncated"):
        read_weight_file(tmp_path / "w.h5")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_file(tmp_path: Path, share: float) -> None:
    path = keras3(tmp_path / "w.h5", {"layers/dense": "fc"}, np.ones((100, 100)))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match="truncated"):
        read_weight_file(path)


def test_hdf5_of_something_else(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["pictures"] = KERNEL
    with pytest.raises(ModelError, match=r"without Keras layers \(it holds pictures\)"):
        read_weight_file(tmp_path / "w.h5")


def test_no_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no layer with weights in it"):
        read_weight_file(legacy(tmp_path / "w.h5", {"relu": {}}))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_name_the_layer(tmp_path: Path, bad: float) -> None:
    value = KERNEL.copy()
    value[1, 1] = bad
    path = keras3(tmp_path / "w.h5", {"layers/dense": "fc5"}, value)
    with pytest.raises(ModelError, match="NaN or infinity in the weights of fc5; expected finite"):
        read_weight_file(path)


def test_many_bad_layers_are_counted(tmp_path: Path) -> None:
    keys = {f"layers/dense_{i}": f"fc{i}" for i in range(13)}
    path = keras3(tmp_path / "w.h5", keys, np.full((2, 3), np.nan))
    with pytest.raises(ModelError, match=r"fc0, fc1, .*fc9 and 3 more; expected"):
        read_weight_file(path)


def test_integers_are_no_weights(tmp_path: Path) -> None:
    path = keras3(tmp_path / "w.h5", {"layers/dense": "fc"}, KERNEL.astype(np.int64))
    with pytest.raises(ModelError, match="is int64; expected float16, float32 or float64"):
        read_weight_file(path)


@pytest.mark.parametrize("link", [h5py.SoftLink("/other"), h5py.ExternalLink("o.h5", "/x")])
def test_links_are_not_followed(tmp_path: Path, link: object) -> None:
    path = keras3(tmp_path / "w.h5", {"layers/dense": "fc"})
    with h5py.File(path, "a") as file:
        file["layers/dense/vars/2"] = link
    with pytest.raises(ModelError, match="/layers/dense/vars/2 is missing or a link to elsewhere"):
        read_weight_file(path)


def test_numbers_outside_the_file_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(24))
    path = keras3(tmp_path / "w.h5", {"layers/dense": "fc"})
    with h5py.File(path, "a") as file:
        place = [(str(tmp_path / "secret"), 0, 24)]
        file["layers/dense/vars"].create_dataset("2", (6,), np.float32, external=place)
    with pytest.raises(ModelError, match="does not hold its numbers in the file"):
        read_weight_file(path)


def test_array_that_claims_too_much(tmp_path: Path) -> None:
    path = keras3(tmp_path / "w.h5", {"layers/dense": "fc"})
    with h5py.File(path, "a") as file:
        file["layers/dense/vars"].create_dataset(
            "2", (1 << 20, 1 << 12), np.float32, chunks=(1024, 1024), compression="gzip"
        )
    with pytest.raises(ModelError, match="claims 17179869184 bytes; expected at most 1073741824"):
        read_weight_file(path)


def test_shapes() -> None:
    assert StoredLayer("fc", (KERNEL, BIAS)).shapes == ((2, 3), (3,))
