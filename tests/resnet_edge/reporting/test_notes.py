import dataclasses

from resnet_edge.ondevice.latency.warnings import NO_CAUSE
from resnet_edge.reporting.notes import derive_notes


def only(content, *rows, **changes):
    return dataclasses.replace(content, artifacts=rows, notes=(), **changes)


def test_the_callers_notes_come_first(content):
    assert derive_notes(content)[0] == "trained from random weights"


def test_no_test_split_is_said(content, row):
    bare = dataclasses.replace(row("fp32.onnx"), parity=None, bench=None)
    notes = derive_notes(only(content, bare, data=dataclasses.replace(content.data, test=0)))
    assert notes == (
        "Accuracy was not checked, because there is no test split: every artifact.",
        "Latency was not measured: every artifact.",
    )


def test_one_artifact_without_parity_is_named(content, row):
    bare = dataclasses.replace(row("fp32.onnx"), parity=None)
    notes = derive_notes(only(content, bare, row("fp16.onnx")))
    expected = "Accuracy was not checked, because parity was not run on it: fp32.onnx."
    assert notes == (expected,)


def test_no_artifacts_is_said(content):
    assert derive_notes(only(content)) == (
        "No artifacts were found, so there is nothing to judge.",
    )


def test_collapse_is_said(content, row):
    notes = derive_notes(only(content, row("fp32.onnx", collapse="one class for everything")))
    assert notes == ("fp32.onnx collapsed: one class for everything.",)


def test_skipped_pictures_are_counted_and_named(content, row):
    skipped = tuple(f"{i}.jpg: 0 bytes" for i in range(7))
    data = dataclasses.replace(content.data, skipped=skipped)
    (note,) = derive_notes(only(content, row("fp32.onnx"), data=data))
    assert note.startswith("7 unreadable pictures left out: 0.jpg: 0 bytes; 1.jpg")
    assert note.endswith("; and 2 more.")


def test_noise_is_said(content, row, bench, latency):
    noisy = dataclasses.replace(latency(8.0), samples_s=(0.006, 0.008, 0.008, 0.010) * 16)
    unsettled = dataclasses.replace(latency(8.0, 2), settled=False)
    one = dataclasses.replace(row("fp32.onnx"), bench=bench("fp32.onnx", noisy, unsettled))
    notes = derive_notes(only(content, one))
    assert "The machine was noisy" in notes[0]
    assert "fp32.onnx (1 thread)" in notes[0]
    assert notes[1:] == (
        "The latency still changed when the warm-up ended: fp32.onnx (2 threads).",
        NO_CAUSE,
    )


def slow_int8(row, bench, latency, int8_ms):
    full = dataclasses.replace(row("fp32.onnx"), bench=bench("fp32.onnx", latency(4.0)))
    int8 = dataclasses.replace(row("int8.onnx"), bench=bench("int8.onnx", latency(int8_ms)))
    return full, int8


def test_int8_that_is_not_faster_is_explained_by_the_processor(content, row, bench, latency):
    notes = derive_notes(only(content, *slow_int8(row, bench, latency, 4.0)))
    assert notes == (
        "int8.onnx is not faster than fp32.onnx in LiteRT 2.3.0: as fast with 1 thread (4.00 ms "
        "against 4.00 ms).",
        "This processor has no int8 dot product instructions (AVX2 without VNNI); without them "
        "int8 has little to gain over float32. On a device whose processor has them, int8 is "
        "usually faster: measure there.",
    )


def test_where_the_processor_has_vnni_it_is_not_given_as_the_cause(content, row, bench, latency):
    machine = dataclasses.replace(content.machine, cpu_features=("avx512_vnni",))
    notes = derive_notes(only(content, *slow_int8(row, bench, latency, 4.0), machine=machine))
    assert notes == (
        "int8.onnx is not faster than fp32.onnx in LiteRT 2.3.0: as fast with 1 thread (4.00 ms "
        "against 4.00 ms).",
        "This processor has int8 dot product instructions (avx512_vnni); why int8 gains nothing "
        "in LiteRT 2.3.0 was not measured.",
    )


def test_int8_that_is_faster_needs_no_words(content, row, bench, latency):
    assert derive_notes(only(content, *slow_int8(row, bench, latency, 2.0))) == ()


def test_an_artifact_of_another_quantization_is_named(content, row, quantization):
    one = row("int8.onnx")
    calibration = dataclasses.replace(one.sidecar.calibration, method="entropy")
    other = dataclasses.replace(
        one, sidecar=dataclasses.replace(one.sidecar, calibration=calibration)
    )
    rows = (row("fp32.onnx"), row("int8.tflite"), other)
    (note,) = [
        n for n in derive_notes(only(content, *rows, quantization=quantization)) if "quant" in n
    ]
    assert note.startswith(
        "The section about the quantization does not apply to int8.onnx, which was made"
    )
