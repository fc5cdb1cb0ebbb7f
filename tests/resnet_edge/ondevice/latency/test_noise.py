import pytest

from resnet_edge.ondevice.latency.noise import as_fast, best_latency, faster


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ((100, 0.0), (105, 0.0), True),  # 5 of 105 is 4.8 %
        ((100, 0.0), (106, 0.0), False),  # 6 of 106 is 5.7 %
        ((100, 0.1), (120, 0.1), True),  # 90 to 110 and 108 to 132
        ((100, 0.05), (120, 0.05), False),  # 95 to 105 and 114 to 126
        ((100, 0.0), (100, 0.0), True),
    ],
)
def test_as_fast_by_quartiles_or_medians(hand_latency, one, other, alike):
    first, second = hand_latency(one[0], spread=one[1]), hand_latency(other[0], spread=other[1])
    assert as_fast(first, second) is as_fast(second, first) is alike
    assert faster(first, second) is not alike
    assert not faster(second, first)


def test_the_fewest_threads_that_are_as_fast(hand_bench):
    assert best_latency(hand_bench("fp32.onnx", 1, 40, 20, 19.5, 30).latencies).threads == 2
    assert best_latency(hand_bench("fp32.onnx", 1, 40).latencies).threads == 1
