import math

import pytest

from resnet_edge.recommendation import Candidate
from resnet_edge.recommendation.candidate import beats


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
