import subprocess
import sys

import pytest

from resnet_edge.training.onednn import ONEDNN_VARIABLE, switch_on_onednn

SWITCH = (
    "from resnet_edge.training.onednn import switch_on_onednn\n"
    "import os, sys\n"
    "print(switch_on_onednn(), os.environ['TF_ENABLE_ONEDNN_OPTS'], 'tensorflow' in sys.modules)"
)


@pytest.mark.parametrize(
    ("before", "expected"), [({}, "True 1 False"), ({ONEDNN_VARIABLE: "0"}, "False 0 False")]
)
def test_it_is_on_unless_the_environment_says_otherwise(before, expected, monkeypatch):
    monkeypatch.delenv(ONEDNN_VARIABLE, raising=False)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "-c", SWITCH], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected


def test_after_tensorflow_it_is_too_late(monkeypatch):
    monkeypatch.delenv(ONEDNN_VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    assert not switch_on_onednn()
