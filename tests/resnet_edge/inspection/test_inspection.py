from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_edge.errors import ArtifactError, RuntimeMissingError, UsageError
from resnet_edge.inspection import inspect_file, inspection_rows
from resnet_edge.inspection.contents import Computation, deduce_quantization
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.kinds import Quantization
from resnet_edge.ondevice.formats.sidecar import Sidecar, sidecar_path, write_sidecar
from resnet_edge.ondevice.json_records import to_json

MakeSidecar = Callable[[Path, str], Sidecar]
EXPECTED = "expected a .tflite, .onnx, .keras or .h5 file, or a SavedModel folder"


@pytest.fixture
def artifact(tmp_path: Path, make_tflite: Callable[..., bytes]) -> Path:
    path = tmp_path / "int8.tflite"
    path.write_bytes(make_tflite("static"))
    return path


def test_without_a_sidecar_the_file_speaks(artifact: Path, labels: tuple[str, ...]) -> None:
    found = inspect_file(artifact)
    assert found.kind == "TFLite"
    assert found.sidecar == "missing"
    assert found.bytes == artifact.stat().st_size
    assert found.sha256 == hashlib.sha256(artifact.read_bytes()).hexdigest()
    assert found.model_name == "pets"
    assert found.parameters is None
    assert found.labels == labels
    assert found.quantization.kind == Quantization.STATIC.value
    assert found.quantization.source == "graph"


def test_with_its_sidecar(artifact: Path, make_sidecar: MakeSidecar) -> None:
    make_sidecar(artifact, "int8.tflite")
    found = inspect_file(artifact)
    assert found.sidecar == "matches"
    assert found.model_name == "pets by sidecar"
    assert found.parameters == 1234567
    assert found.calibration is not None
    assert found.calibration.pictures == 200
    assert found.quantization.source == "sidecar"


def test_a_sidecar_of_other_bytes_is_shown_and_not_believed(
    artifact: Path, make_sidecar: MakeSidecar
) -> None:
    sidecar = make_sidecar(artifact, "int8.tflite")
    write_sidecar(artifact, dataclasses.replace(sidecar, sha256="f" * 64))
    found = inspect_file(artifact)
    assert found.sidecar == (
        f"does not match: sha256 is {hash_path(artifact)[:16]}…, "
        "the sidecar says ffffffffffffffff…; the file was changed or damaged after export; "
        "export it again"
    )
    assert found.model_name == "pets"
    assert found.quantization.source == "graph"


def test_a_damaged_sidecar_is_shown(artifact: Path) -> None:
    sidecar_path(artifact).write_text("{", encoding="utf-8")
    assert inspect_file(artifact).sidecar.startswith("does not match: ")
    assert "not JSON" in inspect_file(artifact).sidecar


def test_a_sidecar_that_claims_another_quantization(
    artifact: Path, make_sidecar: MakeSidecar
) -> None:
    make_sidecar(artifact, "dynamic.tflite")
    rows = dict(inspection_rows(inspect_file(artifact)))
    assert rows["Quantization"] == (
        f"{Quantization.DYNAMIC.value} (by its sidecar; the graph reads as: "
        f"{Quantization.STATIC.value})"
    )


def test_rows_for_people(artifact: Path, make_sidecar: MakeSidecar) -> None:
    make_sidecar(artifact, "int8.tflite")
    found = inspect_file(artifact)
    rows = dict(inspection_rows(found))
    assert rows["Kind"] == "TFLite"
    assert rows["Parameters"] == "1,234,567"
    assert rows["Input"] == "image: int8 1x4, scale 1, zero point -128"
    assert rows["Output"] == "probabilities: float32 1x3"
    assert rows["Weights"] == "int8 per-channel: 1 tensor, 12 values"
    assert rows["Quantization"] == Quantization.STATIC.value
    assert rows["Calibration"] == "200 pictures from training split, seed 7, equalized"
    assert rows["Operators"] == "3: DEQUANTIZE 1, FULLY_CONNECTED 1, SOFTMAX 1"
    assert rows["Labels"] == "3: cat, dog, grüne Katze"
    assert rows["Size"] == f"{found.bytes / 1e6:.2f} MB ({found.bytes:,} bytes)"
    assert rows["Sidecar"] == "matches"


def test_many_labels_are_cut_for_people(artifact: Path) -> None:
    labels = tuple(f"class {i}" for i in range(1000))
    found = dataclasses.replace(inspect_file(artifact), labels=labels)
    text = dict(inspection_rows(found))["Labels"]
    assert text.startswith("1000: class 0, class 1, ")
    assert text.endswith("class 9, … and 990 more")


def test_json_for_machines(artifact: Path) -> None:
    data = json.loads(json.dumps(to_json(inspect_file(artifact)), allow_nan=False))
    assert data["kind"] == "TFLite"
    assert data["inputs"] == [
        {"name": "image", "dtype": "int8", "shape": [1, 4], "scale": 1.0, "zero_point": -128}
    ]
    assert data["operators"][0] == {"name": "DEQUANTIZE", "count": 1}


def test_onnx_and_its_suffix_in_capitals(
    tmp_path: Path, make_onnx: Callable[[str], object]
) -> None:
    path = tmp_path / "MODEL.ONNX"
    path.write_bytes(make_onnx("float32").SerializeToString())  # type: ignore[attr-defined]
    assert inspect_file(path).kind == "ONNX"


