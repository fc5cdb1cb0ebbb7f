import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet_edge.errors import UsageError
from resnet_edge.training.training_device import describe_device, strategy_for, versions


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda _kind: [])
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _kind: [])


@pytest.mark.usefixtures("no_gpu")
def test_mixed_precision_without_a_gpu_is_refused():
    with pytest.raises(UsageError, match="--mixed-precision: no GPU was found, and a CPU"):
        strategy_for(mixed_precision=True)


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_it_is_said():
    assert strategy_for(mixed_precision=False).num_replicas_in_sync == 1
    assert describe_device(mixed_precision=False).startswith("CPU: no GPU was found (")


def test_versions_are_those_that_are_installed():
    expected = {"keras": keras.__version__, "tensorflow": tf.__version__, "numpy": np.__version__}
    assert versions() == expected
