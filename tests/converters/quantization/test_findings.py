"""The order of trials."""

from dataclasses import replace

import pytest

from converters.quantization.findings import PrecisionTrial, best_trial

TRIAL = PrecisionTrial("", (), 0.98, 20.0, 100, 0.01, holds=False)
HOLDS = replace(TRIAL, agreement=0.99, bytes=200, holds=True)


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (TRIAL, HOLDS),
        (HOLDS, replace(HOLDS, bytes=199, agreement=0.99, sqnr_db=1.0)),
        (HOLDS, replace(HOLDS, agreement=0.995)),
        (HOLDS, replace(HOLDS, sqnr_db=21.0)),
        (TRIAL, replace(TRIAL, agreement=0.985, sqnr_db=1.0, bytes=300)),
        (TRIAL, replace(TRIAL, sqnr_db=21.0, bytes=300)),
        (TRIAL, replace(TRIAL, bytes=99)),
    ],
)
def test_the_better_of_two(worse: PrecisionTrial, better: PrecisionTrial) -> None:
    assert best_trial((worse, better)) is better
    assert best_trial((better, worse)) is better


def test_the_first_of_equals() -> None:
    equal = replace(TRIAL, latency_s=0.001)
    assert best_trial((TRIAL, equal)) is TRIAL
