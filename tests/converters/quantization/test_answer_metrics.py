"""Figures of answers, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from converters.quantization.answer_metrics import mean_sqnr_db, sqnr_db

SIGNAL = np.array([[3.0, -3.0]])


def test_a_tenth_of_the_signal_is_20_db() -> None:
    assert sqnr_db(SIGNAL, SIGNAL * 1.1) == pytest.approx(20)
    assert math.isinf(sqnr_db(SIGNAL, SIGNAL))
    assert math.isnan(sqnr_db(SIGNAL, SIGNAL * np.nan))


def test_no_picture_hides_the_others_in_a_mean() -> None:
    """One of 20 dB beside an exact one (60 at most), and one without a signal (-20 at least)."""
    expected = np.concatenate([SIGNAL, SIGNAL, 0 * SIGNAL])
    actual = np.concatenate([SIGNAL * 1.1, SIGNAL, SIGNAL])
    assert mean_sqnr_db(expected[:2], actual[:2]) == pytest.approx((20 + 60) / 2)
    assert mean_sqnr_db(expected, actual) == pytest.approx((20 + 60 - 20) / 3)
    assert math.isnan(mean_sqnr_db(expected, actual * [1, np.nan]))
