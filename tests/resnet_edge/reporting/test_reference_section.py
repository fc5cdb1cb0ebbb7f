import dataclasses

from resnet_edge.ondevice.measurements import Throughput
from resnet_edge.reporting.html import render_html
from resnet_edge.reporting.markdown import render_markdown
from resnet_edge.reporting.provenance import Fact
from resnet_edge.reporting.reference_section import build_reference

HOSTILE = '"><script>alert(1)</script>'


def on_a_gpu(content, **values):
    reference = dataclasses.replace(
        content.reference,
        device="GPU: NVIDIA A10",
        details={"driver": "550.54.15", "cuDNN": "91002"},
        float32="known matrix products came out exact to the bit",
        throughput=(Throughput(1, (0.004,)), Throughput(128, (0.1, 0.16, 0.2))),
        host="gpu-box",
        versions={"keras": "3.15.1", "torch": "2.13.0"},
        **values,
    )
    return dataclasses.replace(content, reference=reference)


def test_device_proof_and_throughput(content):
    view = build_reference(on_a_gpu(content).reference)
    assert view.facts[:3] == (
        Fact("device", "GPU: NVIDIA A10"),
        Fact("driver", "550.54.15"),
        Fact("cuDNN", "91002"),
    )
    assert Fact("versions", "keras 3.15.1, torch 2.13.0") in view.facts
    assert view.throughput == (("1", "250", "4.00", "1"), ("128", "800", "160", "3"))
    assert view.stopped == ""


def test_a_reference_of_before_the_proof(content):
    view = build_reference(content.reference)
    assert Fact("proof of float32", "none") in view.facts
    assert Fact("machine", "–") in view.facts
    assert view.throughput == ()
    assert build_reference(None) is None


def test_both_renderings_show_it(content):
    stopped = on_a_gpu(content, throughput_stopped="batch 512: memory ran out")
    page, text = render_html(stopped), render_markdown(stopped)
    for words in ("NVIDIA A10", "550.54.15", "exact to the bit", "gpu-box", "800"):
        assert words in page
        assert words in text
    assert "Larger batches were not measured: batch 512: memory ran out." in page
    assert '<a href="#reference">' in page
    assert "| 128 | 800 | 160 | 3 |" in text
    bare = dataclasses.replace(content, reference=None)
    assert 'id="reference"' not in render_html(bare)
    assert "## Reference" not in render_markdown(bare)


def test_what_a_driver_calls_itself_is_escaped(content):
    hostile = dataclasses.replace(content.reference, details={HOSTILE: HOSTILE}, host=HOSTILE)
    page = render_html(dataclasses.replace(content, reference=hostile))
    assert "<script>" not in page
