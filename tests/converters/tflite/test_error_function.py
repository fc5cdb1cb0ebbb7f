"""The error function by operators of TFLite, against SciPy."""

import numpy as np
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.tflite.error_function import erf, erfc


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
def test_values_are_as_exact_as_tensorflows(numbers: list[float]) -> None:
    x = np.array(numbers, np.float32)
    expected = scipy.special.erf(x.astype(np.float64))
    np.testing.assert_allclose(erf(x).numpy(), expected, atol=5e-7, rtol=5e-7)
    np.testing.assert_allclose(erfc(x).numpy(), 1 - expected, atol=5e-7)


def test_values_by_hand() -> None:
    x = np.array([0.0, 0.5, -1.0, 4.0, 100.0, -np.inf], np.float32)
    expected = [0, 0.5204999, -0.8427008, 1, 1, -1]
    np.testing.assert_allclose(erf(x).numpy(), expected, atol=5e-7)