@pytest.mark.parametrize("suffix", ["tflite", "onnx", "keras"])
def test_empty_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(b"")
    with pytest.raises(ArtifactError, match=rf"x.{suffix}: 0 bytes; expected a whole"):
        inspect_file(path)


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "x.tflite"
    with pytest.raises(UsageError) as problem:
        inspect_file(path)
    assert str(problem.value) == f"{path}: no such file; {EXPECTED}; check the path"


def test_unknown_kind(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(b"x")
    with pytest.raises(UsageError) as problem:
        inspect_file(path)
    assert str(problem.value) == f"{path}: unknown kind of file '.pt'; {EXPECTED}"


def test_folder_that_is_no_saved_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as problem:
        inspect_file(tmp_path)
    assert str(problem.value) == f"{tmp_path}: a folder without saved_model.pb; {EXPECTED}"


def test_unreadable_file(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ArtifactError) as problem:
        inspect_file(artifact)
    assert str(problem.value) == (
        f"{artifact}: cannot be read (Permission denied); check its permissions"
    )


def test_missing_package(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resnet_edge.inspection.tflite", None)
    with pytest.raises(RuntimeMissingError, match=r"run `pip install ai-edge-litert`"):
        inspect_file(artifact)


def test_mixed_computation_is_named_by_its_majority() -> None:
    mixed = [Computation.STATIC] * 3 + [Computation.FLOAT32]
    assert deduce_quantization(mixed, integer_only=False) == Quantization.STATIC.value
    assert deduce_quantization([], integer_only=True) == "unknown: no operator has weights"


def test_what_the_converters_make_reads_as_what_it_is(tmp_path: Path) -> None:
    import keras
    import numpy as np

    from converters.onnx import conversion as to_onnx
    from converters.onnx.float16 import convert_float16
    from converters.preprocessing import PREPROCESSINGS
    from converters.quantization import tflite as quantize
    from converters.quantization.calibration import calibrate
    from converters.quantization.onnx import quantize_int8
    from converters.quantization.settings import QuantizationSettings, Target
    from converters.serving import serving_model
    from converters.tflite import conversion as to_tflite

    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, activation="relu")(image)
    x = keras.layers.Conv2D(8, 3, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(x))
    serving = serving_model(model, PREPROCESSINGS["caffe"])
    pictures = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    float32 = to_tflite.convert_float32(serving)
    method = QuantizationSettings(grid=Target.AUTO.grid, few_pictures=True)
    calibrated = calibrate(float32, pictures, method)
    network, scheme = calibrated.network, calibrated.scheme
    graph = to_onnx.convert_float32(serving)
    files = {
        ("a.tflite", Quantization.NONE): float32,
        ("b.tflite", Quantization.FLOAT16_WEIGHTS): quantize.quantize_float16(float32),
        ("c.tflite", Quantization.DYNAMIC): quantize.quantize_dynamic(float32),
        ("d.tflite", Quantization.STATIC): quantize.quantize_static(
            float32, network, scheme, integer_only=False
        ),
        ("e.tflite", Quantization.INTEGER_ONLY): quantize.quantize_static(
            float32, network, scheme, integer_only=True
        ),
        ("i.tflite", Quantization.INT16_ACTIVATIONS): quantize.quantize_static(
            float32, network, scheme, integer_only=False, activation_bits=16
        ),
        ("f.onnx", Quantization.NONE): to_onnx.serialize(graph),
        ("g.onnx", Quantization.FLOAT16_WEIGHTS): to_onnx.serialize(convert_float16(graph)),
        ("h.onnx", Quantization.STATIC): to_onnx.serialize(
            quantize_int8(graph, calibrated, pictures, Target.AUTO).model
        ),
    }
    for (name, quantization), data in files.items():
        path = tmp_path / name
        path.write_bytes(data)
        found = inspect_file(path).quantization
        assert found.kind == quantization.value, name
        # The head of static files is float with stored integers: a computation of its own.
        assert sum(count.count for count in found.computations) == 3, name


C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    ("variables", "encoding"),
    [
        ({"PYTHONIOENCODING": "latin-1"}, "latin-1"),
        ({"LC_ALL": "C"}, "utf-8"),
        (C_LOCALE, "utf-8"),  # the command starts again in Python's UTF-8 mode
        ({**C_LOCALE, "PYTHONIOENCODING": "ascii"}, "ascii"),
    ],
)
def test_names_beyond_ascii_are_printed_in_any_locale(
    command: tuple[list[str], dict[str, str]],
    make_tflite: Callable[..., bytes],
    tmp_path: Path,
    variables: dict[str, str],
    encoding: str,
) -> None:
    path = tmp_path / "犬.tflite"
    path.write_bytes(make_tflite("static"))
    words, environment = command
    done = subprocess.run(
        [*words, "inspect", path.name],
        capture_output=True,
        cwd=tmp_path,
        env={**environment, **variables},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode(encoding).splitlines()
    rows = dict(line.rstrip().split(maxsplit=1) for line in lines)
    shown = [
        text.encode(encoding, "backslashreplace").decode(encoding)
        for text in ("犬.tflite", "3: cat, dog, grüne Katze")
    ]
    assert [rows["File"], rows["Labels"]] == shown
