import keras
import numpy as np
import pytest

from resnet_edge.errors import ModelError, UsageError
from resnet_edge.training.training_copy import (
    copy_for_training,
    softmax_layer,
    train_all,
    train_last_stages,
)


def learning(network):
    return {v.path.split("/")[-2] for v in network.whole.trainable_weights}


def test_the_copy_answers_as_the_original_and_leaves_it_alone(make_resnet):
    model = make_resnet()
    network = copy_for_training(model, dropout=0.5)
    picture = np.random.default_rng(0).normal(0, 50, (2, 32, 32, 3)).astype(np.float32)
    expected = np.asarray(model(picture, training=False))
    np.testing.assert_allclose(network.whole(picture, training=False), expected, atol=1e-6)
    features = network.backbone(picture, training=False)
    assert features.shape == (2, 256)
    np.testing.assert_allclose(network.head(features, training=False), expected, atol=1e-6)
    train_last_stages(network, 0)
    assert len(model.trainable_weights) > 2
    assert model.layers[-1].output.shape == (None, 3)


def test_dropout_before_the_head_is_replaced(make_small):
    network = copy_for_training(make_small(), dropout=0.25)
    assert network.backbone.layers[-1].name != "own_dropout"
    rates = [layer.rate for layer in network.whole.layers if hasattr(layer, "rate")]
    assert rates == [0.25]


def test_mixed_precision_leaves_the_head_in_float32(make_small):
    network = copy_for_training(make_small(), dropout=0.1, mixed_precision=True)
    assert network.model.get_layer("late").compute_dtype == "float16"
    assert network.model.get_layer("late").variable_dtype == "float32"
    assert network.model.get_layer("answer").compute_dtype == "float32"
    assert network.whole(np.zeros((1, 32, 32, 3), np.float32)).dtype == "float32"


def test_frozen_means_that_only_the_head_learns(make_resnet):
    network = copy_for_training(make_resnet(), dropout=0.1)
    train_last_stages(network, 0)
    assert learning(network) == {"fc3"}
    train_all(network)
    assert len(learning(network)) > 100


def test_last_stages_are_told_by_classic_names(make_resnet):
    network = copy_for_training(make_resnet(), dropout=0.1)
    train_last_stages(network, 2)
    names = learning(network)
    assert {name[:4] for name in names} == {"res4", "res5", "fc3"}
    assert not any(name.startswith("bn") for name in names)
    train_last_stages(network, 4)
    assert "conv1" not in learning(network)
    assert "res2a_branch1" in learning(network)


def test_last_stages_of_an_own_network_are_told_by_size(make_small):
    network = copy_for_training(make_small(), dropout=0.1)
    train_last_stages(network, 1)
    assert learning(network) == {"late", "answer"}
    train_last_stages(network, 2)
    assert learning(network) == {"early", "late", "answer"}


def test_keras_names_tell_stages_too():
    model = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=3)
    network = copy_for_training(model, dropout=0.1)
    train_last_stages(network, 1)
    assert {name[:5] for name in learning(network)} == {"conv5", "predi"}


def test_too_many_stages_are_refused(make_small):
    network = copy_for_training(make_small(), dropout=0.1)
    with pytest.raises(UsageError, match="--unfreeze: got 3; this network has 2 stages; ask for 2"):
        train_last_stages(network, 3)


def test_stages_without_sizes_are_refused():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.Conv2D(4, 3, name="free"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    network = copy_for_training(model, dropout=0.1)
    with pytest.raises(UsageError, match="layer 'free' has no fixed output size; leave --unfreeze"):
        train_last_stages(network, 1)


def test_a_model_that_is_no_classifier_is_refused(make_small):
    model = make_small()
    headless = keras.Model(model.inputs[0], model.outputs[0] * 1)
    with pytest.raises(ModelError, match="expected a Dense layer with softmax"):
        softmax_layer(headless)
    with pytest.raises(ModelError, match="not a built functional or sequential model"):
        softmax_layer(keras.Sequential([keras.layers.Dense(2)], name="unbuilt"))
