"""Activations as functions of the tensor that they alone read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.quantization.responses import response_of
from converters.quantization.tflite_network import Operation, TfliteNetwork

VALUES = (-4.0, -1.0, 0.0, 1.0, 8.0)
BY_HAND = {
    "ELU": (np.exp(-4) - 1, np.exp(-1) - 1, 0, 1, 8),
    "GELU": (-0.000127, -0.158655, 0, 0.841345, 8),
    "HARD_SWISH": (0, -1 / 3, 0, 2 / 3, 8),
    "LOGISTIC": (0.017986, 0.268941, 0.5, 0.731059, 0.999665),
    "RELU": (0, 0, 0, 1, 8),
    "RELU6": (0, 0, 0, 1, 6),
    "RELU_N1_TO_1": (-1, -1, 0, 1, 1),
    "TANH": (-0.999329, -0.761594, 0, 0.761594, 1),
}
SWISH = (-0.071945, -0.268941, 0, 0.731059, 7.997317)


def network(*operations: tuple[str, tuple[int, ...]], activation: str = "NONE") -> TfliteNetwork:
    """Operators by kind and inputs; the first writes tensor 1, the next tensor 2, …"""
    made = tuple(
        Operation(index, kind, inputs, (index + 1,), activation, None, f"layer{index}")
        for index, (kind, inputs) in enumerate(operations)
    )
    tensors = len(made) + 1
    return TfliteNetwork(made, ("t",) * tensors, ((1, 2),) * tensors, {}, 0, tensors - 1)


@pytest.mark.parametrize("kind", BY_HAND)
def test_values_by_hand(kind: str) -> None:
    respond = response_of(network(("CONV_2D", (0,)), (kind, (1,))), 1)
    assert respond is not None
    np.testing.assert_allclose(respond(np.array(VALUES)), BY_HAND[kind], atol=1e-6)


@pytest.mark.parametrize("factors", [(1, 2), (2, 1)])
def test_a_swish_is_a_logistic_and_a_product(factors: tuple[int, int]) -> None:
    swish = network(("CONV_2D", (0,)), ("LOGISTIC", (1,)), ("MUL", factors))
    respond = response_of(swish, 1)
    assert respond is not None
    np.testing.assert_allclose(respond(np.array(VALUES)), SWISH, atol=1e-6)


@pytest.mark.parametrize(
    "made",
    [
        network(("CONV_2D", (0,)), ("CONV_2D", (1,))),  # no activation
        network(("CONV_2D", (0,))),  # the answer: nothing reads it
        network(("CONV_2D", (0,)), ("TANH", (1,)), ("CONV_2D", (1,))),  # a second reader
        network(("CONV_2D", (0,)), ("TANH", (1,)), activation="RELU"),  # followed by another
        # Products that are no swish: of the gate alone, of another tensor, of a gate read twice.
        network(("CONV_2D", (0,)), ("LOGISTIC", (1,)), ("MUL", (1, 1))),
        network(("CONV_2D", (0,)), ("LOGISTIC", (1,)), ("MUL", (1, 0))),
        network(("CONV_2D", (0,)), ("LOGISTIC", (1,)), ("MUL", (1, 2)), ("TANH", (2,))),
    ],
)
def test_there_is_no_single_activation(made: TfliteNetwork) -> None:
    assert response_of(made, 1) is None


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(sorted(BY_HAND)), st.floats(-1e4, 1e4))
def test_a_response_is_finite_and_no_steeper_than_a_swish(kind: str, value: float) -> None:
    respond = response_of(network(("CONV_2D", (0,)), (kind, (1,))), 1)
    assert respond is not None
    step = 2.0**-8
    below, above = respond(np.array([value, value + step]))
    assert np.isfinite(below)
    assert abs(above - below) <= 1.52 * step  # the steepest is hard swish, 1.5 just below 3
