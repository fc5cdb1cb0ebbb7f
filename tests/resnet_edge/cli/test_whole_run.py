"""A ResNet50, narrow and small, into every format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES

LATENCY = ("--min-seconds", "0.05", "--min-queries", "8")


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import keras

    from resnet_edge import resnet50

    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("models") / "resnet.keras"
    resnet50(input_shape=(32, 32, 3), classes=3, width=0.125).save(path)
    return path


@pytest.mark.slow
def test_every_format(cli, edge_photos, resnet, tmp_path):
    out = tmp_path / "out"
    words = ("--data", edge_photos, "--weights", resnet, "--out", out, "--preprocessing", "caffe")
    words += ("--formats", "all")
    ran = cli("run", *words, *LATENCY, "--epochs", "5", "--json")
    assert ran.code in (0, 1), ran.err  # random features may not tell the colours apart
    report = json.loads(ran.out)
    artifacts = report["artifacts"]
    assert [a["name"] for a in artifacts] == list(ARTIFACT_NAMES)
    assert {a["agreement"] for a in artifacts if a["precision"] == "float32"} == {1.0}
    assert {a["latency"]["samples"] >= 8 for a in artifacts} == {True}
    assert report["model"]["rewrites"]
    # A folder, a hand-made one, is held against the same hash as a file is.
    again = cli("run", *words, *LATENCY, "--epochs", "5")
    assert again.code == ran.code
    assert "nothing has changed: nothing was rebuilt" in again.err
    (out / "artifacts" / "saved_model" / "more").write_text("x")
    assert "sha256 is" in cli("parity", "--out", out).err
    assert "saved_model written" in cli("export", "--out", out, "--formats", "saved_model").err
