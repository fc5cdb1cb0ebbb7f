import math

import pytest

from resnet_edge.recommendation import Candidate
from resnet_edge.recommendation.candidate import as_fast, beats, best_latency, faster


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


@pytest.fixture
def candidate(hand_bench, hand_parity):
    def make(size=100_000_000, ms=10.0, agreement=1.0, sqnr_db=120.0, name="fp32.onnx"):
        parity = hand_parity(name, agreement=agreement, sqnr_db=sqnr_db)
        return Candidate(parity, hand_bench(name, size, ms))

    return make


def test_better_in_one_figure_and_worse_in_none_beats(candidate):
    plain = candidate()
    assert beats(candidate(ms=5), plain)
    assert beats(candidate(size=25_000_000), plain)
    assert beats(plain, candidate(agreement=0.99))
    assert beats(candidate(agreement=0.99, sqnr_db=30), candidate(agreement=0.99, sqnr_db=20))
    assert not beats(plain, plain)


def test_a_trade_off_beats_nothing(candidate):
    small, close = candidate(size=25_000_000, agreement=0.98), candidate()
    assert not beats(small, close)
    assert not beats(close, small)


def test_noise_and_kilobytes_beat_nothing(candidate):
    assert not beats(candidate(ms=9.6), candidate(ms=10))
    assert not beats(candidate(size=94_100_000), candidate(size=94_140_000))
    assert beats(candidate(size=94_000_000), candidate(size=94_100_000))


def test_sqnr_beyond_60_db_beats_nothing(candidate):
    assert not beats(candidate(sqnr_db=math.inf), candidate(sqnr_db=60))
    assert beats(candidate(sqnr_db=60), candidate(sqnr_db=59))


def test_nan_is_closest_to_nothing(candidate):
    assert candidate(agreement=math.nan, sqnr_db=math.nan).closeness == (-math.inf, -math.inf)
    assert beats(candidate(agreement=0.1), candidate(agreement=math.nan))
