import pytest

from resnet_edge.ondevice.latency.words import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0295, "29.5 ms"), (0.105, "105 ms"), (1.2345, "1,234 ms"), (0.000123, "0.123 ms")],
)
def test_milliseconds(seconds, words):
    assert duration(seconds) == words
