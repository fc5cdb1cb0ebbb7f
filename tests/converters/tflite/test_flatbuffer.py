"""Changes to a flatbuffer: names, signature, integer input and output; nothing else."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from converters.tflite import flatbuffer


def finished(data: bytes, *, uint8_in: bool = False, uint8_out: bool = False) -> bytes:
    model = flatbuffer.read_flatbuffer(data)
    if uint8_in:
        flatbuffer.use_uint8_input(model)
    if uint8_out:
        flatbuffer.use_uint8_output(model)
    flatbuffer.name_endpoints(model)
    return flatbuffer.write_flatbuffer(model)


def classify(data: bytes, pictures: np.ndarray) -> np.ndarray:
    """By the file's signature, which is how phones call it."""
    interpreter = Interpreter(model_content=data)
    runner = interpreter.get_signature_runner()
    image = runner.get_input_details()["image"]
    return np.concatenate(
        [
            runner(image=picture[np.newaxis].astype(image["dtype"]))["probabilities"]
            for picture in pictures
        ]
    )


def test_a_round_trip_keeps_the_answers(tiny) -> None:
    data = tiny.tflite_float32
    again = flatbuffer.write_flatbuffer(flatbuffer.read_flatbuffer(data))
    assert again[4:8] == b"TFL3"
    np.testing.assert_array_equal(
        classify(finished(again), tiny.pictures[:2]), classify(finished(data), tiny.pictures[:2])
    )


@pytest.mark.parametrize("name", ["fp32", "fp16", "dynamic", "int8", "int8_full"])
def test_the_same_tree_gives_the_same_bytes(tiny, name: str) -> None:
    once, twice = (finished(tiny.tflite[name]) for _ in range(2))
    assert once == twice


@pytest.mark.parametrize(
    ("name", "uint8_in", "uint8_out"),
    [
        ("fp32", False, False),
        ("fp16", False, False),
        ("dynamic", False, False),
        ("int8", True, False),
        ("int8_full", True, True),
    ],
)
def test_tensors_and_signature_have_the_same_names(
    tiny, name: str, uint8_in: bool, uint8_out: bool
) -> None:
    data = finished(tiny.tflite[name], uint8_in=uint8_in, uint8_out=uint8_out)
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    (image,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (image["name"], answer["name"]) == ("image", "probabilities")
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["image"], "outputs": ["probabilities"]}
    }
    runner = interpreter.get_signature_runner()
    assert runner.get_input_details()["image"]["index"] == image["index"]
    assert runner.get_output_details()["probabilities"]["index"] == answer["index"]


def test_uint8_pixels_mean_the_same_as_shifted_int8_pixels(tiny) -> None:
    int8 = classify(finished(tiny.tflite["int8"]), tiny.pictures.astype(np.int16) - 128)
    uint8 = classify(finished(tiny.tflite["int8"], uint8_in=True), tiny.pictures)
    np.testing.assert_array_equal(uint8, int8)


def test_uint8_answers_are_shifted_int8_answers(tiny) -> None:
    data = tiny.tflite["int8_full"]
    int8 = classify(finished(data, uint8_in=True), tiny.pictures)
    uint8 = classify(finished(data, uint8_in=True, uint8_out=True), tiny.pictures)
    assert (int8.dtype, uint8.dtype) == (np.int8, np.uint8)
    np.testing.assert_array_equal(uint8.astype(np.int16), int8.astype(np.int16) + 128)


def test_uint8_endpoints_keep_the_scale(tiny) -> None:
    data = finished(tiny.tflite["int8_full"], uint8_in=True, uint8_out=True)
    interpreter = Interpreter(model_content=data)
    (image,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert image["quantization"] == (1.0, 0)
    assert answer["quantization"] == (1 / 256, 0)


def test_a_float_tensor_has_no_uint8_twin(tiny) -> None:
    model = flatbuffer.read_flatbuffer(tiny.tflite_float32)
    with pytest.raises(ValueError, match=r"^tensor 0 has type 0; expected INT8$"):
        flatbuffer.use_uint8_input(model)
