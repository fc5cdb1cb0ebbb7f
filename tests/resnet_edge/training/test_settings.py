import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.errors import UsageError
from resnet_edge.training.settings import TrainingSettings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "--epochs: got 0; expected at least 1"),
        ({"batch_size": 0}, "--batch-size: got 0; expected at least 1"),
        ({"learning_rate": 0.0}, "--learning-rate: got 0.0; expected a finite number above 0"),
        ({"learning_rate": math.nan}, "--learning-rate: got nan; expected a finite number above 0"),
        ({"weight_decay": -1.0}, "--weight-decay: got -1.0; expected a finite number, 0 or above"),
        ({"dropout": 1.0}, "--dropout: got 1.0; expected a share of at least 0 and below 1"),
        ({"warmup": math.nan}, "warmup: got nan; expected a share of at least 0 and below 1"),
        ({"label_smoothing": -0.1}, "--label-smoothing: got -0.1; expected a share"),
        ({"patience": 0}, "--patience: got 0; expected at least 1"),
        ({"views": 0}, "--views: got 0; expected at least 1"),
        ({"views": 3, "augment": False}, "--views: got 3; expected 1 where augmentation is off"),
        ({"unfreeze": 5}, "--unfreeze: got 5; expected 0 to 4 stages"),
        ({"seed": -1}, "--seed: got -1; expected 0 to 2147483647"),
    ],
)
def test_a_wrong_value_is_named(values, message):
    with pytest.raises(UsageError, match="^" + message):
        TrainingSettings(**values)


@settings(deadline=None, max_examples=50)
@given(st.floats(), st.floats())
def test_what_is_built_is_finite_and_in_range(rate, share):
    try:
        built = TrainingSettings(learning_rate=rate, dropout=share)
    except UsageError:
        assert not (0 < rate < math.inf and 0 <= share < 1)
    else:
        assert 0 < built.learning_rate < math.inf
        assert 0 <= built.dropout < 1
